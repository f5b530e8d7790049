//! Credential helpers: programs that keep credentials for others. Source: docker-credential-helpers, protocol `get`.

use super::PullError;
use super::credentials::Credential;
use crate::image::error::shown;
use crate::sys;
use serde::Deserialize;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// How long a helper may take at most, for its answer and then for its end: it may ask a service, never a person.
const DEADLINE: Duration = Duration::from_secs(30);
/// Bytes of its answer.
const ANSWER_BYTES: u64 = 64 << 10;
/// What a helper says when it has nothing for a server. Source: docker-credential-helpers, credentials/error.go.
const NOT_FOUND: &str = "credentials not found";
/// The user that stands for "the secret is an identity token".
const TOKEN_USER: &str = "<token>";

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    username: String,
    secret: String,
}

/// Asks `docker-credential-NAME`. Started without a shell, and killed when it takes too long.
pub(super) fn ask_helper(
    name: &str,
    server: &str,
    patience: Duration,
) -> Result<Option<Credential>, PullError> {
    let program = format!("docker-credential-{}", shown(name.as_bytes()));
    let failed = |problem: &str| PullError::Helper {
        program: program.clone(),
        problem: problem.to_owned(),
    };
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
    if name.is_empty() || !name.bytes().all(plain) {
        return Err(failed("its name may have only letters, digits, - _ and ."));
    }
    let mut child = Command::new(&program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(&error.to_string()))?;
    let deadline = DEADLINE.min(patience);
    let process = sys::pidfd(child.id());
    let answer = converse(&mut child, server, deadline)
        .filter(|_| process.is_ok_and(|p| !sys::pidfd_outlives(p.as_fd(), deadline)));
    if answer.is_none() {
        // It may have ended by itself in the meantime.
        let _ = child.kill();
    }
    let status = child.wait().map_err(|error| failed(&error.to_string()))?;
    let late = || {
        failed(&format!(
            "it took longer than {} seconds",
            deadline.as_secs()
        ))
    };
    let answer = answer.ok_or_else(late)?;
    if !status.success() {
        if String::from_utf8_lossy(&answer).contains(NOT_FOUND) {
            return Ok(None);
        }
        return Err(failed(&format!("it ended with {status}")));
    }
    // The answer is secret: nothing of it is told.
    let answer: Answer =
        serde_json::from_slice(&answer).map_err(|_| failed("its answer is no JSON credential"))?;
    Ok(Some(match answer.username.as_str() {
        TOKEN_USER => Credential::Refresh(answer.secret),
        _ => Credential::Basic(answer.username, answer.secret),
    }))
}

/// Tells the server and reads the answer; `None` if it takes too long.
fn converse(child: &mut Child, server: &str, deadline: Duration) -> Option<Vec<u8>> {
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that reads nothing is judged by its answer.
        let _ = stdin.write_all(server.as_bytes());
    }
    let stdout = child.stdout.take()?;
    let (send, receive) = mpsc::channel();
    // Not joined: a grandchild may keep the pipe open after the helper was killed, and this process is short-lived.
    thread::spawn(move || {
        let mut answer = Vec::new();
        let read = stdout.take(ANSWER_BYTES).read_to_end(&mut answer);
        let _ = send.send(read.map_or(Vec::new(), |_| answer));
    });
    receive.recv_timeout(deadline).ok()
}
