//! The invariants I1-I10, asserted against the world after every step. Nothing here is shared with the machine.

mod containers;
mod facts;
mod health;

use crate::world::{Being, Check, World};
use podshim::base::InstanceId;
use podshim::manifest::HookKind;
use podshim::pod::{
    Action, DiskUse, Input, InstanceKind, Observed, OpId, Outcome, Phase, PodView, Request,
    RequestId, Terminated,
};
use std::collections::{BTreeMap, BTreeSet};

/// What a stop request, once answered, allows.
#[derive(Clone, Copy, Debug)]
struct Stop {
    grace: u64,
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
    health: health::Health,
    killed: BTreeSet<InstanceId>,
    /// Container → (next delay, not before), milliseconds.
    backoff: BTreeMap<String, (Option<u64>, u64)>,
    revived: u64,
    phase: Option<Phase>,
    /// The sandbox was ready when last seen.
    is_up: bool,
    /// After the step whose actions are being done.
    view: Option<PodView>,
    next_seq: u64,
    /// It was told to use more of the disk than it may.
    was_over: bool,
    was_evicted: bool,
    /// A measurement is asked for and has not come.
    is_measured: bool,
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
        self.note_restarts(world)?;
        let evicted = self.view.as_ref().is_some_and(|v| v.reason == "Evicted");
        ensure(
            !evicted || self.was_over || matches!(input, Input::Measured { .. }),
            "nobody is evicted without a cause",
            input,
        )?;
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
            Input::Probed {
                instance,
                kind,
                answer,
            } => self.health.probed(instance, *kind, answer),
            Input::Done { op, outcome } => {
                self.health.done(*op);
                if let (Outcome::Failed(_), Some(id)) = (outcome, self.of_op.get(op)) {
                    self.failed.insert(id.clone());
                }
            }
            Input::Recovered(seen) => {
                self.revived = world.now.mono.0;
                self.health.revived(self.revived);
                self.is_measured = false;
                self.asked.clear();
                if let Some(stop) = &mut self.stop {
                    stop.grace_end = self.revived + stop.grace;
                }
                for (id, observed) in seen {
                    // Written down before the supervisor died, and perhaps never asked for.
                    let name = id.0.rsplit_once('-').map_or("", |(name, _)| name);
                    self.begun.insert(name.to_owned());
                    if !matches!(observed, Observed::Running { .. } | Observed::Gone { .. }) {
                        self.unseen.insert(id.clone());
                    }
                }
            }
            Input::Measured { used, .. } => self.measured(used)?,
            Input::Exited { .. }
            | Input::Pulling(_)
            | Input::Rejected { .. }
            | Input::Noted { .. }
            | Input::Timer => {}
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
                ensure(ready, "a start waits for the network", instance)?;
                let pause = pause.and_then(|pause| world.bodies.get(&pause));
                let begun = pause.is_some_and(|pause| pause.being != Being::Created);
                ensure(begun, "I2 pause first up", instance)?;
                self.hooks_before(world, instance)
            }
            Action::RunHook {
                op, instance, hook, ..
            } => {
                self.health.told(instance, *hook, world.now.mono.0);
                self.run_hook(world, *op, instance, *hook)
            }
            Action::MeasureDisk { .. } => {
                let limited = !world.pod.volumes.is_empty();
                ensure(limited, "only what is limited is measured", ())?;
                let again = std::mem::replace(&mut self.is_measured, true);
                ensure(!again, "one measurement at a time", ())?;
                self.begins_something(action)
            }
            Action::RunProbe { instance, kind, .. } => self.run_probe(world, instance, *kind),
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
                    self.pre_stop_first(world, instance)?;
                    self.health
                        .told(instance, HookKind::PreStop, world.now.mono.0);
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

    /// Who uses more than it may is evicted, and nobody else.
    fn measured(&mut self, used: &DiskUse) -> Check {
        let is_over = used.volumes.values().any(|b| *b > crate::pods::SIZE_LIMIT);
        let was_up = matches!(self.phase, None | Some(Phase::Pending | Phase::Running));
        let view = self.view()?;
        let evicted = view.reason == "Evicted";
        let failed = view.phase == Phase::Failed;
        ensure(
            !evicted || is_over || self.was_over,
            "nobody is evicted without a cause",
            used,
        )?;
        let is_new = evicted && !self.was_evicted;
        ensure(
            !is_new || self.stop.is_none(),
            "who ends is not evicted",
            view,
        )?;
        self.was_evicted = evicted;
        self.is_measured = false;
        let view = self.view()?;
        if is_over && was_up && self.stop.is_none() && view.deletion.is_none() {
            ensure(evicted && failed, "who takes too much is evicted", view)?;
        }
        self.was_over |= is_over;
        Ok(())
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
            Some(_) => Ok(()),
            None => self.own_grace(world, id),
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
            let grace = 1000 * grace.unwrap_or(own);
            let is_up = matches!(self.phase, None | Some(Phase::Pending | Phase::Running));
            let quiet = has_sandbox && self.health.is_quiet() && is_up;
            let old = self.stop;
            let shorter = old.filter(|stop| stop.grace_end <= at + grace);
            self.stop = Some(Stop {
                grace: shorter.map_or(grace, |stop| stop.grace),
                grace_end: shorter.map_or(at + grace, |stop| stop.grace_end),
                force: force || old.is_some_and(|stop| stop.force),
                is_first: old.map_or(quiet, |stop| stop.is_first),
            });
        }
        Ok(())
    }
}
