//! How the lives of a supervisor and of its keeper end.

use crate::runtime::CgroupError;
use std::io;
use std::path::PathBuf;

/// The supervisor could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum SupervisorError {
    /// The pod has no plan.
    #[error("cannot find the plan of pod `{}`", .0.display())]
    NoPlan(PathBuf),
    /// A file of the pod cannot be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The first snapshot cannot be written: what nobody could find again is not begun.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The keeper did not say what it should.
    #[error("cannot understand the keeper")]
    Keeper(#[source] nix::Error),
    /// The machine's cgroups are not usable.
    #[error("cannot use the cgroups of this machine")]
    Cgroup(#[source] CgroupError),
    /// A runtime call of an earlier supervisor neither ends nor dies.
    #[error("cannot outlive process {0}, which an earlier supervisor started")]
    Remnant(u32),
    /// The event loop failed.
    #[error("cannot run the event loop")]
    Loop(#[source] io::Error),
}

/// Why a supervisor has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The pod is over.
    Settled,
    /// The pod is over and is to be deleted by itself.
    Finished,
    /// Another program goes on with it.
    Replaced,
}

impl SupervisorError {
    /// Whether any other supervisor would end like this: what is written of the pod cannot be understood.
    pub fn is_hopeless(&self) -> bool {
        match self {
            SupervisorError::NoPlan(_) => true,
            SupervisorError::Read { source, .. } => source.kind() == io::ErrorKind::InvalidData,
            SupervisorError::Write { .. }
            | SupervisorError::Keeper(_)
            | SupervisorError::Cgroup(_)
            | SupervisorError::Remnant(_)
            | SupervisorError::Loop(_) => false,
        }
    }
}

/// The keeper could not begin.
#[derive(Debug, thiserror::Error)]
pub enum KeeperError {
    /// A file of the pod.
    #[error("cannot open `{}`", path.display())]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The first supervisor ended before anything of the pod began, so the next would too.
    #[error("cannot begin pod `{}`: its supervisor ended first", .0.display())]
    Unbegun(PathBuf),
    /// A system call.
    #[error("cannot {0}")]
    Call(&'static str, #[source] io::Error),
}
