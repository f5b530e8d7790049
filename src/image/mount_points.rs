//! What every container has something mounted on, as the lowest layer of every root: a runtime that finds it there need not make it in
//! the container's own layer, where each directory is made aside and renamed by the kernel, and counts as written by the container.
//!
//! An image decides all the same: what it has of the same name lies above, and what it has removed stays away.

use crate::bundle::MOUNT_POINTS;
use crate::sys;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

/// Another name whenever the list changes: layers that are mounted must not.
const NAME: &str = "mount-points-1";

/// The layer, below the data directory; made the first time. Of several processes that make it at once one's is kept.
pub fn mount_points(data: &Path) -> io::Result<PathBuf> {
    let path = data.join(NAME);
    if path.is_dir() {
        return Ok(path);
    }
    let temporary = tempfile::Builder::new()
        .prefix(".mount-points")
        .tempdir_in(data)?;
    let root = temporary.path().join("root");
    for directory in MOUNT_POINTS.directories {
        sys::create_dirs(&root.join(directory), 0o755)?;
    }
    for file in MOUNT_POINTS.files {
        File::create_new(root.join(file))?;
    }
    match fs::rename(&root, &path) {
        Err(_) if path.is_dir() => Ok(path),
        done => done.map(|()| path),
    }
}
