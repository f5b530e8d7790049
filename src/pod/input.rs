//! Everything that can happen to a pod. Inputs serialise: a journal of them replays to the same state.

use crate::base::{Exit, InstanceId, Signal};
use crate::manifest::{Container, ProbeKind};
use crate::pod::DiskUse;
use serde::{Deserialize, Serialize};

/// Number of one operation; never used twice within a pod, so a late or doubled completion is recognised and dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct OpId(pub u64);

/// Number of one request of a face; only for the reply to find its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RequestId(pub u64);

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// Somebody asks for something.
    Request {
        /// For the reply.
        id: RequestId,
        /// What is asked.
        request: Request,
    },
    /// An operation ended.
    Done {
        /// Which.
        op: OpId,
        /// How.
        outcome: Outcome,
    },
    /// An `EnsureImage` in flight does not find the image here: it asks for it elsewhere, which takes long.
    Pulling(OpId),
    /// The main process of an instance (or pause) ended. Sent once its output is drained.
    Exited {
        /// Which instance.
        instance: InstanceId,
        /// How.
        exit: Exit,
        /// Its cgroup counted an OOM kill.
        oom_killed: bool,
        /// Its termination message, already cut to its limits.
        message: String,
    },
    /// A probe of an instance was run once.
    Probed {
        /// Which instance.
        instance: InstanceId,
        /// Which of its probes.
        kind: ProbeKind,
        /// What it said.
        answer: ProbeAnswer,
    },
    /// What the pod uses of the disk was measured, as `MeasureDisk` asked.
    Measured {
        /// At least so much, of what was asked for.
        used: DiskUse,
        /// Why not everything could be measured; one line for people.
        problem: Option<String>,
    },
    /// A new supervisor has looked at the world: one entry per instance the machine believes to exist. Operations that were
    /// in flight are lost.
    Recovered(Vec<(InstanceId, Observed)>),
    /// The pod may not run on this machine: said in place of the first timer, before anything of it exists.
    Rejected {
        /// `status.reason`.
        reason: String,
        /// `status.message`.
        message: String,
    },
    /// Something that was done about the pod from outside, for its events.
    Noted {
        /// The event's reason.
        reason: String,
        /// The container it is about, if it is about one.
        container: Option<String>,
        /// One line for people.
        message: String,
    },
    /// The deadline of `next_deadline` has come.
    Timer,
}

/// What a face may ask.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Request {
    /// Stop the pod for good. A second one may only shorten the grace.
    Stop {
        /// Seconds; `None` means the pod's own; 0 means no grace.
        grace_seconds: Option<u64>,
        /// SIGKILL at once, without the two seconds that grace 0 still gives.
        force: bool,
    },
    /// Send a signal to the main process of one container, or of all app containers and sidecars.
    Signal {
        /// Which container; `None` means all that run.
        container: Option<String>,
        /// Which signal.
        signal: Signal,
    },
    /// Add a container for debugging to the running pod: it is started once, and the pod ends without it.
    Debug {
        /// The container; of [`crate::manifest::Role::Ephemeral`].
        container: Box<Container>,
    },
}

/// What one run of a probe said. Source: `pod-semantics` 4.6.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeAnswer {
    /// All is well.
    Success,
    /// It is not, or no answer came in time; one line for people.
    Failure(String),
    /// It could not be run; decides nothing. One line for people.
    Discarded(String),
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Outcome {
    /// Done, nothing to tell: `Prepare`, `Start`, `RunHook`, `Delete`, `TearDownNetwork`, `CleanUp`.
    Ok,
    /// `Create`: the instance exists and waits for its start. Of pause: its process has its namespaces.
    Created {
        /// Process id of its init in our PID namespace.
        pid: u32,
    },
    /// `EnsureImage`: the image is here.
    ImageReady {
        /// `sha256:…`, or the reference where there is no digest.
        image_id: String,
        /// What its config says the stop signal is, if it says so.
        stop_signal: Option<Signal>,
    },
    /// `SetUpNetwork`: the network is up.
    NetworkReady {
        /// Addresses of the pod; the host's with `hostNetwork`; empty with loopback only.
        pod_ips: Vec<String>,
    },
    /// It did not work.
    Failed(Failure),
}

/// Why an operation failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// Which of the kubelet's words applies.
    pub reason: FailureReason,
    /// One line for people, without secrets.
    pub message: String,
}

/// The kubelet's word for a failure. Source: `pod-semantics` 4.13.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FailureReason {
    /// The image could not be brought.
    ErrImagePull,
    /// Its reference cannot be read.
    InvalidImageName,
    /// It is absent and may not be pulled.
    ErrImageNeverPull,
    /// Environment, user or volume of the container is wrong: retried, no restart counted.
    CreateContainerConfigError,
    /// podshim could not build the bundle: retried, no restart counted.
    CreateContainerError,
    /// The runtime refused to create or start it: exit code 128, counts as a restart.
    StartError,
    /// The runtime did not answer in time or died: what it left is unknown and must be deleted first. Counts as `StartError`.
    RuntimeHung,
    /// Anything about the sandbox, network, volumes or removal: retried.
    Other,
}

/// What a new supervisor saw of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Observed {
    /// Nothing of it exists.
    Absent,
    /// Created and not started.
    Created {
        /// Its init.
        pid: u32,
    },
    /// Its process runs.
    Running {
        /// Its init.
        pid: u32,
    },
    /// Its process ended; what the runtime keeps of it may still be there.
    Gone {
        /// How it ended.
        exit: Exit,
        /// Its cgroup counted an OOM kill.
        oom_killed: bool,
    },
    /// Something of it may exist: delete it.
    Unknown,
}
