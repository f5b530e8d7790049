//! A tar archive → files below a directory. What stands there may be somebody's trap: no link is followed out, nothing but a regular
//! file is ever opened, and on this machine no file comes out with more power than it should have.

use crate::cli::cp::CopyError;
use crate::cli::report;
use crate::sys::{Leaving, open_beneath};
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, Timespec, Timestamps, Uid, chownat, fchmod, fchown,
    fstat, futimens, linkat, mkdirat, openat, symlinkat, unlinkat,
};
use rustix::io::Errno;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, Entry, EntryType};

/// Whether links of the archive are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Links {
    /// They lead where the container says, in the container.
    Make,
    /// A link from a container could lead anywhere on this machine. Source: kubectl.
    Skip,
}

/// Where an archive goes.
pub(super) struct Target<'a> {
    /// The root that nothing leaves.
    pub root: &'a OwnedFd,
    /// The directory below it that the archive's paths start from.
    pub base: PathBuf,
    /// What is done about links on the way.
    pub leaving: Leaving,
    /// Who gets the files; `None` means whoever we are, and then no file runs as another.
    pub owner: Option<(u32, u32)>,
    /// Links of the archive.
    pub links: Links,
}

/// Takes everything out of an archive. Directories get mode and time at the end, when nothing more comes into them.
pub(super) fn unpack(archive: impl Read, target: &Target<'_>) -> Result<(), CopyError> {
    let mut archive = Archive::new(archive);
    let mut directories = Vec::new();
    for entry in archive.entries().map_err(CopyError::Archive)? {
        let mut entry = entry.map_err(CopyError::Archive)?;
        let Some(path) = path_of(&entry)? else {
            continue;
        };
        let mode = mode_of(&entry, target);
        let mtime = entry.header().mtime().unwrap_or(0);
        if entry.header().entry_type() == EntryType::Directory {
            target.directory(&path)?;
            directories.push((path, mode, mtime));
        } else {
            target.member(&mut entry, &path, mode, mtime)?;
        }
    }
    // Whoever sent it may have padded it; a writer must not be cut off.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(CopyError::Archive)?;
    for (path, mode, mtime) in directories.into_iter().rev() {
        let dir = target.directory(&path)?;
        target
            .finish(&dir, mode, mtime)
            .map_err(CopyError::file("set the mode of", &path))?;
    }
    Ok(())
}

/// The path of a member; `None` for the top itself.
fn path_of<R: Read>(entry: &Entry<'_, R>) -> Result<Option<PathBuf>, CopyError> {
    let written = entry.path().map_err(CopyError::Archive)?;
    let mut path = PathBuf::new();
    for component in written.components() {
        match component {
            Component::Normal(name) => path.push(name),
            Component::ParentDir => return Err(CopyError::Outside(written.into_owned())),
            _ => {}
        }
    }
    Ok(Some(path).filter(|path| !path.as_os_str().is_empty()))
}

fn mode_of<R: Read>(entry: &Entry<'_, R>, target: &Target<'_>) -> u32 {
    let kept = match target.owner {
        Some(_) => 0o7777,
        // What ran as another user in the container would run as us here.
        None => 0o777,
    };
    entry.header().mode().unwrap_or(0o644) & kept
}

