//! What this machine is, as the pure functions want to be told it. Reads `/proc`, `/sys`, `/dev` and `/etc`; sends nothing.

use crate::bundle::{CAPABILITIES, CgroupLayout, HostFacts};
use crate::runtime::{CgroupError, Layout, Mode, host_devices, small_file};
use std::io;
use std::net::{IpAddr, UdpSocket};
use std::path::{Path, PathBuf};

/// Longest file read, in bytes: a generated `/etc/hosts` may have thousands of lines.
const FILE_MAX_BYTES: u64 = 1024 * 1024;
/// Where systemd-resolved writes the servers that its stub forwards to.
const RESOLVED_UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";
/// Addresses of documentation networks: asking for the route to them needs no such host, and sends nothing. Source: RFC 5737,
/// RFC 3849.
const ELSEWHERE: [(&str, &str); 2] = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];
/// `CAP_SYS_RESOURCE`. Source: linux/capability.h.
const CAP_SYS_RESOURCE: u32 = 24;

/// A fact that nothing can be guessed for is missing.
#[derive(Debug, thiserror::Error)]
pub enum HostError {
    /// A file of the kernel.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file of the kernel says something else than it should.
    #[error("cannot find `{key}` in `{path}`")]
    Format {
        /// The file.
        path: &'static str,
        /// What was looked for.
        key: &'static str,
    },
    /// The file system that containers will be on.
    #[error("cannot read the size of the file system of `{}`", path.display())]
    Storage {
        /// Which path.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The cgroups.
    #[error("cannot read the cgroups of this machine")]
    Cgroup(#[source] CgroupError),
}

/// Collects the facts; `storage` is an existing directory on the file system that holds containers. Device nodes are looked for if asked.
pub fn host_facts(storage: &Path, with_devices: bool) -> Result<HostFacts, HostError> {
    let uname = rustix::system::uname();
    let text = |c: &std::ffi::CStr| c.to_string_lossy().into_owned();
    let layout = Layout::detect().map_err(HostError::Cgroup)?;
    let status = required("/proc/self/status")?;
    let mask = |key| capability_mask(&status, key);
    Ok(HostFacts {
        hostname: text(uname.nodename()).to_lowercase(),
        ips: addresses(),
        memory_bytes: memory_bytes()?,
        cpu_milli: online_cpus() * 1000,
        storage_bytes: rustix::fs::statvfs(storage)
            .map(|fs| fs.f_blocks.saturating_mul(fs.f_frsize))
            .map_err(|source| HostError::Storage {
                path: storage.to_owned(),
                source: source.into(),
            })?,
        cgroup_v2: layout.mode() == Mode::V2,
        cgroups: CgroupLayout::default(),
        swap_limit: swap_limit(&layout),
        huge_page_sizes: huge_page_sizes(&layout),
        oom_score_adj_floor: oom_score_adj_floor(mask("CapEff:").unwrap_or(0)),
        capabilities: capability_names(mask("CapBnd:").ok_or(HostError::Format {
            path: "/proc/self/status",
            key: "CapBnd",
        })?),
        seccomp: Path::new("/proc/sys/kernel/seccomp/actions_avail").exists()
            || status.lines().any(|line| line.starts_with("Seccomp:")),
        apparmor: optional("/sys/module/apparmor/parameters/enabled").starts_with('Y')
            && Path::new("/sys/kernel/security/apparmor").exists(),
        selinux: Path::new("/sys/fs/selinux/enforce").exists(),
        machine: text(uname.machine()),
        kernel: kernel_version(&text(uname.release())),
        thermal_throttle: thermal_throttle(),
        devices: match with_devices {
            true => host_devices::below(Path::new("/dev")),
            false => Vec::new(),
        },
        etc_hosts: optional("/etc/hosts"),
        resolv_conf: resolver(optional("/etc/resolv.conf"), || optional(RESOLVED_UPSTREAM)),
    })
}

fn required(path: &'static str) -> Result<String, HostError> {
    small_file::read_head(Path::new(path), FILE_MAX_BYTES).map_err(|source| HostError::Read {
        path: path.into(),
        source,
    })
}

/// A file that a machine may lack, with links followed: `/etc/resolv.conf` often is one.
fn optional(path: &str) -> String {
    std::fs::canonicalize(path)
        .and_then(|path| small_file::read_head(&path, FILE_MAX_BYTES))
        .unwrap_or_default()
}

/// The source addresses of the default routes; `127.0.0.1` if there is none.
fn addresses() -> Vec<String> {
    let source = |(from, to): (&str, &str)| -> io::Result<IpAddr> {
        let socket = UdpSocket::bind(from)?;
        socket.connect(to)?;
        Ok(socket.local_addr()?.ip())
    };
    let mut found: Vec<IpAddr> = ELSEWHERE
        .into_iter()
        .filter_map(|pair| source(pair).ok())
        .filter(|ip| !ip.is_unspecified() && !ip.is_loopback())
        .collect();
    if found.is_empty() {
        found.push(IpAddr::from([127, 0, 0, 1]));
    }
    found.iter().map(IpAddr::to_string).collect()
}

fn memory_bytes() -> Result<u64, HostError> {
    let text = required("/proc/meminfo")?;
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    total
        .map(|kib| kib.saturating_mul(1024))
        .ok_or(HostError::Format {
            path: "/proc/meminfo",
            key: "MemTotal",
        })
}

/// CPUs online; at least 1.
fn online_cpus() -> u64 {
    let listed = count_list(optional("/sys/devices/system/cpu/online").trim());
    listed.unwrap_or_else(|| {
        std::thread::available_parallelism().map_or(1, |n| u64::try_from(n.get()).unwrap_or(1))
    })
}

/// How many numbers a list like `0-3,8` has.
fn count_list(list: &str) -> Option<u64> {
    list.split(',')
        .map(|range| {
            let (first, last) = range.split_once('-').unwrap_or((range, range));
            let (first, last) = (first.parse::<u64>().ok()?, last.parse::<u64>().ok()?);
            last.checked_sub(first)?.checked_add(1)
        })
        .try_fold(0, |sum: u64, n| sum.checked_add(n?))
        .filter(|n| *n > 0)
}

fn swap_limit(layout: &Layout) -> bool {
    match (layout.v1_mount("memory"), &layout.v2) {
        (Some(mount), _) => mount.join("memory.memsw.limit_in_bytes").exists(),
        // Not in the root cgroup, so any below it shows.
        (None, Some(v2)) if layout.mode() == Mode::V2 => std::fs::read_dir(&v2.mount)
            .into_iter()
            .flatten()
            .flatten()
            .any(|entry| entry.path().join("memory.swap.max").exists()),
        _ => false,
    }
}

/// `2MB`, `1GB`, as the kernel names the controller's files. Source: OCI runtime-spec, config-linux, Huge page limits.
fn huge_page_sizes(layout: &Layout) -> Vec<String> {
    if !layout.has("hugetlb") {
        return Vec::new();
    }
    let entries = std::fs::read_dir("/sys/kernel/mm/hugepages");
    let mut kib: Vec<u64> = entries
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let size = name.strip_prefix("hugepages-")?.strip_suffix("kB")?;
            size.parse().ok()
        })
        .collect();
    kib.sort_unstable();
    kib.into_iter().map(page_size_name).collect()
}

