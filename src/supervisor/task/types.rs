//! What is asked and answered, in plain types.

use crate::base::{Exit, Wall};
use crate::image::Mount;
use crate::runtime::{CheckpointOptions, RuntimeError};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;

/// Why something was not done, as the caller must be able to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// There is no such container or process, or it has ended.
    NotFound,
    /// There is one already.
    Exists,
    /// It is not in the state for that.
    Precondition,
    /// The request makes no sense.
    Invalid,
    /// podshim does not do that.
    Unsupported,
    /// It was tried and failed.
    Failed,
}

/// What was not done, to what, and why.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    /// For programs.
    pub refusal: Refusal,
    /// For people.
    pub message: String,
}

impl TaskError {
    /// An error with its text.
    pub fn new(refusal: Refusal, message: impl fmt::Display) -> TaskError {
        TaskError {
            refusal,
            message: message.to_string(),
        }
    }

    /// Something failed; its causes are told, too.
    pub fn failed(error: &dyn std::error::Error) -> TaskError {
        let causes = std::iter::successors(Some(error), |error| error.source());
        let words: Vec<_> = causes.map(ToString::to_string).collect();
        TaskError::new(Refusal::Failed, words.join(": "))
    }

    /// A runtime did not do it.
    pub(super) fn of_runtime(error: &RuntimeError) -> TaskError {
        let refusal = match error {
            RuntimeError::NoCheckpoints { .. } => Refusal::Unsupported,
            RuntimeError::NoCriu { .. } | RuntimeError::CriuName { .. } => Refusal::Precondition,
            _ => Refusal::Failed,
        };
        TaskError {
            refusal,
            ..TaskError::failed(error)
        }
    }

    pub(super) fn not_found(what: impl fmt::Display) -> TaskError {
        TaskError::new(Refusal::NotFound, what)
    }

    pub(super) fn precondition(what: impl fmt::Display) -> TaskError {
        TaskError::new(Refusal::Precondition, what)
    }
}

/// Names of the standard streams as the caller gave them: a FIFO, `file://…`, `binary://…`, or empty for none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskStdio {
    /// Standard input.
    pub stdin: String,
    /// Standard output; with a terminal, all output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Whether the process has a terminal.
    pub terminal: bool,
}

/// How to run a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuntimeChoice {
    /// Name or path of the OCI runtime; empty for the first that is found.
    pub binary: String,
    /// Directory of the runtime's state, without the namespace; empty for the usual one.
    pub root: String,
    /// Make cgroups through systemd; decided by the form of the cgroup's path where it is not said.
    pub systemd_cgroup: bool,
    /// Use `chroot` instead of `pivot_root`.
    pub no_pivot_root: bool,
    /// Do not make a new session keyring.
    pub no_new_keyring: bool,
    /// Owner of the pipes of a container.
    pub io_uid: u32,
    /// Their group.
    pub io_gid: u32,
    /// The `criu` that makes checkpoints; empty for the one in `PATH`.
    pub criu_path: String,
    /// Directory for its logs when a container is restored; empty for the one in the bundle.
    pub criu_work_path: String,
}

/// A container to be made.
#[derive(Clone, Debug)]
pub struct CreateTask {
    /// Its id.
    pub id: String,
    /// Directory with `config.json`.
    pub bundle: PathBuf,
    /// Mounts that make its root file system; empty if it is there.
    pub mounts: Vec<Mount>,
    /// Its streams.
    pub stdio: TaskStdio,
    /// Its runtime.
    pub runtime: RuntimeChoice,
    /// Directory of the checkpoint that it goes on from when it is started.
    pub checkpoint: Option<PathBuf>,
}

/// A container to be written to files.
#[derive(Clone, Debug)]
pub struct CheckpointTask {
    /// The container.
    pub id: String,
    /// Directory for the image.
    pub image: PathBuf,
    /// Directory for logs, which stays; `None` for one in the bundle, which stays if there is something to read in it.
    pub work: Option<PathBuf>,
    /// How.
    pub options: CheckpointOptions,
}

/// A process to be added to a container.
#[derive(Clone, Debug)]
pub struct ExecTask {
    /// The container.
    pub id: String,
    /// Its own id.
    pub exec_id: String,
    /// Its streams.
    pub stdio: TaskStdio,
    /// An OCI `process` object.
    pub process: Vec<u8>,
}

/// How and when a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// As `waitpid` said.
    pub exit: Exit,
    /// When it was seen.
    pub at: Wall,
}

impl Ended {
    /// Exit code, or 128 + signal.
    pub fn code(&self) -> u32 {
        self.exit.code().unsigned_abs()
    }
}

/// Where a process is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Not started.
    Created,
    /// Started.
    Running,
    /// Being frozen.
    Pausing,
    /// Frozen.
    Paused,
    /// Ended.
    Stopped,
}

/// What is known of a process.
#[derive(Clone, Debug)]
pub struct TaskState {
    /// Directory of its container.
    pub bundle: PathBuf,
    /// Its number in our PID namespace; 0 before it has one.
    pub pid: u32,
    /// Where it is.
    pub status: Status,
    /// Its streams.
    pub stdio: TaskStdio,
    /// How it ended.
    pub ended: Option<Ended>,
}

/// A process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskProcess {
    /// Its number.
    pub pid: u32,
    /// The exec that it is the first process of.
    pub exec_id: Option<String>,
}

/// What happened, in order.
#[derive(Clone, Debug)]
pub enum TaskEvent {
    /// A container was made.
    Created {
        /// As asked.
        task: Box<CreateTask>,
        /// Its init.
        pid: u32,
    },
    /// Its init runs.
    Started {
        /// Container.
        id: String,
        /// Its init.
        pid: u32,
    },
    /// A process was announced.
    ExecAdded {
        /// Container.
        id: String,
        /// Process.
        exec_id: String,
    },
    /// It runs.
    ExecStarted {
        /// Container.
        id: String,
        /// Process.
        exec_id: String,
        /// Its number.
        pid: u32,
    },
    /// The OOM killer was at work.
    Oom {
        /// Container.
        id: String,
    },
    /// A process ended; `exec_id` is empty for the init.
    Exited {
        /// Container.
        id: String,
        /// Process.
        exec_id: String,
        /// Its number.
        pid: u32,
        /// How.
        ended: Ended,
    },
    /// A container is gone.
    Deleted {
        /// Container.
        id: String,
        /// Its init.
        pid: u32,
        /// How it ended.
        ended: Ended,
    },
    /// It was frozen.
    Paused {
        /// Container.
        id: String,
    },
    /// It goes on.
    Resumed {
        /// Container.
        id: String,
    },
    /// It was written to files.
    Checkpointed {
        /// Container.
        id: String,
        /// Directory of the image.
        image: PathBuf,
    },
}
