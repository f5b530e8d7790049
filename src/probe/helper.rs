//! What needs a process of its own: TLS, whose library would stay resident, and looking up a name, which blocks.

use super::{Problem, tls};
use std::io::Write;
use std::net::{IpAddr, ToSocketAddrs};
use std::path::Path;
use std::process::Stdio;
use tokio::process::Command;

/// First argument of the program that makes it help a probe; a task and a host follow.
pub const PROBE_VERB: &str = "__probe";
/// The task that looks up a host; the answer is JSON on standard output.
const RESOLVE: &str = "resolve";
/// The task that speaks TLS on standard input for the asker on standard output.
const TLS: &str = "tls";
/// Addresses of a host that are tried: more never fit into a probe's time.
const MAX_ADDRESSES: usize = 8;

/// A helper that ends with whoever drops it.
fn command(program: &Path, task: &str, host: &str) -> Command {
    let mut command = Command::new(program);
    command
        .args([PROBE_VERB, task, host])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    command
}

/// A helper for [`tls::Session`].
pub fn tls_command(program: &Path, host: &str) -> Command {
    command(program, TLS, host)
}

/// The addresses of a name, as this machine knows it.
pub async fn resolve(program: &Path, host: &str) -> Result<Vec<IpAddr>, Problem> {
    let ours = |why: String| Problem::Ours(format!("cannot look up `{host}`: {why}"));
    let output = command(program, RESOLVE, host).output().await;
    let output = output.map_err(|e| ours(e.to_string()))?;
    let answer: Result<Vec<IpAddr>, String> = serde_json::from_slice(&output.stdout)
        .map_err(|_| ours(format!("the helper ended with {}", output.status)))?;
    answer.map_err(|why| Problem::Theirs(format!("cannot look up `{host}`: {why}")))
}

/// The life of a helper. Errors: it cannot even say what went wrong.
pub fn help(task: &str, host: &str) -> std::io::Result<()> {
    // Whoever asked may be killed; nobody else wants the answer.
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    match task {
        TLS => tls::relay(host),
        RESOLVE => {
            let addresses = (host, 0).to_socket_addrs().map_err(|e| e.to_string());
            let addresses: Result<Vec<IpAddr>, String> =
                addresses.map(|all| all.take(MAX_ADDRESSES).map(|one| one.ip()).collect());
            std::io::stdout().write_all(&serde_json::to_vec(&addresses)?)
        }
        _ => Err(std::io::ErrorKind::InvalidInput.into()),
    }
}
