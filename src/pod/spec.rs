//! What the rules need of a pod, and nothing else: small enough to stay in memory for the life of the pod.

use crate::base::Signal;
use crate::manifest::{
    Container, EnvValue, FieldRef, Pod, Probe, ProbeKind, PullPolicy as Pull, RestartAction,
    RestartPolicy, RestartRule, Role,
};
use crate::pod::disk::DiskLimits;
use std::time::Duration;

/// A pod as the rules see it.
#[derive(Clone, Debug)]
pub(super) struct Spec {
    /// `<name>_<namespace>(<uid>)`, as the kubelet names a pod in messages.
    pub title: String,
    /// `metadata.name`.
    pub name: String,
    /// The pod's own policy; containers carry theirs resolved.
    pub restart_policy: RestartPolicy,
    /// `terminationGracePeriodSeconds`.
    pub grace_seconds: u64,
    /// `activeDeadlineSeconds`.
    pub deadline: Option<Duration>,
    /// What it may use of the disk, if that is limited.
    pub disk: Option<DiskLimits>,
    /// In the order of the model.
    pub containers: Vec<ContainerSpec>,
}

/// A container as the rules see it.
#[derive(Clone, Debug)]
pub(super) struct ContainerSpec {
    pub name: String,
    pub role: Role,
    pub image: String,
    /// Its own policy, else the pod's.
    pub restart_policy: RestartPolicy,
    /// Asked before the policy.
    pub rules: Vec<RestartRule>,
    /// In the order of [`ProbeKind`].
    pub probes: Vec<ProbeSpec>,
    /// Something is done when it has started, and before it is told to stop.
    pub post_start: bool,
    pub pre_stop: bool,
    pub stop_signal: Option<Signal>,
    /// The image is asked for before each instance, not only before the first.
    pub image_each_time: bool,
    /// Its configuration contains the pod's address, so that it cannot be created before the network is up.
    pub needs_address: bool,
}

/// A probe as the rules see it.
#[derive(Clone, Debug)]
pub(super) struct ProbeSpec {
    pub kind: ProbeKind,
    pub initial_delay: Duration,
    pub period: Duration,
    /// Results in a row that turn its verdict.
    pub successes: u32,
    pub failures: u32,
    /// Of its own, for a container that it condemns.
    pub grace: Option<Duration>,
}

impl Spec {
    pub fn of(pod: &Pod) -> Spec {
        Spec {
            title: format!("{}_{}({})", pod.name, pod.namespace, pod.uid),
            name: pod.name.clone(),
            restart_policy: pod.restart_policy,
            grace_seconds: pod.termination_grace_period_seconds,
            deadline: pod.active_deadline_seconds.map(Duration::from_secs),
            disk: DiskLimits::of(pod),
            containers: pod
                .containers
                .iter()
                .map(|c| container(pod.restart_policy, c))
                .collect(),
        }
    }

    /// Adds a container to the running pod, whose policy this is.
    pub fn add(&mut self, policy: RestartPolicy, one: &Container) {
        self.containers.push(container(policy, one));
    }

    /// Whether an exit code may start all containers again.
    pub fn restarts_all(&self) -> bool {
        let mut rules = self.containers.iter().flat_map(|c| &c.rules);
        rules.any(|rule| rule.action == RestartAction::RestartAllContainers)
    }

    /// Whether anything runs before the app containers.
    pub fn has_init(&self) -> bool {
        let before = [Role::Init, Role::Sidecar];
        self.containers.iter().any(|c| before.contains(&c.role))
    }
}

fn container(policy: RestartPolicy, container: &Container) -> ContainerSpec {
    ContainerSpec {
        name: container.name.clone(),
        role: container.role,
        image: container.image.clone(),
        restart_policy: container.restart_policy.unwrap_or(policy),
        rules: container.restart_rules.clone(),
        probes: [
            ProbeKind::Startup,
            ProbeKind::Liveness,
            ProbeKind::Readiness,
        ]
        .into_iter()
        .filter_map(|kind| Some(probe(kind, container.lifecycle.probe(kind)?)))
        .collect(),
        post_start: container.lifecycle.post_start.is_some(),
        pre_stop: container.lifecycle.pre_stop.is_some(),
        stop_signal: container.stop_signal,
        image_each_time: container.pull_policy == Pull::Always,
        needs_address: container.env.iter().any(|variable| {
            matches!(
                variable.value,
                EnvValue::Field(FieldRef::PodIp | FieldRef::PodIps)
            )
        }),
    }
}

fn probe(kind: ProbeKind, probe: &Probe) -> ProbeSpec {
    ProbeSpec {
        kind,
        initial_delay: Duration::from_secs(probe.initial_delay_seconds),
        period: Duration::from_secs(probe.period_seconds),
        successes: probe.success_threshold,
        failures: probe.failure_threshold,
        grace: probe.grace_seconds.map(Duration::from_secs),
    }
}