impl Target<'_> {
    /// Opens a directory, made if it is missing.
    fn directory(&self, path: &Path) -> Result<OwnedFd, CopyError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let open = || open_beneath(self.root, &self.base.join(path), flags, self.leaving);
        match open() {
            Err(Errno::NOENT) => {}
            other => return other.map_err(CopyError::file("open directory", path)),
        }
        let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(CopyError::file("open directory", &self.base)(Errno::NOENT));
        };
        let parent = self.directory(parent)?;
        match mkdirat(&parent, name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(CopyError::file("make directory", path)(error)),
        }
        let made = open().map_err(CopyError::file("open directory", path))?;
        self.own(&made)
            .map_err(CopyError::file("give away", path))?;
        fchmod(&made, Mode::from_raw_mode(0o755))
            .map_err(CopyError::file("set the mode of", path))?;
        Ok(made)
    }

    /// Makes one member that is no directory.
    fn member<R: Read>(
        &self,
        entry: &mut Entry<'_, R>,
        path: &Path,
        mode: u32,
        mtime: u64,
    ) -> Result<(), CopyError> {
        let (parent, name) = (path.parent().unwrap_or(Path::new("")), path.file_name());
        let name = name.ok_or_else(|| CopyError::Outside(path.to_owned()))?;
        let dir = self.directory(parent)?;
        let skip = |what: &str| report::warn(format_args!("skipping {what} `{}`", path.display()));
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                let mut write = || {
                    let mut file = open_file(&dir, name)?;
                    io::copy(entry, &mut file)?;
                    self.finish(&file.into(), mode, mtime)
                };
                write().map_err(CopyError::file("write", path))
            }
            EntryType::Symlink | EntryType::Link if self.links == Links::Skip => {
                skip("link");
                Ok(())
            }
            kind @ (EntryType::Symlink | EntryType::Link) => {
                let link = entry.link_name().map_err(CopyError::Archive)?;
                let to = link.unwrap_or_default();
                let make = || match kind {
                    EntryType::Symlink => self.symlink(&dir, name, &to),
                    _ => self.hard_link(&dir, name, &to),
                };
                make().map_err(CopyError::file("link", path))
            }
            _ => {
                skip("special file");
                Ok(())
            }
        }
    }

    fn symlink(&self, dir: &OwnedFd, name: &OsStr, to: &Path) -> io::Result<()> {
        remove(dir, name)?;
        symlinkat(to, dir, name)?;
        if let Some((uid, gid)) = self.owner {
            let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
            chownat(dir, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }

    /// Another name of a member that came before.
    fn hard_link(&self, dir: &OwnedFd, name: &OsStr, to: &Path) -> io::Result<()> {
        let to = self.base.join(to.strip_prefix("/").unwrap_or(to));
        let found = open_beneath(self.root, &to, OFlags::PATH, self.leaving)?;
        remove(dir, name)?;
        let found = format!("/proc/self/fd/{}", found.as_raw_fd());
        Ok(linkat(CWD, found, dir, name, AtFlags::SYMLINK_FOLLOW)?)
    }

    /// Owner, mode, time: in this order, because a change of owner takes bits of the mode away.
    fn finish(&self, file: &OwnedFd, mode: u32, mtime: u64) -> io::Result<()> {
        self.own(file)?;
        fchmod(file, Mode::from_raw_mode(mode))?;
        let time = Timespec {
            tv_sec: i64::try_from(mtime).unwrap_or(i64::MAX),
            tv_nsec: 0,
        };
        let times = Timestamps {
            last_access: time,
            last_modification: time,
        };
        Ok(futimens(file, &times)?)
    }

    fn own(&self, file: &OwnedFd) -> Result<(), Errno> {
        match self.owner {
            Some((uid, gid)) => fchown(file, Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid))),
            None => Ok(()),
        }
    }
}

/// Opens a file for its new content: the one that is there, which may be mounted there, or a new one in the place of what is no
/// regular file.
fn open_file(dir: &OwnedFd, name: &OsStr) -> io::Result<File> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match openat(dir, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        other => {
            let found = other?;
            if FileType::from_raw_mode(fstat(&found)?.st_mode) == FileType::RegularFile {
                // Not by its name, which may be a device's by now.
                let path = format!("/proc/self/fd/{}", found.as_raw_fd());
                match File::options().write(true).truncate(true).open(path) {
                    // A program that runs gets a successor.
                    Err(error) if error.kind() == io::ErrorKind::ExecutableFileBusy => {}
                    other => return other,
                }
            }
            remove(dir, name)?;
        }
    }
    let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(File::from(openat(dir, name, new, Mode::RUSR | Mode::WUSR)?))
}

/// Removes what is no directory.
fn remove(dir: &OwnedFd, name: &OsStr) -> Result<(), Errno> {
    match unlinkat(dir, name, AtFlags::empty()) {
        Err(Errno::NOENT) => Ok(()),
        other => other,
    }
}
