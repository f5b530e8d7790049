//! Everything the machine can ask of the world. `supervisor::effects` has one function per action, of the same name.

use crate::base::{InstanceId, Now, Signal};
use crate::manifest::{HookKind, ProbeKind};
use crate::pod::{OpId, RequestId};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// One thing to do. Those with an `op` end in exactly one `Input::Done` unless the supervisor dies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Action {
    /// Write the state down before anything after this in the list is done.
    Persist,
    /// Make the pod's cgroup, directories, volumes and files.
    Prepare {
        /// For the completion.
        op: OpId,
    },
    /// Bring the image of a container.
    EnsureImage {
        /// For the completion.
        op: OpId,
        /// Whose image.
        container: String,
    },
    /// Write the bundle and let the runtime create the instance.
    Create {
        /// For the completion.
        op: OpId,
        /// The burned id.
        instance: InstanceId,
        /// What to create.
        kind: InstanceKind,
    },
    /// Let the runtime start a created instance.
    Start {
        /// For the completion.
        op: OpId,
        /// Which.
        instance: InstanceId,
    },
    /// Run a hook of a running instance to its end.
    RunHook {
        /// For the completion.
        op: OpId,
        /// Which instance.
        instance: InstanceId,
        /// Of which container.
        container: String,
        /// Which of its hooks.
        hook: HookKind,
        /// It is cut off after this long; `None` never.
        limit: Option<Duration>,
    },
    /// Run a probe of a running instance once; an `Input::Probed` follows, unless the instance ends first.
    RunProbe {
        /// Which instance.
        instance: InstanceId,
        /// Of which container.
        container: String,
        /// Which of its probes.
        kind: ProbeKind,
    },
    /// Measure what parts of the pod use of the disk; one `Input::Measured` follows.
    MeasureDisk {
        /// These volumes.
        volumes: Vec<String>,
        /// What these containers have written, and their logs.
        containers: Vec<String>,
    },
    /// Set up the network of the sandbox whose pause is running.
    SetUpNetwork {
        /// For the completion.
        op: OpId,
        /// The pause instance.
        pause: InstanceId,
    },
    /// Undo what `SetUpNetwork` did, also when it failed half-way or pause is gone.
    TearDownNetwork {
        /// For the completion.
        op: OpId,
        /// The pause instance.
        pause: InstanceId,
    },
    /// Remove an instance whatever is left of it: processes, the runtime's state, cgroup, root file system mount.
    Delete {
        /// For the completion.
        op: OpId,
        /// Which.
        instance: InstanceId,
    },
    /// Send a signal to the init of an instance; nothing comes back but, maybe, its exit.
    Signal {
        /// Which.
        instance: InstanceId,
        /// What.
        signal: Signal,
    },
    /// Make an instance end now: SIGKILL, then its cgroup. Repeated by the machine until the exit comes.
    Kill {
        /// Which.
        instance: InstanceId,
    },
    /// Release everything but status, logs and volumes: cgroup, mounts. The last operation of a pod.
    CleanUp {
        /// For the completion.
        op: OpId,
    },
    /// Answer a request.
    Reply {
        /// Which.
        id: RequestId,
        /// Accepted, or why not.
        result: Result<(), Refusal>,
    },
    /// Append to the event log.
    Announce(Event),
}

/// What an instance is an instance of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum InstanceKind {
    /// The sandbox container.
    Pause,
    /// A container of the pod.
    Container {
        /// Its name.
        name: String,
        /// 0 for its first instance; becomes `restartCount` and the log file's number.
        attempt: u32,
    },
}

/// Why a request cannot be done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Refusal {
    /// The pod has no such container.
    NoSuchContainer(String),
    /// It does not run.
    NotRunning(String),
    /// The pod has ended.
    PodEnded,
    /// It has a container of that name already.
    NameTaken(String),
    /// Its standard input has been given to a client: once, as it says.
    InputTaken(String),
}

/// One line of the event log. Source: Kubernetes `core/v1` Event, without its bookkeeping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Grows by one; no gaps within a pod.
    pub seq: u64,
    /// When.
    pub at: Now,
    /// A problem, not the normal course.
    pub warning: bool,
    /// One CamelCase word: `Pulled`, `Created`, `Started`, `Exited`, `BackOff`, `Killing`, `Stopping`, `Failed`, `SandboxChanged`, …
    pub reason: String,
    /// The container it is about, if it is about one.
    pub container: Option<String>,
    /// One line for people.
    pub message: String,
}
