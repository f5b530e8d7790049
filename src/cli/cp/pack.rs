//! A file or directory → a tar archive. What is no file, directory or link is left out and told.

use crate::cli::cp::CopyError;
use crate::cli::report;
use crate::sys::{Leaving, open_beneath};
use rustix::fs::{Dir, FileType, Mode, OFlags, Stat, fstat, openat, readlinkat};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use tar::{Builder, EntryType, Header};

/// Directories in each other: each holds a descriptor while it is walked, and there may be 1024 of them.
const DEPTH_MAX: usize = 256;

/// Writes what is at `path` below `root` as `name`; without a name, only what is in the directory. A link at `path` itself is followed as
/// `leaving` says, others are written as links.
pub(super) fn pack(
    root: &OwnedFd,
    path: &Path,
    leaving: Leaving,
    name: &Path,
    out: &mut dyn Write,
) -> Result<(), CopyError> {
    let found = open_beneath(root, path, OFlags::PATH, leaving);
    let found = found.map_err(CopyError::file("open", path))?;
    let mut archive = Builder::new(out);
    add(&mut archive, &found, name, DEPTH_MAX)?;
    archive.finish().map_err(CopyError::Archive)
}

/// `found` is open for its path only: a pipe or device must not be opened to see what it is.
fn add(
    archive: &mut Builder<&mut dyn Write>,
    found: &OwnedFd,
    name: &Path,
    depth: usize,
) -> Result<(), CopyError> {
    let read = |e: rustix::io::Errno| CopyError::file("read", name)(e);
    let stat = fstat(found).map_err(read)?;
    match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => {
            let file = File::open(format!("/proc/self/fd/{}", found.as_raw_fd()));
            let file = file.map_err(CopyError::file("open", name))?;
            let size = u64::try_from(stat.st_size).unwrap_or(0);
            let mut header = header(&stat, EntryType::Regular, size);
            // The archive says the size first: what grows meanwhile is cut, what shrinks is filled up.
            let content = file.chain(io::repeat(0)).take(size);
            archive
                .append_data(&mut header, name, content)
                .map_err(CopyError::file("copy", name))
        }
        FileType::Symlink => {
            let target = readlinkat(found, "", Vec::new()).map_err(read)?;
            let mut header = header(&stat, EntryType::Symlink, 0);
            let target = OsStr::from_bytes(target.as_bytes());
            archive
                .append_link(&mut header, name, target)
                .map_err(CopyError::file("copy", name))
        }
        FileType::Directory => directory(archive, found, &stat, name, depth),
        _ => {
            report::warn(format_args!(
                "skipping `{}`: it is no file, directory or link",
                name.display()
            ));
            Ok(())
        }
    }
}

fn directory(
    archive: &mut Builder<&mut dyn Write>,
    found: &OwnedFd,
    stat: &Stat,
    name: &Path,
    depth: usize,
) -> Result<(), CopyError> {
    let read = |e: rustix::io::Errno| CopyError::file("read", name)(e);
    let below = depth
        .checked_sub(1)
        .ok_or_else(|| CopyError::Deep(name.to_owned()))?;
    if !name.as_os_str().is_empty() {
        let mut header = header(stat, EntryType::Directory, 0);
        archive
            .append_data(&mut header, as_directory(name), io::empty())
            .map_err(CopyError::file("copy", name))?;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat(found, ".", flags, Mode::empty()).map_err(read)?;
    for entry in Dir::read_from(&dir).map_err(read)? {
        let entry = entry.map_err(read)?;
        let entry = entry.file_name();
        if matches!(entry.to_bytes(), b"." | b"..") {
            continue;
        }
        let path = name.join(OsStr::from_bytes(entry.to_bytes()));
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&dir, entry, flags, Mode::empty()) {
            // It was removed after it was listed.
            Err(rustix::io::Errno::NOENT) => {}
            other => {
                let child = other.map_err(CopyError::file("open", &path))?;
                add(archive, &child, &path, below)?;
            }
        }
    }
    Ok(())
}

fn header(stat: &Stat, kind: EntryType, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_size(size);
    header.set_mode(stat.st_mode & 0o7777);
    header.set_uid(u64::from(stat.st_uid));
    header.set_gid(u64::from(stat.st_gid));
    header.set_mtime(u64::try_from(stat.st_mtime).unwrap_or(0));
    header
}

/// With a final slash, as archives name directories.
fn as_directory(name: &Path) -> PathBuf {
    name.join("")
}
