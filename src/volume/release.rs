//! The end of a pod's volumes.

use crate::volume::error::Error;
use crate::volume::prepare::VolumeDirs;
use nix::mount::{MntFlags, umount2};
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// Unmounts what is in memory, in the caller's mount namespace, and removes its mount points. What is on disk stays.
pub fn release(dirs: &VolumeDirs<'_>) -> Result<(), Error> {
    remove(dirs.memory)
}

/// Removes what is on disk: the pod itself is removed.
pub fn remove_data(dirs: &VolumeDirs<'_>) -> Result<(), Error> {
    remove(dirs.disk)
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

/// Mount points below `dir` in the order they were mounted. Source: proc(5), mountinfo, field 5.
fn mounts_below(dir: &Path) -> io::Result<Vec<PathBuf>> {
    let table = std::fs::read("/proc/thread-self/mountinfo")?;
    let points = table
        .split(|b| *b == b'\n')
        .filter_map(|line| line.split(|b| *b == b' ').nth(4))
        .map(|field| PathBuf::from(unescaped(field)));
    Ok(points.filter(|point| point.starts_with(dir)).collect())
}

/// Blank, tab, newline and backslash stand as `\` and three octal digits.
fn unescaped(field: &[u8]) -> OsString {
    let mut out = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&first, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| first == b'\\');
        let code = code.and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                out.push(byte);
                rest = &after[3..];
            }
            None => {
                out.push(first);
                rest = after;
            }
        }
    }
    OsString::from_vec(out)
}
