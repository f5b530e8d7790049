//! Waiting for a child, such as a command in a container, which is ours because this process is a subreaper and the runtime has gone.

use crate::base::{Exit, Signal};
use crate::cli::exit::{Failed, cannot};
use crate::cli::terminal::Screen;
use crate::sys::{self, Child, SignalFd};
use nix::sys::signal::Signal as Caught;
use std::io::{self, PipeReader};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Waiting for a child, while signals go on to it and time runs out.
pub(super) struct Wait {
    signals: SignalFd,
    deadline: Option<Instant>,
    /// The terminal that shows what it writes, once it runs.
    pub screen: Option<Screen>,
    /// All that have ended: a short command may end before the runtime that started it.
    ended: Vec<Child>,
    /// What came for the command before it was known.
    held: Option<Signal>,
}

impl Wait {
    /// From now on what a detached runtime leaves behind is our child, and signals to us are held for it. Time is up after `limit`.
    /// No thread may have been started before: signals would go to it.
    pub fn new(limit: Option<Duration>) -> Result<Wait, Failed> {
        sys::become_subreaper().map_err(cannot("become a subreaper"))?;
        Ok(Wait {
            deadline: limit.map(|limit| crate::cli::follow::now() + limit),
            ..Wait::beside()?
        })
    }

    /// The same without a limit, and without becoming the parent of what others leave behind.
    pub fn beside() -> Result<Wait, Failed> {
        let caught = [
            Caught::SIGCHLD,
            Caught::SIGTERM,
            Caught::SIGINT,
            Caught::SIGHUP,
            Caught::SIGQUIT,
            Caught::SIGWINCH,
        ];
        Ok(Wait {
            signals: sys::block_signals(&caught).map_err(cannot("block signals"))?,
            deadline: None,
            screen: None,
            ended: Vec::new(),
            held: None,
        })
    }

    /// Whether this child has ended and its number is free.
    pub fn has_ended(&self, pid: u32) -> bool {
        self.ended.iter().any(|child| child.pid == pid)
    }

    /// The exit code of the runtime, as of [`Wait::child`]. The command may run before the runtime has gone, so the first signal is
    /// kept for it; a second one is for the runtime, which may hang.
    pub fn runtime(&mut self, pid: u32) -> Result<Option<u8>, Failed> {
        Ok(self.end(pid, true)?.map(code))
    }

    /// The exit code of this child, 128 + signal if one ended it; `None` when time is up.
    pub fn child(&mut self, pid: u32) -> Result<Option<u8>, Failed> {
        Ok(self.exit(pid)?.map(code))
    }

    /// How this child ended; `None` when time is up.
    pub fn exit(&mut self, pid: u32) -> Result<Option<Exit>, Failed> {
        self.end(pid, false)
    }

    fn end(&mut self, pid: u32, holds: bool) -> Result<Option<Exit>, Failed> {
        let pidfd = sys::pidfd(pid).ok();
        if !holds && let Some(held) = self.held.take() {
            pass_on(held, pidfd.as_ref())?;
        }
        loop {
            self.ended.extend(std::iter::from_fn(sys::reap_any));
            if let Some(child) = self.ended.iter().find(|child| child.pid == pid) {
                return Ok(Some(Exit::from_wait_status(child.status)));
            }
            let left = self
                .deadline
                .map(|at| at.saturating_duration_since(crate::cli::follow::now()));
            if left == Some(Duration::ZERO) {
                return Ok(None);
            }
            let number = self.signals.wait(left);
            match self.for_child(number) {
                Some(signal) if holds && self.held.is_none() => self.held = Some(signal),
                Some(signal) => pass_on(signal, pidfd.as_ref())?,
                None => {}
            }
        }
    }

    /// Waits until there is something to read, or its end.
    pub fn readable(&mut self, pid: u32, pipe: &PipeReader) -> Result<(), Failed> {
        let pidfd = sys::pidfd(pid).ok();
        while !self.signals.wait_or(pipe) {
            let number = self.signals.take();
            if let Some(signal) = self.for_child(number) {
                pass_on(signal, pidfd.as_ref())?;
            }
        }
        Ok(())
    }

    /// The signal if it is meant for the child. That the window has changed is for the terminal.
    fn for_child(&self, number: Option<i32>) -> Option<Signal> {
        if number == Some(Caught::SIGWINCH as i32) {
            self.screen.iter().for_each(Screen::fit);
            return None;
        }
        let meant = number.filter(|number| *number != Caught::SIGCHLD as i32);
        meant.and_then(Signal::from_number)
    }
}

fn pass_on(signal: Signal, pidfd: Option<&OwnedFd>) -> Result<(), Failed> {
    match pidfd.map(|pidfd| sys::signal_pidfd(pidfd.as_fd(), signal)) {
        Some(Err(e))
            if e.kind() != io::ErrorKind::NotFound
                && e.raw_os_error() != Some(nix::libc::ESRCH) =>
        {
            Err(cannot("pass on a signal")(e).into())
        }
        _ => Ok(()),
    }
}

fn code(exit: Exit) -> u8 {
    u8::try_from(exit.code()).unwrap_or(u8::MAX)
}
