//! What never changes during the life of a supervisor.

use crate::base::InstanceId;
use crate::bundle::{self, PodPaths, SandboxKind};
use crate::manifest::Container;
use crate::pod::{Failure, FailureReason, Input};
use crate::runtime::{Driver, Layout, PodCgroup, PodCgroupValues, RuntimeError};
use crate::store::PodDir;
use crate::supervisor::link;
use crate::supervisor::{Hands, Plan, Process, SupervisorError};
use std::error::Error;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc;

/// Where `Localhost` seccomp profiles are.
pub const SECCOMP_PROFILES: &str = "/etc/podshim/seccomp";

/// Under which name the keeper holds an instance's standard input: no instance has a slash in its name.
pub(super) fn input_of(instance: &InstanceId) -> InstanceId {
    InstanceId(format!("{instance}/stdin"))
}

/// The pod and the tools to run it.
#[derive(Clone, Debug)]
pub(super) struct Context {
    pub dir: PodDir,
    pub plan: Plan,
    pub driver: Driver,
    pub cgroup: PodCgroup,
    pub cgroup_values: PodCgroupValues,
    pub keeper: Arc<OwnedFd>,
    /// The host's mount namespace, of pods that share mounts with it.
    pub host_mounts: Option<Arc<OwnedFd>>,
    /// What the machine is to hear of what goes on beside its operations.
    pub notes: mpsc::Sender<Input>,
}

impl Context {
    pub fn new(
        dir: PodDir,
        plan: Plan,
        keeper: OwnedFd,
        host_mounts: Option<OwnedFd>,
        notes: mpsc::Sender<Input>,
    ) -> Result<Context, SupervisorError> {
        let driver = Driver {
            deadlines: plan.deadlines,
            ..Driver::new(plan.runtime.clone(), dir.file("runtime"))
        };
        let wanted = bundle::pod_cgroup(&plan.pod, &plan.host.cgroups);
        let layout = Layout::detect().map_err(SupervisorError::Cgroup)?;
        let cgroup = PodCgroup::at(layout, &wanted.path).map_err(SupervisorError::Cgroup)?;
        let cgroup_values = PodCgroupValues {
            cpu_shares: Some(wanted.cpu_shares),
            cpu_quota: wanted.cpu_quota_us,
            memory_limit: wanted.memory_limit_bytes,
            pids_limit: None,
        };
        Ok(Context {
            dir,
            plan,
            driver,
            cgroup,
            cgroup_values,
            keeper: Arc::new(keeper),
            host_mounts: host_mounts.map(Arc::new),
            notes,
        })
    }

    /// Asks the keeper to hold descriptors of an instance, so that they outlive this process.
    pub fn hold(&self, instance: &InstanceId, fds: &[BorrowedFd<'_>]) {
        // A keeper that is gone holds nothing; the pod goes on without that safety.
        let _ = link::send(self.keeper.as_fd(), b'H', &instance.0, fds);
    }

    /// The same of the end that writes an instance's standard input, which is held by itself: it may be given away before.
    pub fn hold_input(&self, instance: &InstanceId, fd: BorrowedFd<'_>) {
        self.hold(&input_of(instance), &[fd]);
    }

    /// Lets the keeper close what it held.
    pub fn release(&self, instance: &InstanceId) {
        let _ = link::send(self.keeper.as_fd(), b'D', &instance.0, &[]);
        if self
            .container_of(instance)
            .is_some_and(|c| c.stdin && !c.tty)
        {
            self.release_input(instance);
        }
    }

    /// The same of an instance's standard input.
    pub fn release_input(&self, instance: &InstanceId) {
        let _ = link::send(self.keeper.as_fd(), b'D', &input_of(instance).0, &[]);
    }

    /// The small files of the pod and its volumes.
    pub fn paths(&self, hands: &Hands) -> PodPaths {
        let files = self.dir.file("files");
        PodPaths {
            hosts: files.join("hosts"),
            hostname: files.join("hostname"),
            resolv_conf: files.join("resolv.conf"),
            pause: self.pause_root(),
            shm: self.shm(),
            volumes: hands.volumes.clone(),
        }
    }

    /// The pod's `/dev/shm`.
    pub fn shm(&self) -> PathBuf {
        if self.plan.pod.host_ipc {
            PathBuf::from("/dev/shm")
        } else {
            self.dir.file("shm")
        }
    }

    /// The root file system of pause: on the data disk, because `/run` may be mounted `noexec`.
    pub fn pause_root(&self) -> PathBuf {
        self.dir.data.join("pause")
    }

    /// Where the parts of volumes are that an instance mounts.
    pub fn sub_paths(&self, instance: &InstanceId) -> PathBuf {
        self.dir.bundle(instance).join("sub-paths")
    }

    /// Where it is said which process the init of an instance is, at the end of its creation.
    pub fn pid_file(&self, instance: &InstanceId) -> PathBuf {
        self.dir.bundle(instance).join("pid")
    }

    /// Where the runtime complains about an instance.
    pub fn runtime_log(&self, instance: &InstanceId) -> PathBuf {
        self.dir.bundle(instance).join("runtime.log")
    }

    /// The container of an instance; pause is none.
    pub fn container_of(&self, instance: &InstanceId) -> Option<&Container> {
        let (name, _) = instance.0.rsplit_once('-')?;
        self.plan.pod.container(name)
    }

    /// Whether an instance is one of pause.
    pub fn is_pause(&self, instance: &InstanceId) -> bool {
        self.container_of(instance).is_none()
    }

    /// The process of pause, while it is known.
    pub fn pause(&self, hands: &Hands) -> Option<Process> {
        let mut known = hands.processes.iter();
        let pause = known.find(|(id, _)| self.is_pause(id));
        pause.map(|(_, process)| *process)
    }

    /// Whether an instance is a pause that no runtime makes: it runs from its create on.
    pub fn is_native(&self, instance: &InstanceId) -> bool {
        self.plan.sandbox == SandboxKind::Native && self.is_pause(instance)
    }

    /// Text of a `Localhost` seccomp profile; the manifest layer has checked that the name stays below the directory.
    pub fn seccomp_profile(&self, name: &str) -> Result<String, Failure> {
        let path = Path::new(SECCOMP_PROFILES).join(name);
        std::fs::read_to_string(&path).map_err(|e| {
            failure(
                FailureReason::CreateContainerError,
                &format!("cannot read the seccomp profile `{}`", path.display()),
                &e,
            )
        })
    }
}

/// A failure with its chain of causes on one line.
pub(super) fn failure(reason: FailureReason, what: &str, cause: &dyn Error) -> Failure {
    let mut message = what.to_owned();
    let mut next = Some(cause);
    while let Some(error) = next {
        if !message.is_empty() {
            message.push_str(": ");
        }
        message.push_str(&error.to_string());
        next = error.source();
    }
    Failure { reason, message }
}

/// A failure that is nobody's in particular.
pub(super) fn plain(message: String) -> Failure {
    Failure {
        reason: FailureReason::Other,
        message,
    }
}

/// A failure of the sandbox, network, volumes or removal.
pub(super) fn other(what: &str, cause: &dyn Error) -> Failure {
    failure(FailureReason::Other, what, cause)
}

/// A failure of a runtime call on an instance.
pub(super) fn runtime_failure(error: &RuntimeError) -> Failure {
    let reason = if error.is_hung() {
        FailureReason::RuntimeHung
    } else {
        FailureReason::StartError
    };
    Failure {
        reason,
        message: error.reason(),
    }
}
