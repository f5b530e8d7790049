//! The cgroup of a container that somebody else named: found by its init, remembered, and looked into after the init is gone.

use crate::base::{InstanceId, Signal};
use crate::bundle::cpu_weight;
use crate::runtime::cgroup::{files, v1, v2};
use crate::runtime::{CgroupError, Layout, Mode, PodCgroup, is_plain_name};
use crate::sys;
use std::io;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Where a container's cgroup is, below every mount.
#[derive(Clone, Debug)]
pub struct ContainerCgroup {
    parent: PodCgroup,
    id: InstanceId,
}

impl ContainerCgroup {
    /// The cgroup of a process. `None` where it has none of its own: a cgroup that it shares with this process, or the root,
    /// must never be killed or measured as a container.
    pub fn of_process(pid: u32) -> Option<ContainerCgroup> {
        let path = path_of(&pid.to_string())?;
        is_of_others(&path)
            .then(|| ContainerCgroup::at(&path))
            .flatten()
    }

    /// The cgroup that a configuration names, before anything is in it. `None` where it names none, or the one of this process.
    pub fn named(path: &str) -> Option<ContainerCgroup> {
        let path = Path::new(path);
        (path.is_absolute() && is_of_others(path))
            .then(|| ContainerCgroup::at(path))
            .flatten()
    }

    /// The cgroup of this path below the mounts, as [`path`](ContainerCgroup::path) gave it.
    pub fn at(path: &Path) -> Option<ContainerCgroup> {
        let relative = path.strip_prefix("/").unwrap_or(path);
        let id = relative
            .file_name()?
            .to_str()
            .filter(|s| is_plain_name(s))?;
        let plain = |component: &std::ffi::OsStr| component.to_str().is_some_and(is_plain_name);
        let parent = relative.parent()?.to_owned();
        if !parent.iter().all(plain) {
            return None;
        }
        Some(ContainerCgroup {
            parent: PodCgroup {
                layout: Layout::detect().ok()?,
                path: parent,
            },
            id: InstanceId(id.to_owned()),
        })
    }

    /// Makes it in every hierarchy where it is absent, and moves a process into it.
    pub fn adopt(&self, pid: u32) -> Result<(), CgroupError> {
        let path = self.path();
        for mount in self.parent.layout.mounts() {
            let directory = mount.join(&path);
            if !directory.is_dir() {
                self.parent
                    .make(&directory)
                    .map_err(|source| CgroupError::Create {
                        path: directory.clone(),
                        source,
                    })?;
                if self.mode() != Mode::V2 {
                    v1::prepare(&self.parent.layout, mount, &path)?;
                }
            }
            files::write(&directory.join("cgroup.procs"), &pid.to_string())?;
        }
        Ok(())
    }

    /// Gives it CPU shares, and takes all devices from it. *Errors*: also when the machine cannot keep devices away.
    pub fn confine(&self, cpu_shares: Option<u64>, no_devices: bool) -> Result<(), CgroupError> {
        let v2 = self.mode() == Mode::V2;
        if let Some(shares) = cpu_shares
            && let Some(directory) = self.directory("cpu")
        {
            let (file, value) = match v2 {
                true => ("cpu.weight", cpu_weight(shares)),
                false => ("cpu.shares", shares),
            };
            // Not every parent of v2 lets the controller go; a weight limits nothing.
            let path = directory.join(file);
            if path.exists() {
                files::write(&path, &value.to_string())?;
            }
        }
        if !no_devices {
            return Ok(());
        }
        let denied = |path: PathBuf, source| CgroupError::Devices { path, source };
        let Some(directory) = self.directory("devices") else {
            return Err(denied(self.path(), io::ErrorKind::Unsupported.into()));
        };
        if !v2 {
            return files::write(&directory.join("devices.deny"), "a");
        }
        let deny = || sys::deny_devices(std::fs::File::open(&directory)?.as_fd());
        deny().map_err(|source| denied(directory.clone(), source))
    }

    /// Its path below the mounts.
    pub fn path(&self) -> PathBuf {
        self.parent.path.join(&self.id.0)
    }

    /// How this machine mounts its cgroups.
    pub fn mode(&self) -> Mode {
        self.parent.layout.mode()
    }

    /// Whether it is still there in any hierarchy.
    pub fn exists(&self) -> bool {
        let mut directories = self.parent.directories(&self.path()).into_iter();
        directories.any(|directory| directory.is_dir())
    }

    /// One of its files; `None` where there is none. On cgroup v2 the controller is not looked at: a file is there or not.
    pub fn read(&self, controller: &str, file: &str) -> Option<String> {
        files::read(&self.directory(controller)?.join(file))
    }

