//! The parent of a command that `exec` runs: a process of its own, in a session of its own. Whoever stops `podshim exec` (Ctrl-Z, or
//! SIGSTOP) does not reach it, so it always reaps: a command that has ended and is not reaped would keep the PID namespace of its
//! container, and with it the container, from ending. It outlives `podshim exec` as long as the command does.
//!
//! ```text
//!  podshim exec ──orders──▶ parent ──▶ runtime (detaches) ──▶ command, our child because we are a subreaper
//!               ◀──told────   exit code: the command's
//! ```

use crate::base::Exit;
use crate::cli::exit::{Code, Failed, cannot};
use crate::cli::report;
use crate::cli::wait_child::Wait;
use crate::runtime::{arm, read_pid_file};
use crate::supervisor::ExecStart;
use crate::sys;
use std::ffi::{OsStr, OsString};
use std::io::{PipeReader, PipeWriter, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Exit code when time is up. Source: timeout(1).
const TIMED_OUT: u8 = 124;
/// Exit code when the runtime could not run the command. Source: POSIX shells, "found but cannot be executed".
const NOT_RUN: u8 = 126;
/// Exit code when there is nothing to run. Source: POSIX shells, "not found".
const NOT_FOUND: u8 = 127;
/// What is told when the command runs; after it comes only what went wrong.
const RUNS: u8 = b'R';

/// It was killed.
#[derive(Debug, thiserror::Error)]
#[error(
    "the process that waits for the command was ended ({0}): nobody knows how the command ended"
)]
struct Lost(Exit);

/// How the command is run.
pub(super) struct Job<K> {
    /// When it is killed.
    pub limit: Option<Duration>,
    /// Whether it has our standard input.
    pub stdin: bool,
    /// Kills what the file with the command's id speaks of.
    pub kill: K,
}

/// The parent, as `podshim exec` sees it.
pub(super) struct Parent {
    pid: u32,
    orders: PipeWriter,
    told: PipeReader,
}

/// One that has its orders.
pub(super) struct Busy {
    pid: u32,
    told: PipeReader,
    /// It has been told that the command runs.
    runs: bool,
}

impl Parent {
    /// Splits it off. Before any thread is started.
    pub fn new(job: Job<impl FnOnce(&Path) -> Result<(), Failed>>) -> Result<Parent, Failed> {
        let pipe = || std::io::pipe().map_err(cannot("make a pipe"));
        let ((ordered, orders), (told, tell)) = (pipe()?, pipe()?);
        match sys::fork_alone().map_err(cannot("start a process"))? {
            Some(pid) => Ok(Parent { pid, orders, told }),
            None => {
                drop((orders, told));
                be_parent(job, ordered, tell)
            }
        }
    }

    /// Lets it run the command.
    pub fn order(mut self, start: &ExecStart) -> Result<Busy, Failed> {
        let words = std::iter::once(start.pid_file.as_os_str());
        let words = words.chain(start.argv.iter().map(OsString::as_os_str));
        // No argument has a NUL.
        let text: Vec<&[u8]> = words.map(OsStr::as_bytes).collect();
        let sent = self.orders.write_all(&text.join(&0));
        sent.map_err(cannot("order the command"))?;
        Ok(Busy {
            pid: self.pid,
            told: self.told,
            runs: false,
        })
    }
}

impl Busy {
    /// Waits until the command runs; false if it does not.
    pub fn runs(&mut self, wait: &mut Wait) -> Result<bool, Failed> {
        wait.readable(self.pid, &self.told)?;
        let mut word = [0];
        let count = self.told.read(&mut word);
        self.runs = count.map_err(cannot("hear of the command"))? > 0 && word[0] == RUNS;
        Ok(self.runs)
    }

    /// The exit code of the command. Where it did not run, `is_there` says whether there is such a program.
    pub fn ended(mut self, wait: &mut Wait, is_there: impl FnOnce() -> bool) -> Result<u8, Failed> {
        let code = match wait.exit(self.pid)? {
            Some(Exit::Code(code)) => code,
            Some(lost) => return Err(Failed::new(Code::Own, Lost(lost))),
            None => return Ok(TIMED_OUT),
        };
        let mut said = String::new();
        let read = self.told.read_to_string(&mut said);
        read.map_err(cannot("hear of the command"))?;
        let told = said.strip_prefix(char::from(RUNS));
        match told.unwrap_or(&said) {
            "" if code == NOT_RUN && !self.runs && told.is_none() && !is_there() => Ok(NOT_FOUND),
            "" => Ok(code),
            problem => Err(Failed::new(Code::Own, problem)),
        }
    }
}

fn be_parent(
    job: Job<impl FnOnce(&Path) -> Result<(), Failed>>,
    ordered: PipeReader,
    mut tell: PipeWriter,
) -> ! {
    let code = parent(job, ordered, &mut tell).unwrap_or_else(|failed| {
        // Whoever would hear it may have gone.
        let _ = tell.write_all(report::chain(failed.error.as_ref()).as_bytes());
        Code::Own as u8
    });
    sys::leave(code)
}

fn parent(
    job: Job<impl FnOnce(&Path) -> Result<(), Failed>>,
    mut ordered: PipeReader,
    tell: &mut PipeWriter,
) -> Result<u8, Failed> {
    sys::heed_signals();
    nix::unistd::setsid().map_err(cannot("lead a session"))?;
    let mut wait = Wait::new(job.limit)?;
    let mut orders = Vec::new();
    let read = ordered.read_to_end(&mut orders);
    read.map_err(cannot("read what to run"))?;
    let mut words = orders.split(|byte| *byte == 0).map(OsStr::from_bytes);
    let pid_file = Path::new(words.next().unwrap_or_default());
    let Some(program) = words.next() else {
        // It went wrong before.
        return Ok(NOT_RUN);
    };
    let mut command = Command::new(program);
    command.args(words);
    if !job.stdin {
        command.stdin(Stdio::null());
    }
    sys::with_no_signal_blocked(&mut command);
    arm();
    let what = format!("run `{}`", program.to_string_lossy());
    let runtime = command.spawn().map_err(cannot(what))?.id();
    let ended = match wait.runtime(runtime)? {
        Some(0) => {
            let pid = read_pid_file(pid_file).map_err(cannot("read the pid file"))?;
            // Whoever would hear it may have gone.
            let _ = tell.write_all(&[RUNS]);
            wait.child(pid)?.ok_or(TIMED_OUT)
        }
        Some(_) => Err(NOT_RUN),
        None => Err(TIMED_OUT),
    };
    ended.or_else(|code| {
        // Whatever runs by now: the runtime may just have started it.
        (job.kill)(pid_file)?;
        Ok(code)
    })
}
