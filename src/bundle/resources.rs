//! Requests and limits → `linux.resources`. Numbers only; source: kubelet `cm/helpers_linux.go`.

use crate::base::Quantity;
use crate::bundle::{BundleError, ContainerInput, HostFacts, devices};
use crate::manifest::{Container, Pod};
use oci_spec::runtime::{LinuxCpu, LinuxHugepageLimit, LinuxMemory, LinuxResources};
use std::collections::HashMap;

/// Least CPU shares that the kernel takes.
pub const MIN_SHARES: u64 = 2;
/// Most CPU shares that the kernel takes.
pub const MAX_SHARES: u64 = 262_144;
/// CFS period in microseconds. Source: kubelet default.
pub const CPU_PERIOD_US: u64 = 100_000;
/// Least CFS quota in microseconds that the kernel takes.
const MIN_QUOTA_US: i64 = 1000;
const HUGE_PAGES: &str = "hugepages-";

/// CPU shares of this many milli-CPUs.
pub fn cpu_shares(milli: i64) -> u64 {
    let shares = milli.max(0).saturating_mul(1024) / 1000;
    u64::try_from(shares)
        .unwrap_or(MIN_SHARES)
        .clamp(MIN_SHARES, MAX_SHARES)
}

/// CFS quota in microseconds of this many milli-CPUs; `None` means unlimited.
pub fn cpu_quota(milli: i64) -> Option<i64> {
    (milli > 0).then(|| (milli.saturating_mul(100_000) / 1000).max(MIN_QUOTA_US))
}

/// `cpu.weight` (1-10000) of these shares, by the curve that runc ≥ 1.3.2, crun ≥ 1.23 and youki ≥ 0.5.7 use: 1024 shares are
/// weight 100. Source: opencontainers/cgroups, `ConvertCPUSharesToCgroupV2Value`.
pub fn cpu_weight(shares: u64) -> u64 {
    if shares <= MIN_SHARES {
        return 1;
    }
    if shares >= MAX_SHARES {
        return 10_000;
    }
    let log = f64::from(u32::try_from(shares).unwrap_or(u32::MAX)).log2();
    let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
    // 1 ≤ weight ≤ 10000 here, so nothing is lost.
    10_f64.powf(exponent).ceil() as u64
}

/// The limit of `resource` that holds for a container: its own, else the pod's.
fn limit<'a>(pod: &'a Pod, container: &'a Container, resource: &str) -> Option<&'a Quantity> {
    let own = container.resources.limits.get(resource);
    own.or_else(|| pod.resources.as_ref()?.limits.get(resource))
}

/// `linux.resources` of a container.
pub(crate) fn of_container(input: &ContainerInput) -> Result<LinuxResources, BundleError> {
    let (pod, container, host) = (input.pod, input.container, input.host);
    let cpu_limit = limit(pod, container, "cpu").map(|q| q.milli());
    let cpu_request = container.resources.requests.get("cpu").map(|q| q.milli());
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(Some(cpu_shares(cpu_request.or(cpu_limit).unwrap_or(0))))
        .set_period(Some(CPU_PERIOD_US))
        .set_quota(cpu_limit.and_then(cpu_quota));

    let memory_limit = limit(pod, container, "memory")
        .map(|q| q.units())
        .filter(|bytes| *bytes > 0);
    let memory = memory_limit.map(|bytes| {
        let mut memory = LinuxMemory::default();
        memory
            .set_limit(Some(bytes))
            .set_swap(host.swap_limit.then_some(bytes));
        memory
    });

    let mut resources = LinuxResources::default();
    let mut rules = vec![devices::cgroup_rule(container.security.privileged)];
    rules.extend(devices::volume_rules(input)?);
    resources
        .set_devices(Some(rules))
        .set_cpu(Some(cpu))
        .set_memory(memory)
        .set_hugepage_limits(huge_pages(container, host))
        .set_unified(unified(host));
    Ok(resources)
}

