//! Rules about probes and hooks, and about containers that are stopped one by one.

use super::{Rules, ensure};
use crate::world::{Being, Check, World};
use podshim::base::InstanceId;
use podshim::manifest::{Container, HookKind, ProbeKind, Role};
use podshim::pod::{InstanceKind, OpId, Phase, ProbeAnswer};
use std::collections::{BTreeMap, BTreeSet};

/// What was seen of probes and hooks.
#[derive(Debug, Default)]
pub struct Health {
    /// Probes in flight.
    probing: BTreeSet<(InstanceId, ProbeKind)>,
    /// Failures in a row, and instances whose startup probe succeeded.
    started_up: BTreeSet<InstanceId>,
    hooks: BTreeMap<OpId, (InstanceId, HookKind)>,
    begun: BTreeSet<(InstanceId, u8)>,
    over: BTreeSet<(InstanceId, u8)>,
    /// When an instance first heard that it is to end.
    told: BTreeMap<InstanceId, u64>,
    revived: u64,
    is_restarting: bool,
    /// Whose end starts all containers again, until the first is there.
    pub trigger: Option<String>,
}

fn key(instance: &InstanceId, hook: HookKind) -> (InstanceId, u8) {
    (instance.clone(), hook as u8)
}

impl Health {
    pub fn probed(&mut self, instance: &InstanceId, kind: ProbeKind, answer: &ProbeAnswer) {
        self.probing.remove(&(instance.clone(), kind));
        if (kind, answer) == (ProbeKind::Startup, &ProbeAnswer::Success) {
            self.started_up.insert(instance.clone());
        }
    }

    pub fn done(&mut self, op: OpId) {
        if let Some((instance, hook)) = self.hooks.get(&op) {
            self.over.insert(key(instance, *hook));
        }
    }

    /// What was in flight is lost, and begun anew; what was to end has its whole grace again.
    pub fn revived(&mut self, now: u64) {
        self.revived = now;
        self.told.values_mut().for_each(|told| *told = now);
        self.probing.clear();
        self.begun.clear();
    }

    pub fn told(&mut self, instance: &InstanceId, hook: HookKind, now: u64) {
        if hook == HookKind::PreStop {
            self.told.entry(instance.clone()).or_insert(now);
        }
    }

    pub fn is_quiet(&self) -> bool {
        self.told.is_empty()
    }
}

fn container<'a>(world: &'a World, instance: &InstanceId) -> Option<&'a Container> {
    match &world.bodies.get(instance)?.kind {
        InstanceKind::Pause => None,
        InstanceKind::Container { name, .. } => world.pod.container(name),
    }
}

impl Rules {
    pub(super) fn run_probe(&mut self, world: &World, id: &InstanceId, kind: ProbeKind) -> Check {
        let Some(container) = container(world, id) else {
            return Err(format!("a probe of nothing: {id}"));
        };
        let exists = container.lifecycle.probe(kind).is_some();
        ensure(exists, "a probe that nobody wants", (id, kind))?;
        let fresh = self.health.probing.insert((id.clone(), kind));
        ensure(fresh, "a probe runs once at a time", (id, kind))?;
        let post_start = container.lifecycle.post_start.is_none()
            || self.health.over.contains(&key(id, HookKind::PostStart));
        ensure(post_start, "probes wait for postStart", (id, kind))?;
        let started = container.lifecycle.startup.is_none() || self.health.started_up.contains(id);
        ensure(
            started || kind == ProbeKind::Startup,
            "probes wait for the startup probe",
            (id, kind),
        )?;
        let dying = self.health.told.contains_key(id);
        ensure(
            !dying || kind == ProbeKind::Readiness,
            "what is to end is not condemned",
            (id, kind),
        )
    }

    pub(super) fn run_hook(
        &mut self,
        world: &World,
        op: OpId,
        id: &InstanceId,
        hook: HookKind,
    ) -> Check {
        self.health.hooks.insert(op, (id.clone(), hook));
        let fresh = self.health.begun.insert(key(id, hook));
        ensure(fresh, "a hook runs once", (id, hook))?;
        let has = container(world, id).is_some_and(|c| match hook {
            HookKind::PostStart => c.lifecycle.post_start.is_some(),
            HookKind::PreStop => c.lifecycle.pre_stop.is_some(),
        });
        ensure(has, "a hook that nobody wants", (id, hook))?;
        let late = self.signalled.get(id).is_some_and(|at| *at > self.revived);
        ensure(!late, "a hook comes before the stop signal", (id, hook))
    }

