//! `oom_score_adj`: who dies first when the machine has no memory left. Source: kubelet `qos/policy.go`.

use crate::bundle::HostFacts;
use crate::manifest::qos::{self, QosClass};
use crate::manifest::{Container, Pod, Role};

/// Of pause, whatever the pod is.
pub(crate) const PAUSE: i64 = -998;
const GUARANTEED: i64 = -997;
const BEST_EFFORT: i64 = 1000;

/// Score of a container, 1000 at most; not yet cut to what this process may set.
pub(crate) fn of_container(pod: &Pod, container: &Container, host: &HostFacts) -> i64 {
    match qos::qos_class(pod) {
        QosClass::Guaranteed => return GUARANTEED,
        QosClass::BestEffort => return BEST_EFFORT,
        QosClass::Burstable => {}
    }
    let extra = shared_request(pod);
    let score = |request: i64| burstable(request.saturating_add(extra), host.memory_bytes);
    let own = score(memory_request(container));
    let least_app = pod.of_role(Role::App).map(memory_request).min();
    let value = match (container.role, least_app) {
        (Role::Sidecar, Some(least)) => own.min(score(least)),
        (Role::Init | Role::Sidecar | Role::App | Role::Ephemeral, _) => own,
    };
    match value {
        ..3 => 3,
        1000.. => 999,
        value => value,
    }
}

/// As the OCI field wants it, not below what this process may set.
pub(crate) fn settable(score: i64, host: &HostFacts) -> i32 {
    let score = score.max(host.oom_score_adj_floor).clamp(-1000, 1000);
    i32::try_from(score).unwrap_or(0)
}

fn burstable(request: i64, machine_bytes: u64) -> i64 {
    let machine = i128::from(machine_bytes.max(1));
    let share = i128::from(request.max(0)) * 1000 / machine;
    1000 - i64::try_from(share).unwrap_or(1000)
}

fn memory_request(container: &Container) -> i64 {
    let request = container.resources.requests.get("memory");
    request.map_or(0, |q| q.units())
}

/// What each container gets of a pod-level memory request beyond the sum of the containers' own.
fn shared_request(pod: &Pod) -> i64 {
    let whole = pod
        .resources
        .as_ref()
        .and_then(|r| r.requests.get("memory"));
    let Some(whole) = whole else {
        return 0;
    };
    let rest = whole.units() - qos::of_containers(pod, "memory").request.units();
    rest.max(0) / i64::try_from(pod.containers.len().max(1)).unwrap_or(i64::MAX)
}
