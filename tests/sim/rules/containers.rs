//! Rules about single actions on instances: one at a time, in order, after their back-off.

use super::{Rules, ensure};
use crate::world::{Being, Check, World};
use podshim::base::InstanceId;
use podshim::manifest::Role;
use podshim::pod::{Action, ContainerState, InstanceKind, PodView};

impl Rules {
    /// I1: one operation at a time.
    pub(super) fn alone(&self, world: &World, instance: &InstanceId) -> Check {
        let mut others = world.flights.keys().filter_map(|op| self.of_op.get(op));
        ensure(
            !others.any(|id| id == instance),
            "I1 one operation in flight",
            instance,
        )
    }

    pub(super) fn create(&mut self, world: &World, id: &InstanceId, kind: &InstanceKind) -> Check {
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
            let mut old = world.bodies.values().filter(|body| !same(&body.kind));
            let gone = old.all(|body| body.being == Being::Removed);
            return ensure(
                gone,
                "nothing of the old containers is in a new sandbox",
                id,
            );
        };
        let view = self.view()?;
        ensure(
            view.sandbox.is_some(),
            "I2 no create without the namespaces of pause",
            id,
        )?;
        self.in_order(world, view, name)?;
        self.counted(name, *attempt, id)?;
        self.begun.insert(name.clone());
        self.health.trigger = None;
        let until = self.backoff.get(name).map_or(0, |(_, until)| *until);
        ensure(world.now.mono.0 >= until, "I8 back-off", id)
    }

    /// I7: what comes before is done.
    pub(super) fn in_order(&self, world: &World, view: &PodView, name: &str) -> Check {
        let role = |name: &str| world.pod.container(name).map(|c| c.role);
        let apps_begun = self.begun.iter().any(|n| role(n) == Some(Role::App));
        for before in view.containers.iter().take_while(|c| c.name != name) {
            let ready = match before.role {
                Role::App | Role::Ephemeral => true,
                Role::Init => matches!(
                    &before.state,
                    ContainerState::Terminated(end) if end.exit_code == 0 && end.reason != "OOMKilled"
                ),
                Role::Sidecar => {
                    apps_begun
                        || self.begun.contains(name)
                        || (before.started
                            && matches!(before.state, ContainerState::Running { .. }))
                        || self.later_begun(view, &before.name)
                }
            };
            ensure(ready, "I7 containers come in order", (name, &before.name))?;
        }
        let late = apps_begun && role(name) == Some(Role::Init);
        ensure(!late, "I7 init containers never run after apps", name)
    }

    pub(super) fn later_begun(&self, view: &PodView, name: &str) -> bool {
        let mut later = view
            .containers
            .iter()
            .skip_while(|c| c.name != name)
            .skip(1);
        later.any(|c| self.begun.contains(&c.name))
    }

    /// `restartCount` grows by one exactly when the instance before has a recorded end.
    pub(super) fn counted(&mut self, name: &str, attempt: u32, id: &InstanceId) -> Check {
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

    pub(super) fn delete(&mut self, world: &World, id: &InstanceId) -> Check {
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

    /// I2, I10: no process of a container is left, and no create of one is in flight. Its files may still be removed.
    pub(super) fn others_gone(&self, world: &World, action: &Action) -> Check {
        let mut others = world
            .bodies
            .iter()
            .filter(|(_, b)| b.kind != InstanceKind::Pause);
        let gone = others.all(|(_, body)| matches!(body.being, Being::Ended(_) | Being::Removed));
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
    pub(super) fn sidecar_waits(&self, world: &World, id: &InstanceId) -> Check {
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
}
