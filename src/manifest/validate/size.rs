//! How much of everything a pod may have. Kubernetes leaves this to the size of an API object; here each list has its bound,
//! so that no later step has to fear a pod.

use super::check::Path;
use crate::manifest::finding::Findings;
use k8s_openapi::api::core::v1 as core;

/// Containers of all kinds: each costs a bundle, a cgroup and a process. Real pods have fewer than 50.
const CONTAINERS_MAX: usize = 500;
/// Volumes, and mounts of one container: each costs a mount.
const VOLUMES_MAX: usize = 500;

/// Checks the lengths of the lists whose entries are compared with one another.
pub fn size(spec: &core::PodSpec, findings: &mut Findings) {
    let at = Path::root("spec");
    let mut bound = |at: Path, length: usize, most: usize| {
        if length > most {
            findings.too_many(at, length, format!("must have at most {most} items"));
        }
    };
    let init = spec.init_containers.as_deref().unwrap_or_default();
    bound(
        at.field("containers"),
        spec.containers.len(),
        CONTAINERS_MAX,
    );
    bound(at.field("initContainers"), init.len(), CONTAINERS_MAX);
    bound(
        at.field("volumes"),
        spec.volumes.as_ref().map_or(0, Vec::len),
        VOLUMES_MAX,
    );
    for (list, containers) in [
        ("containers", spec.containers.as_slice()),
        ("initContainers", init),
    ] {
        for (index, one) in containers.iter().enumerate() {
            let at = at.field(list).index(index).field("volumeMounts");
            bound(
                at,
                one.volume_mounts.as_ref().map_or(0, Vec::len),
                VOLUMES_MAX,
            );
        }
    }
}
