//! The invariants I1-I10, asserted against the world after every step. Nothing here is shared with the machine.

use crate::world::{Being, Check, World};
use podshim::base::{Exit, InstanceId};
use podshim::manifest::Role;
use podshim::pod::{
    Action, ContainerState, Input, InstanceKind, Observed, OpId, Outcome, Phase, PodView, Request,
    RequestId, State, Terminated,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a stop request, once answered, allows.
#[derive(Clone, Copy, Debug)]
struct Stop {
    grace_end: u64,
    force: bool,
    /// Nothing was being taken down before it, so that its grace is the only one.
    is_first: bool,
}

/// What was seen so far.
#[derive(Debug, Default)]
pub struct Rules {
    /// Containers with an instance in this sandbox.
    begun: BTreeSet<String>,
    attempts: BTreeMap<String, (u32, InstanceId)>,
    ends: BTreeMap<InstanceId, Terminated>,
    failed: BTreeSet<InstanceId>,
    unseen: BTreeSet<InstanceId>,
    of_op: BTreeMap<OpId, InstanceId>,
    asked: BTreeMap<RequestId, (u64, Option<u64>, bool)>,
    stop: Option<Stop>,
    signalled: BTreeMap<InstanceId, u64>,
    killed: BTreeSet<InstanceId>,
    /// Container → (next delay, not before), milliseconds.
    backoff: BTreeMap<String, (Option<u64>, u64)>,
    revived: u64,
    phase: Option<Phase>,
    /// After the step whose actions are being done.
    view: Option<PodView>,
    next_seq: u64,
}

fn ensure(fact: bool, rule: &str, what: impl std::fmt::Debug) -> Check {
    if fact {
        return Ok(());
    }
    Err(format!("{rule}: {what:?}"))
}

impl Rules {
    fn view(&self) -> Result<&PodView, String> {
        self.view.as_ref().ok_or_else(|| "nobody is there".into())
    }

    pub fn before_actions(&mut self, world: &World, input: &Input, actions: &[Action]) -> Check {
        self.view = world.machine.as_ref().map(|machine| machine.view());
        let persists = actions.iter().filter(|a| **a == Action::Persist).count();
        let first = actions.first() == Some(&Action::Persist);
        ensure(
            persists == usize::from(first),
            "Persist comes once and first",
            actions,
        )?;
        match input {
            Input::Request { id, request } => {
                if let Request::Stop {
                    grace_seconds,
                    force,
                } = request
                {
                    let asked = (world.now.mono.0, *grace_seconds, *force);
                    self.asked.insert(*id, asked);
                }
            }
            Input::Done { op, outcome } => {
                if let (Outcome::Failed(_), Some(id)) = (outcome, self.of_op.get(op)) {
                    self.failed.insert(id.clone());
                }
            }
            Input::Recovered(seen) => {
                self.revived = world.now.mono.0;
                self.asked.clear();
                for (id, observed) in seen {
                    if !matches!(observed, Observed::Running { .. } | Observed::Gone { .. }) {
                        self.unseen.insert(id.clone());
                    }
                }
            }
            Input::Exited { .. } | Input::Timer => {}
        }
        Ok(())
    }

    pub fn on_action(&mut self, world: &World, action: &Action) -> Check {
        match action {
            Action::Persist => self.note_stops(world),
            Action::Prepare { .. } => self.begins_something(action),
            Action::EnsureImage { .. } => self.begins_something(action),
            Action::Create { op, instance, kind } => {
                self.begins_something(action)?;
                self.of_op.insert(*op, instance.clone());
                self.create(world, instance, kind)
            }
            Action::Start { op, instance } => {
                self.begins_something(action)?;
                self.of_op.insert(*op, instance.clone());
                self.alone(world, instance)?;
                let pause = self.view()?.sandbox.as_ref().map(|s| s.pause.clone());
                let is_pause = world.bodies.get(instance).map(|body| &body.kind);
                if is_pause == Some(&InstanceKind::Pause) {
                    return Ok(());
                }
                let ready = pause.is_some() && world.network_up == pause;
                ensure(ready, "a start waits for the network", instance)
            }
            Action::Delete { op, instance } => {
                self.of_op.insert(*op, instance.clone());
                self.delete(world, instance)
            }
            Action::SetUpNetwork { .. } => {
                self.begins_something(action)?;
                ensure(
                    world.network_up.is_none(),
                    "the network is set up once",
                    action,
                )
            }
            Action::TearDownNetwork { .. } => {
                let mut containers = world
                    .bodies
                    .values()
                    .filter(|b| b.kind != InstanceKind::Pause);
                let used = containers.any(|body| body.being == Being::Running);
                ensure(!used, "the network outlives its users", action)
            }
            Action::Signal { instance, signal } => {
                if signal.number() != 10 {
                    let again = self.signalled.insert(instance.clone(), world.now.mono.0);
                    ensure(
                        again.is_none_or(|at| at <= self.revived),
                        "one stop signal",
                        action,
                    )?;
                    self.sidecar_waits(world, instance)?;
                }
                Ok(())
            }
            Action::Kill { instance } => self.kill(world, instance),
            Action::CleanUp { .. } => {
                let left = world.bodies.values().any(|b| b.being != Being::Removed);
                ensure(
                    !left && world.network_up.is_none(),
                    "I6 clean-up comes last",
                    (),
                )
            }
            Action::Reply { id, result } => self.reply(*id, result.is_ok()),
            Action::Announce(event) => {
                ensure(event.seq >= self.next_seq, "events are numbered", event)?;
                self.next_seq = event.seq + 1;
                ensure(!event.message.contains('\n'), "an event is one line", event)
            }
        }
    }

    fn begins_something(&self, action: &Action) -> Check {
        ensure(
            self.stop.is_none(),
            "I3 nothing begins after a stop",
            action,
        )?;
        let over = matches!(self.phase, Some(Phase::Succeeded | Phase::Failed));
        ensure(!over, "nothing begins after the end", action)
    }

    /// I1: one operation at a time.
    fn alone(&self, world: &World, instance: &InstanceId) -> Check {
        let mut others = world.flights.keys().filter_map(|op| self.of_op.get(op));
        ensure(
            !others.any(|id| id == instance),
            "I1 one operation in flight",
            instance,
        )
    }

    fn create(&mut self, world: &World, id: &InstanceId, kind: &InstanceKind) -> Check {
        ensure(
            !world.bodies.contains_key(id),
            "ids are never used twice",
            id,
        )?;
        let same = |other: &InstanceKind| match (kind, other) {
            (InstanceKind::Pause, InstanceKind::Pause) => true,
            (InstanceKind::Container { name, .. }, InstanceKind::Container { name: n, .. }) => {
                name == n
            }
            (InstanceKind::Pause, InstanceKind::Container { .. })
            | (InstanceKind::Container { .. }, InstanceKind::Pause) => false,
        };
        let mut earlier = world.bodies.values().filter(|body| same(&body.kind));
        let gone = earlier.all(|body| body.being == Being::Removed);
        ensure(gone, "I1 one instance at a time", id)?;
        let InstanceKind::Container { name, attempt } = kind else {
            ensure(!world.clean, "pause comes after the preparation", id)?;
            self.begun.clear();
            for (name, (_, until)) in &mut self.backoff {
                let role = world.pod.container(name).map(|c| c.role);
                *until = if role == Some(Role::App) { *until } else { 0 };
            }
            return self.others_gone(world, &Action::Persist);
        };
        let view = self.view()?;
        ensure(
            view.sandbox.is_some(),
            "I2 no create without a live pause",
            id,
        )?;
        self.in_order(world, view, name)?;
        self.counted(name, *attempt, id)?;
        self.begun.insert(name.clone());
        let until = self.backoff.get(name).map_or(0, |(_, until)| *until);
        ensure(world.now.mono.0 >= until, "I8 back-off", id)
    }

    /// I7: what comes before is done.
    fn in_order(&self, world: &World, view: &PodView, name: &str) -> Check {
        let role = |name: &str| world.pod.container(name).map(|c| c.role);
        let apps_begun = self.begun.iter().any(|n| role(n) == Some(Role::App));
        for before in view.containers.iter().take_while(|c| c.name != name) {
            let ready = match before.role {
                Role::App => true,
                Role::Init => matches!(
                    &before.state,
                    ContainerState::Terminated(end) if end.exit_code == 0 && end.reason != "OOMKilled"
                ),
                Role::Sidecar => {
                    apps_begun
                        || self.begun.contains(name)
                        || matches!(before.state, ContainerState::Running { .. })
                        || self.later_begun(view, &before.name)
                }
            };
            ensure(ready, "I7 containers come in order", (name, &before.name))?;
        }
        let late = apps_begun && role(name) == Some(Role::Init);
        ensure(!late, "I7 init containers never run after apps", name)
    }

    fn later_begun(&self, view: &PodView, name: &str) -> bool {
        let mut later = view
            .containers
            .iter()
            .skip_while(|c| c.name != name)
            .skip(1);
        later.any(|c| self.begun.contains(&c.name))
    }

    /// `restartCount` grows by one exactly when the instance before has a recorded end.
    fn counted(&mut self, name: &str, attempt: u32, id: &InstanceId) -> Check {
        let expected = self.attempts.get(name).map_or(0, |(last, before)| {
            last + u32::from(self.ends.contains_key(before))
        });
        ensure(
            attempt == expected,
            "restarts are counted",
            (id, attempt, expected),
        )?;
        self.attempts.insert(name.to_owned(), (attempt, id.clone()));
        Ok(())
    }

    fn delete(&mut self, world: &World, id: &InstanceId) -> Check {
        self.alone(world, id)?;
        let Some(body) = world.bodies.get(id) else {
            // Written down, and then the supervisor died before it asked for it.
            return ensure(self.unseen.contains(id), "deleted what never was", id);
        };
        if body.kind == InstanceKind::Pause {
            ensure(
                world.network_up.is_none(),
                "the network goes before pause",
                id,
            )?;
            return self.others_gone(world, &Action::Persist);
        }
        let is_judged = self.ends.contains_key(id) || self.unseen.contains(id);
        let harmless = is_judged || self.failed.contains(id) || body.being != Being::Running;
        ensure(harmless, "a running container is not deleted", id)
    }

    /// I2, I10: nothing of the containers is left, and nothing of theirs is in flight.
    fn others_gone(&self, world: &World, action: &Action) -> Check {
        let mut others = world
            .bodies
            .iter()
            .filter(|(_, b)| b.kind != InstanceKind::Pause);
        let gone = others.all(|(_, body)| body.being == Being::Removed);
        ensure(gone, "I2 the sandbox outlives the containers", action)?;
        let busy = world.flights.values().any(|flight| {
            matches!(
                &flight.action,
                Action::Create {
                    kind: InstanceKind::Container { .. },
                    ..
                }
            )
        });
        ensure(!busy, "I10 pause outlives every create", action)
    }

    /// A sidecar is signalled after the app containers and the later sidecars, or when the grace is over.
    fn sidecar_waits(&self, world: &World, id: &InstanceId) -> Check {
        let view = self.view()?;
        let Some(at) = view
            .containers
            .iter()
            .position(|c| c.instance.as_ref() == Some(id))
        else {
            return Err(format!("a signal for what is not there: {id}"));
        };
        let now = world.now.mono.0;
        let over = self
            .stop
            .is_none_or(|stop| !stop.is_first || now >= stop.grace_end);
        if view.containers[at].role != Role::Sidecar || over {
            return Ok(());
        }
        let is_running =
            |c: &podshim::pod::ContainerView| matches!(c.state, ContainerState::Running { .. });
        let later = view.containers.iter().skip(at + 1);
        let waits = later.filter(|c| c.role != Role::Init).any(is_running);
        ensure(!waits, "sidecars go last, in reverse order", id)
    }

    fn kill(&mut self, world: &World, id: &InstanceId) -> Check {
        self.killed.insert(id.clone());
        let now = world.now.mono.0;
        if self.stop.is_some_and(|stop| stop.force) {
            return Ok(());
        }
        let Some(signal_at) = self.signalled.get(id) else {
            return Err(format!("I4 a kill without a signal: {id}"));
        };
        ensure(now >= signal_at + 2000, "I4 two seconds at least", id)?;
        match self.stop {
            Some(stop) if stop.is_first => {
                ensure(now >= stop.grace_end, "I4 no kill within the grace", id)
            }
            _ => Ok(()),
        }
    }

    fn reply(&mut self, id: RequestId, accepted: bool) -> Check {
        if self.asked.remove(&id).is_none() {
            return Ok(());
        }
        let settled = self.view()?.settled;
        ensure(accepted != settled, "a stop is accepted until the end", id)
    }

    /// A request holds from the moment it is written down, answered or not.
    fn note_stops(&mut self, world: &World) -> Check {
        let has_sandbox = self.view()?.sandbox.is_some();
        for (at, grace, force) in self.asked.values().copied() {
            let own = world.pod.termination_grace_period_seconds;
            let end = at + 1000 * grace.unwrap_or(own);
            let is_up = matches!(self.phase, None | Some(Phase::Pending | Phase::Running));
            let quiet = has_sandbox && self.signalled.is_empty() && is_up;
            let old = self.stop;
            self.stop = Some(Stop {
                grace_end: old.map_or(end, |stop| stop.grace_end.min(end)),
                force: force || old.is_some_and(|stop| stop.force),
                is_first: old.map_or(quiet, |stop| stop.is_first),
            });
        }
        Ok(())
    }

    pub fn after_step(&mut self, world: &World, disk: &State) -> Check {
        let machine = world.machine.as_ref().ok_or("nobody is there")?;
        ensure(machine.state() == disk, "what changed is written down", ())?;
        let view = self.view.take().ok_or("nobody was there")?;
        self.phase_stays(&view)?;
        for container in &view.containers {
            if let ContainerState::Terminated(end) = &container.state {
                self.ended(world, &container.name, end)?;
            }
            if let Some(end) = &container.last_state {
                self.ended(world, &container.name, end)?;
            }
            if let (ContainerState::Running { started_at }, Some(id)) =
                (&container.state, &container.instance)
            {
                let started = started_at.0 + world.now.mono.0 - world.now.wall.0;
                self.is_killed_in_time(world, id, started)?;
            }
        }
        ensure(
            machine.next_deadline().is_none_or(|at| at > world.now.mono),
            "no timer in the past",
            (),
        )?;
        if world.steps.is_multiple_of(16) {
            let again = machine.clone().step(world.now, Input::Timer);
            ensure(again.is_empty(), "one step does all there is to do", again)?;
        }
        Ok(())
    }

    fn phase_stays(&mut self, view: &PodView) -> Check {
        if let Some(before @ (Phase::Succeeded | Phase::Failed)) = self.phase {
            ensure(view.phase == before, "a terminal phase stays", view.phase)?;
        }
        self.phase = Some(view.phase);
        Ok(())
    }

    /// I5: one exit per instance, the world's.
    fn ended(&mut self, world: &World, name: &str, end: &Terminated) -> Check {
        let id = &end.instance;
        if let Some(before) = self.ends.get(id) {
            return ensure(before == end, "I5 an end does not change", (before, end));
        }
        let Some(body) = world.bodies.get(id) else {
            return ensure(
                id.0.is_empty() && end.exit_code == 137,
                "I5 an end of nothing",
                end,
            );
        };
        let truth = match end.reason.as_str() {
            "StartError" => self.failed.contains(id) && end.exit_code == 128,
            "ContainerStatusUnknown" => self.unseen.contains(id) && end.exit_code == 137,
            _ => match (body.exit, body.being) {
                (Some(exit), _) | (None, Being::Ended(exit)) => exit.code() == end.exit_code,
                (None, _) => false,
            },
        };
        let zero = end.reason != "Completed" || body.exit == Some(Exit::Code(0));
        ensure(truth && zero, "I5 the end is the world's", (end, body))?;
        self.ends.insert(id.clone(), end.clone());
        let at = end.finished_at.0 + world.now.mono.0 - world.now.wall.0;
        let (delay, _) = self.backoff.get(name).copied().unwrap_or((None, 0));
        let ran = end
            .started_at
            .map_or(0, |started| end.finished_at.0 - started.0);
        let delay = delay.filter(|_| ran <= 600_000);
        let next = delay.map_or(10_000, |delay| (2 * delay).min(300_000));
        let until = at + delay.unwrap_or(0);
        self.backoff.insert(name.to_owned(), (Some(next), until));
        Ok(())
    }

    /// I4: a kill always comes when the grace is over, at most the two seconds of a late signal after it.
    fn is_killed_in_time(&self, world: &World, id: &InstanceId, started: u64) -> Check {
        let Some(stop) = self.stop else {
            return Ok(());
        };
        let limit = stop.grace_end.max(started).max(self.revived) + 2000;
        let in_time = world.now.mono.0 < limit || self.killed.contains(id);
        ensure(in_time, "I4 a kill when the grace is over", id)
    }

    /// I6, I9: it came to rest and left nothing.
    pub fn at_rest(&self, world: &World) -> Check {
        let machine = world.machine.as_ref().ok_or("nobody is there")?;
        let view = machine.view();
        ensure(view.settled, "I9 the pod comes to rest", &view)?;
        let left: Vec<_> = world
            .bodies
            .iter()
            .filter(|(_, b)| b.being != Being::Removed)
            .collect();
        ensure(left.is_empty(), "I6 no instance is left", left)?;
        ensure(
            world.network_up.is_none() && world.clean,
            "I6 nothing is left",
            (),
        )?;
        let flights = world.flights.values();
        let busy = flights
            .filter(|f| !matches!(f.action, Action::EnsureImage { .. }))
            .count();
        ensure(busy == 0, "I6 nothing is in flight", busy)?;
        ensure(
            machine.next_deadline().is_none(),
            "nothing is waited for",
            (),
        )?;
        let bad_init = |end: &Terminated| end.exit_code != 0 || end.reason == "OOMKilled";
        let well = view.containers.iter().all(|c| match (&c.state, c.role) {
            (_, Role::Sidecar) => true,
            (ContainerState::Terminated(end), Role::App) => end.exit_code == 0,
            (ContainerState::Terminated(end), Role::Init) => !bad_init(end),
            (ContainerState::Waiting { .. } | ContainerState::Running { .. }, role) => {
                role == Role::Init
            }
        });
        let expected = if well && view.reason.is_empty() {
            Phase::Succeeded
        } else {
            Phase::Failed
        };
        ensure(view.phase == expected, "the phase follows the ends", &view)
    }
}
