//! One run of another program: no shell, clean environment, own process group, deadline, bounded output.

use crate::network::ProgramError;
use crate::sys;
use rustix::fs::MemfdFlags;
use rustix::process::{Pid, Signal, kill_process_group};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

/// Most bytes read of what a program prints: a CNI result is some hundred bytes per interface.
const OUTPUT_MAX_BYTES: u64 = 1024 * 1024;
/// Bytes of its complaint that are kept for people.
const SAID_MAX_BYTES: usize = 500;
/// How long the output may take after the end: only what the program left behind could still hold it open.
const DRAIN: Duration = Duration::from_secs(2);
/// Where programs look for others.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a program printed, and how it ended.
pub(super) struct Ended {
    pub status: ExitStatus,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// A program to be run.
pub(super) struct Program<'a> {
    pub path: &'a Path,
    pub args: &'a [&'a str],
    /// What it is told besides `PATH`.
    pub env: &'a [(&'a str, &'a str)],
    pub input: &'a [u8],
    pub deadline: Duration,
}

impl Program<'_> {
    /// Runs it to its end, good or bad.
    pub fn run(&self) -> Result<Ended, ProgramError> {
        let mut child = self.spawn().map_err(|e| self.failed(e))?;
        let stdout = read_beside(child.stdout.take());
        let stderr = read_beside(child.stderr.take());
        let pidfd = sys::pidfd(child.id()).map_err(|e| self.failed(e));
        let ended = pidfd.map(|pidfd| !sys::pidfd_outlives(pidfd.as_fd(), self.deadline));
        // While the leader is not reaped, the number of the group is its own.
        kill_group(&child);
        let status = child.wait().map_err(|e| self.failed(e))?;
        if !ended? {
            return Err(ProgramError::Hung {
                program: self.name(),
                seconds: self.deadline.as_secs(),
            });
        }
        Ok(Ended {
            status,
            stdout: self.output(&stdout)?,
            stderr: self.output(&stderr)?,
        })
    }

    /// Runs it to a good end.
    pub fn succeed(&self) -> Result<Vec<u8>, ProgramError> {
        let ended = self.run()?;
        if ended.status.success() {
            return Ok(ended.stdout);
        }
        Err(ProgramError::Failed {
            program: self.name(),
            status: ended.status.to_string(),
            said: printable(&ended.stderr),
        })
    }

    pub fn name(&self) -> String {
        self.path.display().to_string()
    }

    fn spawn(&self) -> io::Result<Child> {
        // A file, not a pipe: whoever does not read it holds up nobody.
        let mut input = File::from(rustix::fs::memfd_create("input", MemfdFlags::CLOEXEC)?);
        input.write_all(self.input)?;
        input.rewind()?;
        let mut command = Command::new(self.path);
        command.args(self.args).env_clear().env("PATH", PATH);
        command.envs(self.env.iter().copied());
        command.current_dir("/").process_group(0);
        command.stdin(input);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        // One that outlived a killed helper would undo what the next helper does.
        sys::with_death_of_parent(&mut command).spawn()
    }

    fn output(&self, from: &Receiver<io::Result<Vec<u8>>>) -> Result<Vec<u8>, ProgramError> {
        let bytes = match from.recv_timeout(DRAIN) {
            Ok(bytes) => bytes.map_err(|e| self.failed(e))?,
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                return Err(self.failed(io::ErrorKind::TimedOut.into()));
            }
        };
        if bytes.len() as u64 > OUTPUT_MAX_BYTES {
            return Err(ProgramError::Flood {
                program: self.name(),
                limit: OUTPUT_MAX_BYTES,
            });
        }
        Ok(bytes)
    }

    fn failed(&self, source: io::Error) -> ProgramError {
        ProgramError::Run {
            program: self.name(),
            source,
        }
    }
}

fn kill_group(child: &Child) {
    let leader = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    if let Some(leader) = leader {
        // ESRCH is the only possible error, and then there is nothing to kill.
        let _gone = kill_process_group(leader, Signal::KILL);
    }
}

/// Reads to the end or the limit in a thread. Past the limit the pipe is closed, and the writer is told so by the kernel.
fn read_beside(from: Option<impl Read + Send + 'static>) -> Receiver<io::Result<Vec<u8>>> {
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let read = from.map_or(Ok(0), |from| {
            from.take(OUTPUT_MAX_BYTES + 1).read_to_end(&mut bytes)
        });
        // Nobody waits any more after a deadline.
        let _ = sender.send(read.map(|_| bytes));
    });
    receiver
}

/// The end of a text as one line fit for people.
pub(super) fn printable(bytes: &[u8]) -> String {
    let tail = &bytes[bytes.len().saturating_sub(SAID_MAX_BYTES)..];
    let text = String::from_utf8_lossy(tail);
    let words: Vec<&str> = text.split_whitespace().collect();
    let line = words.join(" ");
    line.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sh<'a>(args: &'a [&'a str], input: &'a [u8], deadline: Duration) -> Program<'a> {
        Program {
            path: Path::new("/bin/sh"),
            args,
            env: &[("WORD", "given")],
            input,
            deadline,
        }
    }

    #[test]
    fn a_program_gets_its_input_and_nothing_of_our_environment() {
        let program = sh(
            &["-c", "cat; echo $WORD $HOME"],
            b"text ",
            Duration::from_secs(60),
        );
        assert_eq!(program.succeed().expect("good"), b"text given\n");
    }

    #[test]
    fn a_program_that_hangs_floods_or_fails_is_an_error() {
        let hangs = sh(&["-c", "sleep 1000"], b"", Duration::from_millis(50));
        assert!(matches!(hangs.succeed(), Err(ProgramError::Hung { .. })));
        let floods = sh(&["-c", "cat /dev/zero"], b"", Duration::from_secs(60));
        assert!(matches!(floods.succeed(), Err(ProgramError::Flood { .. })));
        let fails = sh(
            &["-c", "echo why >&2; exit 3"],
            b"",
            Duration::from_secs(60),
        );
        let error = fails.succeed().expect_err("it fails").to_string();
        assert!(error.ends_with(": why"), "{error}");
    }

    #[test]
    fn what_a_program_leaves_behind_does_not_hold_us_up() {
        let leaves = sh(
            &["-c", "sleep 1000 & echo done"],
            b"",
            Duration::from_secs(60),
        );
        assert_eq!(leaves.succeed().expect("good"), b"done\n");
    }
}
