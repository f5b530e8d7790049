//! `hostPath`: something of the host, checked for its type. Source: kubelet `hostPathTypeChecker`.

use crate::manifest::HostPathType;
use crate::volume::dir;
use crate::volume::error::Error;
use rustix::fs::{Mode, OFlags};
use std::fs::Metadata;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

/// Checks `path`, makes it if its type says so, and gives it with all links resolved.
pub(super) fn prepare(path: &Path, kind: HostPathType) -> Result<PathBuf, Error> {
    use HostPathType as T;
    let found = match std::fs::metadata(path) {
        Ok(meta) => Some(meta),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            None
        }
        Err(error) => return Err(Error::system("inspect", path)(error)),
    };
    match (&found, kind) {
        (None, T::Unset | T::DirectoryOrCreate) => {
            dir::make_on_host(path, 0o755).map_err(Error::system("make directory", path))?;
        }
        (None, T::FileOrCreate) => make_file(path).map_err(Error::system("make file", path))?,
        (found, kind) => {
            if let Some((is_it, expected)) = check(kind)
                && !found.as_ref().is_some_and(is_it)
            {
                let path = path.to_owned();
                return Err(Error::HostPathType { path, expected });
            }
        }
    }
    path.canonicalize().map_err(Error::system("resolve", path))
}

type Check = fn(&Metadata) -> bool;

/// What must hold of an existing path and how it is called.
fn check(kind: HostPathType) -> Option<(Check, &'static str)> {
    use HostPathType as T;
    match kind {
        T::Unset => None,
        T::DirectoryOrCreate | T::Directory => Some((Metadata::is_dir, "directory")),
        T::FileOrCreate | T::File => Some((Metadata::is_file, "file")),
        T::Socket => Some((|meta| meta.file_type().is_socket(), "socket file")),
        T::CharDevice => Some((|m| m.file_type().is_char_device(), "character device")),
        T::BlockDevice => Some((|m| m.file_type().is_block_device(), "block device")),
    }
}

/// An empty file, 0644 exactly; its directory must be there.
fn make_file(path: &Path) -> io::Result<()> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    let file = rustix::fs::open(path, flags, Mode::RUSR | Mode::WUSR)?;
    Ok(rustix::fs::fchmod(&file, Mode::from_raw_mode(0o644))?)
}
