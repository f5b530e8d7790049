//! A command in a container between its start and its end: its streams, its signals, its time limit, its exit code.
//!
//! Without a terminal the runtime starts it detached, on pipes of ours, and we are its parent: a runtime that stays would wait until
//! the last copy of the output is closed, which a child left behind may never do. What the command itself wrote is printed in full.

use crate::base::{Exit, Signal};
use crate::cli::exit::{Cannot, Failed, cannot};
use crate::cli::follow;
use crate::runtime;
use crate::sys::{self, SignalFd};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal as Posix;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::thread::JoinHandle;
use std::time::Instant;

/// What is passed on to the command. Source: runc `exec` in the foreground, but for those that are about itself.
const PASSED_ON: [Posix; 6] = [
    Posix::SIGINT,
    Posix::SIGTERM,
    Posix::SIGHUP,
    Posix::SIGQUIT,
    Posix::SIGUSR1,
    Posix::SIGUSR2,
];
/// Bytes read at once; a pipe holds as many, so what was written before the end comes with one read. Source: pipe(7).
const PIPE_BYTES: usize = 64 * 1024;

/// Waits for processes while signals are passed on.
struct Wait {
    signals: SignalFd,
    deadline: Option<Instant>,
}

impl Wait {
    fn new(deadline: Option<Instant>) -> Result<Wait, Cannot> {
        let signals = sys::block_signals(&PASSED_ON).map_err(cannot("block signals"))?;
        Ok(Wait { signals, deadline })
    }

    /// Whether the process has ended in time.
    fn has_ended(&mut self, process: BorrowedFd<'_>) -> Result<bool, Cannot> {
        loop {
            let left = self
                .deadline
                .map(|at| at.saturating_duration_since(follow::now()));
            let timeout = left.map_or(PollTimeout::NONE, |left| {
                PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX)
            });
            let mut fds =
                [process, self.signals.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
            match poll(&mut fds, timeout) {
                Ok(_) | Err(nix::Error::EINTR) => {}
                Err(e) => return Err(cannot("wait for the command")(e)),
            }
            while let Some(signal) = self.signals.next().and_then(Signal::from_number) {
                // It may have ended just now.
                let _ = sys::signal_pidfd(process, signal);
            }
            if !sys::pidfd_is_alive(process) {
                return Ok(true);
            }
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(false);
            }
        }
    }
}

/// Runs the runtime in the foreground, which has the terminal; the exit code, or `None` when time was up and the runtime was killed.
pub(super) fn in_foreground(
    mut command: Command,
    deadline: Option<Instant>,
) -> Result<Option<u8>, Failed> {
    let mut wait = Wait::new(deadline)?;
    Ok(run(&mut command, &mut wait)?.map(code_of))
}

/// Runs a runtime that detaches, and then what it has started, whose id is in `pid_file`; otherwise as [`in_foreground`].
pub(super) fn detached(
    mut command: Command,
    stdin: bool,
    pid_file: &Path,
    deadline: Option<Instant>,
) -> Result<Option<u8>, Failed> {
    sys::become_subreaper().map_err(cannot("become a subreaper"))?;
    let mut wait = Wait::new(deadline)?;
    let relays = Relays::new(&mut command, stdin).map_err(cannot("make pipes"))?;
    let status = run(&mut command, &mut wait);
    // It holds the container's ends of the pipes.
    drop(command);
    let code = match status? {
        Some(status) if status.success() => {
            let pid = runtime::read_pid(pid_file);
            let pid = pid.map_err(cannot("learn the command's process id"))?;
            end_of(pid, &mut wait)?
        }
        other => other.map(code_of),
    };
    relays.finish();
    Ok(code)
}

