//! What faces show of a pod: facts and words, no rules left to apply.

use crate::base::{InstanceId, Wall};
use crate::manifest::Role;
use serde::{Deserialize, Serialize};

/// The condition of the sandbox with its network. Source: Kubernetes `core/v1`, PodConditionType.
pub(super) const SANDBOX_READY: &str = "PodReadyToStartContainers";

/// The pod as a face shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PodView {
    /// `status.phase`.
    pub phase: Phase,
    /// `status.reason`, e.g. `DeadlineExceeded`; empty if none.
    pub reason: String,
    /// `status.message`; empty if none.
    pub message: String,
    /// `status.startTime`.
    pub started_at: Wall,
    /// When a stop was asked, and the grace in seconds that then applied.
    pub deletion: Option<(Wall, u64)>,
    /// `status.conditions`, in the order shown.
    pub conditions: Vec<Condition>,
    /// In the order of the manifest's model: init containers and sidecars, then apps.
    pub containers: Vec<ContainerView>,
    /// The sandbox, from when its namespaces are there to when they are not.
    pub sandbox: Option<SandboxView>,
    /// `status.podIPs`; kept after the end.
    pub pod_ips: Vec<String>,
    /// The pod reached a terminal phase or was stopped, and everything is released: nothing will happen any more.
    pub settled: bool,
}

impl PodView {
    /// Reason and message of what keeps the sandbox from being up, or gone; it is tried again.
    pub fn trouble(&self) -> Option<(&str, &str)> {
        let told = |c: &&Condition| c.kind == SANDBOX_READY && !c.message.is_empty();
        let condition = self.conditions.iter().find(told)?;
        Some((&condition.reason, &condition.message))
    }
}

/// `status.phase`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// Not every container has started yet.
    Pending,
    /// All started, at least one runs or will again.
    Running,
    /// Ended, all app containers with 0.
    Succeeded,
    /// Ended otherwise.
    Failed,
}

/// One of `status.conditions`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Condition {
    /// `type`.
    pub kind: String,
    /// `status`.
    pub is_true: bool,
    /// Empty if none.
    pub reason: String,
    /// Empty if none.
    pub message: String,
    /// `lastTransitionTime`.
    pub since: Wall,
}

/// One container as a face shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerView {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// `state`.
    pub state: ContainerState,
    /// `lastState`, if there was one: always `Terminated`.
    pub last_state: Option<Terminated>,
    /// `ready`.
    pub ready: bool,
    /// `started`.
    pub started: bool,
    /// `restartCount`.
    pub restart_count: u32,
    /// `imageID`; empty until known.
    pub image_id: String,
    /// The current or last instance; `None` before the first.
    pub instance: Option<InstanceId>,
    /// Its init while it runs.
    pub pid: Option<u32>,
}

/// `state` of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Not running, and will or may.
    Waiting {
        /// `ContainerCreating`, `PodInitializing`, `CrashLoopBackOff`, `ErrImagePull`, …
        reason: String,
        /// Empty if none.
        message: String,
    },
    /// Its process is alive.
    Running {
        /// Since when.
        started_at: Wall,
    },
    /// It ended.
    Terminated(Terminated),
}

/// How an instance ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Terminated {
    /// 0-255; 128 + signal.
    pub exit_code: i32,
    /// `Completed`, `Error`, `OOMKilled`, `StartError`, `ContainerStatusUnknown`.
    pub reason: String,
    /// Termination message; empty if none.
    pub message: String,
    /// `None` if it never ran.
    pub started_at: Option<Wall>,
    /// When it ended.
    pub finished_at: Wall,
    /// Which instance.
    pub instance: InstanceId,
}

/// A sandbox that has its namespaces.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SandboxView {
    /// The pause instance.
    pub pause: InstanceId,
    /// Its process.
    pub pid: u32,
    /// 0 for the first sandbox of the pod.
    pub attempt: u32,
}
