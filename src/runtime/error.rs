//! What can go wrong with a runtime call.

use crate::base::{Exit, Signal};
use crate::runtime::PidFileError;
use std::error::Error;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// A runtime call did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum RuntimeError {
    /// No such program.
    #[error("cannot find an OCI runtime: no `{tried}`")]
    NotFound {
        /// The names or the path that was looked for.
        tried: String,
    },
    /// The program does not answer `--version` as a runtime does.
    #[error("cannot read the version of `{}`", path.display())]
    Version {
        /// The program.
        path: PathBuf,
    },
    /// It was built without checkpoints, or has none.
    #[error(
        "{runtime} has no checkpoints (hint: runc has; `BinaryName` says which runtime is used)"
    )]
    NoCheckpoints {
        /// Name and version.
        runtime: String,
    },
    /// The program that checkpoints need is not there.
    #[error("there is no `{tried}` (hint: install criu, or let `CriuPath` name it)")]
    NoCriu {
        /// The name or the path that was looked for.
        tried: String,
    },
    /// The runtime cannot be told to use it.
    #[error("{runtime} takes no other program than one named `criu` for `{}` (hint: give it that name)", path.display())]
    CriuName {
        /// The program.
        path: PathBuf,
        /// Name and version.
        runtime: String,
    },
    /// The id is no plain name, so it is given to no program.
    #[error("cannot use `{id}` as a container id")]
    InvalidId {
        /// The id.
        id: String,
    },
    /// A file of the call is in the way or cannot be removed.
    #[error("cannot clear `{}`", path.display())]
    Clear {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The program could not be started; nothing has happened.
    #[error("cannot run `{argv}`")]
    Spawn {
        /// The command.
        argv: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its end could not be seen; its process group was killed. What it left is unknown.
    #[error("cannot wait for `{argv}`")]
    Wait {
        /// The command.
        argv: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It did not answer in time; its process group was killed. What it left is unknown.
    #[error("cannot wait longer than {deadline:?} for `{argv}`")]
    Hung {
        /// The command.
        argv: String,
        /// What it had.
        deadline: Duration,
    },
    /// A signal ended it. What it left is unknown.
    #[error("cannot trust `{argv}`: it died of {signal}")]
    Died {
        /// The command.
        argv: String,
        /// What ended it.
        signal: Signal,
    },
    /// It said no.
    #[error("cannot {}: {}", .0.verb, .0.reason())]
    Refused(Box<Refused>),
    /// It said yes and left no believable process id. What it left is unknown.
    #[error("cannot believe the pid file `{}`", path.display())]
    PidFile {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: PidFileError,
    },
}

/// A runtime's no, with all that is known of it.
#[derive(Debug)]
pub struct Refused {
    /// What was asked: `create container` and the like.
    pub verb: &'static str,
    /// The command.
    pub argv: String,
    /// How it ended; never success.
    pub exit: Exit,
    /// The last error line of its log, or why it could not write one.
    pub log: Option<String>,
    /// The end of its standard error, where that was not a container's.
    pub stderr: String,
}

impl Refused {
    /// The runtime's own reason: its log's, else the last line it printed, else how it ended.
    pub fn reason(&self) -> String {
        let printed = || self.stderr.lines().rev().find(|line| !line.is_empty());
        match self.log.as_deref().or_else(printed) {
            Some(text) => text.to_owned(),
            None => self.exit.to_string(),
        }
    }
}

impl RuntimeError {
    /// Whether what the call left is unknown, so that the instance must be deleted before anything else: it did not answer,
    /// it was killed, or it said yes without a process id.
    pub fn is_hung(&self) -> bool {
        match self {
            RuntimeError::Wait { .. }
            | RuntimeError::Hung { .. }
            | RuntimeError::Died { .. }
            | RuntimeError::PidFile { .. } => true,
            RuntimeError::NotFound { .. }
            | RuntimeError::Version { .. }
            | RuntimeError::NoCheckpoints { .. }
            | RuntimeError::NoCriu { .. }
            | RuntimeError::CriuName { .. }
            | RuntimeError::InvalidId { .. }
            | RuntimeError::Clear { .. }
            | RuntimeError::Spawn { .. }
            | RuntimeError::Refused(_) => false,
        }
    }

    /// One line for a container's status: the runtime's own reason where it gave one, else the error with its causes.
    pub fn reason(&self) -> String {
        if let RuntimeError::Refused(refused) = self {
            return refused.reason();
        }
        let first: &dyn Error = self;
        let causes = std::iter::successors(Some(first), |error: &&dyn Error| Error::source(*error));
        let words: Vec<_> = causes.map(ToString::to_string).collect();
        words.join(": ")
    }
}
