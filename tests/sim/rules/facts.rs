//! Rules about what the machine says is so, after each step and at rest.

use super::{Rules, ensure};
use crate::world::{Being, Check, World};
use podshim::base::{Exit, InstanceId};
use podshim::manifest::Role;
use podshim::pod::{
    Action, ContainerState, Input, InstanceKind, Phase, PodView, State, Terminated,
};

fn restarts_all(container: &podshim::manifest::Container) -> bool {
    let all = podshim::manifest::RestartAction::RestartAllContainers;
    container
        .restart_rules
        .iter()
        .any(|rule| rule.action == all)
}

impl Rules {
    pub fn after_step(&mut self, world: &World, disk: &State) -> Check {
        let machine = world.machine.as_ref().ok_or("nobody is there")?;
        ensure(machine.state() == disk, "what changed is written down", ())?;
        let view = self.view.take().ok_or("nobody was there")?;
        self.phase_stays(&view)?;
        self.is_up = view.conditions.first().is_some_and(|ready| ready.is_true);
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

    pub(super) fn phase_stays(&mut self, view: &PodView) -> Check {
        if let Some(before @ (Phase::Succeeded | Phase::Failed)) = self.phase {
            ensure(view.phase == before, "a terminal phase stays", view.phase)?;
        }
        self.phase = Some(view.phase);
        Ok(())
    }

    /// I5: one exit per instance, the world's.
    pub(super) fn ended(&mut self, world: &World, name: &str, end: &Terminated) -> Check {
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
            "RestartingAllContainers" => {
                end.exit_code == 137 && world.pod.containers.iter().any(restarts_all)
            }
            "ContainerStatusUnknown" => self.unseen.contains(id) && end.exit_code == 137,
            _ => match (body.exit, body.being) {
                (Some(exit), _) | (None, Being::Ended(exit)) => exit.code() == end.exit_code,
                (None, _) => false,
            },
        };
        let zero = end.reason != "Completed" || body.exit == Some(Exit::Code(0));
        ensure(truth && zero, "I5 the end is the world's", (end, body))?;
        self.ends.insert(id.clone(), end.clone());
        if end.reason == "RestartingAllContainers" {
            return Ok(());
        }
        let at = end.finished_at.0 + world.now.mono.0 - world.now.wall.0;
        let (delay, _) = self.backoff.get(name).copied().unwrap_or((None, 0));
        let ran = end
            .started_at
            .map_or(0, |started| end.finished_at.0 - started.0);
        let delay = delay.filter(|_| ran <= 600_000);
        let next = delay.map_or(10_000, |delay| (2 * delay).min(300_000));
        let trigger = self.health.trigger.as_deref();
        let until = match trigger.is_none_or(|trigger| trigger == name) {
            true => at + delay.unwrap_or(0),
            false => 0,
        };
        self.backoff.insert(name.to_owned(), (Some(next), until));
        Ok(())
    }

    /// I4: a kill always comes when the grace is over, at most the two seconds of a late signal after it.
    pub(super) fn is_killed_in_time(&self, world: &World, id: &InstanceId, started: u64) -> Check {
        let Some(stop) = self.stop else {
            return Ok(());
        };
        let limit = stop.grace_end.max(started).max(self.revived) + 2000;
        let in_time = world.now.mono.0 < limit || self.killed.contains(id);
        ensure(in_time, "I4 a kill when the grace is over", id)
    }

    /// I9: when nothing goes wrong any more, the pod is over or its sandbox is up.
    pub fn in_peace(&self) -> Check {
        let is_over = matches!(self.phase, Some(Phase::Succeeded | Phase::Failed));
        ensure(is_over || self.is_up, "I9 the pod gets on", self.phase)
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
            (_, Role::Sidecar | Role::Ephemeral) => true,
            (ContainerState::Terminated(end), Role::App) => end.exit_code == 0,
            (ContainerState::Terminated(end), Role::Init) => !bad_init(end),
            (ContainerState::Waiting { .. } | ContainerState::Running { .. }, role) => {
                role == Role::Init
            }
        });
        // One that was stopped between two rounds of its containers has failed, however the round before ended.
        let pauses = world
            .bodies
            .values()
            .filter(|b| b.kind == InstanceKind::Pause);
        let rounds = pauses.count() > 1 || world.pod.containers.iter().any(restarts_all);
        let between = view.deletion.is_some() && rounds;
        if between && view.phase == Phase::Failed {
            return Ok(());
        }
        let expected = if well && view.reason.is_empty() {
            Phase::Succeeded
        } else {
            Phase::Failed
        };
        ensure(view.phase == expected, "the phase follows the ends", &view)
    }
}
