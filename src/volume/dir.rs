//! Directories by descriptor: nothing here follows a symbolic link below the directory it starts from.

use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawMode, mkdirat, openat, statat};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path};

/// Levels below a volume's root that are walked: far more than people nest, few enough descriptors to hold.
pub(super) const DEPTH_MAX: usize = 64;

const DIR: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);

/// Opens a directory of ours; its last component must not be a link.
pub(super) fn open(path: &Path) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, DIR, Mode::empty())?)
}

/// Opens the directory `name` in `dir`.
pub(super) fn open_in(dir: impl AsFd, name: impl rustix::path::Arg) -> io::Result<OwnedFd> {
    Ok(openat(dir, name, DIR, Mode::empty())?)
}

/// Makes the directories of the relative `path` that are missing, with exactly `mode`, and opens the last. A `..`, a link or a file
/// on the way is an error.
pub(super) fn make_below(root: impl AsFd, path: &Path, mode: RawMode) -> io::Result<OwnedFd> {
    let mut dir = root.as_fd().try_clone_to_owned()?;
    for component in path.components() {
        let Component::Normal(name) = component else {
            return Err(ErrorKind::InvalidInput.into());
        };
        let made = match mkdirat(&dir, name, Mode::RWXU) {
            Err(Errno::EXIST) => false,
            other => other.map(|()| true)?,
        };
        dir = open_in(&dir, name)?;
        if made {
            rustix::fs::fchmod(&dir, Mode::from_raw_mode(mode))?;
        }
    }
    Ok(dir)
}

/// Makes `path` with its parents; only the new ones get exactly `mode`. Links are followed: a path of the host or of ours.
pub(super) fn make_on_host(path: &Path, mode: RawMode) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        make_on_host(parent, mode)?;
    }
    match rustix::fs::mkdir(path, Mode::RWXU) {
        Err(Errno::EXIST) if path.is_dir() => Ok(()),
        Err(error) => Err(error.into()),
        Ok(()) => Ok(rustix::fs::chmod(path, Mode::from_raw_mode(mode))?),
    }
}

/// Names and types of what is in a directory.
pub(super) fn entries(dir: impl AsFd) -> io::Result<Vec<(OsString, FileType)>> {
    let mut found = Vec::new();
    for entry in rustix::fs::Dir::read_from(&dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let kind = match entry.file_type() {
            FileType::Unknown => {
                let stat = statat(&dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
                FileType::from_raw_mode(stat.st_mode)
            }
            known => known,
        };
        found.push((OsString::from_vec(name.to_bytes().to_vec()), kind));
    }
    Ok(found)
}
