//! The end of a pod's volumes.

use crate::volume::VolumeDirs;
use crate::volume::error::Error;
use crate::volume::mountinfo;
use crate::volume::places::release_places;
use nix::mount::{MntFlags, umount2};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Unmounts what is in memory, in the caller's mount namespace, and removes its mount points. What is on disk stays.
pub fn release(dirs: &VolumeDirs) -> Result<(), Error> {
    release_places(&dirs.shared)?;
    remove(&dirs.memory)
}

/// Detaches every mount below `dir`, lest somebody else's files are removed through it, then removes the directory.
fn remove(dir: &Path) -> Result<(), Error> {
    let dir = match dir.canonicalize() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::system("resolve", dir))?,
    };
    let mounts = mounts_below(&dir).map_err(Error::system("list mounts below", &dir))?;
    for mount in mounts.iter().rev() {
        umount2(mount, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
            .map_err(Error::system("unmount", mount))?;
    }
    std::fs::remove_dir_all(&dir).map_err(Error::system("remove", &dir))
}

/// Mount points below `dir` in the order they were mounted.
fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let points = mountinfo::all()?.into_iter().map(|mounted| mounted.point);
    Ok(points.filter(|point| point.starts_with(dir)).collect())
}
