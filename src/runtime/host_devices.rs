//! The device nodes of the host, which a privileged container gets. Source: runc `libcontainer/devices` HostDevices.

use crate::bundle::HostDevice;
use rustix::fs::{FileType, major, minor};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Most device nodes reported; a machine with hundreds of disks has some 2,000.
const DEVICES_MAX: usize = 4096;
/// How deep `/dev` is searched: `/dev/bus/usb/001/002` is 4.
const DEPTH_MAX: usize = 6;
/// Directories that every container has its own of, or that belong to somebody.
const SKIPPED_DIRECTORIES: [&str; 7] =
    ["pts", "shm", "fd", "mqueue", ".lxc", ".lxd-mounts", ".udev"];

/// Character and block devices below `dev`, sorted by path, without `console`; links are not followed.
pub(super) fn below(dev: &Path) -> Vec<HostDevice> {
    let mut devices = Vec::new();
    let mut directories = vec![(dev.to_owned(), 0)];
    while let Some((directory, depth)) = directories.pop() {
        let entries = std::fs::read_dir(&directory).into_iter().flatten();
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default();
            let skipped = SKIPPED_DIRECTORIES.iter().any(|skip| name == *skip);
            match path.symlink_metadata() {
                Ok(meta) if meta.is_dir() && depth < DEPTH_MAX && !skipped => {
                    directories.push((path, depth + 1));
                }
                Ok(meta) if name != "console" => devices.extend(device(path, &meta)),
                _ => {}
            }
            if devices.len() >= DEVICES_MAX {
                directories.clear();
                break;
            }
        }
    }
    devices.sort_by(|a, b| a.path.cmp(&b.path));
    devices
}

/// What a device node is; `None` for anything else. Links are not followed.
pub fn host_device(path: &Path) -> std::io::Result<Option<HostDevice>> {
    let meta = path.symlink_metadata()?;
    Ok(device(path.to_owned(), &meta))
}

fn device(path: PathBuf, meta: &std::fs::Metadata) -> Option<HostDevice> {
    let block = match FileType::from_raw_mode(meta.mode()) {
        FileType::BlockDevice => true,
        FileType::CharacterDevice => false,
        _ => return None,
    };
    Some(HostDevice {
        path: path.into_os_string().into_string().ok()?,
        block,
        major: major(meta.rdev()).into(),
        minor: minor(meta.rdev()).into(),
        mode: meta.mode() & 0o7777,
        uid: meta.uid(),
        gid: meta.gid(),
    })
}
