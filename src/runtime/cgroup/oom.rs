//! Being told that the OOM killer was at work in a container.
//!
//! ```text
//!  v1   eventfd registered in cgroup.event_control on memory.oom_control   fires on a kill, and once more when the cgroup goes
//!  v2   inotify on memory.events
//! ```
//! Either only says "look again": what counts is the counter of kills.

use crate::runtime::cgroup::files;
use crate::runtime::{ContainerCgroup, Mode};
use crate::sys;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// Bytes read at once: many notices of one file.
const NOTICE_BYTES: usize = 1024;

/// A watch on the OOM kills of one container. Needs a tokio runtime with I/O.
#[derive(Debug)]
pub struct OomWatch {
    notices: AsyncFd<OwnedFd>,
    cgroup: ContainerCgroup,
    seen: u64,
    /// v1 keeps the notice as long as the file that it is about is open.
    _file: Option<File>,
}

impl OomWatch {
    /// Begins to watch. *Errors*: where there is no memory controller, or no right to watch.
    pub fn new(cgroup: ContainerCgroup) -> io::Result<OomWatch> {
        let directory = cgroup.directory("memory").ok_or(io::ErrorKind::NotFound)?;
        let (notices, file) = match cgroup.mode() {
            Mode::V2 => {
                let fd = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
                inotify::add_watch(&fd, directory.join("memory.events"), WatchFlags::MODIFY)?;
                (fd, None)
            }
            Mode::V1 | Mode::Hybrid => {
                let fd = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
                let file = File::open(directory.join("memory.oom_control"))?;
                let order = format!("{} {}", fd.as_raw_fd(), file.as_raw_fd());
                files::write(&directory.join("cgroup.event_control"), &order)
                    .map_err(io::Error::other)?;
                (fd, Some(file))
            }
        };
        Ok(OomWatch {
            seen: cgroup.oom_kills(),
            notices: sys::watch(notices)?,
            cgroup,
            _file: file,
        })
    }

    /// Waits until there are more kills than before; `false` when there will be none: the cgroup is gone.
    pub async fn next(&mut self) -> bool {
        loop {
            if self.has_grown() {
                return true;
            }
            if !self.cgroup.exists() {
                return false;
            }
            let Ok(mut ready) = self.notices.readable().await else {
                return false;
            };
            let mut buffer = [0; NOTICE_BYTES];
            let taken = rustix::io::read(self.notices.as_fd(), &mut buffer);
            if taken == Err(rustix::io::Errno::AGAIN) {
                ready.clear_ready();
            }
        }
    }

    /// Whether there are kills that were not told.
    pub fn has_grown(&mut self) -> bool {
        let kills = self.cgroup.oom_kills();
        let grown = kills > self.seen;
        self.seen = kills.max(self.seen);
        grown
    }
}