fn page_size_name(kib: u64) -> String {
    match kib {
        _ if kib >= 1 << 20 => format!("{}GB", kib >> 20),
        _ if kib >= 1 << 10 => format!("{}MB", kib >> 10),
        _ => format!("{kib}KB"),
    }
}

/// Without `CAP_SYS_RESOURCE` in the initial user namespace nobody goes below its present value for sure: the kernel's own
/// floor cannot be read.
fn oom_score_adj_floor(effective: u64) -> i64 {
    let is_initial = optional("/proc/self/uid_map")
        .split_whitespace()
        .eq(["0", "0", "4294967295"]);
    if is_initial && effective >> CAP_SYS_RESOURCE & 1 == 1 {
        return -1000;
    }
    let now = optional("/proc/self/oom_score_adj");
    now.trim().parse().unwrap_or(0)
}

fn capability_mask(status: &str, key: &str) -> Option<u64> {
    let hex = status.lines().find_map(|line| line.strip_prefix(key))?;
    u64::from_str_radix(hex.trim(), 16).ok()
}

fn capability_names(mask: u64) -> Vec<String> {
    let known = CAPABILITIES.iter().enumerate();
    known
        .filter(|(bit, _)| mask >> bit & 1 == 1)
        .map(|(_, name)| (*name).to_owned())
        .collect()
}

