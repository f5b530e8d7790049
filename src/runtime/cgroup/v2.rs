//! Files of cgroup v2. Source: kernel documentation, admin-guide/cgroup-v2.

use crate::bundle::cpu_weight;
use crate::runtime::PodCgroupValues;
use crate::runtime::cgroup::files;
use crate::runtime::cgroup::pod::Setting;
use crate::runtime::cgroup::v1::CPU_PERIOD_US;
use std::path::Path;

/// What containers are limited by or measured with.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "io", "memory", "pids", "hugetlb"];

/// The values as files.
pub(super) fn settings(values: &PodCgroupValues) -> Vec<Setting> {
    let or_max = |limit: Option<i64>| limit.map_or_else(|| "max".to_owned(), |n| n.to_string());
    let mut settings = Vec::new();
    let mut set = |controller, file, value, limits| {
        settings.push(Setting {
            controller,
            file,
            value,
            limits,
        });
    };
    let quota = format!("{} {CPU_PERIOD_US}", or_max(values.cpu_quota));
    set("cpu", "cpu.max", quota, values.cpu_quota.is_some());
    let (memory, pids) = (values.memory_limit, values.pids_limit);
    set("memory", "memory.max", or_max(memory), memory.is_some());
    set("pids", "pids.max", or_max(pids), pids.is_some());
    if let Some(shares) = values.cpu_shares {
        set("cpu", "cpu.weight", cpu_weight(shares).to_string(), true);
    }
    settings
}

/// Hands the controllers down from the mount to the children of `path`, as far as parents have them and let them go.
pub(super) fn delegate(mount: &Path, path: &Path) {
    let mut directory = mount.to_owned();
    let below = path.iter().map(Some).chain([None]);
    for component in below {
        let words = |file: &str| files::read(&directory.join(file)).unwrap_or_default();
        let (available, enabled) = (words("cgroup.controllers"), words("cgroup.subtree_control"));
        let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
        for name in CONTROLLERS {
            if has(&available, name) && !has(&enabled, name) {
                let control = directory.join("cgroup.subtree_control");
                // Refused for `cpu` while real-time processes exist, and where processes stand in the way: a limit that
                // needs it is then reported as lacking.
                let _refused = files::write(&control, &format!("+{name}"));
            }
        }
        if let Some(component) = component {
            directory.push(component);
        }
    }
}

/// Kills in this cgroup and all below it.
pub(super) fn oom_kills(directory: &Path) -> u64 {
    let text = files::read(&directory.join("memory.events")).unwrap_or_default();
    files::keyed(&text, "oom_kill").unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_limit_is_written_as_max() {
        let files: Vec<_> = settings(&PodCgroupValues::default())
            .into_iter()
            .map(|s| (s.file, s.value, s.limits))
            .collect();
        assert_eq!(
            files,
            [
                ("cpu.max", "max 100000".to_owned(), false),
                ("memory.max", "max".to_owned(), false),
                ("pids.max", "max".to_owned(), false),
            ]
        );
    }
}
