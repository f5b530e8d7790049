//! Short-lived processes of this same program that do what the resident one should not be grown by: unpacking images, TLS,
//! netlink, CNI.

use crate::pod::Failure;
use crate::supervisor::context::other;
use serde::de::DeserializeOwned;
use std::ffi::OsStr;
use std::process::Stdio;
use std::time::Duration;

/// Runs this program with these arguments and reads its answer, a `Result<T, Failure>` as JSON. `what` it is, for people.
/// *Errors*: its own failure, or `lost` of what went wrong with the process.
pub(super) async fn ask<T: DeserializeOwned>(
    args: &[&OsStr],
    deadline: Duration,
    what: &str,
    lost: impl Fn(String) -> Failure,
) -> Result<T, Failure> {
    let mut command = tokio::process::Command::new("/proc/self/exe");
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true);
    let output = tokio::time::timeout(deadline, command.output()).await;
    let output = output.map_err(|_| lost(format!("the {what} helper did not end in time")))?;
    let output = output.map_err(|e| other(&format!("cannot start the {what} helper"), &e))?;
    let answer: Result<T, Failure> = serde_json::from_slice(&output.stdout).map_err(|_| {
        lost(format!(
            "the {what} helper ended with {} and no answer",
            output.status
        ))
    })?;
    answer
}