/// Major and minor of `6.18.44-x`; 0 where there is no number.
fn kernel_version(release: &str) -> (u32, u32) {
    let mut numbers = release
        .split(|c: char| !c.is_ascii_digit())
        .map(|part| part.parse().unwrap_or(0));
    (
        numbers.next().unwrap_or_default(),
        numbers.next().unwrap_or_default(),
    )
}

fn thermal_throttle() -> Vec<String> {
    let entries = std::fs::read_dir("/sys/devices/system/cpu");
    let mut found: Vec<String> = entries
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path().join("thermal_throttle"))
        .filter(|path| path.is_dir())
        .filter_map(|path| path.into_os_string().into_string().ok())
        .collect();
    found.sort();
    found
}

/// The host's resolver file, or what systemd-resolved forwards to where the former only names a server on loopback, which
/// a pod with its own network cannot reach. Source: kubelet `--resolv-conf`, kubeadm's rule.
fn resolver(own: String, upstream: impl Fn() -> String) -> String {
    let servers = |text: &str| -> Vec<String> {
        let lines = text.lines().map(str::split_whitespace);
        lines
            .filter_map(|mut words| (words.next()? == "nameserver").then(|| words.next())?)
            .map(str::to_owned)
            .collect()
    };
    let is_loopback = |server: &String| server.parse().is_ok_and(|ip: IpAddr| ip.is_loopback());
    let named = servers(&own);
    if named.is_empty() || !named.iter().all(is_loopback) {
        return own;
    }
    let upstream = upstream();
    match servers(&upstream).is_empty() {
        true => own,
        false => upstream,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_facts_that_agree_with_other_sources() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let facts = host_facts(dir.path(), true).expect("facts");
        let info = rustix::system::sysinfo();
        let unit = u64::from(info.mem_unit.max(1));
        assert!(facts.memory_bytes.abs_diff(info.totalram * unit) < 1024 * unit);
        assert!(facts.cpu_milli >= 1000 && facts.cpu_milli.is_multiple_of(1000));
        assert!(facts.storage_bytes > 0);
        assert!(facts.kernel >= (3, 0), "{:?}", facts.kernel);
        assert!(!facts.ips.is_empty());
        assert!(
            facts
                .ips
                .iter()
                .all(|ip| ip.parse::<IpAddr>().is_ok_and(|ip| !ip.is_unspecified()))
        );
        assert!((-1000..=1000).contains(&facts.oom_score_adj_floor));
        let null = facts.devices.iter().find(|d| d.path == "/dev/null");
        let null = null.expect("/dev/null is a device");
        assert_eq!((null.major, null.minor, null.block), (1, 3, false));
        assert!(facts.devices.iter().all(|d| !d.path.contains("/pts/")));
    }

    #[test]
    fn a_resolver_on_loopback_gives_way_to_its_upstream() {
        let stub = "nameserver 127.0.0.53\noptions edns0\n";
        let real = "nameserver 10.0.0.2\n";
        let choose = |own: &str, upstream: &str| resolver(own.to_owned(), || upstream.to_owned());
        assert_eq!(choose(stub, real), real);
        assert_eq!(choose(stub, ""), stub);
        let mixed = "nameserver 192.0.2.1\nnameserver 127.0.0.1\n";
        assert_eq!(choose(mixed, real), mixed);
        assert_eq!(choose("search a\n", real), "search a\n");
        assert_eq!(choose("nameserver ::1\n", real), real);
    }

    #[test]
    fn lists_masks_and_releases_are_read() {
        assert_eq!(count_list("0-3,8"), Some(5));
        assert_eq!(count_list("0"), Some(1));
        assert_eq!(count_list(""), None);
        assert_eq!(count_list("3-1"), None);
        assert_eq!(count_list("0-18446744073709551615"), None);
        assert_eq!(capability_names(0b10_0001), ["CHOWN", "KILL"]);
        assert_eq!(capability_names(u64::MAX).len(), 41);
        assert_eq!(kernel_version("6.18.44-fc"), (6, 18));
        assert_eq!(kernel_version("x"), (0, 0));
        let names: Vec<_> = [64, 2048, 1 << 20].map(page_size_name).into();
        assert_eq!(names, ["64KB", "2MB", "1GB"]);
    }
}