/// `linux.resources` of pause: next to no CPU share and no limits.
pub(crate) fn of_pause() -> LinuxResources {
    let mut cpu = LinuxCpu::default();
    cpu.set_shares(Some(MIN_SHARES));
    let mut resources = LinuxResources::default();
    resources
        .set_devices(Some(vec![devices::cgroup_rule(false)]))
        .set_cpu(Some(cpu));
    resources
}

/// Whether the container limits huge pages that this host cannot count.
pub(crate) fn has_uncounted_huge_pages(container: &Container, host: &HostFacts) -> bool {
    let mut limits = container.resources.limits.keys();
    host.huge_page_sizes.is_empty() && limits.any(|name| name.starts_with(HUGE_PAGES))
}

/// One limit for each page size of the host: 0 but for those asked for.
fn huge_pages(container: &Container, host: &HostFacts) -> Option<Vec<LinuxHugepageLimit>> {
    let limits = &container.resources.limits;
    let asked = |size: &str| {
        limits
            .iter()
            .filter_map(|(name, amount)| Some((name.strip_prefix(HUGE_PAGES)?, amount)))
            .find(|(name, _)| oci_page_size(name).as_deref() == Some(size))
            .map_or(0, |(_, amount)| amount.units())
    };
    let list = host.huge_page_sizes.iter().map(|size| {
        let mut entry = LinuxHugepageLimit::default();
        entry.set_page_size(size.clone()).set_limit(asked(size));
        entry
    });
    Some(list.collect()).filter(|list: &Vec<_>| !list.is_empty())
}

/// `2Mi` → `2MB`, as the OCI specification writes sizes.
fn oci_page_size(size: &str) -> Option<String> {
    let bytes = size.parse::<Quantity>().ok()?.units();
    [(1 << 30, "GB"), (1 << 20, "MB"), (1 << 10, "KB")]
        .iter()
        .find(|(unit, _)| bytes >= *unit && bytes % unit == 0)
        .map(|(unit, suffix)| format!("{}{suffix}", bytes / unit))
}

/// cgroup v2: an OOM kill takes the whole container, and there is no swap.
fn unified(host: &HostFacts) -> Option<HashMap<String, String>> {
    let mut files = HashMap::from([("memory.oom.group".to_owned(), "1".to_owned())]);
    if host.swap_limit {
        files.insert("memory.swap.max".to_owned(), "0".to_owned());
    }
    host.cgroup_v2.then_some(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_weight_and_quota_follow_the_table() {
        for (milli, shares, weight, quota) in [
            (0, 2, 1, None),
            (10, 10, 4, Some(1000)),
            (100, 102, 17, Some(10_000)),
            (250, 256, 35, Some(25_000)),
            (500, 512, 59, Some(50_000)),
            (1000, 1024, 100, Some(100_000)),
            (2000, 2048, 174, Some(200_000)),
            (4000, 4096, 303, Some(400_000)),
        ] {
            assert_eq!(cpu_shares(milli), shares, "{milli}m");
            assert_eq!(cpu_weight(shares), weight, "{milli}m");
            assert_eq!(cpu_quota(milli), quota, "{milli}m");
        }
        assert_eq!(cpu_shares(i64::MAX), MAX_SHARES);
        assert_eq!(cpu_shares(-5), MIN_SHARES);
        assert_eq!(cpu_quota(1), Some(1000));
        assert_eq!((cpu_weight(0), cpu_weight(MAX_SHARES)), (1, 10_000));
    }

    #[test]
    fn page_sizes_are_written_as_oci_does() {
        assert_eq!(oci_page_size("2Mi").as_deref(), Some("2MB"));
        assert_eq!(oci_page_size("1Gi").as_deref(), Some("1GB"));
        assert_eq!(oci_page_size("64Ki").as_deref(), Some("64KB"));
        assert_eq!(oci_page_size("x"), None);
    }
}
