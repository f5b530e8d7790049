//! A pod's life as lines for people: what its view changed to, and what it announced, step by step.

use crate::base::Now;
use crate::pod::{Action, ContainerState, ContainerView, PodView, Terminated};
use serde::Serialize;

/// One line of a timeline.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Moment {
    /// When.
    pub at: Now,
    /// The container it is about; `None` means the pod.
    pub container: Option<String>,
    /// What of it.
    pub kind: MomentKind,
    /// In one to three words: `Waiting CrashLoopBackOff`, `Ready True`, `Killing`.
    pub what: String,
    /// More of it; empty if there is none.
    pub detail: String,
}

/// What a [`Moment`] is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MomentKind {
    /// `status.phase`.
    Phase,
    /// One of `status.conditions`.
    Condition,
    /// `state` of a container.
    State,
    /// A line of the event log.
    Event,
    /// Something that was done to the pod from outside.
    World,
}

/// What was last seen of a pod.
#[derive(Debug, Default)]
pub struct Timeline {
    last: Option<PodView>,
}

impl Timeline {
    /// What a step changed: `view` is the pod after it, `actions` what it answered. Events come first: they say why.
    pub fn after(&mut self, at: Now, view: PodView, actions: &[Action]) -> Vec<Moment> {
        let mut moments: Vec<Moment> = actions.iter().filter_map(event).collect();
        let moment = |container: Option<&str>, kind, what: String, detail: &str| Moment {
            at,
            container: container.map(str::to_owned),
            kind,
            what,
            detail: detail.to_owned(),
        };
        let last = self.last.as_ref();
        for (k, container) in view.containers.iter().enumerate() {
            let before = last.and_then(|last| last.containers.get(k));
            let (what, detail) = state(container);
            if before.map(state).as_ref() != Some(&(what.clone(), detail)) {
                let name = Some(container.name.as_str());
                moments.push(moment(name, MomentKind::State, what, detail));
            }
        }
        if last.map(|last| last.phase) != Some(view.phase) {
            let what = format!("{:?}", view.phase);
            let detail = [view.reason.as_str(), view.message.as_str()];
            let detail = detail.map(|part| part.trim()).join(" ");
            moments.push(moment(None, MomentKind::Phase, what, detail.trim()));
        }
        for (k, condition) in view.conditions.iter().enumerate() {
            let before = last.and_then(|last| last.conditions.get(k));
            if before.is_some_and(|before| before.is_true != condition.is_true) {
                let value = if condition.is_true { "True" } else { "False" };
                let what = format!("{} {value}", condition.kind);
                moments.push(moment(None, MomentKind::Condition, what, &condition.reason));
            }
        }
        self.last = Some(view);
        moments
    }
}

fn event(action: &Action) -> Option<Moment> {
    let Action::Announce(event) = action else {
        return None;
    };
    Some(Moment {
        at: event.at,
        container: event.container.clone(),
        kind: MomentKind::Event,
        what: event.reason.clone(),
        detail: event.message.clone(),
    })
}

/// `state` in a few words, with its message.
fn state(container: &ContainerView) -> (String, &str) {
    match &container.state {
        ContainerState::Waiting { reason, message } => (format!("Waiting {reason}"), message),
        ContainerState::Running { .. } => ("Running".to_owned(), ""),
        ContainerState::Terminated(end) => (ended(end), &end.message),
    }
}

fn ended(end: &Terminated) -> String {
    format!("Terminated {} {}", end.reason, end.exit_code)
}
