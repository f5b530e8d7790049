//! The cgroups of all pods of this machine, whoever made them: for what died without removing its own.

use crate::base::{InstanceId, PodUid};
use crate::runtime::cgroup::PodCgroup;
use crate::runtime::{CgroupError, Layout, is_plain_name};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What a pod's cgroup is called: this and its UID.
const PREFIX: &str = "pod";
/// How deep pods are looked for: below the root, and below its QoS classes.
const DEPTH: usize = 2;

impl PodCgroup {
    /// The cgroups of pods below the directory of all pods (`podshim`), in any hierarchy. What has no plain name is not one.
    pub fn all(layout: &Layout, root: &str) -> Vec<(PodUid, PodCgroup)> {
        let mut found = BTreeMap::new();
        for mount in layout.mounts().filter(|_| is_plain_name(root)) {
            let mut parents = vec![PathBuf::from(root)];
            for _ in 0..DEPTH {
                let names = |parent: &PathBuf| below(&mount.join(parent), parent);
                let entries: Vec<_> = parents.iter().flat_map(names).collect();
                parents.clear();
                for path in entries {
                    match uid_of(&path) {
                        Some(uid) => drop(found.insert(path, uid)),
                        None => parents.push(path),
                    }
                }
            }
        }
        let cgroup = |(path, uid): (PathBuf, PodUid)| {
            let cgroup = PodCgroup::at(layout.clone(), path.to_str()?).ok()?;
            Some((uid, cgroup))
        };
        found.into_iter().filter_map(cgroup).collect()
    }

    /// Where it is below each mount.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Every process in it and below it.
    pub fn all_pids(&self) -> Vec<u32> {
        self.pids_below(&self.path)
    }

    /// When it was made or last changed, as far as the kernel remembers: never earlier than it was.
    pub fn modified(&self) -> Option<SystemTime> {
        let directories = self.directories(&self.path).into_iter();
        let times = directories.filter_map(|dir| dir.symlink_metadata().ok()?.modified().ok());
        times.max()
    }

    /// Kills what runs in its containers and removes it with all below it.
    pub async fn kill_and_remove(&self) -> Result<(), CgroupError> {
        let directories = self.directories(&self.path);
        let mut containers: Vec<_> = directories.iter().flat_map(|dir| below(dir, dir)).collect();
        containers.sort();
        for container in containers {
            let name = container.file_name().unwrap_or_default();
            let id = InstanceId(name.to_string_lossy().into_owned());
            self.kill_all(&id).await?;
        }
        self.remove().await
    }
}

fn uid_of(path: &Path) -> Option<PodUid> {
    let name = path.file_name()?.to_str()?.strip_prefix(PREFIX)?;
    (!name.is_empty()).then(|| PodUid(name.to_owned()))
}

/// The cgroups in a directory, each as its name below `parent`.
fn below(directory: &Path, parent: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .filter(|entry| entry.file_name().to_str().is_some_and(is_plain_name))
        .map(|entry| parent.join(entry.file_name()))
        .collect()
}
