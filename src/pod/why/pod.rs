//! The pod as a whole.

use super::rule::span;
use super::{Cause, Explanation, Next, Subject};
use crate::pod::state::Cause as End;
use crate::pod::{Phase, PodView};
use std::time::Duration;

impl Subject<'_> {
    /// Why the pod is as it is.
    pub fn pod(&self) -> Explanation {
        let (state, view) = (self.known.state, self.look.view());
        let mut because = self.recorded(None);
        let mut next = Vec::new();
        let is_well = match view.phase {
            Phase::Running => is_ready(&view) && view.deletion.is_none(),
            Phase::Succeeded => true,
            Phase::Pending | Phase::Failed => false,
        };
        if let Some(verdict) = &state.verdict
            && !verdict.message.is_empty()
            && !because
                .iter()
                .any(|cause| matches!(cause, Cause::Event { text, .. } if *text == verdict.message))
        {
            because.push(Cause::Fact(verdict.message.clone()));
        }
        let unready = view.conditions.iter().find(|c| c.kind == "Ready");
        if let Some(ready) = unready.filter(|c| !c.is_true && !c.message.is_empty()) {
            because.push(Cause::Fact(ready.message.clone()));
        }
        match state.teardown {
            _ if view.settled => because.push(Cause::Rule(self.phase_rule(&view))),
            Some(teardown) => {
                because.push(Cause::Rule(self.end_rule(teardown.cause)));
                if state.containers.iter().any(|f| f.slot.is_running()) {
                    next.push(self.at(
                        teardown.grace.until(),
                        "the grace ends: what still runs is killed",
                    ));
                }
                next.extend(self.removal());
            }
            None => {
                next.extend(self.sandbox());
                if let Some(limit) = self.look.spec.deadline {
                    let text = format!("activeDeadlineSeconds ({}): the pod fails", span(limit));
                    next.push(self.at(state.started.mono + limit, text));
                }
            }
        }
        sort(&mut next);
        Explanation {
            container: None,
            state: word(&view),
            is_well,
            because,
            next,
        }
    }

    /// What the sandbox waits for, if it is not up.
    pub fn sandbox(&self) -> Vec<Next> {
        let sandbox = &self.known.state.sandbox;
        if self.look.has_network() {
            return Vec::new();
        }
        let retry = [
            (
                !sandbox.prepared,
                sandbox.prepare.not_before,
                "the pod's directories and volumes are prepared again",
            ),
            (
                sandbox.pause.instance.is_none(),
                sandbox.not_before,
                "the sandbox is created again",
            ),
            (
                self.look.has_namespaces(),
                sandbox.network_not_before,
                "the network is set up again",
            ),
        ];
        let due = retry
            .iter()
            .find(|(is_so, at, _)| *is_so && *at > self.known.now.mono);
        match due {
            Some((_, at, text)) => vec![self.at(*at, *text)],
            None => vec![Next::then("the sandbox and its network come up")],
        }
    }

    /// What is left to do of a teardown, where that has to be tried again.
    fn removal(&self) -> Vec<Next> {
        let state = self.known.state;
        let slots = state.containers.iter().map(|facts| &facts.slot);
        let instances = slots
            .chain([&state.sandbox.pause])
            .filter_map(|slot| slot.instance.as_ref())
            .map(|instance| {
                (
                    instance.not_before,
                    format!("{} is removed again", instance.id),
                )
            });
        let tasks = [
            (
                state.sandbox.network_task.not_before,
                "the network is taken down again",
            ),
            (state.clean_up.not_before, "the pod is cleaned up again"),
        ];
        let tasks = tasks.into_iter().map(|(at, text)| (at, text.to_owned()));
        let waiting = instances
            .chain(tasks)
            .filter(|(at, _)| *at > self.known.now.mono);
        waiting.map(|(at, text)| self.at(at, text)).collect()
    }

    fn phase_rule(&self, view: &PodView) -> String {
        let stopped = self.known.state.teardown.map(|t| t.cause) == Some(End::Stop);
        let how = if stopped { ", and it was stopped" } else { "" };
        match view.phase {
            Phase::Succeeded => {
                format!("every app container ended with exit code 0{how}: Succeeded")
            }
            Phase::Pending | Phase::Running | Phase::Failed if !view.reason.is_empty() => {
                format!("{}: Failed, whatever the exit codes", view.reason)
            }
            Phase::Pending | Phase::Running | Phase::Failed => {
                format!("not every container ended with exit code 0{how}: Failed")
            }
        }
    }
}

/// What comes first comes first; what has no moment comes last.
pub fn sort(next: &mut [Next]) {
    next.sort_by_key(|next| next.at.map_or(u64::MAX, |at| at.0));
}

fn is_ready(view: &PodView) -> bool {
    view.conditions
        .iter()
        .any(|c| c.kind == "Ready" && c.is_true)
}

fn word(view: &PodView) -> String {
    let phase = format!("{:?}", view.phase);
    match view.deletion {
        Some((_, grace)) if !view.settled => {
            let grace = span(Duration::from_secs(grace));
            format!("Terminating within {grace}, phase {phase}")
        }
        Some(_) | None if !view.reason.is_empty() => format!("{phase} {}", view.reason),
        Some(_) | None if view.phase == Phase::Running && !is_ready(view) => {
            format!("{phase}, not ready")
        }
        Some(_) | None => phase,
    }
}
