//! The cgroup of one pod: the parent of its containers' cgroups, which the runtime makes.
//!
//! podshim makes it before the first create (parallel creates race for it otherwise) and removes it after the last process
//! is gone. On cgroup v1 it stands in every mounted hierarchy, the named and the v2 one of a hybrid machine included, since
//! runtimes join all of them. Names are plain; links are never followed; what is already gone is no error.

use crate::base::InstanceId;
use crate::runtime::{Layout, Mode, cgroup_v1, cgroup_v2, is_plain_name, small_file};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// How long the removal of a cgroup whose processes are dying is retried: exits take milliseconds, big ones longer.
const REMOVE_DEADLINE: Duration = Duration::from_secs(2);
/// First pause between two tries; it doubles up to [`RETRY_MAX`].
const RETRY_FIRST: Duration = Duration::from_millis(1);
/// Longest pause between two tries.
const RETRY_MAX: Duration = Duration::from_millis(50);
/// How often a parent that another pod's removal took away is made again: each time one pod had just ended.
const CREATE_TRIES: usize = 16;
/// How deep cgroups below a container's are followed; the kernel has no limit of its own, systemd in a container uses 5.
const DEPTH_MAX: usize = 64;
/// Longest cgroup file read, in bytes: `memory.stat` has 4 KiB, `cgroup.procs` 8 bytes per process.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// Parents that only hold pods of one QoS class. Source: kubelet.
const QOS_PARENTS: [&str; 2] = [BURSTABLE, BEST_EFFORT];
/// Pods that were promised something.
const BURSTABLE: &str = "burstable";
/// Pods that were promised nothing.
pub(super) const BEST_EFFORT: &str = "besteffort";

/// Something about a cgroup could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// There are no cgroups below `/sys/fs/cgroup`.
    #[error("cannot find a cgroup file system below `/sys/fs/cgroup`")]
    NotMounted,
    /// A path or id is not made of plain names.
    #[error("cannot use `{0}` as a cgroup name")]
    Name(String),
    /// It could not be made.
    #[error("cannot create cgroup `{}`", path.display())]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A value was refused.
    #[error("cannot write `{value}` to `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be removed in time.
    #[error("cannot remove cgroup `{}`{processes}", path.display())]
    Remove {
        /// Which.
        path: PathBuf,
        /// ` with processes …`, if there are any.
        processes: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Processes outlived SIGKILL.
    #[error("cannot kill cgroup `{}`{processes}", path.display())]
    Kill {
        /// Which.
        path: PathBuf,
        /// ` with processes …` and their states.
        processes: String,
    },
}

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
    path: PathBuf,
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
                Mode::V1 | Mode::Hybrid => cgroup_v1::prepare(mount, &self.path)?,
                Mode::V2 => cgroup_v2::delegate(mount, &self.path)?,
            }
        }
        self.write(values)
    }

    /// Writes the values of an existing cgroup; the result is that of [`create`](PodCgroup::create).
    pub fn write(&self, values: &PodCgroupValues) -> Result<Vec<&'static str>, CgroupError> {
        let settings = match self.layout.mode() {
            Mode::V1 | Mode::Hybrid => cgroup_v1::settings(values),
            Mode::V2 => cgroup_v2::settings(values),
        };
        let mut lacking = Vec::new();
        for setting in settings {
            match self.directory_of(setting.controller) {
                Some(directory) => write(&directory.join(setting.file), &setting.value)?,
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
            Mode::V1 | Mode::Hybrid => cgroup_v1::oom_kills(&directory),
            Mode::V2 => cgroup_v2::oom_kills(&directory),
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
            .filter_map(|directory| read(&directory.join("cgroup.procs")))
            .flat_map(|text| text.lines().map(str::parse).collect::<Vec<_>>())
            .filter_map(Result::ok)
            .filter(|pid| *pid != 0)
            .collect();
        pids.sort_unstable();
        pids.dedup();
        pids
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

    fn directory_of(&self, controller: &str) -> Option<PathBuf> {
        self.directory_below(controller, &self.path)
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
            retry(REMOVE_DEADLINE, || remove_tree(&directory))
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

/// Writes one value to one cgroup file, in one write as the kernel wants it.
pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    use std::io::Write;
    let open = std::fs::OpenOptions::new().write(true).open(path);
    open.and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|source| CgroupError::Write {
            path: path.to_owned(),
            value: value.to_owned(),
            source,
        })
}

/// A cgroup file, if there is one.
pub(super) fn read(path: &Path) -> Option<String> {
    small_file::read_head(path, FILE_MAX_BYTES).ok()
}

/// The number after `key` in a file of `key number` lines.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?
        .trim()
        .parse()
        .ok()
}

/// A cgroup and all below it, parents first; only directories, no links. Cut at a depth of 64.
pub(super) fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut all = vec![(directory.to_owned(), 0)];
    let mut next = 0;
    while let Some((current, depth)) = all.get(next).cloned() {
        next += 1;
        let entries = std::fs::read_dir(&current).into_iter().flatten().flatten();
        let below = entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
        if depth < DEPTH_MAX {
            all.extend(below.map(|e| (e.path(), depth + 1)));
        }
    }
    all.into_iter().map(|(path, _)| path).collect()
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    for path in tree(directory).into_iter().rev() {
        match std::fs::remove_dir(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

/// Tries until it works or the deadline comes; then the last error. The kernel tells nobody when a v1 cgroup is free.
pub(super) async fn retry(
    deadline: Duration,
    mut attempt: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let mut last = attempt();
    let tries = async {
        let mut pause = RETRY_FIRST;
        while last.is_err() {
            sleep(pause).await;
            pause = RETRY_MAX.min(pause * 2);
            last = attempt();
        }
    };
    // On expiry the result of the last try stands.
    let _expired = timeout(deadline, tries).await;
    last
}

/// ` with processes 12 (sleep, S), …`, or nothing; the first eight.
pub(super) fn describe(pids: &[u32]) -> String {
    const SHOWN: usize = 8;
    let state = |pid: &u32| {
        let stat = read(Path::new(&format!("/proc/{pid}/stat")))?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let name: String = name.escape_debug().collect();
        Some(format!("{pid} ({name}, {})", rest.trim_start().get(..1)?))
    };
    let shown: Vec<String> = pids
        .iter()
        .take(SHOWN)
        .map(|pid| state(pid).unwrap_or_else(|| pid.to_string()))
        .collect();
    match pids.len().saturating_sub(SHOWN) {
        _ if shown.is_empty() => String::new(),
        0 => format!(" with processes {}", shown.join(", ")),
        more => format!(" with processes {} and {more} more", shown.join(", ")),
    }
}
