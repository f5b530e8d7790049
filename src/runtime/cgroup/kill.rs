//! Killing everything in a container's cgroup, whatever the runtime does.
//!
//! ```text
//!  v2   cgroup.kill
//!  v1   freezer.state FROZEN → SIGKILL to each process by pidfd → THAWED     (and v2 before 5.14, with cgroup.freeze)
//! ```
//! Frozen processes cannot fork ahead of the signals. A process is signalled only if it is still in the cgroup after its
//! pidfd was opened, so that no recycled number is ever hit.

use crate::base::InstanceId;
use crate::runtime::cgroup::files::{self, RETRY_FIRST, RETRY_MAX, describe};
use crate::runtime::{CgroupError, Mode, PodCgroup};
use crate::sys;
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::time::{sleep, timeout};

/// How long processes may take to die of SIGKILL, before they are named as stuck: freeing memory takes tenths of seconds
/// per GiB.
const KILL_DEADLINE: Duration = Duration::from_secs(5);
/// How many ends are waited for; of the others it is looked whether they are gone when these are.
const WAITED_FOR: usize = 16;

impl PodCgroup {
    /// Sends SIGKILL to every process of a container, in its cgroup and those below, and waits until all are gone, at most
    /// 5 s. Nothing to kill is no error. A process that does not die is named with its state (`D`: it waits for a device).
    pub async fn kill_all(&self, id: &InstanceId) -> Result<(), CgroupError> {
        let path = self.relative(Some(id))?;
        let killed = timeout(KILL_DEADLINE, async {
            let mut pause = RETRY_FIRST;
            loop {
                let pids = self.pids_below(&path);
                if pids.is_empty() {
                    return;
                }
                let dying = dying(&pids);
                self.kill_once(&path);
                let ended = timeout(RETRY_MAX, ended(dying)).await;
                if ended.is_ok() && self.pids_below(&path).is_empty() {
                    return;
                }
                sleep(pause).await;
                pause = RETRY_MAX.min(pause * 2);
            }
        });
        killed.await.map_err(|_| CgroupError::Kill {
            processes: describe(&self.pids_below(&path)),
            path,
        })
    }

    fn kill_once(&self, path: &Path) {
        let by_file = |directory: &PathBuf| files::write(&directory.join("cgroup.kill"), "1");
        let is_v2 = self.layout.mode() == Mode::V2;
        if !is_v2 || !self.directories(path).iter().all(|d| by_file(d).is_ok()) {
            self.kill_frozen(path);
        }
    }

    pub(super) fn kill_frozen(&self, path: &Path) {
        let _thawed_at_the_end = Frozen::freeze(self, path);
        let pidfds: Vec<_> = self
            .pids_below(path)
            .into_iter()
            .filter_map(|pid| {
                let raw = Pid::from_raw(i32::try_from(pid).ok()?)?;
                Some((pid, pidfd_open(raw, PidfdFlags::empty()).ok()?))
            })
            .collect();
        let still_there = self.pids_below(path);
        for (pid, pidfd) in pidfds {
            if still_there.binary_search(&pid).is_ok() {
                // It may have died by itself.
                let _gone = pidfd_send_signal(&pidfd, Signal::KILL);
            }
        }
    }
}

/// Handles of processes that are about to be killed, or of enough of them.
fn dying(pids: &[u32]) -> Vec<AsyncFd<OwnedFd>> {
    let handle = |pid: &u32| sys::pidfd(*pid).and_then(sys::watch).ok();
    pids.iter().take(WAITED_FOR).filter_map(handle).collect()
}

/// Waits for the end of all of them.
async fn ended(processes: Vec<AsyncFd<OwnedFd>>) {
    for process in processes {
        // The number may be another's by now: who waits looks again.
        let _ = process.readable().await;
    }
}

/// A frozen cgroup, thawed when this goes: a v1 process dies only then.
struct Frozen {
    file: PathBuf,
    thaw: &'static str,
}

impl Frozen {
    /// As far as it can be frozen: without it the kill is only less sure to be quick, and it is repeated.
    fn freeze(pod: &PodCgroup, path: &Path) -> Option<Frozen> {
        let v1 = pod.layout.v1_mount("freezer");
        let (file, freeze, thaw) = match (v1, &pod.layout.v2) {
            (Some(mount), _) => (mount.join(path).join("freezer.state"), "FROZEN", "THAWED"),
            (None, Some(v2)) => (v2.mount.join(path).join("cgroup.freeze"), "1", "0"),
            (None, None) => return None,
        };
        files::write(&file, freeze).ok()?;
        Some(Frozen { file, thaw })
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        // The cgroup may be gone already.
        let _gone = files::write(&self.file, self.thaw);
    }
}