    pub(super) fn directory(&self, controller: &str) -> Option<PathBuf> {
        match self.mode() {
            Mode::V1 | Mode::Hybrid => self.parent.directory_below(controller, &self.path()),
            Mode::V2 => self.parent.directories(&self.path()).pop(),
        }
    }

    /// Every process in it and below it.
    pub fn pids(&self) -> Vec<u32> {
        self.parent.pids_below(&self.path())
    }

    /// Sends a signal to every process; how many got it. A process is signalled only if it is still there after its pidfd was
    /// opened, so that no recycled number is hit.
    pub fn signal_all(&self, signal: Signal) -> usize {
        let pidfds: Vec<_> = self
            .pids()
            .into_iter()
            .filter_map(|pid| Some((pid, sys::pidfd(pid).ok()?)))
            .collect();
        let still_there = self.pids();
        let sent = pidfds.iter().filter(|(pid, pidfd)| {
            still_there.binary_search(pid).is_ok()
                && sys::signal_pidfd(pidfd.as_fd(), signal).is_ok()
        });
        sent.count()
    }

    /// Kills every process and waits until all are gone, as [`PodCgroup::kill_all`] does.
    pub async fn kill_all(&self) -> Result<(), CgroupError> {
        self.parent.kill_all(&self.id).await
    }

    /// Removes it, once its processes are gone: a runtime that failed may have left it.
    pub async fn remove(&self) -> Result<(), CgroupError> {
        self.parent.remove_container(&self.id).await
    }

    /// How many of its processes the OOM killer ended.
    pub fn oom_kills(&self) -> u64 {
        let kills = |directory: PathBuf| match self.mode() {
            Mode::V1 | Mode::Hybrid => v1::oom_kills(&directory),
            Mode::V2 => v2::oom_kills(&directory),
        };
        self.directory("memory").map_or(0, kills)
    }
}

/// Whether this process is not in it. One in the root is in nobody's.
fn is_of_others(path: &Path) -> bool {
    path_of("self").is_none_or(|own| own != path)
}

/// The path of a process in the hierarchy that limits memory, else in the first that has one.
fn path_of(process: &str) -> Option<PathBuf> {
    let limits = |controllers: &str| controllers.split(',').any(|one| one == "memory");
    let all = files::memberships(process).into_iter();
    let (_, path) = all.min_by_key(|(controllers, _)| !limits(controllers))?;
    (path != "/").then(|| PathBuf::from(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One container of each kind of hierarchy that can keep devices away, named for this run.
    fn confinable() -> Vec<ContainerCgroup> {
        let Layout { v1, v2 } = Layout::detect().expect("cgroups");
        let v1 = Layout { v1, v2: None };
        let kinds = [v1, Layout { v1: Vec::new(), v2 }].into_iter();
        let kinds =
            kinds.filter(|layout| layout.v1_mount("devices").is_some() || layout.v2.is_some());
        let path = PathBuf::from(format!("podshim-unit-devices-{}", std::process::id()));
        kinds
            .map(|layout| ContainerCgroup {
                parent: PodCgroup {
                    layout,
                    path: path.clone(),
                },
                id: InstanceId("pause-0".into()),
            })
            .collect()
    }

    #[tokio::test]
    async fn a_confined_process_opens_no_device() {
        let all = confinable();
        assert!(!all.is_empty());
        for cgroup in all {
            let script = "read word; (: </dev/null) && exit 3; exit 0";
            let mut child = std::process::Command::new("sh")
                .args(["-c", script])
                .stdin(std::process::Stdio::piped())
                .stderr(std::process::Stdio::null())
                .spawn()
                .expect("sh");
            cgroup.adopt(child.id()).expect("moved");
            cgroup.confine(Some(2), true).expect("confined");
            // The end of the pipe lets it go on.
            drop(child.stdin.take());
            let status = child.wait().expect("its end");
            cgroup.parent.remove().await.expect("removed");
            assert_eq!(status.code(), Some(0), "{:?}", cgroup.mode());
        }
    }

    #[test]
    fn the_root_this_process_and_strange_paths_are_no_container() {
        assert!(ContainerCgroup::of_process(std::process::id()).is_none());
        for path in ["/", "", "/a/../b", "/a b", "/a/-x"] {
            assert!(ContainerCgroup::at(Path::new(path)).is_none(), "{path}");
        }
        let at = ContainerCgroup::at(Path::new("/one")).expect("cgroups");
        assert_eq!(at.path(), Path::new("one"));
        let at = ContainerCgroup::at(Path::new("/k.slice/pod1.slice/x.scope")).expect("cgroups");
        assert_eq!(at.path(), Path::new("k.slice/pod1.slice/x.scope"));
        assert!(!at.exists() && at.pids().is_empty() && at.oom_kills() == 0);
    }
}
