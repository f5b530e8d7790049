//! One run of the runtime's program: own process group, clean environment, deadline, bounded output.
//!
//! The end of a call is its exit status, never end-of-file: what `create` and `exec` start keeps the runtime's stdio open,
//! and anything else may. A call that is dropped is killed.

use crate::base::Exit;
use crate::runtime::capture::{Capture, Keep};
use crate::runtime::complaint::{Log, printable};
use crate::runtime::driver::InitIo;
use crate::runtime::{Refused, RuntimeError, arm};
use rustix::process::{Pid, Signal, kill_process_group};
use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// How long a killed runtime may take to be gone, before it is left to the reaper: one in D state dies when it can.
const DEATH_DEADLINE: Duration = Duration::from_secs(1);
/// Most bytes kept of what a runtime prints: `features` prints 6 KiB.
const STDOUT_MAX_BYTES: usize = 64 * 1024;
/// Most bytes kept of the end of its standard error: a few lines.
const STDERR_TAIL_BYTES: usize = 4 * 1024;
/// What a runtime is told of our environment. The rest could change what it does: `NOTIFY_SOCKET` and `LISTEN_FDS` are
/// handed to containers by runc, `RUST_LOG` turns youki's log on. The last three are for rootless and systemd.
const ENVIRONMENT: [&str; 5] = [
    "PATH",
    "HOME",
    "TMPDIR",
    "XDG_RUNTIME_DIR",
    "DBUS_SESSION_BUS_ADDRESS",
];

/// What is run.
pub(super) struct Call<'a> {
    /// What it is for, for people: `create container`.
    pub(super) verb: &'static str,
    /// The program.
    pub(super) program: &'a Path,
    /// What is executed, if it is a copy of the program.
    pub(super) copy: Option<PathBuf>,
    /// Its arguments, without its name.
    pub(super) args: Vec<OsString>,
    /// When it is given up.
    pub(super) deadline: Duration,
    /// Where it writes its errors, if it was told.
    pub(super) log: Option<&'a Path>,
    /// A directory that it looks for programs in before those of `PATH`.
    pub(super) first_in_path: Option<PathBuf>,
}

/// How a call ended and what it printed.
struct Ended {
    status: ExitStatus,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

impl Call<'_> {
    /// Runs it with nothing on its standard input and gives back what it printed, at most 64 KiB.
    pub(super) async fn captured(self) -> Result<Vec<u8>, RuntimeError> {
        self.captured_with(Stdio::null()).await
    }

    /// The same with something on its standard input.
    pub(super) async fn captured_with(self, stdin: Stdio) -> Result<Vec<u8>, RuntimeError> {
        let pipes = || -> io::Result<_> { Ok((std::io::pipe()?, std::io::pipe()?)) };
        let receivers = |out, err| -> io::Result<_> {
            Ok((
                Receiver::from_owned_fd(OwnedFd::from(out))?,
                Receiver::from_owned_fd(OwnedFd::from(err))?,
            ))
        };
        let ((out, out_end), (err, err_end)) = pipes().map_err(|e| self.spawn_error(e))?;
        let (out, err) = receivers(out, err).map_err(|e| self.spawn_error(e))?;
        let mut command = self.command();
        command.stdin(stdin).stdout(out_end).stderr(err_end);
        let ended = self.run(command, Some((out, err))).await?;
        Ok(ended.stdout)
    }

    /// Runs it with a container's stdio. Nothing is captured: what is printed is the container's, or nobody's.
    pub(super) async fn lending(self, io: InitIo) -> Result<(), RuntimeError> {
        arm();
        let mut command = self.command();
        match io {
            InitIo::Pipes {
                stdin,
                stdout,
                stderr,
            } => command.stdin(stdin).stdout(stdout).stderr(stderr),
            InitIo::Console { .. } => command
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null()),
        };
        self.run(command, None).await.map(|_| ())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(self.copy.as_deref().unwrap_or(self.program));
        command
            .arg0(self.program)
            .args(&self.args)
            .process_group(0)
            .env_clear();
        for name in ENVIRONMENT {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        if let Some(first) = &self.first_in_path {
            let path = std::env::var_os("PATH").unwrap_or_default();
            let all = [first.clone()]
                .into_iter()
                .chain(std::env::split_paths(&path));
            // A directory with a colon in its name cannot be in it.
            command.env("PATH", std::env::join_paths(all).unwrap_or(path));
        }
        command
    }

