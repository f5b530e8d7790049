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
        amounts
            .get(name)
            .copied()
            .filter(|amount| !amount.is_zero() && !amount.is_negative())
    };
    let total = |pick: fn(&Resources) -> &BTreeMap<String, Quantity>, name: &str| {
        let amounts = all.iter().filter_map(|one| positive(pick(one), name));
        amounts.reduce(Quantity::plus)
    };
    let names = ["cpu", "memory"];
    let totals = names.map(|name| {
        (
            total(|one| &one.requests, name),
            total(|one| &one.limits, name),
        )
    });
    if totals == [(None, None); 2] {
        return QosClass::BestEffort;
    }
    let all_limited = all.iter().all(|one| {
        names
            .iter()
            .all(|name| positive(&one.limits, name).is_some())
    });
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
    let request = own
        .requests
        .get(resource)
        .copied()
        .unwrap_or(containers.request);
    let limit = own_limit.unwrap_or(containers.limit);
    let overhead = pod.overhead.get(resource).copied();
    let with_overhead = |amount: Quantity| overhead.map_or(amount, |extra| extra.plus(amount));
    Effective {
        request: with_overhead(request),
        limit: if limit.is_zero() {
            limit
        } else {
            with_overhead(limit)
        },
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
        limited: pod
            .containers
            .iter()
            .all(|one| limit(one).is_some_and(|limit| !limit.is_zero())),
    }
}

/// The most that containers, given in the order in which they start, ask for at one time: an init container runs beside
/// the sidecars before it, apps run beside all sidecars.
pub(super) fn aggregate(
    amounts: impl Iterator<Item = (Role, Option<Quantity>)>,
) -> Option<Quantity> {
    let add = |a: Option<Quantity>, b: Option<Quantity>| match (a, b) {
        (Some(a), Some(b)) => Some(a.plus(b)),
        (a, b) => a.or(b),
    };
    let mut staying = None;
    let mut peak = None;
    for (role, amount) in amounts {
        match role {
            Role::Init => peak = peak.max(add(staying, amount)),
            Role::Ephemeral => {}
            Role::Sidecar | Role::App => staying = add(staying, amount),
        }
    }
    peak.max(staying)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::resolve::tests::pod;
    use serde_json::{Value, json};

    fn class(spec: Value) -> QosClass {
        qos_class(&pod(spec))
    }

    fn q(text: &str) -> Quantity {
        text.parse().expect("a quantity")
    }

    #[test]
    fn the_class_follows_from_requests_and_limits() {
        let one = |resources: Value| json!({"containers": [{"name": "c", "image": "i", "resources": resources}]});
        for (resources, want) in [
            (json!({}), QosClass::BestEffort),
            (json!({"requests": {"cpu": "0"}}), QosClass::BestEffort),
            (
                json!({"requests": {"ephemeral-storage": "1Gi"}}),
                QosClass::BestEffort,
            ),
            (
                json!({"limits": {"cpu": "500m", "memory": "64Mi"}}),
                QosClass::Guaranteed,
            ),
            (json!({"limits": {"cpu": "500m"}}), QosClass::Burstable),
            (
                json!({"limits": {"cpu": "1", "memory": "64Mi"}, "requests": {"cpu": "500m"}}),
                QosClass::Burstable,
            ),
            (json!({"requests": {"memory": "1"}}), QosClass::Burstable),
        ] {
            assert_eq!(class(one(resources.clone())), want, "{resources}");
        }
    }

    #[test]
    fn every_container_counts_for_the_class_and_the_pod_level_replaces_them() {
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}});
        let app = json!({"name": "c", "image": "i", "resources": full});
        let bare = json!({"name": "i", "image": "i"});
        assert_eq!(
            class(json!({"containers": [app], "initContainers": [bare]})),
            QosClass::Burstable
        );
        assert_eq!(
            class(json!({"containers": [bare], "resources": full})),
            QosClass::Guaranteed
        );
    }

    #[test]
    fn the_effective_request_is_the_worst_moment() {
        let part = |name: &str, cpu: &str| json!({"name": name, "image": "i", "resources": {"requests": {"cpu": cpu}}});
        let sidecar = |name: &str, cpu: &str| {
            let mut one = part(name, cpu);
            one["restartPolicy"] = json!("Always");
            one
        };
        let pod = pod(json!({
            "initContainers": [sidecar("s1", "100m"), part("i", "500m"), sidecar("s2", "200m")],
            "containers": [part("a", "100m"), part("b", "150m")],
            "overhead": {"cpu": "10m"}}));
        assert_eq!(
            of_containers(&pod, "cpu").request,
            q("600m"),
            "s1 + i beats s1 + s2 + a + b"
        );
        assert_eq!(effective(&pod, "cpu").request, q("610m"));
        assert_eq!(
            effective(&pod, "cpu").limit,
            q("0"),
            "no overhead without a limit"
        );
        assert!(!effective(&pod, "cpu").limited);
    }

    #[test]
    fn a_limit_bounds_the_pod_only_if_all_have_one() {
        let one = |name: &str, limits: Value| json!({"name": name, "image": "i", "resources": {"limits": limits}});
        let both = pod(
            json!({"containers": [one("a", json!({"memory": "1Mi"})), one("b", json!({"memory": "2Mi"}))]}),
        );
        let memory = effective(&both, "memory");
        assert_eq!((memory.limit, memory.limited), (q("3Mi"), true));
        let half =
            pod(json!({"containers": [one("a", json!({"memory": "1Mi"})), one("b", json!({}))]}));
        assert!(!effective(&half, "memory").limited);
        let own = pod(
            json!({"containers": [one("a", json!({}))], "resources": {"limits": {"memory": "5Mi"}}}),
        );
        let memory = effective(&own, "memory");
        assert_eq!(
            (memory.limit, memory.request, memory.limited),
            (q("5Mi"), q("5Mi"), true)
        );
    }
}