    /// The app containers before this one have done what they do at their start.
    pub(super) fn hooks_before(&self, world: &World, id: &InstanceId) -> Check {
        let Some(own) = container(world, id).filter(|c| c.role == Role::App) else {
            return Ok(());
        };
        let apps = world.pod.of_role(Role::App);
        let before: Vec<_> = apps.take_while(|c| c.name != own.name).collect();
        for (other, body) in &world.bodies {
            let is_before = container(world, other).is_some_and(|c| before.contains(&c));
            let hook = container(world, other).and_then(|c| c.lifecycle.post_start.as_ref());
            let is_there = matches!(body.being, Being::Created | Being::Running)
                && !self.failed.contains(other)
                && !self.unseen.contains(other);
            if is_before && is_there && hook.is_some() {
                let over = self.health.over.contains(&key(other, HookKind::PostStart));
                ensure(over, "a start waits for the hooks before it", (id, other))?;
            }
        }
        Ok(())
    }

    /// The stop signal comes after the hook, unless there is no time for it.
    pub(super) fn pre_stop_first(&self, world: &World, id: &InstanceId) -> Check {
        let has = container(world, id).is_some_and(|c| c.lifecycle.pre_stop.is_some());
        let no_time = self
            .stop
            .is_some_and(|stop| stop.force || world.now.mono.0 >= stop.grace_end || !stop.is_first);
        let over = self.health.over.contains(&key(id, HookKind::PreStop));
        if !has || no_time || over || self.is_all_ending() {
            return Ok(());
        }
        let told = self.health.told.get(id).copied();
        let grace = least_grace(world);
        let spent = grace == 0 || told.is_some_and(|at| world.now.mono.0 >= at + grace);
        ensure(spent, "the hook comes before the stop signal", id)
    }

    /// Without a request nobody is killed before the shortest grace there is; a sidecar may have waited through it.
    pub(super) fn own_grace(&self, world: &World, id: &InstanceId) -> Check {
        let is_sidecar = container(world, id).is_none_or(|c| c.role == Role::Sidecar);
        let told = self.health.told.get(id);
        let Some(told) = told.filter(|_| !is_sidecar) else {
            return Ok(());
        };
        let in_time = world.now.mono.0 >= told + least_grace(world);
        ensure(
            in_time || self.is_all_ending(),
            "I4 no kill within the grace",
            id,
        )
    }

    /// Everything ends, perhaps since before this instance ran, or has no grace.
    fn is_all_ending(&self) -> bool {
        let over = matches!(self.phase, Some(Phase::Succeeded | Phase::Failed));
        over || !self.is_up || self.health.is_restarting
    }

    /// All containers start again: in order, and nobody waits for an end of its own but the one that wanted it.
    pub(super) fn note_restarts(&mut self, world: &World) -> Check {
        let mut conditions = self.view()?.conditions.iter();
        if !conditions.any(|c| c.kind == "AllContainersRestarting" && c.is_true) {
            return Ok(());
        }
        // Only the first container has such a rule.
        let trigger = &world.pod.containers[0].name;
        self.begun.clear();
        self.health.is_restarting = true;
        self.health.trigger = Some(trigger.clone());
        for (name, (_, until)) in &mut self.backoff {
            *until = if name == trigger { *until } else { 0 };
        }
        Ok(())
    }
}

/// The shortest grace that a container may get without a request, in milliseconds.
fn least_grace(world: &World) -> u64 {
    let probes = world.pod.containers.iter().flat_map(|c| {
        let all = [&c.lifecycle.startup, &c.lifecycle.liveness];
        all.into_iter().flatten().filter_map(|p| p.grace_seconds)
    });
    let own = world.pod.termination_grace_period_seconds;
    1000 * probes.fold(own, u64::min)
}
