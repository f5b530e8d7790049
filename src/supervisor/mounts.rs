//! The pod's own file systems in memory, its `/dev/shm` and volumes: they are mounted where only keeper and supervisor see them,
//! and in the containers. When both processes have died they are fetched back from a container that runs on, so that the next one
//! shares them as before.

use crate::base::InstanceId;
use crate::supervisor::context::Context;
use crate::supervisor::{FileId, Hands};
use crate::sys::{self, MountCopy};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What is mounted at the pod's own places now.
pub(super) fn seen<'a>(
    context: &Context,
    volumes: impl Iterator<Item = &'a PathBuf>,
) -> BTreeMap<PathBuf, FileId> {
    // A volume with shared mounts is bound there from its own place, and can be again.
    let shared = context.dir.file("shared");
    let below =
        |path: &&PathBuf| path.starts_with(&context.dir.state) && !path.starts_with(&shared);
    let volumes = volumes.filter(below).cloned();
    volumes
        .chain([context.dir.file("shm")])
        .filter_map(|path| Some((path.clone(), mounted(&path)?)))
        .collect()
}

/// What is mounted at a path; `None` if nothing is.
fn mounted(path: &Path) -> Option<FileId> {
    let parent = path.parent()?.symlink_metadata().ok()?;
    let own = path.symlink_metadata().ok()?;
    (own.dev() != parent.dev()).then(|| FileId {
        device: own.dev(),
        inode: own.ino(),
    })
}

/// Mounts again what the containers still have. *Errors*: says what is lost.
pub(super) fn fetch(context: &Context, hands: &Hands) -> Result<(), String> {
    let mut lost = Vec::new();
    for (path, wanted) in &hands.mounts {
        if mounted(path) == Some(*wanted) {
            continue;
        }
        let found = hands.processes.iter().any(|(instance, process)| {
            sys::start_time(process.pid) == Some(process.start_time)
                && fetch_from(context, instance, process.pid, path, *wanted).is_ok()
        });
        if !found {
            lost.push(path.display().to_string());
        }
    }
    match lost.is_empty() {
        true => Ok(()),
        false => Err(format!("Lost with the pod's keeper: {}", lost.join(", "))),
    }
}

fn fetch_from(
    context: &Context,
    instance: &InstanceId,
    pid: u32,
    path: &Path,
    wanted: FileId,
) -> io::Result<()> {
    // With the host's PIDs a container may share our mounts; then there is nothing to fetch.
    let table = std::fs::read_to_string(format!("/proc/{pid}/mountinfo"))?;
    let namespace = File::open(format!("/proc/{pid}/ns/mnt"))?;
    for inside in mounts_of(&table, wanted.device) {
        let tree = sys::clone_mount(namespace.as_fd(), &inside, MountCopy::Single)?;
        if FileId::of(&tree)? == wanted {
            sys::create_dirs(path, 0o700)?;
            return sys::attach_mount(&tree, path);
        }
    }
    tracing::debug!(%instance, dir = %context.dir.state.display(), "has not mounted what is looked for");
    Err(io::ErrorKind::NotFound.into())
}

/// Where a device is mounted whole. Source: proc_pid_mountinfo(5), fields 3 to 5; a path with blanks is left out.
fn mounts_of(mountinfo: &str, device: u64) -> Vec<PathBuf> {
    let name = format!(
        "{}:{}",
        nix::sys::stat::major(device),
        nix::sys::stat::minor(device)
    );
    let fields = mountinfo
        .lines()
        .map(|line| line.split(' ').collect::<Vec<_>>());
    fields
        .filter_map(|fields| match fields[..] {
            [_, _, dev, "/", target, ..] if dev == name && !target.contains('\\') => {
                Some(PathBuf::from(target))
            }
            _ => None,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_found_where_it_is_mounted_whole() {
        let table = "21 1 0:20 / /dev/shm rw - tmpfs shm rw\n\
            22 1 0:20 /part /data rw - tmpfs shm rw\n23 1 0:21 / /other rw - tmpfs x rw\n";
        let device = nix::sys::stat::makedev(0, 20);
        assert_eq!(mounts_of(table, device), [PathBuf::from("/dev/shm")]);
    }
}
