//! Volumes mounted inside of volumes: where the outer one needs a directory for the inner one. Pure.

use crate::manifest::Pod;
use std::path::{Component, Path, PathBuf};

/// Relative paths in volume `name` on which some container mounts another volume. Source: kubelet `MakeNestedMountpoints`.
pub(super) fn mount_points(pod: &Pod, name: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for container in &pod.containers {
        for inner in &container.mounts {
            let inner = Path::new(&inner.path);
            let outer = container.mounts.iter().filter(|m| {
                let path = Path::new(&m.path);
                inner != path && inner.starts_with(path)
            });
            // Only the mount that it stands in directly needs a place for it.
            let Some(outer) = outer.max_by_key(|m| Path::new(&m.path).components().count()) else {
                continue;
            };
            if outer.volume == name
                && let Ok(relative) = inner.strip_prefix(&outer.path)
                && relative
                    .components()
                    .all(|c| matches!(c, Component::Normal(_)))
            {
                found.push(relative.to_owned());
            }
        }
    }
    found.sort();
    found.dedup();
    found
}
