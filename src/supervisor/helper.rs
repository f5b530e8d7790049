//! Short-lived processes of this same program that do what the resident one should not be grown by: unpacking images, TLS,
//! netlink, CNI.

use crate::pod::Failure;
use crate::supervisor::context::other;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::process::{Output, Stdio};
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

/// What a helper is told.
pub(super) struct Question<'a> {
    /// What it is, for people.
    pub what: &'a str,
    pub args: &'a [&'a OsStr],
    /// Beside the environment of the supervisor.
    pub environment: &'a BTreeMap<String, String>,
    /// For its standard input: what nobody else may see.
    pub input: Vec<u8>,
    /// None: it may take as long as it takes.
    pub deadline: Option<Duration>,
}

/// Runs this program and reads its answer, a `Result<T, Failure>` as JSON.
/// *Errors*: its own failure, or `lost` of what went wrong with the process.
pub(super) async fn ask<T: DeserializeOwned>(
    question: Question<'_>,
    lost: impl Fn(String) -> Failure,
) -> Result<T, Failure> {
    let what = question.what;
    let mut command = Command::new("/proc/self/exe");
    command
        .args(question.args)
        .envs(question.environment)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let run = run(command, &question.input);
    let output = match question.deadline {
        None => run.await,
        Some(deadline) => tokio::time::timeout(deadline, run)
            .await
            .map_err(|_| lost(format!("the {what} helper did not end in time")))?,
    };
    let output = output.map_err(|e| other(&format!("cannot run the {what} helper"), &e))?;
    let answer: Result<T, Failure> = serde_json::from_slice(&output.stdout).map_err(|_| {
        lost(format!(
            "the {what} helper ended with {} and no answer",
            output.status
        ))
    })?;
    answer
}

async fn run(mut command: Command, input: &[u8]) -> std::io::Result<Output> {
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that ended early is judged by its answer.
        let _ = stdin.write_all(input).await;
    }
    child.wait_with_output().await
}
