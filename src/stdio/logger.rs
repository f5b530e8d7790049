//! A program that takes a container's output: `binary:///path?key=value` of containerd.
//!
//! It has the read ends of standard output and standard error as descriptors 3 and 4, and closes 5 (or writes a byte to it)
//! when it is ready. Source: containerd, `docs/runtime-v2` (logging).

use crate::sys;
use rustix::pipe::{PipeFlags, pipe_with};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;
use tokio::process::Child;

/// How long a logger may take until it is ready: it may have to connect to something.
const READY_DEADLINE: Duration = Duration::from_secs(10);
/// How long it may write on after the output ended. Source: containerd.
const END_DEADLINE: Duration = Duration::from_secs(12);
/// How long it may take after SIGTERM.
const TERM_DEADLINE: Duration = Duration::from_secs(2);

/// Why there is no logger.
#[derive(Debug, thiserror::Error)]
pub enum LoggerError {
    /// It did not start.
    #[error("cannot run logging program `{}`", path.display())]
    Spawn {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It was not ready in time.
    #[error("cannot wait longer than {READY_DEADLINE:?} for logging program `{}`", .0.display())]
    Late(PathBuf),
}

/// A logging program that runs.
#[derive(Debug)]
pub struct Logger {
    child: Child,
}

/// Where the output goes in.
#[derive(Debug)]
pub struct LoggerInput {
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
}

impl Logger {
    /// Starts it for a container of a namespace and waits until it is ready.
    pub async fn start(
        path: &Path,
        args: &[String],
        container: &str,
        namespace: &str,
    ) -> Result<(Logger, LoggerInput), LoggerError> {
        let failed = |source: io::Error| LoggerError::Spawn {
            path: path.to_owned(),
            source,
        };
        let pipe = || pipe_with(PipeFlags::CLOEXEC).map_err(|e| failed(e.into()));
        let ((out, stdout), (err, stderr), (ready, ready_end)) = (pipe()?, pipe()?, pipe()?);
        let mut command = Command::new(path);
        command
            .args(args)
            .env("CONTAINER_ID", container)
            .env("CONTAINER_NAMESPACE", namespace)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        sys::with_descriptors(&mut command, vec![(out, 3), (err, 4), (ready_end, 5)]);
        let mut command = tokio::process::Command::from(command);
        command.kill_on_drop(true);
        let child = command.spawn().map_err(failed)?;
        // It holds our copies of the logger's ends, and the ready pipe would never end.
        drop(command);
        let logger = Logger { child };
        let ready = Receiver::from_owned_fd(ready).map_err(failed)?;
        let is_ready = async {
            while ready.readable().await.is_ok() {
                match ready.try_read(&mut [0]) {
                    Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                    _ => break,
                }
            }
        };
        match tokio::time::timeout(READY_DEADLINE, is_ready).await {
            Ok(()) => Ok((logger, LoggerInput { stdout, stderr })),
            Err(_) => Err(LoggerError::Late(path.to_owned())),
        }
    }

    /// Waits for its end after the output has ended; one that does not end is asked, then killed.
    pub async fn end(mut self) {
        for (deadline, signal) in [
            (END_DEADLINE, Some(crate::base::Signal::TERM)),
            (TERM_DEADLINE, None),
        ] {
            if tokio::time::timeout(deadline, self.child.wait())
                .await
                .is_ok()
            {
                return;
            }
            let pidfd = self.child.id().and_then(|pid| sys::pidfd(pid).ok());
            if let (Some(pidfd), Some(signal)) = (pidfd, signal) {
                // It may have ended now.
                let _ = sys::signal_pidfd(std::os::fd::AsFd::as_fd(&pidfd), signal);
            }
        }
        // Dropped, it is killed.
    }
}
