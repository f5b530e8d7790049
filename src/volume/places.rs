//! Places of ours where something of a volume is bound: parts of volumes, and volumes whose mounts are shared.

use crate::sys;
use crate::volume::dir;
use crate::volume::error::Error;
use crate::volume::mountinfo;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{FileType, Mode, OFlags, fstat};
use std::io::{self, ErrorKind};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

/// Binds what `target` is open for to `place`, with all that is mounted below. `place` must not exist; its parents are made.
pub(super) fn bind(target: &OwnedFd, place: &Path) -> io::Result<()> {
    make(target, place)?;
    let source = format!("/proc/self/fd/{}", target.as_raw_fd());
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    let none = None::<&str>;
    Ok(mount(Some(source.as_str()), place, none, flags, none)?)
}

/// An empty directory or file to mount the like on.
fn make(like: &OwnedFd, place: &Path) -> io::Result<()> {
    dir::make_on_host(place.parent().ok_or(ErrorKind::InvalidInput)?, 0o700)?;
    if FileType::from_raw_mode(fstat(like)?.st_mode) == FileType::Directory {
        rustix::fs::mkdir(place, Mode::RWXU)?;
    } else {
        let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        rustix::fs::open(place, new, Mode::RUSR | Mode::WUSR)?;
    }
    Ok(())
}

/// Makes `place` a volume whose mounts are shared (`mountPropagation: Bidirectional`): what is mounted below it in one container appears
/// in all others. With `host`, the mount namespace that `volume` is a path of, it appears there too, and the other way round; then
/// the volume must be on a shared mount there. One that is there stays.
pub fn share(volume: &Path, place: &Path, host: Option<BorrowedFd<'_>>) -> Result<(), Error> {
    if place.exists() {
        match is_mount_point(place).map_err(Error::system("inspect", place))? {
            true => return Ok(()),
            // From a supervisor that died before it mounted.
            false => remove(place)?,
        }
    }
    let share = || -> io::Result<bool> {
        let path_only = OFlags::PATH | OFlags::CLOEXEC;
        let Some(host) = host else {
            bind(&rustix::fs::open(volume, path_only, Mode::empty())?, place)?;
            let none = None::<&str>;
            mount(none, place, none, MsFlags::MS_SHARED, none)?;
            return Ok(true);
        };
        let tree = sys::clone_mount(host, volume, sys::MountCopy::Tree)?;
        make(&tree, place)?;
        sys::attach_mount(&tree, place)?;
        Ok(mountinfo::of(place)?.is_some_and(|m| m.is_shared))
    };
    match share().map_err(Error::system("share the mounts of", volume))? {
        true => Ok(()),
        false => {
            detach(place).map_err(Error::system("unmount", place))?;
            remove(place)?;
            let path = volume.to_owned();
            Err(Error::NotShared { path })
        }
    }
}

fn is_mount_point(place: &Path) -> io::Result<bool> {
    let real = place.canonicalize()?;
    Ok(mountinfo::of(&real)?.is_some_and(|m| m.point == real))
}

/// Whether what is mounted elsewhere below `path` appears there (`mountPropagation: HostToContainer`).
pub fn receives_mounts(path: &Path) -> Result<bool, Error> {
    let mounted = mountinfo::of(path).map_err(Error::system("inspect", path))?;
    Ok(mounted.is_some_and(|m| m.is_shared || m.is_slave))
}

/// Unmounts the places in `dir` and removes them. None there is no error. What is mounted below leaves with its place and stays
/// mounted wherever else it is.
pub fn release_places(dir: &Path) -> Result<(), Error> {
    let places = match dir.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::system("list", dir))?,
    };
    for place in places {
        let place = place.map_err(Error::system("list", dir))?.path();
        detach(&place).map_err(Error::system("unmount", &place))?;
        remove(&place)?;
    }
    std::fs::remove_dir(dir).map_err(Error::system("remove", dir))
}

/// Takes a mount away from a place of ours with all that is below; what it shares with other places stays there. Nothing mounted is no
/// error.
fn detach(place: &Path) -> nix::Result<()> {
    let none = None::<&str>;
    // Otherwise what is mounted below would be unmounted everywhere else, too.
    match mount(
        none,
        place,
        none,
        MsFlags::MS_PRIVATE | MsFlags::MS_REC,
        none,
    ) {
        Err(nix::Error::EINVAL | nix::Error::ENOENT) => return Ok(()),
        other => other?,
    }
    umount2(place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
}

/// Removes the empty directory or file that something was mounted on.
fn remove(place: &Path) -> Result<(), Error> {
    let removed = std::fs::remove_dir(place).or_else(|_| std::fs::remove_file(place));
    removed.map_err(Error::system("remove", place))
}
