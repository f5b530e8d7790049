//! What a pod's time was spent with: its operations, from the step that asked for each to the one that heard of its end.

use crate::base::Mono;
use crate::pod::{Action, Input, OpId};
use std::collections::BTreeMap;

/// One operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Span {
    /// What was done, in a few words: `create web-0`.
    pub what: String,
    /// When it was asked for.
    pub begun: Mono,
    /// When its end was heard of; `None` while it goes on.
    pub ended: Option<Mono>,
}

/// The operations that were seen so far.
#[derive(Debug, Default)]
pub struct Timings {
    spans: BTreeMap<OpId, Span>,
}

impl Timings {
    /// A step: what was heard, and what was asked for then.
    pub fn after(&mut self, at: Mono, input: Option<&Input>, actions: &[Action]) {
        if let Some(Input::Done { op, .. }) = input
            && let Some(span) = self.spans.get_mut(op)
        {
            span.ended.get_or_insert(at);
        }
        for (op, what) in actions.iter().filter_map(operation) {
            let span = Span {
                what,
                begun: at,
                ended: None,
            };
            self.spans.entry(op).or_insert(span);
        }
    }

    /// All of them, in the order in which they were asked for.
    pub fn spans(self) -> impl Iterator<Item = Span> {
        self.spans.into_values()
    }
}

fn operation(action: &Action) -> Option<(OpId, String)> {
    let (op, what) = match action {
        Action::Prepare { op } => (op, "prepare cgroup, files and volumes".to_owned()),
        Action::EnsureImage { op, container } => (op, format!("find image of {container}")),
        Action::Create { op, instance, .. } => (op, format!("create {instance}")),
        Action::Start { op, instance } => (op, format!("start {instance}")),
        Action::RunHook {
            op, instance, hook, ..
        } => (op, format!("run {hook:?} hook of {instance}")),
        Action::SetUpNetwork { op, .. } => (op, "set up network".to_owned()),
        Action::TearDownNetwork { op, .. } => (op, "take down network".to_owned()),
        Action::Delete { op, instance } => (op, format!("delete {instance}")),
        Action::CleanUp { op } => (op, "clean up".to_owned()),
        Action::Persist
        | Action::RunProbe { .. }
        | Action::MeasureDisk { .. }
        | Action::Signal { .. }
        | Action::Kill { .. }
        | Action::Reply { .. }
        | Action::Announce(_) => return None,
    };
    Some((*op, what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::Outcome;

    #[test]
    fn an_operation_lasts_until_its_end_is_heard_of_once() {
        let mut timings = Timings::default();
        let done = |op| Input::Done {
            op: OpId(op),
            outcome: Outcome::Ok,
        };
        let (prepare, clean_up) = (
            Action::Prepare { op: OpId(0) },
            Action::CleanUp { op: OpId(1) },
        );
        timings.after(Mono(10), Some(&Input::Timer), &[Action::Persist, prepare]);
        timings.after(Mono(25), Some(&done(0)), &[clean_up]);
        timings.after(Mono(30), Some(&done(0)), &[]);
        timings.after(Mono(31), Some(&done(7)), &[]);
        let spans: Vec<_> = timings.spans().map(|s| (s.begun, s.ended)).collect();
        assert_eq!(spans, [(Mono(10), Some(Mono(25))), (Mono(25), None)]);
    }
}
