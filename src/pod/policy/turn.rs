//! One step of the machine: its facts, the moment, and the actions collected so far.

use crate::base::{Mono, Now};
use crate::pod::policy::Look;
use crate::pod::settings::Settings;
use crate::pod::spec::Spec;
use crate::pod::state::{State, Told, Verdict};
use crate::pod::{Action, Event, Input, OpId, Phase};

/// Longest message of an event in bytes: an event is one line for people.
const MAX_MESSAGE_BYTES: usize = 1024;

/// The first line of a message, cut to a readable length.
pub(in crate::pod) fn one_line(message: &str) -> &str {
    let line = message.lines().next().unwrap_or_default();
    &line[..line.floor_char_boundary(MAX_MESSAGE_BYTES.min(line.len()))]
}

/// One step of the machine.
pub(in crate::pod) struct Turn<'a> {
    pub spec: &'a Spec,
    pub settings: &'a Settings,
    pub state: &'a mut State,
    pub now: Now,
    /// In the order they are to be done.
    pub actions: Vec<Action>,
    /// The earliest moment something waits for.
    pub wake: Option<Mono>,
    /// The input was the timer, a probe that said yes again, or a measurement within the limits.
    pub is_steady: bool,
}

impl Turn<'_> {
    /// Takes in one fact and does what follows from all of them.
    pub fn take(&mut self, input: Input) {
        self.absorb(input);
        if !self.state.settled {
            self.judge();
            let was_down = self.state.teardown.is_some();
            self.take_down();
            if was_down && self.state.teardown.is_none() {
                // What it held back is looked at now: pause may have died meanwhile.
                self.judge();
                self.take_down();
            }
            self.build_up();
        }
        self.note_verdict();
        self.note_conditions();
    }

    /// Judgements about the facts as they are now.
    pub fn look(&self) -> Look<'_> {
        Look {
            spec: self.spec,
            state: self.state,
            now: self.now.mono,
        }
    }

    /// A fresh operation id.
    pub fn next_op(&mut self) -> OpId {
        let op = OpId(self.state.next_op);
        self.state.next_op = self.state.next_op.saturating_add(1);
        op
    }

    /// Whether `at` has come; if not, the machine wakes then.
    pub fn is_due(&mut self, at: Mono) -> bool {
        if self.now.mono >= at {
            return true;
        }
        self.wake = Some(self.wake.map_or(at, |wake| wake.min(at)));
        false
    }

    /// The moment after the retry pause.
    pub fn retry_at(&self) -> Mono {
        self.now.mono + self.settings.retry
    }

    /// Appends to the event log what is normal. What went wrong before with the same container is told anew if it comes again.
    pub fn tell(&mut self, reason: &str, container: Option<usize>, message: &str) {
        self.state.told.retain(|told| told.container != container);
        self.announce(false, reason, container, message);
    }

    /// Appends to the event log what is a problem. The same again and again is told the 1st, 2nd, 4th, 8th, … time, with the
    /// count, as Kubernetes aggregates events: what is tried for ever must not fill the disk.
    pub fn warn(&mut self, reason: &str, container: Option<usize>, message: &str) {
        let message = one_line(message);
        let told = &mut self.state.told;
        let same = |told: &&mut Told| told.reason == reason && told.container == container;
        let count = match told.iter_mut().find(same) {
            Some(told) if told.message == message => {
                told.count = told.count.saturating_add(1);
                told.count
            }
            other => {
                let new = Told {
                    reason: reason.to_owned(),
                    container,
                    message: message.to_owned(),
                    count: 1,
                };
                match other {
                    Some(told) => *told = new,
                    None => self.state.told.push(new),
                }
                1
            }
        };
        if count == 1 {
            self.announce(true, reason, container, message);
        } else if count.is_power_of_two() {
            let text = format!("{message} (seen {count} times)");
            self.announce(true, reason, container, &text);
        }
    }

    fn announce(&mut self, warning: bool, reason: &str, container: Option<usize>, message: &str) {
        let event = Event {
            seq: self.state.next_event,
            at: self.now,
            warning,
            reason: reason.to_owned(),
            container: container.map(|k| self.spec.containers[k].name.clone()),
            message: one_line(message).to_owned(),
        };
        self.state.next_event = self.state.next_event.saturating_add(1);
        self.actions.push(Action::Announce(event));
    }

    /// Makes the phase of this moment final if it is terminal.
    pub fn note_verdict(&mut self) {
        let phase = self.look().phase();
        match phase {
            Phase::Pending | Phase::Running => {}
            Phase::Succeeded | Phase::Failed => self.decide(phase, "", ""),
        }
    }

    /// Gives the pod its terminal phase, unless it has one.
    pub fn decide(&mut self, phase: Phase, reason: &str, message: &str) {
        self.state.verdict.get_or_insert_with(|| Verdict {
            phase,
            reason: reason.to_owned(),
            message: message.to_owned(),
        });
    }
}
