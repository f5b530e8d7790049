//! `fsGroup`: a volume belongs to a group of the pod. Source: kubelet `SetVolumeOwnership`.

use crate::volume::dir;
use rustix::fs::{
    AtFlags, FileType, Gid, Mode, OFlags, RawMode, chmod, chownat, fchmod, fchown, fstat, openat,
};
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd};

/// What the group may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Volumes that are always read-only.
    ReadOnly,
    /// All others.
    ReadWrite,
}

/// A file's permissions once it belongs to the group.
pub(super) fn file_mode(mode: RawMode, access: Access) -> RawMode {
    match access {
        Access::ReadOnly => mode | 0o440,
        Access::ReadWrite => mode | 0o660,
    }
}

/// A directory's permissions once it belongs to the group: new entries inherit it.
pub(super) fn directory_mode(mode: RawMode, access: Access) -> RawMode {
    file_mode(mode, access) | 0o2110
}

/// Gives a directory and everything below to group `gid`. Links are given, never followed.
pub(super) fn give(root: impl AsFd, gid: u32, access: Access) -> io::Result<()> {
    give_below(root.as_fd(), gid, access, dir::DEPTH_MAX)
}

fn give_below(dir: impl AsFd, gid: u32, access: Access, depth: usize) -> io::Result<()> {
    let group = Some(Gid::from_raw(gid));
    let below = depth.checked_sub(1).ok_or(ErrorKind::InvalidInput)?;
    for (name, kind) in dir::entries(&dir)? {
        match give_entry(&dir, &name, kind, gid, access, below) {
            // Another pod may be at work in a claim.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            other => other?,
        }
    }
    let before = fstat(&dir)?.st_mode;
    fchown(&dir, None, group)?;
    fchmod(&dir, Mode::from_raw_mode(directory_mode(before, access)))?;
    Ok(())
}

fn give_entry(
    dir: impl AsFd,
    name: &OsStr,
    kind: FileType,
    gid: u32,
    access: Access,
    below: usize,
) -> io::Result<()> {
    let group = Some(Gid::from_raw(gid));
    match kind {
        FileType::Directory => give_below(dir::open_in(&dir, name)?, gid, access, below)?,
        FileType::Symlink => chownat(&dir, name, None, group, AtFlags::SYMLINK_NOFOLLOW)?,
        _ => {
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let file = openat(&dir, name, flags, Mode::empty())?;
            let before = fstat(&file)?.st_mode;
            chownat(&file, "", None, group, AtFlags::EMPTY_PATH)?;
            if FileType::from_raw_mode(before) != FileType::Symlink {
                let mode = Mode::from_raw_mode(file_mode(before, access));
                // Sockets cannot be opened and fchmod refuses O_PATH; this name is the very file.
                chmod(format!("/proc/self/fd/{}", file.as_raw_fd()), mode)?;
            }
        }
    }
    Ok(())
}
