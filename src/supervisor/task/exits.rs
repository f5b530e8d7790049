//! From a process that ended to an exit that is told: last the init, after everything else in its container.

use crate::base::Exit;
use crate::runtime::OomWatch;
use crate::supervisor::task::handle::Target;
use crate::supervisor::task::run::{Done, Loop, Watched};
use crate::supervisor::task::types::{Ended, TaskEvent};
use crate::sys;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// How long the processes of a container may outlive its init before it is told to have ended all the same.
const STRAGGLER_DEADLINE: Duration = Duration::from_secs(5);

/// Waits for the end of a child of ours and reaps it.
pub(super) async fn watch(target: Target, pid: u32, pidfd: OwnedFd) -> Watched {
    let exit = match sys::watch(pidfd) {
        Ok(pidfd) => loop {
            let Ok(mut ready) = pidfd.readable().await else {
                break Exit::Unknown;
            };
            match sys::reap(pid) {
                Ok(Some(status)) => break Exit::from_wait_status(status),
                Ok(None) => ready.clear_ready(),
                // Not our child: a runtime may leave an added process to another.
                Err(_) => break sys::pidfd_exit(pidfd.as_fd()).unwrap_or(Exit::Unknown),
            }
        },
        Err(_) => Exit::Unknown,
    };
    let at = sys::now().wall;
    Watched::Ended(target, Ended { exit, at })
}

/// Waits for an OOM kill.
pub(super) async fn watch_oom(id: String, mut watch: OomWatch) -> Watched {
    let more = watch.next().await;
    Watched::Oom(id, watch, more)
}

impl Loop {
    /// A process has ended.
    pub(super) fn ended(&mut self, target: &Target, ended: Ended) {
        let Some(container) = self.containers.get_mut(&target.id) else {
            return;
        };
        if target.exec_id.is_empty() {
            if container.init.starting {
                container.init.parked = Some(ended);
                let vain = container.init.start_is_vain.take();
                // The job may have its answer by now.
                vain.map(|vain| vain.send(()));
            } else {
                self.init_ended(&target.id, ended);
            }
            return;
        }
        if let Some(exec) = container.execs.get_mut(&target.exec_id) {
            let pid = exec.process.pid;
            exec.process.end(ended);
            self.tell(TaskEvent::Exited {
                id: target.id.clone(),
                exec_id: target.exec_id.clone(),
                pid,
                ended,
            });
        }
        self.settle(&target.id, false);
    }

    /// The init has ended: it is written down, and what outlives it is killed.
    pub(super) fn init_ended(&mut self, id: &str, ended: Ended) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let Some(place) = container.place.clone() else {
            return;
        };
        container.ending = Some(ended);
        let mut record = place.record.clone();
        record.ended = Some(ended);
        if let Err(error) = self.context.group.write(&record) {
            tracing::error!(id, %error, "cannot write down an exit");
        }
        let (has_own_pids, has_live_execs) = (place.has_own_pids, container.has_live_execs());
        if !has_own_pids || has_live_execs {
            let id = id.to_owned();
            self.jobs.spawn(async move {
                if let (false, Some(cgroup)) = (has_own_pids, &place.cgroup)
                    && let Err(error) = cgroup.kill_all().await
                {
                    tracing::error!(id, %error, "cannot kill what a container left behind");
                }
                if has_live_execs {
                    tokio::time::sleep(STRAGGLER_DEADLINE).await;
                }
                Done::Alone(id)
            });
        }
        // What it leaves behind in a namespace of others is killed before it is told.
        if has_own_pids {
            self.settle(id, false);
        }
    }

    /// Tells the end of a container once everything in it has ended, or when it is `enough`.
    pub(super) fn settle(&mut self, id: &str, enough: bool) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let Some(ended) = container.ending else {
            return;
        };
        if container.init.ended.is_some() || (container.has_live_execs() && !enough) {
            return;
        }
        let cgroup = container.place.as_ref().and_then(|p| p.cgroup.as_ref());
        let kills = cgroup.map_or(0, |cgroup| cgroup.oom_kills());
        let pid = container.init.pid;
        container.init.end(ended);
        let is_deleting = container.deleting.is_some();
        if kills > self.told_oom.get(id).copied().unwrap_or(0) {
            self.told_oom.insert(id.to_owned(), kills);
            self.tell(TaskEvent::Oom { id: id.to_owned() });
        }
        self.tell(TaskEvent::Exited {
            id: id.to_owned(),
            exec_id: String::new(),
            pid,
            ended,
        });
        if is_deleting {
            self.delete_now(id);
        }
    }

    /// The OOM killer was at work, or will be no more.
    pub(super) fn oom(&mut self, id: String, watch: OomWatch, more: bool) {
        if !more {
            return;
        }
        let live = self.containers.get(&id).filter(|c| c.init.ended.is_none());
        let Some(container) = live else {
            return;
        };
        let cgroup = container.place.as_ref().and_then(|p| p.cgroup.as_ref());
        let kills = cgroup.map_or(0, |cgroup| cgroup.oom_kills());
        if kills > self.told_oom.get(&id).copied().unwrap_or(0) {
            self.told_oom.insert(id.clone(), kills);
            self.tell(TaskEvent::Oom { id: id.clone() });
        }
        let watched = self.watches.spawn(watch_oom(id.clone(), watch));
        if let Some(container) = self.containers.get_mut(&id) {
            container.oom = Some(watched);
        }
    }
}