/// Runs a child to its end; `None` when time was up and it was killed.
fn run(command: &mut Command, wait: &mut Wait) -> Result<Option<ExitStatus>, Cannot> {
    let mut child = command.spawn().map_err(cannot("start the runtime"))?;
    let process = sys::pidfd(child.id()).map_err(cannot("watch the runtime"))?;
    let in_time = wait.has_ended(process.as_fd())?;
    if !in_time {
        // It may have ended just now.
        let _ = child.kill();
    }
    let status = child.wait().map_err(cannot("wait for the runtime"))?;
    Ok(in_time.then_some(status))
}

/// The exit code of a process that became our child; `None` when time was up.
fn end_of(pid: u32, wait: &mut Wait) -> Result<Option<u8>, Cannot> {
    if let Ok(process) = sys::pidfd(pid)
        && !wait.has_ended(process.as_fd())?
    {
        return Ok(None);
    }
    let mut exit = Exit::Unknown;
    while let Some(child) = sys::reap_any() {
        if child.pid == pid {
            exit = Exit::from_wait_status(child.status);
        }
    }
    Ok(Some(u8::try_from(exit.code()).unwrap_or(u8::MAX)))
}

fn code_of(status: ExitStatus) -> u8 {
    let exit = Exit::from_wait_status(status.into_raw());
    u8::try_from(exit.code()).unwrap_or(u8::MAX)
}

/// The threads that carry output, and how they learn that the command has ended.
struct Relays {
    output: [JoinHandle<()>; 2],
    _running: io::PipeWriter,
}

impl Relays {
    /// Connects a command that is yet to be started.
    fn new(command: &mut Command, stdin: bool) -> io::Result<Relays> {
        if stdin {
            let (theirs, mut ours) = io::pipe()?;
            command.stdin(theirs);
            // Not joined: nobody may ever type anything again.
            std::thread::spawn(move || io::copy(&mut io::stdin(), &mut ours));
        } else {
            command.stdin(Stdio::null());
        }
        let (ended, running) = io::pipe()?;
        let (out, their_out) = io::pipe()?;
        let (err, their_err) = io::pipe()?;
        command.stdout(their_out).stderr(their_err);
        let also_ended = OwnedFd::from(ended.try_clone()?);
        let ended = OwnedFd::from(ended);
        let output = [
            std::thread::spawn(move || drop(relay(out, &mut io::stdout(), &also_ended))),
            std::thread::spawn(move || drop(relay(err, &mut io::stderr(), &ended))),
        ];
        Ok(Relays {
            output,
            _running: running,
        })
    }

    /// Prints what was written until now.
    fn finish(self) {
        drop(self._running);
        for thread in self.output {
            // It cannot panic.
            let _ = thread.join();
        }
    }
}

/// Copies until the end of the input, or until there is nothing more to read once `ended` hangs up. *Errors*: of `to`: its reader
/// has gone, and with our end of the pipe the command learns of it.
fn relay(mut from: PipeReader, to: &mut impl Write, ended: &OwnedFd) -> io::Result<()> {
    let mut buffer = vec![0; PIPE_BYTES];
    loop {
        let fds = [from.as_fd(), ended.as_fd()];
        let mut fds = fds.map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        match poll(&mut fds, PollTimeout::NONE) {
            Err(nix::Error::EINTR) => continue,
            other => other?,
        };
        let [has_more, has_ended] = fds.map(|fd| fd.any().unwrap_or(false));
        if has_more {
            let count = from.read(&mut buffer)?;
            to.write_all(&buffer[..count])?;
            to.flush()?;
            if count == 0 {
                return Ok(());
            }
        }
        // Whoever still writes is not the command.
        if has_ended {
            return Ok(());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_before_the_end_is_carried_though_the_pipe_stays_open() {
        let (from, mut theirs) = io::pipe().expect("a pipe");
        let (ended, running) = io::pipe().expect("a pipe");
        let ended = OwnedFd::from(ended);
        theirs.write_all(&[b'x'; PIPE_BYTES]).expect("it fits");
        drop(running);
        let mut out = Vec::new();
        relay(from, &mut out, &ended).expect("carried");
        assert_eq!(out.len(), PIPE_BYTES);
        drop(theirs);
    }
}
