//! What a job must know of a container, fixed when it was made.

use crate::base::InstanceId;
use crate::runtime::{ContainerCgroup, Driver};
use crate::supervisor::task::group::TaskRecord;
use crate::supervisor::task::streams::Wiring;
use std::path::PathBuf;

/// One container as jobs see it.
#[derive(Debug)]
pub(super) struct Place {
    pub id: InstanceId,
    pub bundle: PathBuf,
    pub driver: Driver,
    pub cgroup: Option<ContainerCgroup>,
    /// Its init is PID 1 of a namespace: the kernel ends all others with it.
    pub has_own_pids: bool,
    pub wiring: Wiring,
    pub record: TaskRecord,
}

impl Place {
    /// Where the runtime complains.
    pub fn log(&self) -> PathBuf {
        self.bundle.join("log.json")
    }

    pub fn root(&self) -> PathBuf {
        self.bundle.join("rootfs")
    }
}
