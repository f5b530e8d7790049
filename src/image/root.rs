//! Opening paths below a directory, whatever links are on the way, and removing trees without following any.

use crate::sys::{Leaving, open_beneath};
use rustix::fs::{AtFlags, Dir, Mode, OFlags, RenameFlags, fstat, openat, renameat_with, unlinkat};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// Bytes of a path inside an image. Source: Linux PATH_MAX.
pub(super) const PATH_BYTES: usize = 4096;

/// A member's path from the root: leading `/` and `.` fall away, as every unpacker does; `..` is refused rather than guessed at.
pub(super) fn relative(path: &[u8]) -> Result<PathBuf, &'static str> {
    if path.len() >= PATH_BYTES {
        return Err("its path is longer than 4095 bytes");
    }
    if path.contains(&0) {
        return Err("its path has a NUL byte");
    }
    let mut clean = PathBuf::new();
    for component in Path::new(OsStr::from_bytes(path)).components() {
        match component {
            Component::Normal(name) => clean.push(name),
            Component::ParentDir => return Err("its path has `..`"),
            Component::RootDir | Component::CurDir | Component::Prefix(_) => {}
        }
    }
    Ok(clean)
}

/// Opens a host directory as a root to resolve below. The path itself is the caller's and is followed as usual.
pub(super) fn open_root(dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Ok(rustix::fs::open(dir, flags, Mode::empty())?)
}

/// Opens a path as if `root` were `/`: absolute symlinks and `..` stay below it, magic links are refused.
pub(super) fn open_below(root: impl AsFd, path: &Path, flags: OFlags) -> Result<OwnedFd, Errno> {
    open_beneath(root, path, flags, Leaving::Rebased)
}

/// Opens a regular file below `root` for reading and gives its size in bytes. Never blocks on a FIFO, never touches a device.
pub(super) fn open_regular(root: impl AsFd, path: &Path) -> io::Result<(File, u64)> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    // O_PATH first: opening a device node already is an act.
    let probe = open_below(&root, path, OFlags::PATH)?;
    if !is_regular(&probe)?.0 {
        return Err(not_regular());
    }
    let file = open_below(&root, path, flags)?;
    match is_regular(&file)? {
        (true, size) => Ok((File::from(file), size)),
        (false, _) => Err(not_regular()),
    }
}

fn is_regular(file: &OwnedFd) -> io::Result<(bool, u64)> {
    let stat = fstat(file)?;
    let regular = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file();
    Ok((regular, u64::try_from(stat.st_size).unwrap_or(0)))
}

fn not_regular() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "not a regular file")
}

/// Removes `name` in `parent` and everything below it. Depth costs neither stack nor file descriptors: directories are first moved up
/// into the top one, so a tree of any depth can be removed.
pub(super) fn remove_tree(parent: impl AsFd, name: &OsStr) -> io::Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = match openat(&parent, name, flags, Mode::empty()) {
        Err(Errno::NOTDIR | Errno::LOOP) => {
            return Ok(unlinkat(&parent, name, AtFlags::empty())?);
        }
        Err(Errno::NOENT) => return Ok(()),
        top => top?,
    };
    let mut serial = 0_u64;
    loop {
        let mut directories = Vec::new();
        empty_of_files(&top, |name| {
            directories.push(name.to_owned());
            Ok(())
        })?;
        if directories.is_empty() {
            break;
        }
        for directory in directories {
            let directory = directory.as_c_str();
            let dir = openat(&top, directory, flags, Mode::empty())?;
            empty_of_files(&dir, |child| {
                loop {
                    serial += 1;
                    let aside = format!("{serial}");
                    match renameat_with(&dir, child, &top, aside, RenameFlags::NOREPLACE) {
                        Err(Errno::EXIST) => {}
                        done => return done,
                    }
                }
            })?;
            unlinkat(&top, directory, AtFlags::REMOVEDIR)?;
        }
    }
    Ok(unlinkat(&parent, name, AtFlags::REMOVEDIR)?)
}

/// Removes what is no directory in `dir` and calls `directory` for what is.
fn empty_of_files(
    dir: &OwnedFd,
    mut directory: impl FnMut(&std::ffi::CStr) -> Result<(), Errno>,
) -> Result<(), Errno> {
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        match unlinkat(dir, name, AtFlags::empty()) {
            Err(Errno::ISDIR) => directory(name)?,
            done => done?,
        }
    }
    Ok(())
}

/// Where a directory of a container's root is on the host, its symbolic links followed as inside the container.
pub fn resolve_in_root(root: &Path, path: &str) -> io::Result<PathBuf> {
    let inside = relative(path.as_bytes()).map_err(io::Error::other)?;
    let fd = open_below(open_root(root)?, &inside, OFlags::PATH | OFlags::DIRECTORY)?;
    std::fs::read_link(format!(
        "/proc/self/fd/{}",
        std::os::fd::AsRawFd::as_raw_fd(&fd)
    ))
}
