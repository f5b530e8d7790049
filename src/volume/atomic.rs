//! A volume of files that changes as a whole:
//!
//! ```text
//! <volume>/..2026_01_02_15_04_05.123456789/   the files
//! <volume>/..data   -> ..2026_01_02_15_04_05.123456789
//! <volume>/<first>  -> ..data/<first>
//! ```
//!
//! Invariant: `..data` always leads to a complete set of files. Source: Kubernetes `AtomicWriter`.

use crate::volume::dir;
use crate::volume::ownership::{self, Access};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, fchmod, fstat, openat, readlinkat, renameat};
use rustix::fs::{symlinkat, unlinkat};
use rustix::io::Errno;
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// One file to be.
pub(super) struct FileContent<'a> {
    /// Exact permissions, before any group gets its own.
    pub(super) mode: u32,
    /// Its bytes.
    pub(super) content: Cow<'a, [u8]>,
}

/// Files by their path in the volume.
pub(super) type Files<'a> = BTreeMap<String, FileContent<'a>>;

/// Bytes of a path and of one element. Source: Kubernetes `maxPathLength`, `maxFileNameLength`.
const PATH_BYTES_MAX: usize = 4096;
const ELEMENT_BYTES_MAX: usize = 255;
const DATA: &str = "..data";
const NEXT_DATA: &str = "..data_tmp";

/// Whether a path stays in the volume and clear of the names of this layout.
pub(super) fn is_valid_path(path: &str) -> bool {
    let element_is_valid = |element: &str| {
        !matches!(element, "" | "." | "..")
            && element.len() <= ELEMENT_BYTES_MAX
            && !element.contains('\0')
    };
    path.len() <= PATH_BYTES_MAX
        && !path.starts_with("..")
        && path.split('/').count() < dir::DEPTH_MAX - 1
        && path.split('/').all(element_is_valid)
}

/// Makes the volume at `root` have exactly `files`, given to `group`. If it has them, nothing is touched.
pub(super) fn write(root: &OwnedFd, files: &Files<'_>, group: Option<u32>) -> io::Result<()> {
    let current = match readlinkat(root, DATA, Vec::new()) {
        Err(Errno::NOENT) => None,
        other => Some(other?.into_string().map_err(|_| ErrorKind::InvalidData)?),
    };
    let firsts: BTreeSet<&str> = files.keys().filter_map(|p| p.split('/').next()).collect();
    let is_current = match &current {
        Some(name) => has_files(root, name, files, group)?,
        None => false,
    };
    if !is_current {
        let now = jiff::Timestamp::now();
        let next = now.strftime("..%Y_%m_%d_%H_%M_%S.%9f").to_string();
        write_files(root, &next, files)?;
        unlink_if_there(root, NEXT_DATA, AtFlags::empty())?;
        symlinkat(&next, root, NEXT_DATA)?;
    }
    // A name appears before its file does, so that with `..data` all of them are good at once.
    for first in &firsts {
        match symlinkat(Path::new(DATA).join(first), root, *first) {
            Err(Errno::EXIST) => {}
            other => other?,
        }
    }
    if !is_current {
        if let Some(gid) = group {
            ownership::give(root, gid, Access::ReadOnly)?;
        }
        renameat(root, NEXT_DATA, root, DATA)?;
    }
    remove_stale(root, &firsts)
}

/// Writes the files into a new directory `name`.
fn write_files(root: &OwnedFd, name: &str, files: &Files<'_>) -> io::Result<()> {
    let data = dir::make_below(root, Path::new(name), 0o755)?;
    for (path, file) in files {
        let path = Path::new(path);
        let parent = dir::make_below(&data, path.parent().unwrap_or(Path::new("")), 0o755)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
        let leaf = path.file_name().ok_or(ErrorKind::InvalidInput)?;
        let mut out = File::from(openat(&parent, leaf, flags, Mode::RUSR | Mode::WUSR)?);
        out.write_all(&file.content)?;
        fchmod(&out, Mode::from_raw_mode(file.mode))?;
    }
    Ok(())
}

/// Whether directory `name` holds exactly these files.
fn has_files(
    root: &OwnedFd,
    name: &str,
    files: &Files<'_>,
    group: Option<u32>,
) -> io::Result<bool> {
    let data = match dir::open_in(root, name) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(false),
        other => other?,
    };
    let mut paths = BTreeSet::new();
    list(&data, "", dir::DEPTH_MAX, &mut paths)?;
    if !paths.iter().eq(files.keys()) {
        return Ok(false);
    }
    for (path, file) in files {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let there = File::from(openat(&data, path.as_str(), flags, Mode::empty())?);
        let stat = fstat(&there)?;
        let mode = group.map_or(file.mode, |_| {
            ownership::file_mode(file.mode, Access::ReadOnly)
        });
        let mut content = Vec::new();
        there
            .take(file.content.len() as u64 + 1)
            .read_to_end(&mut content)?;
        let owned = group.is_none_or(|gid| stat.st_gid == gid);
        if stat.st_mode & 0o7777 != mode || !owned || content != *file.content {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Paths of everything below `dir` that is no directory.
fn list(dir: impl AsFd, at: &str, depth: usize, paths: &mut BTreeSet<String>) -> io::Result<()> {
    let below = depth.checked_sub(1).ok_or(ErrorKind::InvalidInput)?;
    for (name, kind) in dir::entries(&dir)? {
        let path = format!("{at}{}", name.to_string_lossy());
        if kind == FileType::Directory {
            list(
                dir::open_in(&dir, &name)?,
                &format!("{path}/"),
                below,
                paths,
            )?;
        } else {
            paths.insert(path);
        }
    }
    Ok(())
}

/// Removes old sets of files, unfinished ones, and links to what is no more.
fn remove_stale(root: &OwnedFd, firsts: &BTreeSet<&str>) -> io::Result<()> {
    let current = readlinkat(root, DATA, Vec::new())?;
    for (name, kind) in dir::entries(root)? {
        let text = name.to_string_lossy();
        let is_ours = text.starts_with("..");
        if kind == FileType::Directory && is_ours && text.as_bytes() != current.as_bytes() {
            remove_all(&dir::open_in(root, &name)?, dir::DEPTH_MAX)?;
            unlink_if_there(root, &name, AtFlags::REMOVEDIR)?;
        } else if kind == FileType::Symlink && text != DATA && !firsts.contains(&*text) {
            unlink_if_there(root, &name, AtFlags::empty())?;
        }
    }
    Ok(())
}

fn remove_all(dir: &OwnedFd, depth: usize) -> io::Result<()> {
    let below = depth.checked_sub(1).ok_or(ErrorKind::InvalidInput)?;
    for (name, kind) in dir::entries(dir)? {
        if kind == FileType::Directory {
            remove_all(&dir::open_in(dir, &name)?, below)?;
            unlink_if_there(dir, &name, AtFlags::REMOVEDIR)?;
        } else {
            unlink_if_there(dir, &name, AtFlags::empty())?;
        }
    }
    Ok(())
}

fn unlink_if_there(dir: &OwnedFd, name: impl rustix::path::Arg, flags: AtFlags) -> io::Result<()> {
    match unlinkat(dir, name, flags) {
        Err(Errno::NOENT) => Ok(()),
        other => Ok(other?),
    }
}
