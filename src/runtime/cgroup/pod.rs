//! [`PodCgroup`]: making, writing, looking into and removing.

use crate::base::InstanceId;
use crate::runtime::cgroup::files::{self, describe, retry, tree};
use crate::runtime::cgroup::{v1, v2};
use crate::runtime::{CgroupError, Layout, Mode, is_plain_name};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long the removal of a cgroup whose processes are dying is retried: exits take milliseconds, big ones longer.
const REMOVE_DEADLINE: Duration = Duration::from_secs(2);
/// How often a parent that another pod's removal took away is made again: each time one pod had just ended.
const CREATE_TRIES: usize = 16;
/// Parents that only hold pods of one QoS class. Source: kubelet.
const QOS_PARENTS: [&str; 2] = [BURSTABLE, BEST_EFFORT];
/// Pods that were promised something.
const BURSTABLE: &str = "burstable";
/// Pods that were promised nothing.
pub(super) const BEST_EFFORT: &str = "besteffort";

/// What the pod as a whole may use; `None` means no limit. Source: pod cgroup table of the kubelet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PodCgroupValues {
    /// cgroup v1 `cpu.shares`, 2-262144; on v2 converted to a weight.
    pub cpu_shares: Option<u64>,
    /// Microseconds of CPU per 100 ms.
    pub cpu_quota: Option<i64>,
    /// Bytes.
    pub memory_limit: Option<i64>,
    /// Number of processes and threads.
    pub pids_limit: Option<i64>,
}

/// The cgroup of one pod.
#[derive(Clone, Debug)]
pub struct PodCgroup {
    pub(super) layout: Layout,
    pub(super) path: PathBuf,
}

impl PodCgroup {
    /// Names a pod's cgroup without touching it, e.g. `/podshim/burstable/pod<uid>`.
    pub fn at(layout: Layout, path: &str) -> Result<PodCgroup, CgroupError> {
        let relative = path.strip_prefix('/').unwrap_or(path);
        if !relative.split('/').all(is_plain_name) {
            return Err(CgroupError::Name(path.escape_debug().take(256).collect()));
        }
        Ok(PodCgroup {
            layout,
            path: relative.into(),
        })
    }

