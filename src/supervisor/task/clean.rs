//! After a shim: what the call that comes when a shim is dead finds out and removes.

use crate::base::{Exit, InstanceId, Signal};
use crate::image::unmount_all;
use crate::supervisor::task::group::{Group, TaskRecord};
use crate::supervisor::task::types::Ended;
use crate::sys;
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

/// How long a killed init may take to be gone.
const DEATH_DEADLINE: Duration = Duration::from_secs(2);

/// What became of a container.
#[derive(Clone, Copy, Debug)]
pub struct Cleaned {
    /// Its init; 0 if it never had one.
    pub pid: u32,
    /// How it ended, [`Exit::Unknown`] if nobody saw it.
    pub ended: Ended,
}

/// Removes one container, and says what became of it. If the shim is dead, every other container of it is ended, too: nobody is
/// left to watch them, and not every caller asks for each. Their ends are written down for those who do.
pub async fn clean(
    group: &Group,
    id: &str,
    bundle: &Path,
    shim_lives: bool,
) -> std::io::Result<Cleaned> {
    // Without a directory the shim has ended by itself, after its last container.
    let _lock = group.lock_existing()?;
    let own = group.read(id);
    let cleaned = match &own {
        Some(record) => Cleaned {
            pid: record.pid,
            ended: end(record).await,
        },
        None => Cleaned {
            pid: 0,
            ended: unknown(),
        },
    };
    unmount_all(&bundle.join("rootfs"));
    group.forget(id);
    if !shim_lives {
        for mut record in group.all() {
            record.ended = Some(end(&record).await);
            unmount_all(&record.bundle.join("rootfs"));
            // The bundle is what its own call would come for.
            match record.bundle.exists() {
                true => group.write(&record)?,
                false => group.forget(&record.id),
            }
        }
        if group.all().is_empty() {
            group.remove();
        }
    }
    Ok(cleaned)
}

fn unknown() -> Ended {
    Ended {
        exit: Exit::Unknown,
        at: sys::now().wall,
    }
}

/// Ends a container by force; how it ended: as the shim saw it, else as the kernel says, else unknown.
async fn end(record: &TaskRecord) -> Ended {
    let is_same = |pid| record.started.is_some() && sys::start_time(pid) == record.started;
    let live = sys::pidfd(record.pid).ok().filter(|_| is_same(record.pid));
    if let Some(pidfd) = &live {
        // It may have ended by itself.
        let _ = sys::signal_pidfd(pidfd.as_fd(), Signal::KILL);
    }
    if let Some(cgroup) = record.container_cgroup()
        && let Err(error) = cgroup.kill_all().await
    {
        tracing::warn!(id = record.id, %error, "cannot kill what a dead shim left");
    }
    let exit = live.and_then(|pidfd| {
        let lives = sys::pidfd_outlives(pidfd.as_fd(), DEATH_DEADLINE);
        (!lives).then(|| sys::pidfd_exit(pidfd.as_fd()).unwrap_or(Exit::Signal(Signal::KILL)))
    });
    let (driver, id) = (record.driver(), InstanceId(record.id.clone()));
    let log = record.bundle.join("log.json");
    if let Err(error) = driver.delete(&id, &log, true).await {
        tracing::warn!(%id, %error, "cannot delete what a dead shim left");
        // Nothing of it lives.
        let _ = driver.forget(&id);
    }
    if let Some(cgroup) = record.container_cgroup() {
        // A runtime that failed left it; one that did not has removed it.
        let _ = cgroup.remove().await;
    }
    record.ended.unwrap_or(Ended {
        exit: exit.unwrap_or(Exit::Unknown),
        at: sys::now().wall,
    })
}
