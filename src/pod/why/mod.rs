//! Why a pod and its containers are as they are, by which rule, and what comes next and when. Reads facts and recorded events and
//! changes nothing; the rules themselves are asked of `policy`, never repeated.

mod container;
mod pod;
mod rule;

use crate::base::{Mono, Now, Wall};
use crate::manifest::Pod;
use crate::pod::policy::Look;
use crate::pod::spec::Spec;
use crate::pod::{Event, Settings, State};
use serde::Serialize;

/// Most recorded events that one explanation shows: the last ones; the event log has all.
const MAX_EVENTS: usize = 12;

/// What is known of a pod at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// The times its rules use.
    pub settings: &'a Settings,
    /// Its machine's state.
    pub state: &'a State,
    /// This moment.
    pub now: Now,
    /// Its event log, oldest first.
    pub events: &'a [Event],
    /// When new supervisors took over.
    pub restarts: &'a [Wall],
}

/// Why the pod, or one of its containers, is as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// Which container; `None` means the pod.
    pub container: Option<String>,
    /// What it is: `Waiting CrashLoopBackOff`, `Running`, `Terminating`.
    pub state: String,
    /// It is as it should be: it runs and is ready, or has ended well.
    pub is_well: bool,
    /// What led there, oldest first: what was recorded, then the rules that apply.
    pub because: Vec<Cause>,
    /// What comes next; what has a moment first.
    pub next: Vec<Next>,
}

/// One link of the chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Cause {
    /// It was recorded.
    Event {
        /// When it was recorded last.
        at: Wall,
        /// How often in a row.
        count: usize,
        /// One CamelCase word.
        reason: String,
        /// One line.
        text: String,
    },
    /// It is so now.
    Fact(String),
    /// A rule says so.
    Rule(String),
}

/// Something that will happen unless something else happens before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Next {
    /// When; `None` means once something else is done.
    pub at: Option<Mono>,
    /// What.
    pub text: String,
}

/// Explains the pod, and then each of its containers in the order of the model.
pub fn explain(known: Known<'_>) -> Vec<Explanation> {
    let mut spec = Spec::of(known.pod);
    for container in &known.state.ephemeral {
        spec.add(known.pod.restart_policy, container);
    }
    let subject = Subject {
        known,
        look: Look {
            spec: &spec,
            state: known.state,
            now: known.now.mono,
        },
    };
    let containers = 0..spec.containers.len().min(known.state.containers.len());
    std::iter::once(subject.pod())
        .chain(containers.map(|k| subject.container(k)))
        .collect()
}

/// What is explained.
struct Subject<'a> {
    known: Known<'a>,
    look: Look<'a>,
}

impl Subject<'_> {
    /// What was recorded of a container since its last instance was created, or of the pod, with what concerns both.
    fn recorded(&self, container: Option<&str>) -> Vec<Cause> {
        let events = self.known.events;
        let is_own = |event: &Event| event.container.as_deref() == container;
        let begins = |event: &Event| match container {
            Some(_) => is_own(event) && event.reason == "Created",
            None => event.reason == "SandboxChanged",
        };
        let from = events.iter().rposition(begins).unwrap_or(0);
        let chosen = events[from..]
            .iter()
            .filter(|event| is_own(event) || event.container.is_none());
        let mut links: Vec<(u64, Cause)> = Vec::new();
        for event in chosen {
            let last = links.last_mut().map(|(_, cause)| cause);
            if let Some(Cause::Event {
                at,
                count,
                reason,
                text,
            }) = last
                && (&*reason, &*text) == (&event.reason, &event.message)
            {
                *at = event.at.wall;
                *count += 1;
                continue;
            }
            let cause = Cause::Event {
                at: event.at.wall,
                count: 1,
                reason: event.reason.clone(),
                text: event.message.clone(),
            };
            links.push((event.at.wall.0, cause));
        }
        let since = links.first().map_or(0, |(at, _)| *at);
        let restarts = self.known.restarts.iter().filter(|at| at.0 >= since);
        links.extend(restarts.map(|at| {
            let cause = Cause::Event {
                at: *at,
                count: 1,
                reason: "Recovered".into(),
                text: "A new supervisor took over".into(),
            };
            (at.0, cause)
        }));
        links.sort_by_key(|(at, _)| *at);
        let surplus = links.len().saturating_sub(MAX_EVENTS);
        links
            .into_iter()
            .skip(surplus)
            .map(|(_, cause)| cause)
            .collect()
    }

    /// A moment to come; one that is past is only waited for by what else has to happen.
    fn at(&self, at: Mono, text: impl Into<String>) -> Next {
        Next {
            at: Some(at).filter(|at| *at > self.known.now.mono),
            text: text.into(),
        }
    }
}

impl Next {
    fn then(text: impl Into<String>) -> Next {
        Next {
            at: None,
            text: text.into(),
        }
    }
}
