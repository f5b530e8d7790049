//! One command of a probe or hook in a container, for the supervisor: runs it, waits for it, prints how it ended.

use crate::cli::exit::{Failed, cannot};
use crate::cli::wait_child::Wait;
use crate::runtime::{arm, read_pid_file};
use crate::supervisor::ExecAnswer;
use crate::sys;
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use std::ffi::OsString;
use std::io::{PipeReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

/// So much of a command's output is told. Source: kubelet, exec probes.
const MAX_OUTPUT_BYTES: usize = 10 << 10;
/// How long the output of a command that has ended may still be on its way.
const LAST_WORDS: Duration = Duration::from_millis(200);

/// Runs `argv`, a detaching runtime that writes the command's id to `pid_file`, and waits `milliseconds` for the command, or for
/// ever if 0. The command ends with whoever asked for it.
pub(super) fn run(
    milliseconds: &OsString,
    pid_file: &OsString,
    argv: &[OsString],
) -> Result<ExecAnswer, Failed> {
    let limit = milliseconds.to_string_lossy().parse().unwrap_or(0);
    let limit = (limit > 0).then(|| Duration::from_millis(limit));
    let [program, args @ ..] = argv else {
        return Ok(ExecAnswer::NotRun("there is no runtime to run".into()));
    };
    sys::die_with_parent(crate::base::Signal::TERM).map_err(cannot("follow the supervisor"))?;
    let mut wait = Wait::new(limit)?;
    let (output, theirs) = std::io::pipe().map_err(cannot("make a pipe"))?;
    let second = theirs.try_clone().map_err(cannot("make a pipe"))?;
    let output = collect(output);
    let mut command = Command::new(program);
    command
        .args(args)
        .stdin(Stdio::null())
        .stdout(theirs)
        .stderr(second)
        .process_group(0);
    sys::with_no_signal_blocked(&mut command);
    arm();
    let runtime = command.spawn().map_err(cannot("run the runtime"))?.id();
    // Our copies of the pipe's end go, or its end would never come.
    drop(command);
    let pid_file = Path::new(pid_file);
    let ended = match wait.runtime(runtime)? {
        Some(0) => {
            let pid = read_pid_file(pid_file).map_err(cannot("read the pid file"))?;
            wait.child(pid)?
        }
        Some(_) => return Ok(ExecAnswer::NotRun(told(&output))),
        None => None,
    };
    if let Some(code) = ended {
        let output = told(&output);
        return Ok(ExecAnswer::Exited { code, output });
    }
    // Both lead groups of their own. What has been waited for gave its number back.
    let command = read_pid_file(pid_file).ok();
    let left = [Some(runtime), command].into_iter().flatten();
    for pid in left.filter(|pid| !wait.has_ended(*pid)) {
        // It may have ended just now.
        let _ = killpg(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL);
    }
    Ok(ExecAnswer::TimedOut)
}

/// Reads to the end, so that nobody ever waits to write; keeps the beginning.
fn collect(mut pipe: PipeReader) -> Receiver<Vec<u8>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            // Whoever listened may have heard enough.
            let _ = sender.send(buffer[..count].to_vec());
        }
    });
    receiver
}

/// What was written, cut to its limit.
fn told(output: &Receiver<Vec<u8>>) -> String {
    let mut all = Vec::new();
    while let Ok(part) = output.recv_timeout(LAST_WORDS) {
        all.extend(part);
        if all.len() >= MAX_OUTPUT_BYTES {
            all.truncate(MAX_OUTPUT_BYTES);
            break;
        }
    }
    String::from_utf8_lossy(&all).into_owned()
}
