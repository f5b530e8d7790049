//! What the rules need of a pod, and nothing else: small enough to stay in memory for the life of the pod.

use crate::base::Signal;
use crate::manifest::{
    Container, EnvValue, FieldRef, Pod, PullPolicy as Pull, RestartPolicy, Role,
};
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
    pub stop_signal: Option<Signal>,
    /// The image is asked for before each instance, not only before the first.
    pub image_each_time: bool,
    /// Its configuration contains the pod's address, so that it cannot be created before the network is up.
    pub needs_address: bool,
}

impl Spec {
    pub fn of(pod: &Pod) -> Spec {
        Spec {
            title: format!("{}_{}({})", pod.name, pod.namespace, pod.uid),
            name: pod.name.clone(),
            restart_policy: pod.restart_policy,
            grace_seconds: pod.termination_grace_period_seconds,
            deadline: pod.active_deadline_seconds.map(Duration::from_secs),
            containers: pod.containers.iter().map(|c| container(pod, c)).collect(),
        }
    }

    /// Whether anything runs before the app containers.
    pub fn has_init(&self) -> bool {
        self.containers.iter().any(|c| c.role != Role::App)
    }
}

fn container(pod: &Pod, container: &Container) -> ContainerSpec {
    ContainerSpec {
        name: container.name.clone(),
        role: container.role,
        image: container.image.clone(),
        restart_policy: pod.effective_restart_policy(container),
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