    async fn run(
        &self,
        mut command: Command,
        output: Option<(Receiver, Receiver)>,
    ) -> Result<Ended, RuntimeError> {
        let log = self.log.map(Log::at_end);
        let child = command.spawn().map_err(|e| self.spawn_error(e))?;
        // The command holds our copies of the container's pipe ends; a reader must not wait for us.
        drop(command);
        let mut group = Group::of(child).map_err(|e| self.spawn_error(e))?;
        let ended = match timeout(self.deadline, group.end(output)).await {
            Ok(Ok(ended)) => ended,
            Ok(Err(source)) => {
                group.kill().await;
                return Err(RuntimeError::Wait {
                    argv: self.argv(),
                    source,
                });
            }
            Err(_) => {
                group.kill().await;
                return Err(RuntimeError::Hung {
                    argv: self.argv(),
                    deadline: self.deadline,
                });
            }
        };
        match Exit::from_wait_status(ended.status.into_raw()) {
            Exit::Code(0) => Ok(ended),
            Exit::Signal(signal) => Err(RuntimeError::Died {
                argv: self.argv(),
                signal,
            }),
            exit => Err(RuntimeError::Refused(Box::new(Refused {
                verb: self.verb,
                argv: self.argv(),
                exit,
                log: log.and_then(|log| log.last_error().or_else(|| log.why_silent())),
                stderr: lines(&ended.stderr),
            }))),
        }
    }

    /// The command line for people; arguments are paths and names of ours.
    fn argv(&self) -> String {
        let words = self.args.iter().map(OsString::as_os_str);
        let words: Vec<_> = [self.program.as_os_str()]
            .into_iter()
            .chain(words)
            .map(OsStr::to_string_lossy)
            .collect();
        words.join(" ")
    }

    fn spawn_error(&self, source: io::Error) -> RuntimeError {
        RuntimeError::Spawn {
            argv: self.argv(),
            source,
        }
    }
}

/// A child that leads its own process group, and everything it started that stayed in it.
struct Group {
    child: Child,
    leader: Pid,
    reaped: bool,
}

impl Group {
    fn of(child: Child) -> io::Result<Group> {
        let leader = child
            .id()
            .and_then(|id| i32::try_from(id).ok())
            .and_then(Pid::from_raw)
            .ok_or(io::ErrorKind::NotFound)?;
        Ok(Group {
            child,
            leader,
            reaped: false,
        })
    }

    /// Waits for the leader's status, reading what comes meanwhile so that it never blocks on a full pipe.
    async fn end(&mut self, output: Option<(Receiver, Receiver)>) -> io::Result<Ended> {
        let Some((out, err)) = output else {
            let status = self.child.wait().await?;
            self.reaped = true;
            return Ok(Ended {
                status,
                stdout: Vec::new(),
                stderr: Vec::new(),
            });
        };
        let mut stdout = Capture::new(out, STDOUT_MAX_BYTES, Keep::Head);
        let mut stderr = Capture::new(err, STDERR_TAIL_BYTES, Keep::Tail);
        let status = loop {
            // The exit comes first: a flood of output must not hide it.
            tokio::select! {
                biased;
                status = self.child.wait() => break status?,
                () = stdout.read(), if stdout.open => {}
                () = stderr.read(), if stderr.open => {}
            }
        };
        self.reaped = true;
        Ok(Ended {
            status,
            stdout: stdout.rest(),
            stderr: stderr.rest(),
        })
    }

    /// Kills the whole group while its leader is unreaped, so that the number is still its own.
    async fn kill(mut self) {
        self.signal();
        if let Ok(Ok(_)) = timeout(DEATH_DEADLINE, self.child.wait()).await {
            self.reaped = true;
        }
    }

    fn signal(&self) {
        // ESRCH is the only possible error, and then there is nothing to kill.
        let _gone = kill_process_group(self.leader, Signal::KILL);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if !self.reaped {
            self.signal();
        }
    }
}

/// Captured text, line by line fit for people.
fn lines(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let lines: Vec<_> = text.lines().map(printable).collect();
    lines.join("\n")
}
