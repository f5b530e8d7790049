//! What a pod as a whole asks for: its QoS class and its effective requests and limits. Source: Kubernetes
//! component-helpers/resource, pkg/apis/core/v1/helper/qos.

use crate::base::Quantity;
use crate::manifest::{Container, Pod, Resources, Role};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// How much a pod is promised; decides its cgroup parent and its OOM score.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum QosClass {
    /// All it may use is promised.
    Guaranteed,
    /// Something is promised.
    Burstable,
    /// Nothing is.
    BestEffort,
}

impl fmt::Display for QosClass {
    /// The word in `status.qosClass`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            QosClass::Guaranteed => "Guaranteed",
            QosClass::Burstable => "Burstable",
            QosClass::BestEffort => "BestEffort",
        })
    }
}

/// What a pod asks of one resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Effective {
    /// What it is promised; zero if nothing.
    pub request: Quantity,
    /// The sum of the limits that are declared; zero if none.
    pub limit: Quantity,
    /// Whether `limit` bounds the pod: each container has one, or the pod itself.
    pub limited: bool,
}

static NOTHING: Resources = Resources {
    requests: BTreeMap::new(),
    limits: BTreeMap::new(),
};

/// The QoS class of the pod: from its own `resources` if it has them, else from those of all containers.
pub fn qos_class(pod: &Pod) -> QosClass {
    let all: Vec<&Resources> = match &pod.resources {
        Some(own) => vec![own],
        None => pod.containers.iter().map(|one| &one.resources).collect(),
    };
    let positive = |amounts: &BTreeMap<String, Quantity>, name: &str| {
        amounts.get(name).copied().filter(|amount| !amount.is_zero() && !amount.is_negative())
    };
    let total = |pick: fn(&Resources) -> &BTreeMap<String, Quantity>, name: &str| {
        let amounts = all.iter().filter_map(|one| positive(pick(one), name));
        amounts.reduce(Quantity::plus)
    };
    let names = ["cpu", "memory"];
    let totals = names.map(|name| (total(|one| &one.requests, name), total(|one| &one.limits, name)));
    if totals == [(None, None); 2] {
        return QosClass::BestEffort;
    }
    let all_limited = all.iter().all(|one| names.iter().all(|name| positive(&one.limits, name).is_some()));
    if all_limited && totals.iter().all(|(request, limit)| request == limit) {
        QosClass::Guaranteed
    } else {
        QosClass::Burstable
    }
}

/// What the pod asks of `resource`: its own `resources` in place of the containers' sum, and `overhead` on top.
pub fn effective(pod: &Pod, resource: &str) -> Effective {
    let containers = of_containers(pod, resource);
    let own = pod.resources.as_ref().unwrap_or(&NOTHING);
    let own_limit = own.limits.get(resource).copied();
    let request = own.requests.get(resource).copied().unwrap_or(containers.request);
    let limit = own_limit.unwrap_or(containers.limit);
    let overhead = pod.overhead.get(resource).copied();
    let with_overhead = |amount: Quantity| overhead.map_or(amount, |extra| extra.plus(amount));
    Effective {
        request: with_overhead(request),
        limit: if limit.is_zero() { limit } else { with_overhead(limit) },
        limited: containers.limited || own_limit.is_some_and(|limit| !limit.is_zero()),
    }
}

/// What the containers alone ask of `resource`, in the worst moment of the pod's life.
pub fn of_containers(pod: &Pod, resource: &str) -> Effective {
    let sum = |pick: fn(&Resources) -> &BTreeMap<String, Quantity>| {
        let amounts = |one: &Container| (one.role, pick(&one.resources).get(resource).copied());
        aggregate(pod.containers.iter().map(amounts)).unwrap_or(Quantity::from_units(0))
    };
    let limit = |one: &Container| one.resources.limits.get(resource).copied();
    Effective {
        request: sum(|one| &one.requests),
        limit: sum(|one| &one.limits),
        limited: pod.containers.iter().all(|one| limit(one).is_some_and(|limit| !limit.is_zero())),
    }
}

/// The most that containers, given in the order in which they start, ask for at one time: an init container runs beside
/// the sidecars before it, apps run beside all sidecars.
pub(super) fn aggregate(amounts: impl Iterator<Item = (Role, Option<Quantity>)>) -> Option<Quantity> {
    let add = |a: Option<Quantity>, b: Option<Quantity>| match (a, b) {
        (Some(a), Some(b)) => Some(a.plus(b)),
        (a, b) => a.or(b),
    };
    let mut staying = None;
    let mut peak = None;
    for (role, amount) in amounts {
        match role {
            Role::Init => peak = peak.max(add(staying, amount)),
            Role::Sidecar | Role::App => staying = add(staying, amount),
        }
    }
    peak.max(staying)
}
