//! What a job must know of a container, fixed when it was made.

use crate::base::InstanceId;
use crate::runtime::{ContainerCgroup, Driver};
use crate::supervisor::task::group::TaskRecord;
use crate::supervisor::task::streams::Wiring;
use std::path::PathBuf;

/// One container as jobs see it.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub id: InstanceId,
    pub bundle: PathBuf,
    pub driver: Driver,
    pub cgroup: Option<ContainerCgroup>,
    /// Its init is PID 1 of a namespace: the kernel ends all others with it.
    pub has_own_pids: bool,
    pub wiring: Wiring,
    pub record: TaskRecord,
    /// It is not made yet: its start makes it of a checkpoint.
    pub restore: Option<Restore>,
}

/// What a container is made of instead of its image alone.
#[derive(Clone, Debug)]
pub(super) struct Restore {
    /// Directory of the checkpoint.
    pub image: PathBuf,
    /// Directory for logs.
    pub work: PathBuf,
}

impl Place {
    /// Where the runtime complains.
    pub fn log(&self) -> PathBuf {
        self.bundle.join("log.json")
    }

    /// Where the runtime writes the number of the init.
    pub fn pid_file(&self) -> PathBuf {
        self.bundle.join("init.pid")
    }

    pub fn root(&self) -> PathBuf {
        self.bundle.join("rootfs")
    }
}
