//! Files of cgroup v1. Source: kernel documentation, admin-guide/cgroup-v1.

use crate::runtime::cgroup::files;
use crate::runtime::cgroup::pod::Setting;
use crate::runtime::{CgroupError, Layout, PodCgroupValues};
use std::path::{Path, PathBuf};

/// Length of a CPU period in microseconds. Source: kubelet.
pub(super) const CPU_PERIOD_US: &str = "100000";

/// The values as files, in an order in which each can be written.
pub(super) fn settings(values: &PodCgroupValues) -> Vec<Setting> {
    let or_none = |limit: Option<i64>| limit.map_or_else(|| "-1".to_owned(), |n| n.to_string());
    let mut settings = vec![
        setting("cpu", "cpu.cfs_period_us", CPU_PERIOD_US.into(), false),
        setting(
            "cpu",
            "cpu.cfs_quota_us",
            or_none(values.cpu_quota),
            values.cpu_quota.is_some(),
        ),
        setting(
            "memory",
            "memory.limit_in_bytes",
            or_none(values.memory_limit),
            values.memory_limit.is_some(),
        ),
        setting(
            "pids",
            "pids.max",
            values
                .pids_limit
                .map_or_else(|| "max".into(), |n| n.to_string()),
            values.pids_limit.is_some(),
        ),
    ];
    if let Some(shares) = values.cpu_shares {
        settings.push(setting("cpu", "cpu.shares", shares.to_string(), true));
    }
    settings
}

fn setting(controller: &'static str, file: &'static str, value: String, limits: bool) -> Setting {
    Setting {
        controller,
        file,
        value,
        limits,
    }
}

/// Makes new cgroups from a mount down to `path` usable: a v1 cpuset has no CPUs and memory nodes until it is given its parent's,
/// and before 5.11 memory was not accounted to parents until they were told.
pub(super) fn prepare(layout: &Layout, mount: &Path, path: &Path) -> Result<(), CgroupError> {
    let is_of = |controller| layout.v1_mount(controller) == Some(mount);
    let inherited: &[&str] = match is_of("cpuset") {
        true => &["cpuset.cpus", "cpuset.mems"],
        false => &[],
    };
    let has_memory = is_of("memory");
    let mut directory = mount.to_owned();
    for component in path {
        let parent = directory.clone();
        directory.push(component);
        for file in inherited {
            let is_empty = |text: &String| text.trim().is_empty();
            if files::read(&directory.join(file)).is_some_and(|text| is_empty(&text)) {
                let inherited = files::read(&parent.join(file)).unwrap_or_default();
                files::write(&directory.join(file), inherited.trim())?;
            }
        }
        let hierarchy = directory.join("memory.use_hierarchy");
        if has_memory && files::read(&hierarchy).is_some_and(|text| text.trim() == "0") {
            files::write(&hierarchy, "1")?;
        }
    }
    Ok(())
}

/// The kernel counts a kill in the cgroup of the victim alone, so cgroups below are added.
pub(super) fn oom_kills(directory: &Path) -> u64 {
    let count = |directory: &PathBuf| {
        let text = files::read(&directory.join("memory.oom_control"))?;
        files::keyed(&text, "oom_kill")
    };
    files::tree(directory).iter().filter_map(count).sum()
}
