//! What of a pod is on this machine: processes, cgroups, mounts, files. Found from outside, by the pod's UID and by the
//! directories of the test's own host, never by asking podshim.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything that belongs to these pods or mentions this directory, one line each; empty when nothing is left.
pub fn left_behind(directory: &Path, uids: &BTreeSet<String>) -> Vec<String> {
    let mut left = Vec::new();
    for pid in processes_of(directory, uids) {
        let command = proc_file(pid, "cmdline").replace('\0', " ");
        left.push(format!("process {pid}: {command}"));
    }
    let text = directory.to_string_lossy();
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    for line in mounts.lines().filter(|line| line.contains(&*text)) {
        left.push(format!("mount {line}"));
    }
    left.extend(network_of(directory));
    for uid in uids {
        for cgroup in cgroups_of(uid) {
            left.push(format!("cgroup {}", cgroup.display()));
        }
        for file in named(directory, uid) {
            left.push(format!("file {}", file.display()));
        }
    }
    left
}

/// Links and firewall rules that name the directory.
fn network_of(directory: &Path) -> Vec<String> {
    let text = directory.to_string_lossy();
    let mut left = Vec::new();
    for entry in fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten()
    {
        let alias = fs::read_to_string(entry.path().join("ifalias")).unwrap_or_default();
        if alias.contains(&*text) {
            left.push(format!(
                "link {}: {}",
                entry.file_name().display(),
                alias.trim()
            ));
        }
    }
    let rules = Command::new("nft").args(["list", "ruleset"]).output();
    let rules = String::from_utf8_lossy(&rules.expect("nft is installed").stdout).into_owned();
    let named = rules.lines().filter(|line| line.contains(&*text));
    left.extend(named.map(|line| format!("rule {}", line.trim())));
    left
}

/// Processes whose cgroup carries one of the UIDs, or whose command line or environment names the directory.
pub fn processes_of(directory: &Path, uids: &BTreeSet<String>) -> Vec<i32> {
    let text = directory.to_string_lossy();
    let own = i32::try_from(std::process::id()).expect("a process id");
    processes()
        .filter(|pid| *pid != own)
        .filter(|pid| {
            let cgroup = proc_file(*pid, "cgroup");
            uids.iter().any(|uid| cgroup.contains(uid.as_str()))
                || proc_file(*pid, "cmdline").contains(&*text)
                || proc_file(*pid, "environ").contains(&*text)
        })
        .collect()
}

/// Directories of the cgroup file systems that carry this UID in their name; the deepest last.
pub fn cgroups_of(uid: &str) -> Vec<PathBuf> {
    let systemd = uid.replace('-', "_");
    let mut found = Vec::new();
    let mut pending = vec![PathBuf::from("/sys/fs/cgroup")];
    while let Some(directory) = pending.pop() {
        // A cgroup may vanish while we look.
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                continue;
            }
            let name = entry.file_name().to_string_lossy().into_owned();
            if name.contains(uid) || name.contains(&systemd) {
                found.push(entry.path());
            }
            pending.push(entry.path());
        }
    }
    found.sort();
    found
}

/// Process ids of the instance with this id, its init first: those in the cgroup of that name below the pod's.
pub fn instance_pids(uid: &str, instance: &str) -> Vec<i32> {
    let mut pids: Vec<i32> = cgroups_of(uid)
        .iter()
        .filter_map(|pod| fs::read_to_string(pod.join(instance).join("cgroup.procs")).ok())
        .flat_map(|text| {
            text.lines()
                .filter_map(|l| l.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect();
    pids.sort_unstable();
    pids.dedup();
    // Numbers begin anew when they are used up: what another process of the instance has started is not its init, however small.
    let all = pids.clone();
    pids.sort_by_key(|pid| {
        let status = proc_file(*pid, "status");
        let parent = status.lines().find_map(|line| line.strip_prefix("PPid:"));
        let parent = parent.and_then(|pid| pid.trim().parse().ok());
        parent.is_none_or(|parent| all.contains(&parent))
    });
    pids
}

/// The process of pause: the one instance below the pod's cgroup that none of the pod's containers is.
pub fn pause_pid(uid: &str, containers: &[String]) -> i32 {
    let mut instances = BTreeSet::new();
    for pod in cgroups_of(uid) {
        for entry in fs::read_dir(&pod).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                instances.insert(entry.file_name().to_string_lossy().into_owned());
            }
        }
    }
    let others: Vec<&String> = instances
        .iter()
        .filter(|name| !containers.contains(name) && !instance_pids(uid, name).is_empty())
        .collect();
    assert_eq!(
        others.len(),
        1,
        "one pause beside {containers:?} in {instances:?}"
    );
    instance_pids(uid, others[0])[0]
}

/// Proportional set size of a process in KiB.
pub fn pss_kib(pid: i32) -> u64 {
    memory_kib(pid, "Pss:")
}

/// What a process has for itself and nobody else, files not counted, in KiB: whether others run the same program does not matter.
pub fn anonymous_kib(pid: i32) -> u64 {
    memory_kib(pid, "Anonymous:")
}

fn memory_kib(pid: i32, what: &str) -> u64 {
    let rollup = proc_file(pid, "smaps_rollup");
    let line = rollup.lines().find_map(|line| line.strip_prefix(what));
    let kib = line.and_then(|rest| rest.trim().strip_suffix(" kB"));
    kib.and_then(|n| n.trim().parse().ok())
        .unwrap_or_else(|| panic!("no {what} of {pid} in: {rollup}"))
}

/// A field of `/proc/<pid>/status`.
pub fn status_field(pid: i32, field: &str) -> String {
    let status = proc_file(pid, "status");
    let prefix = format!("{field}:");
    let line = status.lines().find_map(|line| line.strip_prefix(&prefix));
    line.unwrap_or_else(|| panic!("no {field} of {pid}"))
        .trim()
        .to_owned()
}

/// A file of `/proc/<pid>`; empty if the process is gone.
pub fn proc_file(pid: i32, name: &str) -> String {
    let bytes = fs::read(format!("/proc/{pid}/{name}")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The process of podshim that leads this life, `__keeper` or `__supervisor`, for the pod of this UID.
pub fn life_of(verb: &str, uid: &str) -> Option<i32> {
    processes().find(|pid| {
        let line = proc_file(*pid, "cmdline");
        let mut words = line.split('\0').skip(1);
        words.next() == Some(verb) && words.next().is_some_and(|dir| dir.ends_with(uid))
    })
}

fn processes() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// Files and directories below `directory` that carry the UID in their name.
fn named(directory: &Path, uid: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut pending = vec![directory.to_owned()];
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
            if entry.file_name().to_string_lossy().contains(uid) {
                found.push(entry.path());
            } else if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                pending.push(entry.path());
            }
        }
    }
    found
}
