//! `emptyDir`: a directory, on disk or in memory, with the life of the pod.

use crate::base::Quantity;
use crate::volume::error::Error;
use crate::volume::ownership::{self, Access};
use crate::volume::{dir, tmpfs};
use rustix::fs::{Mode, fchmod};
use std::io;
use std::path::{Path, PathBuf};

/// Anybody in the pod may write, unless the manifest says otherwise. Source: kubelet, emptyDir.
const MODE: u32 = 0o777;

/// Makes the directory `path` with mount points at the relative paths `nested`. It appears under its name when it is
/// complete; one that is there is the pod's and stays untouched.
pub(super) fn on_disk(
    path: &Path,
    mode: Option<u32>,
    nested: &[PathBuf],
    group: Option<u32>,
) -> Result<(), Error> {
    match path.symlink_metadata() {
        Ok(_) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(Error::system("inspect", path)(error)),
    }
    // No volume has such a name: they are DNS labels.
    let unfinished = path.with_file_name(format!(
        ".{}.new",
        path.file_name().unwrap_or_default().to_string_lossy()
    ));
    let fill = || {
        dir::make_on_host(&unfinished, 0o700)?;
        let root = dir::open(&unfinished)?;
        fchmod(&root, Mode::from_raw_mode(mode.unwrap_or(MODE)))?;
        for path in nested {
            dir::make_below(&root, path, 0o755)?;
        }
        if let Some(gid) = group {
            ownership::give(&root, gid, Access::ReadWrite)?;
        }
        std::fs::rename(&unfinished, path)
    };
    fill().map_err(Error::system("make directory", path))
}

/// The same on a file system of its own.
pub(super) fn in_memory(
    path: &Path,
    kind: tmpfs::Kind,
    mode: Option<u32>,
    nested: &[PathBuf],
    group: Option<u32>,
) -> Result<(), Error> {
    let mode = mode.unwrap_or(MODE);
    let mode = group.map_or(mode, |_| ownership::directory_mode(mode, Access::ReadWrite));
    tmpfs::ensure(path, kind, mode, group)?;
    let fill = || {
        let root = dir::open(path)?;
        if !dir::entries(&root)?.is_empty() {
            // Containers have been here: nothing of it is ours to complete.
            return Ok(());
        }
        for path in nested {
            dir::make_below(&root, path, 0o755)?;
        }
        if let Some(gid) = group {
            ownership::give(&root, gid, Access::ReadWrite)?;
        }
        Ok(())
    };
    fill().map_err(Error::system::<io::Error>("make directories in", path))
}

/// Bytes of an emptyDir in memory: the least of its limit, the pod's and the machine's, as far as they are above zero.
pub(super) fn size(limit: Option<Quantity>, pod: Option<u64>, machine: u64) -> u64 {
    let limit = limit.map(|q| u64::try_from(q.units()).unwrap_or(0));
    let positive = [limit, pod, Some(machine)].into_iter().flatten();
    positive.filter(|bytes| *bytes > 0).min().unwrap_or(0)
}
