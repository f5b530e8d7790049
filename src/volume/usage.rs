//! How much of the disk a directory takes. Source: kubelet, `fs.DiskUsage`.
//!
//! Containers write here while it is walked. Depth costs neither stack nor descriptors, no link is followed, no other file system
//! is entered, and the walk ends at its deadline: what it has found by then is a lower bound.

use crate::base::Mono;
use crate::sys;
use crate::volume::dir;
use rustix::fs::{AtFlags, FileType, Stat, fstat, statat};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::path::Path;

/// Levels whose directories are held open; from the deeper ones the way back is `..`.
const HELD_MAX: usize = 128;
/// Directories that are known and not yet looked at: their names are in memory.
const WAITING_MAX: usize = 1 << 20;
/// The unit of `st_blocks`. Source: stat(3type).
const BLOCK_BYTES: u64 = 512;

/// What a directory takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Allocated on disk; several names of a file count once.
    pub bytes: u64,
    /// Everything was counted.
    pub is_complete: bool,
}

/// Measures `root` with everything below; one that is absent takes nothing.
pub fn usage(root: &Path, deadline: Mono) -> io::Result<Usage> {
    let root = match dir::open(root) {
        Err(error) if error.kind() == ErrorKind::NotFound => {
            return Ok(Usage {
                bytes: 0,
                is_complete: true,
            });
        }
        root => root?,
    };
    let top = fstat(&root)?;
    let mut walk = Walk {
        usage: Usage {
            bytes: share_of(&top),
            is_complete: true,
        },
        device: top.st_dev,
        levels: Vec::new(),
        waiting: 0,
        deadline,
    };
    walk.enter(root, &top)?;
    walk.run()?;
    Ok(walk.usage)
}

struct Walk {
    usage: Usage,
    device: u64,
    /// From the root to the directory that is looked at.
    levels: Vec<Level>,
    /// Names in all levels.
    waiting: usize,
    deadline: Mono,
}

/// A directory on the way.
struct Level {
    inode: u64,
    /// The last level's is always open.
    dir: Option<OwnedFd>,
    /// Directories in it that are still to be looked at.
    children: Vec<OsString>,
}

impl Walk {
    fn run(&mut self) -> io::Result<()> {
        while let Some(level) = self.levels.last_mut() {
            if sys::now().mono >= self.deadline {
                self.usage.is_complete = false;
                return Ok(());
            }
            let Some(name) = level.children.pop() else {
                self.leave();
                continue;
            };
            self.waiting -= 1;
            let Some(dir) = &level.dir else {
                return Err(ErrorKind::NotFound.into());
            };
            match dir::open_in(dir, &name) {
                Ok(child) => {
                    let stat = fstat(&child)?;
                    // It may be another one than the one that was counted.
                    if stat.st_dev == self.device {
                        self.enter(child, &stat)?;
                    }
                }
                Err(error) if is_gone(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Counts what is in a directory and goes on there.
    fn enter(&mut self, dir: OwnedFd, stat: &Stat) -> io::Result<()> {
        let mut children = Vec::new();
        let mut entries = rustix::fs::Dir::read_from(&dir)?;
        while let Some(entry) = entries.read() {
            let entry = entry?;
            let name = entry.file_name();
            if matches!(name.to_bytes(), b"." | b"..") {
                continue;
            }
            let stat = match statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW) {
                Err(Errno::NOENT) => continue,
                stat => stat?,
            };
            if stat.st_dev != self.device {
                continue;
            }
            self.usage.bytes = self.usage.bytes.saturating_add(share_of(&stat));
            if FileType::from_raw_mode(stat.st_mode) == FileType::Directory {
                if self.waiting >= WAITING_MAX {
                    self.usage.is_complete = false;
                    continue;
                }
                self.waiting += 1;
                children.push(std::os::unix::ffi::OsStringExt::from_vec(
                    name.to_bytes().to_vec(),
                ));
            }
            if sys::now().mono >= self.deadline {
                self.usage.is_complete = false;
                break;
            }
        }
        if self.levels.len() > HELD_MAX
            && let Some(parent) = self.levels.last_mut()
        {
            parent.dir = None;
        }
        self.levels.push(Level {
            inode: stat.st_ino,
            dir: Some(dir),
            children,
        });
        Ok(())
    }

    /// Goes back to the directory above. Where that has been moved away meanwhile, the rest of it is left out.
    fn leave(&mut self) {
        let mut from = self.levels.pop().and_then(|level| level.dir);
        while let Some(level) = self.levels.last_mut() {
            if level.dir.is_some() {
                return;
            }
            let above = from.take().and_then(|dir| dir::open_in(&dir, "..").ok());
            let is_it = |dir: &OwnedFd| {
                fstat(dir)
                    .is_ok_and(|stat| (stat.st_dev, stat.st_ino) == (self.device, level.inode))
            };
            if let Some(above) = above.filter(is_it) {
                level.dir = Some(above);
                return;
            }
            self.usage.is_complete = false;
            self.waiting -= level.children.len();
            self.levels.pop();
        }
    }
}

/// Whether a directory that was there is not any more: removed, or replaced by something else.
fn is_gone(error: &io::Error) -> bool {
    let gone = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::STALE];
    error
        .raw_os_error()
        .is_some_and(|code| gone.iter().any(|errno| errno.raw_os_error() == code))
}

/// What one name of a file takes: all its names are in the same volume, so together they make the whole.
fn share_of(stat: &Stat) -> u64 {
    let bytes = u64::try_from(stat.st_blocks)
        .unwrap_or(0)
        .saturating_mul(BLOCK_BYTES);
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::Directory => bytes,
        _ => bytes / stat.st_nlink.max(1),
    }
}

#[cfg(test)]
mod tests;
