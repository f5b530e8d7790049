//! Reading, writing, walking and removing in a cgroup file system. Links are never followed, sizes and depths are bounded.

use crate::runtime::{CgroupError, small_file};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// First pause between two tries; it doubles up to [`RETRY_MAX`].
pub(super) const RETRY_FIRST: Duration = Duration::from_millis(1);
/// Longest pause between two tries.
pub(super) const RETRY_MAX: Duration = Duration::from_millis(50);
/// How deep cgroups below a container's are followed; the kernel has no limit of its own, systemd in a container uses 5.
const DEPTH_MAX: usize = 64;
/// Longest cgroup file read, in bytes: `memory.stat` has 4 KiB, `cgroup.procs` 8 bytes per process.
const FILE_MAX_BYTES: u64 = 1024 * 1024;

/// Writes one value to one cgroup file, in one write as the kernel wants it.
pub(super) fn write(path: &Path, value: &str) -> Result<(), CgroupError> {
    use std::io::Write;
    let open = std::fs::OpenOptions::new().write(true).open(path);
    open.and_then(|mut file| file.write_all(value.as_bytes()))
        .map_err(|source| CgroupError::Write {
            path: path.to_owned(),
            value: value.to_owned(),
            source,
        })
}

/// A cgroup file, if there is one.
pub(super) fn read(path: &Path) -> Option<String> {
    small_file::read_head(path, FILE_MAX_BYTES).ok()
}

/// Processes of one cgroup; none of other PID namespaces than ours.
pub(super) fn pids(directory: &Path) -> Vec<u32> {
    let text = read(&directory.join("cgroup.procs")).unwrap_or_default();
    let pids = text.lines().filter_map(|line| line.parse().ok());
    pids.filter(|pid| *pid != 0).collect()
}

/// What a process (`self` or its id) is in: of each hierarchy its controllers, separated by commas, and the path there. Source:
/// cgroups(7).
pub(super) fn memberships(process: &str) -> Vec<(String, String)> {
    let text = read(Path::new(&format!("/proc/{process}/cgroup"))).unwrap_or_default();
    let parts = text.lines().filter_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        Some((controllers.to_owned(), path.to_owned()))
    });
    parts.collect()
}

/// The number after `key` in a file of `key number` lines.
pub(super) fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix(key)?.strip_prefix(' '))?
        .trim()
        .parse()
        .ok()
}

/// Links of a directory without directories in it, where they are counted. Source: `kernfs_refresh_inode`.
const LEAF_LINKS: u64 = 2;

/// A cgroup and all below it, parents first; only directories, no links. Cut at a depth of 64. A cgroup has dozens of files: one
/// without cgroups in it is not read to find none.
pub(super) fn tree(directory: &Path) -> Vec<PathBuf> {
    let mut all = vec![(directory.to_owned(), 0)];
    let mut next = 0;
    while let Some((current, depth)) = all.get(next).cloned() {
        next += 1;
        if std::fs::symlink_metadata(&current).is_ok_and(|found| found.nlink() == LEAF_LINKS) {
            continue;
        }
        let entries = std::fs::read_dir(&current).into_iter().flatten().flatten();
        let below = entries.filter(|e| e.file_type().is_ok_and(|kind| kind.is_dir()));
        if depth < DEPTH_MAX {
            all.extend(below.map(|e| (e.path(), depth + 1)));
        }
    }
    all.into_iter().map(|(path, _)| path).collect()
}

pub(super) fn remove_tree(directory: &Path) -> io::Result<()> {
    let mut below = tree(directory).into_iter().rev();
    below.try_for_each(|path| remove(&path))
}

/// Removes one cgroup. What is gone already is no error.
pub(super) fn remove(directory: &Path) -> io::Result<()> {
    match std::fs::remove_dir(directory) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Tries until it works or the deadline comes; then the last error. The kernel tells nobody when a v1 cgroup is free.
pub(super) async fn retry(
    deadline: Duration,
    mut attempt: impl FnMut() -> io::Result<()>,
) -> io::Result<()> {
    let mut last = attempt();
    let tries = async {
        let mut pause = RETRY_FIRST;
        while last.is_err() {
            sleep(pause).await;
            pause = RETRY_MAX.min(pause * 2);
            last = attempt();
        }
    };
    // On expiry the result of the last try stands.
    let _expired = timeout(deadline, tries).await;
    last
}

/// ` with processes 12 (sleep, S), …`, or nothing; the first eight.
pub(super) fn describe(pids: &[u32]) -> String {
    const SHOWN: usize = 8;
    let state = |pid: &u32| {
        let stat = read(Path::new(&format!("/proc/{pid}/stat")))?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let name: String = name.escape_debug().collect();
        Some(format!("{pid} ({name}, {})", rest.trim_start().get(..1)?))
    };
    let shown: Vec<String> = pids
        .iter()
        .take(SHOWN)
        .map(|pid| state(pid).unwrap_or_else(|| pid.to_string()))
        .collect();
    match pids.len().saturating_sub(SHOWN) {
        _ if shown.is_empty() => String::new(),
        0 => format!(" with processes {}", shown.join(", ")),
        more => format!(" with processes {} and {more} more", shown.join(", ")),
    }
}
