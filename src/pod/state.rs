//! All that must survive the supervisor. Facts only: what follows from them is worked out each time.

use crate::base::{Mono, Now, Signal, Wall};
use crate::manifest::Container;
use crate::pod::engine::Slot;
use crate::pod::grace::Grace;
use crate::pod::{Failure, OpId, Phase, Terminated};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Everything a [`crate::pod::Machine`] must find again after its supervisor died. Opaque; serialise it whole.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub(super) next_op: u64,
    pub(super) next_event: u64,
    /// `status.startTime`.
    pub(super) started: Now,
    pub(super) sandbox: Sandbox,
    /// In the order of the spec, then those of `ephemeral`.
    pub(super) containers: Vec<Facts>,
    /// Containers that were added while the pod runs, for debugging.
    pub(super) ephemeral: Vec<Container>,
    /// Everything is being taken down.
    pub(super) teardown: Option<Teardown>,
    /// When a stop was first asked, and the shortest grace in seconds since.
    pub(super) deletion: Option<(Wall, u64)>,
    /// Terminal phase; once set it never changes.
    pub(super) verdict: Option<Verdict>,
    /// In the order shown.
    pub(super) conditions: Vec<Flip>,
    /// Whether any container was ever created in a sandbox that was up, or started: one that never came up is made again, as
    /// Kubernetes creates containers only after it.
    pub(super) ever_created: bool,
    pub(super) clean_up: Task,
    pub(super) settled: bool,
    /// When it is next looked what the pod uses of the disk.
    #[serde(default)]
    pub(super) disk: Loose<Watch>,
    /// Warnings told last, so that what is tried for ever is not told for ever.
    #[serde(default)]
    pub(super) told: Vec<Told>,
}

/// A warning and how often it came in a row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Told {
    pub reason: String,
    pub container: Option<usize>,
    pub message: String,
    pub count: u64,
}

/// An operation that is not on an instance: one at a time, again after a failure.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Task {
    pub op: Option<OpId>,
    pub not_before: Mono,
}

/// Pause and what belongs to it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Sandbox {
    pub prepared: bool,
    pub prepare: Task,
    pub pause: Slot,
    /// Not before this is pause created again.
    pub not_before: Mono,
    /// 0 for the first sandbox.
    pub attempt: u32,
    pub network: Network,
    pub network_task: Task,
    /// Not before this is the network set up again.
    pub network_not_before: Mono,
    /// Reason and message of what last kept it from being up, or gone; shown until it is.
    pub trouble: Option<(String, String)>,
    /// Kept after the end.
    pub pod_ips: Vec<String>,
    /// Whether an app container was created in this sandbox: from then on plain init containers never run again in it.
    pub apps_begun: bool,
}

/// The network of the sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Network {
    #[default]
    Down,
    /// Being set up.
    Raising,
    /// Something of it may be set up; it is taken down before it is set up.
    Dirty,
    Up,
}

/// One container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Facts {
    pub slot: Slot,
    pub image: Image,
    /// Instances that ended; the next one is this number.
    pub attempts: u32,
    /// How the last instance ended, until the next is created.
    pub ended: Option<Terminated>,
    /// How the one before ended.
    pub previous: Option<Terminated>,
    /// Why it is not created now.
    pub hold: Option<Hold>,
    /// The back-off of its next crash; `None` means none yet.
    pub backoff: Option<Duration>,
    /// The current instance is being stopped.
    pub stopping: Option<Stopping>,
    /// What is done when the current instance has started.
    pub post_start: Hook,
    /// Why that failed; kept until the next instance is created.
    pub hook_failure: Option<String>,
    /// What the probes of the current instance have said.
    pub health: Health,
}

/// An instance on its way out. Source: `pod-semantics` 4.9.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stopping {
    pub grace: Grace,
    /// What is done before the stop signal.
    pub pre_stop: Hook,
    /// SIGKILL is sent then; set when the stop signal was sent.
    pub kill_at: Option<Mono>,
}

/// A hook of one instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Hook {
    /// It has not begun, if there is one.
    #[default]
    Ahead,
    Running(OpId),
    /// It ended, well or not, or there is no time for it.
    Over,
}

impl Hook {
    fn resume(&mut self) {
        if let Hook::Running(_) = self {
            *self = Hook::Ahead;
        }
    }
}

/// What the probes of one instance have said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Health {
    /// The startup probe has succeeded.
    pub started: bool,
    /// The last verdict of the readiness probe.
    pub ready: bool,
    /// One per probe of the spec.
    pub probes: Loose<Vec<Probing>>,
}

