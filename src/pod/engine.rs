//! What exists: at most one instance per container (and of pause), one operation in flight on it, one exit.
//!
//! ```text
//!             Create              Created              Start                Ok
//!   (empty) ─────────▶ Absent ──────────────▶ Created ─────────▶ Created ─────────▶ Running
//!      ▲                  │                                         │                  │ exit
//!      │                  └───────────────┐ failed, hung, lost ┌────┘                  ▼
//!      └───────── Delete ok ───────────── Unknown ◀────────────┘                     Gone
//!      └───────── Delete ok ───────────────────────────────────────────────────────────┘
//! ```
//!
//! Kept here: an operation is begun only when none is in flight; a completion counts once, by its operation id; an exit counts
//! once, by its instance id, and waits for the completion of `Create` or `Start` if it overtakes it; what a failed operation
//! leaves is `Unknown`, never `Absent`; an instance id is never used twice. Nothing here knows what *should* exist.

use crate::base::{Exit, InstanceId, Mono, Now};
use crate::pod::{Failure, FailureReason, Observed, OpId, Outcome, words};
use serde::{Deserialize, Serialize};

/// What is known of an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Presence {
    /// Its creation was begun and has not answered.
    Absent,
    /// Something of it may exist.
    Unknown,
    /// It waits for its start.
    Created,
    /// Its process is alive.
    Running,
    /// Its process ended; the runtime may keep something of it.
    Gone,
}

/// What is done to an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(super) enum Verb {
    Create,
    Start,
    Delete,
}

/// How the process of an instance ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ending {
    pub exit: Exit,
    pub oom_killed: bool,
    pub message: String,
    pub at: Now,
}

/// One attempt to run something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Instance {
    pub id: InstanceId,
    pub presence: Presence,
    pub flight: Option<(OpId, Verb)>,
    /// Its init in our PID namespace, once known.
    pub pid: Option<u32>,
    /// When it was seen to run.
    pub started: Option<Now>,
    /// An exit that overtook the completion of `Create` or `Start`.
    early: Option<Ending>,
    /// A failed `Delete` is not repeated before.
    pub not_before: Mono,
}

/// The place of a container (or of pause): empty or one instance.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Slot {
    /// How many ids were used.
    burned: u32,
    pub instance: Option<Instance>,
}

/// What a fact changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// It exists and waits for its start.
    Created,
    /// Its process runs.
    Started,
    /// Its process ended; `Exit::Unknown` if nobody saw how. Once per instance.
    Ended(Ending),
    /// The runtime could not create it; what is left must be deleted.
    CreateFailed(Failure),
    /// The runtime could not start it; what is left must be deleted.
    StartFailed(Failure),
    /// It is lost and never ran; what is left must be deleted.
    Vanished,
    /// Nothing of it is left.
    Deleted,
    /// Something of it may still be left.
    DeleteFailed(Failure),
}

impl Slot {
    /// Uses up an id and begins its creation. Only for an empty slot.
    pub fn create(&mut self, name: &str, op: OpId) -> InstanceId {
        debug_assert!(self.instance.is_none(), "one instance at a time");
        let id = InstanceId(format!("{name}-{}", self.burned));
        self.burned = self.burned.saturating_add(1);
        self.instance = Some(Instance {
            id: id.clone(),
            presence: Presence::Absent,
            flight: Some((op, Verb::Create)),
            pid: None,
            started: None,
            early: None,
            not_before: Mono::default(),
        });
        id
    }

    /// The presence of the instance, if there is one.
    pub fn presence(&self) -> Option<Presence> {
        self.instance.as_ref().map(|instance| instance.presence)
    }

    /// Whether its process runs, as far as is known.
    pub fn is_running(&self) -> bool {
        self.presence() == Some(Presence::Running)
    }

    /// Whether its process ended before the operation in flight on it did.
    pub fn has_ended_early(&self) -> bool {
        let instance = self.instance.as_ref();
        instance.is_some_and(|instance| instance.early.is_some())
    }

    /// Whether nothing of it can run any more.
    pub fn is_over(&self) -> bool {
        matches!(self.presence(), None | Some(Presence::Gone))
    }

    /// The instance if no operation is in flight on it.
    pub fn idle(&self) -> Option<&Instance> {
        self.instance
            .as_ref()
            .filter(|instance| instance.flight.is_none())
    }

    /// Begins an operation on an idle instance; from the first `Delete` on nothing is known of what had not ended.
    pub fn begin(&mut self, verb: Verb, op: OpId) {
        if let Some(instance) = &mut self.instance {
            debug_assert!(instance.flight.is_none(), "one operation at a time");
            instance.flight = Some((op, verb));
            if verb == Verb::Delete && instance.presence != Presence::Gone {
                instance.presence = Presence::Unknown;
            }
        }
    }