    /// Makes it (it may exist) and writes its values. Gives back the controllers that a value needs and this machine lacks:
    /// the pod then runs without that limit, which is worth one warning.
    pub fn create(&self, values: &PodCgroupValues) -> Result<Vec<&'static str>, CgroupError> {
        for mount in self.layout.mounts() {
            let directory = mount.join(&self.path);
            self.make(&directory)
                .map_err(|source| CgroupError::Create {
                    path: directory,
                    source,
                })?;
            match self.layout.mode() {
                Mode::V1 | Mode::Hybrid => v1::prepare(&self.layout, mount, &self.path)?,
                Mode::V2 => v2::delegate(mount, &self.path),
            }
        }
        self.write(values)
    }

    /// Writes the values of an existing cgroup; the result is that of [`create`](PodCgroup::create).
    pub fn write(&self, values: &PodCgroupValues) -> Result<Vec<&'static str>, CgroupError> {
        let settings = match self.layout.mode() {
            Mode::V1 | Mode::Hybrid => v1::settings(values),
            Mode::V2 => v2::settings(values),
        };
        let mut lacking = Vec::new();
        for setting in settings {
            let directory = self.directory_below(setting.controller, &self.path);
            // A kernel may lack one file of a controller (CPU quotas), or a parent may keep the controller to itself.
            let present = directory.filter(|d| d.join(setting.file).exists() || !d.exists());
            match present {
                Some(directory) => files::write(&directory.join(setting.file), &setting.value)?,
                None if setting.limits => lacking.push(setting.controller),
                None => {}
            }
        }
        lacking.dedup();
        self.weigh_parent();
        Ok(lacking)
    }

    /// Removes it and everything below it, and its QoS parent and root if they are empty now. Retried for 2 s while
    /// processes are dying; it does not kill.
    pub async fn remove(&self) -> Result<(), CgroupError> {
        self.remove_below(&self.path).await?;
        self.weigh_parent();
        let above = self.qos_parent().into_iter().chain(self.root());
        for directory in above.flat_map(|path| self.directories(path)) {
            // Another pod lives there, or its creator was faster: either way it stays.
            let _in_use = std::fs::remove_dir(directory);
        }
        Ok(())
    }

    /// Removes one container's cgroup with all that is in it. Most have ended by themselves, all of them: it is only looked into
    /// where it cannot be removed at once.
    pub async fn clear_container(&self, id: &InstanceId) -> Result<(), CgroupError> {
        if !self.remove_if_empty(id)? {
            self.kill_all(id).await?;
            self.remove_container(id).await?;
        }
        Ok(())
    }

    /// Removes the cgroup of a container in which nothing is; whether nothing of it is left.
    pub(super) fn remove_if_empty(&self, id: &InstanceId) -> Result<bool, CgroupError> {
        let directories = self.directories(&self.relative(Some(id))?);
        Ok(directories.iter().all(|one| files::remove(one).is_ok()))
    }

    /// Removes what is left of one container's cgroup, as [`remove`](PodCgroup::remove) does.
    pub async fn remove_container(&self, id: &InstanceId) -> Result<(), CgroupError> {
        self.remove_below(&self.relative(Some(id))?).await
    }

    /// Processes of a container, in its cgroup and those below it. None if it has no cgroup.
    pub fn pids(&self, id: &InstanceId) -> Result<Vec<u32>, CgroupError> {
        Ok(self.pids_below(&self.relative(Some(id))?))
    }

    /// How many processes of a container the OOM killer ended since its cgroup was made; 0 if it has none. To be read
    /// before the container is deleted.
    pub fn oom_kills(&self, id: &InstanceId) -> Result<u64, CgroupError> {
        let path = self.relative(Some(id))?;
        let Some(directory) = self.directory_below("memory", &path) else {
            return Ok(0);
        };
        Ok(match self.layout.mode() {
            Mode::V1 | Mode::Hybrid => v1::oom_kills(&directory),
            Mode::V2 => v2::oom_kills(&directory),
        })
    }

    /// The pod's path, or a container's, below each mount.
    pub(super) fn relative(&self, id: Option<&InstanceId>) -> Result<PathBuf, CgroupError> {
        match id {
            None => Ok(self.path.clone()),
            Some(id) if is_plain_name(&id.0) => Ok(self.path.join(&id.0)),
            Some(id) => Err(CgroupError::Name(id.0.escape_debug().take(256).collect())),
        }
    }

    /// Directories of a path in every hierarchy.
    pub(super) fn directories(&self, path: &Path) -> Vec<PathBuf> {
        self.layout.mounts().map(|m| m.join(path)).collect()
    }

    /// The directory that a controller's files of `path` are in, if there is that controller.
    pub(super) fn directory_below(&self, controller: &str, path: &Path) -> Option<PathBuf> {
        let mount = match self.layout.mode() {
            Mode::V1 | Mode::Hybrid => self.layout.v1_mount(controller),
            Mode::V2 => {
                let v2 = self.layout.v2.as_ref();
                v2.map(|h| h.mount.as_path())
                    .filter(|_| self.layout.v2_has(controller))
            }
        };
        Some(mount?.join(path))
    }

    /// Processes anywhere below a path, in any hierarchy: not every runtime joins all of them.
    pub(super) fn pids_below(&self, path: &Path) -> Vec<u32> {
        let mut pids: Vec<u32> = self
            .directories(path)
            .iter()
            .flat_map(|directory| tree(directory))
            .flat_map(|directory| files::pids(&directory))
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// Processes of a container itself, in the first hierarchy where there are any: cheaper than [all](PodCgroup::pids).
    pub fn first_pids(&self, id: &InstanceId) -> Vec<u32> {
        let Ok(path) = self.relative(Some(id)) else {
            return Vec::new();
        };
        let pids = |mount: &Path| files::pids(&mount.join(&path));
        let mut all = self.layout.mounts().map(pids);
        all.find(|pids| !pids.is_empty()).unwrap_or_default()
    }

    /// The directory of its QoS class, if it is in one.
    pub(super) fn qos_parent(&self) -> Option<&Path> {
        let parent = self.path.parent()?;
        let name = parent.file_name()?;
        QOS_PARENTS.iter().any(|qos| name == *qos).then_some(parent)
    }

    /// The directory of all pods, if they have one.
    fn root(&self) -> Option<&Path> {
        let below = self.qos_parent().unwrap_or(&self.path);
        below.parent().filter(|root| !root.as_os_str().is_empty())
    }

    pub(super) fn make(&self, directory: &Path) -> io::Result<()> {
        let mut result = Ok(());
        for _ in 0..CREATE_TRIES {
            result = std::fs::create_dir_all(directory);
            match &result {
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                _ => break,
            }
        }
        result
    }

    async fn remove_below(&self, path: &Path) -> Result<(), CgroupError> {
        for directory in self.directories(path) {
            retry(REMOVE_DEADLINE, || files::remove_tree(&directory))
                .await
                .map_err(|source| CgroupError::Remove {
                    path: directory,
                    processes: describe(&self.pids_below(path)),
                    source,
                })?;
        }
        Ok(())
    }
}

/// One value for one file of a controller.
pub(super) struct Setting {
    pub(super) controller: &'static str,
    pub(super) file: &'static str,
    pub(super) value: String,
    /// Whether the pod runs with less than it was promised when the controller is absent.
    pub(super) limits: bool,
}