/// Where one probe of one instance is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Probing {
    pub in_flight: bool,
    /// When it runs next; `None` before it was ever looked at.
    pub next: Option<Mono>,
    /// In a row.
    pub successes: u32,
    /// In a row.
    pub failures: u32,
    /// The last run could not be done.
    pub discarded: bool,
}

/// A fact that changes too often to be written down each time, and is worth no more than that: equal to any other.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct Loose<T>(pub T);

impl<T> PartialEq for Loose<T> {
    fn eq(&self, _: &Loose<T>) -> bool {
        true
    }
}

impl<T> Eq for Loose<T> {}

/// Measurements of the disk.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Watch {
    /// Since when one runs.
    pub since: Option<Mono>,
    /// When the next one begins; `None` before the first was thought of.
    pub next: Option<Mono>,
}

/// The image of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Image {
    pub task: Task,
    /// It is here for the next instance.
    pub ready: bool,
    /// Empty until known.
    pub id: String,
    pub stop_signal: Option<Signal>,
    /// In a row.
    pub failures: u32,
    pub failure: Option<Failure>,
}

/// Why a container is not created now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Hold {
    pub until: Mono,
    pub why: Why,
}

/// The cause of a [`Hold`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Why {
    /// It ended and waits this long.
    CrashLoop(Duration),
    /// All containers start again, and the one that wanted it waits this long.
    Together,
    /// It could not be created; no restart.
    Failed(Failure),
}

/// Everything is being taken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Teardown {
    pub cause: Cause,
    pub grace: Grace,
    /// SIGKILL at once.
    pub force: bool,
}

/// Why everything is taken down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Cause {
    /// Asked for.
    Stop,
    /// `activeDeadlineSeconds`.
    Deadline,
    /// It uses more of the disk than it may.
    Evicted,
    /// Nothing is left to run.
    Completed,
    /// Pause died; perhaps a new sandbox follows.
    SandboxLost,
    /// A container ended with a code that starts all of them again, in the same sandbox.
    RestartAll {
        /// Which container.
        trigger: usize,
    },
}

/// Terminal phase with its words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Verdict {
    pub phase: Phase,
    pub reason: String,
    pub message: String,
}

/// What a condition was and since when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Flip {
    pub is_true: bool,
    pub since: Wall,
}

impl State {
    pub(super) fn new(containers: usize, now: Now) -> State {
        State {
            next_op: 0,
            next_event: 0,
            started: now,
            sandbox: Sandbox::default(),
            containers: vec![Facts::default(); containers],
            ephemeral: Vec::new(),
            teardown: None,
            deletion: None,
            verdict: None,
            conditions: Vec::new(),
            ever_created: false,
            clean_up: Task::default(),
            settled: false,
            disk: Loose::default(),
            told: Vec::new(),
        }
    }

    /// The containers that were added while the pod runs.
    pub fn ephemeral(&self) -> &[Container] {
        &self.ephemeral
    }

    /// Whether the pod is on its way out and no container starts any more.
    pub(super) fn is_ending(&self) -> bool {
        self.verdict.is_some()
            || self
                .teardown
                .is_some_and(|teardown| teardown.cause.is_final())
    }
}

impl Cause {
    /// Whether nothing of the pod starts again.
    pub(super) fn is_final(self) -> bool {
        match self {
            Cause::Stop | Cause::Deadline | Cause::Evicted | Cause::Completed => true,
            Cause::SandboxLost | Cause::RestartAll { .. } => false,
        }
    }
}

impl Flip {
    pub fn new(is_true: bool, since: Wall) -> Flip {
        Flip { is_true, since }
    }
}

impl Facts {
    /// The operations that were in flight are lost, and whether the stop signal was still sent is not known: hooks are run and the
    /// signal is sent again, with the whole grace.
    pub fn resume(&mut self, now: Mono) {
        self.image.task.op = None;
        self.post_start.resume();
        self.health.forget_runs();
        if let Some(stopping) = &mut self.stopping {
            stopping.grace.renew(now);
            stopping.pre_stop.resume();
            stopping.kill_at = None;
        }
    }

    /// How the last of its instances to end ended, in this sandbox or the one before.
    pub fn last_end(&self) -> Option<&Terminated> {
        self.ended.as_ref().or(self.previous.as_ref())
    }

    /// Whether anything was done to run it in this sandbox.
    pub fn is_begun(&self) -> bool {
        self.slot.instance.is_some() || self.ended.is_some()
    }
}

impl Terminated {
    /// Whether the container did what it was for; an init container whose cgroup saw an OOM kill did not, whatever its code.
    pub(super) fn is_success(&self, is_app: bool) -> bool {
        self.exit_code == 0 && (is_app || self.reason != crate::pod::words::OOM_KILLED)
    }
}