    /// Takes a completion if it is of the operation in flight; `None` says it is of another one.
    pub fn done(&mut self, op: OpId, outcome: &Outcome, now: Now) -> Option<Vec<Change>> {
        let instance = self.instance.as_mut()?;
        let (_, verb) = instance.flight.filter(|(current, _)| *current == op)?;
        instance.flight = None;
        Some(match verb {
            Verb::Create => match outcome {
                Outcome::Created { pid } => instance.created(*pid),
                Outcome::Ok | Outcome::ImageReady { .. } | Outcome::NetworkReady { .. } => {
                    instance.spoil(Change::CreateFailed(misfit()))
                }
                Outcome::Failed(failure) => instance.spoil(Change::CreateFailed(failure.clone())),
            },
            Verb::Start => match outcome {
                Outcome::Ok => instance.ran(now),
                Outcome::Created { .. }
                | Outcome::ImageReady { .. }
                | Outcome::NetworkReady { .. } => instance.spoil(Change::StartFailed(misfit())),
                Outcome::Failed(failure) => instance.spoil(Change::StartFailed(failure.clone())),
            },
            Verb::Delete => match outcome {
                Outcome::Ok => {
                    self.instance = None;
                    vec![Change::Deleted]
                }
                Outcome::Created { .. }
                | Outcome::ImageReady { .. }
                | Outcome::NetworkReady { .. } => vec![Change::DeleteFailed(misfit())],
                Outcome::Failed(failure) => vec![Change::DeleteFailed(failure.clone())],
            },
        })
    }

    /// Takes an exit if it is of this instance; `None` says it is of another one.
    pub fn exited(&mut self, id: &InstanceId, ending: Ending) -> Option<Vec<Change>> {
        let instance = self.instance.as_mut().filter(|i| i.id == *id)?;
        if let Some((_, Verb::Create | Verb::Start)) = instance.flight {
            instance.early.get_or_insert(ending);
            return Some(Vec::new());
        }
        Some(match instance.presence {
            Presence::Created | Presence::Running => instance.end(ending),
            Presence::Absent | Presence::Unknown | Presence::Gone => Vec::new(),
        })
    }

    /// Takes what a new supervisor sees of the instance. The operation in flight, if any, is lost.
    pub fn recovered(&mut self, seen: Observed, now: Now) -> Vec<Change> {
        let Some(instance) = &mut self.instance else {
            return Vec::new();
        };
        let lost = instance.flight.take().map(|(_, verb)| verb);
        let early = instance.early.take();
        let may_have_run = instance.started.is_some() || lost == Some(Verb::Start);
        match (instance.presence, seen) {
            (Presence::Unknown | Presence::Gone, _) => Vec::new(),
            (Presence::Absent, Observed::Created { pid }) => instance.created(pid),
            (Presence::Absent, Observed::Gone { .. } | Observed::Running { .. }) => {
                instance.spoil(Change::Vanished)
            }
            (Presence::Created, Observed::Created { pid }) => {
                instance.pid = Some(pid);
                Vec::new()
            }
            (Presence::Created, Observed::Running { pid }) => {
                instance.pid = Some(pid);
                instance.ran(now)
            }
            (Presence::Running, Observed::Running { pid }) => {
                instance.pid = Some(pid);
                Vec::new()
            }
            (Presence::Created | Presence::Running, Observed::Gone { exit, oom_killed }) => {
                instance.end(early.unwrap_or(Ending {
                    exit,
                    oom_killed,
                    message: String::new(),
                    at: now,
                }))
            }
            (_, Observed::Absent | Observed::Unknown | Observed::Created { .. })
                if may_have_run =>
            {
                instance.spoil(Change::Ended(Ending::unseen(now)))
            }
            (_, Observed::Absent | Observed::Unknown | Observed::Created { .. }) => {
                instance.spoil(Change::Vanished)
            }
        }
    }
}

impl Instance {
    fn created(&mut self, pid: u32) -> Vec<Change> {
        self.pid = Some(pid);
        self.presence = Presence::Created;
        match self.early.take() {
            None => vec![Change::Created],
            Some(ending) => [vec![Change::Created], self.end(ending)].concat(),
        }
    }

    fn ran(&mut self, now: Now) -> Vec<Change> {
        // It ran before it ended, whenever that was heard.
        self.started = Some(self.early.as_ref().map_or(now, |ending| ending.at));
        self.presence = Presence::Running;
        match self.early.take() {
            None => vec![Change::Started],
            Some(ending) => [vec![Change::Started], self.end(ending)].concat(),
        }
    }

    fn end(&mut self, ending: Ending) -> Vec<Change> {
        self.pid = None;
        self.presence = Presence::Gone;
        vec![Change::Ended(ending)]
    }

    fn spoil(&mut self, change: Change) -> Vec<Change> {
        self.pid = None;
        self.early = None;
        self.presence = Presence::Unknown;
        vec![change]
    }
}

impl Ending {
    /// Nobody saw how it ended.
    pub fn unseen(now: Now) -> Ending {
        Ending {
            exit: Exit::Unknown,
            oom_killed: false,
            message: words::LOST_MESSAGE.into(),
            at: now,
        }
    }
}

/// A completion of the wrong kind tells nothing: treated as no answer.
pub(super) fn misfit() -> Failure {
    Failure {
        reason: FailureReason::RuntimeHung,
        message: "the completion does not fit the operation".into(),
    }
}

#[cfg(test)]
mod tests;
