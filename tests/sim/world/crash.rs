//! The supervisor dies and comes back; what was in flight happened or did not.

use super::{Being, Check, Event, World};
use podshim::pod::{Input, Machine, Observed, OpId, State};

impl World<'_> {
    pub(super) fn crash(&mut self) {
        self.note(|| "  the supervisor dies".into());
        self.fuse = None;
        self.machine = None;
        self.life += 1;
        let ops: Vec<OpId> = self.flights.keys().copied().collect();
        for op in ops {
            if self.random.chance(500) {
                self.take_effect(op);
            }
        }
        self.flights.clear();
        let at = self.now.mono.0 + self.random.span(14);
        self.plan(at, Event::Revive);
    }

    pub(super) fn revive(&mut self) -> Check {
        let text = serde_json::to_string(&self.disk).map_err(|e| e.to_string())?;
        let state: State = serde_json::from_str(&text).map_err(|e| e.to_string())?;
        if state != self.disk {
            return Err("the state does not survive being written down".into());
        }
        let machine = Machine::restore(self.pod, self.settings.clone(), state);
        let seen = machine.instances();
        self.machine = Some(machine);
        let seen = seen.into_iter().map(|id| {
            let being = self
                .bodies
                .get(&id)
                .map_or(Being::Nothing, |body| body.being);
            let blind = self.faults && self.random.chance(60);
            let observed = match being {
                _ if blind => Observed::Unknown,
                Being::Nothing | Being::Removed => Observed::Absent,
                Being::Created => Observed::Created { pid: 7 },
                Being::Running => Observed::Running { pid: 7 },
                Being::Ended(exit) => Observed::Gone {
                    exit,
                    oom_killed: false,
                },
            };
            (id, observed)
        });
        let seen = seen.collect();
        self.step(Input::Recovered(seen))
    }
}
