//! A journal of what a machine heard, and the machine that hears it again: the same inputs give the same state, or the first
//! difference is said.

use crate::base::Now;
use crate::manifest::Pod;
use crate::pod::{Action, Event, Input, Machine, Settings, State};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// One line of a journal. Generic so that it is written without copying what it is about.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum Entry<S = State, I = Input> {
    /// From here on a machine with this state heard what follows.
    Begin {
        /// Why the state is written down here.
        why: Begun,
        /// When.
        at: Now,
        /// Version of the program whose rules applied.
        version: String,
        /// The machine's state at that moment.
        state: S,
    },
    /// The machine heard this.
    Heard {
        /// When.
        at: Now,
        /// What.
        input: I,
    },
    /// A line that cannot be read. Never written.
    #[serde(skip)]
    Torn,
}

/// Why a journal has a state at some place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begun {
    /// The pod is new.
    Start,
    /// A new supervisor found this state.
    Restart,
    /// The journal grew too long: what is older may be missing.
    Cut,
    /// Something before this could not be written.
    Gap,
}

/// How a replay ended.
#[derive(Debug, Default)]
pub struct Replayed {
    /// The state at the end; `None` if the journal has no state to begin with.
    pub state: Option<State>,
    /// Inputs heard again.
    pub inputs: usize,
    /// New supervisors.
    pub restarts: usize,
    /// Places where the journal lacks something, so that nothing could be compared.
    pub gaps: usize,
    /// Whether it begins with the pod's first moment.
    pub from_start: bool,
    /// Version of the program that wrote the last part.
    pub version: String,
    /// The events that were announced, by number.
    pub events: BTreeMap<u64, Event>,
    /// The first place where the machine came to something else than the one that was recorded.
    pub difference: Option<Difference>,
    /// After so many inputs the state was the one to compare with; the last such place.
    matched_at: Option<usize>,
}

/// Something that is not as it was.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Inputs heard before it showed.
    pub after: usize,
    /// Where: a path in the state, or an event.
    pub path: String,
    /// What was recorded.
    pub recorded: String,
    /// What the replay came to.
    pub replayed: String,
}

/// How the state of a replay compares with the one that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They are the same.
    Identical,
    /// They were the same before the last so many inputs, which the one that was found has not seen yet.
    Behind(usize),
    /// They differ.
    Different(Difference),
}

/// Hears a journal again. `found` is what to compare with; `seen` is shown each step with the machine after it.
pub fn replay(
    pod: &Pod,
    settings: &Settings,
    entries: &[Entry],
    found: Option<&State>,
    mut seen: impl FnMut(Now, &Machine, Option<&Input>, &[Action]),
) -> Replayed {
    let mut replayed = Replayed::default();
    let mut machine: Option<Machine> = None;
    // What the last input changed: a supervisor that died with it has lost it.
    let mut before: Option<(State, Vec<u64>)> = None;
    for (n, entry) in entries.iter().enumerate() {
        match entry {
            Entry::Torn => {
                machine = None;
                replayed.gaps += 1;
            }
            Entry::Begin {
                why,
                at,
                version,
                state,
            } => {
                replayed.from_start |= n == 0 && *why == Begun::Start;
                replayed.restarts += usize::from(*why == Begun::Restart);
                replayed.gaps += usize::from(*why == Begun::Gap);
                version.clone_into(&mut replayed.version);
                let lost = before.take().filter(|(old, _)| old == state);
                if let Some(machine) = machine.as_ref().filter(|_| *why != Begun::Gap) {
                    match lost {
                        _ if machine.state() == state => {}
                        Some((_, events)) if *why == Begun::Restart => {
                            events.iter().for_each(|n| drop(replayed.events.remove(n)));
                        }
                        Some(_) | None => {
                            let after = replayed.inputs;
                            let difference = between(after, state, machine.state());
                            replayed.difference.get_or_insert(difference);
                        }
                    }
                }
                let next = Machine::restore(pod, settings.clone(), state.clone());
                seen(*at, &next, None, &[]);
                machine = Some(next);
            }
            Entry::Heard { at, input } => {
                let Some(machine) = &mut machine else {
                    continue;
                };
                let old = machine.state().clone();
                let actions = machine.step(*at, input.clone());
                replayed.inputs += 1;
                let mut announced = Vec::new();
                for action in &actions {
                    if let Action::Announce(event) = action {
                        announced.push(event.seq);
                        replayed.events.insert(event.seq, event.clone());
                    }
                }
                before = Some((old, announced));
                seen(*at, machine, Some(input), &actions);
            }
        }
        let here = machine.as_ref().map(Machine::state);
        if found.is_some() && here == found {
            replayed.matched_at = Some(replayed.inputs);
        }
    }
    replayed.state = machine.map(|machine| machine.state().clone());
    replayed
}

impl Replayed {
    /// Compares with the state that was found: the one given to [`replay`].
    pub fn compare(&self, found: &State) -> Option<Comparison> {
        if let Some(difference) = &self.difference {
            return Some(Comparison::Different(difference.clone()));
        }
        let state = self.state.as_ref()?;
        Some(match self.matched_at {
            Some(at) if at == self.inputs => Comparison::Identical,
            Some(at) => Comparison::Behind(self.inputs - at),
            None => Comparison::Different(between(self.inputs, found, state)),
        })
    }

    /// The first event of a log that the replay announced otherwise. Events it did not announce at all were announced where the
    /// journal says nothing.
    pub fn compare_events(&self, log: &[Event]) -> Option<Difference> {
        let other = |event: &&Event| self.events.get(&event.seq).is_some_and(|own| own != *event);
        let event = log.iter().find(other)?;
        let text = |event: &Event| format!("{} {}", event.reason, event.message);
        Some(Difference {
            after: self.inputs,
            path: format!("event {}", event.seq),
            recorded: text(event),
            replayed: self.events.get(&event.seq).map(text).unwrap_or_default(),
        })
    }
}

/// The first place where two states differ.
fn between(after: usize, recorded: &State, replayed: &State) -> Difference {
    let value = |state: &State| serde_json::to_value(state).unwrap_or_default();
    let (recorded, replayed) = (value(recorded), value(replayed));
    let (path, recorded, replayed) =
        first("state".into(), &recorded, &replayed).unwrap_or_default();
    Difference {
        after,
        path,
        recorded,
        replayed,
    }
}

fn first(path: String, a: &Value, b: &Value) -> Option<(String, String, String)> {
    match (a, b) {
        (a, b) if a == b => None,
        (Value::Object(a), Value::Object(b)) => a
            .keys()
            .chain(b.keys())
            .find_map(|key| first(format!("{path}.{key}"), of(a.get(key)), of(b.get(key)))),
        (Value::Array(a), Value::Array(b)) => (0..a.len().max(b.len()))
            .find_map(|k| first(format!("{path}[{k}]"), of(a.get(k)), of(b.get(k)))),
        (a, b) => Some((path, a.to_string(), b.to_string())),
    }
}

fn of(value: Option<&Value>) -> &Value {
    value.unwrap_or(&Value::Null)
}
