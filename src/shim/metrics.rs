//! What a container uses, in the messages of containerd: one for cgroup v1, one for v2. A file that is not there is a field that
//! is zero.

use crate::runtime::{ContainerCgroup, Mode};
use containerd_shim_protos::cgroups::metrics as v1;
use containerd_shim_protos::cgroups_v2::metrics as v2;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::ttrpc::{Error, Result};
use std::collections::BTreeMap;

/// The metrics of a container's cgroup.
pub(super) fn metrics(cgroup: &ContainerCgroup) -> Result<Any> {
    let files = Files(cgroup);
    let (type_url, value) = match cgroup.mode() {
        Mode::V1 | Mode::Hybrid => (
            "io.containerd.cgroups.v1.Metrics",
            of_v1(&files).write_to_bytes(),
        ),
        Mode::V2 => (
            "io.containerd.cgroups.v2.Metrics",
            of_v2(&files).write_to_bytes(),
        ),
    };
    Ok(Any {
        type_url: type_url.to_owned(),
        value: value.map_err(|e| Error::Others(e.to_string()))?,
        ..Any::default()
    })
}

struct Files<'a>(&'a ContainerCgroup);

/// The numbers of a file of `key number` lines.
struct Table(BTreeMap<String, u64>);

impl Table {
    fn parse(text: &str) -> Table {
        let pairs = text.lines().filter_map(|line| {
            let (key, number) = line.split_once(' ')?;
            Some((key.to_owned(), number.trim().parse().ok()?))
        });
        Table(pairs.collect())
    }

    fn get(&self, key: &str) -> u64 {
        self.0.get(key).copied().unwrap_or(0)
    }
}

/// A number; `max` is the largest there is.
fn number(text: &str) -> u64 {
    match text.trim() {
        "max" => u64::MAX,
        digits => digits.parse().unwrap_or(0),
    }
}

impl Files<'_> {
    fn table(&self, controller: &str, file: &str) -> Table {
        Table::parse(&self.0.read(controller, file).unwrap_or_default())
    }

    fn number(&self, controller: &str, file: &str) -> u64 {
        self.0
            .read(controller, file)
            .map_or(0, |text| number(&text))
    }
}

fn of_v1(files: &Files<'_>) -> v1::Metrics {
    let throttling = files.table("cpu", "cpu.stat");
    let oom = files.table("memory", "memory.oom_control");
    v1::Metrics {
        pids: MessageField::some(v1::PidsStat {
            current: files.number("pids", "pids.current"),
            limit: match files.number("pids", "pids.max") {
                // Source: containerd: no limit is 0.
                u64::MAX => 0,
                limit => limit,
            },
            ..v1::PidsStat::default()
        }),
        cpu: MessageField::some(v1::CPUStat {
            usage: MessageField::some(v1::CPUUsage {
                total: files.number("cpuacct", "cpuacct.usage"),
                user: files.number("cpuacct", "cpuacct.usage_user"),
                kernel: files.number("cpuacct", "cpuacct.usage_sys"),
                per_cpu: files
                    .0
                    .read("cpuacct", "cpuacct.usage_percpu")
                    .unwrap_or_default()
                    .split_whitespace()
                    .map(number)
                    .collect(),
                ..v1::CPUUsage::default()
            }),
            throttling: MessageField::some(v1::Throttle {
                periods: throttling.get("nr_periods"),
                throttled_periods: throttling.get("nr_throttled"),
                throttled_time: throttling.get("throttled_time"),
                ..v1::Throttle::default()
            }),
            ..v1::CPUStat::default()
        }),
        memory: MessageField::some(memory_v1(files)),
        blkio: MessageField::some(v1::BlkIOStat {
            io_service_bytes_recursive: blkio(files, "blkio.throttle.io_service_bytes_recursive"),
            io_serviced_recursive: blkio(files, "blkio.throttle.io_serviced_recursive"),
            ..v1::BlkIOStat::default()
        }),
        memory_oom_control: MessageField::some(v1::MemoryOomControl {
            oom_kill_disable: oom.get("oom_kill_disable"),
            under_oom: oom.get("under_oom"),
            oom_kill: files.0.oom_kills(),
            ..v1::MemoryOomControl::default()
        }),
        ..v1::Metrics::default()
    }
}

fn memory_v1(files: &Files<'_>) -> v1::MemoryStat {
    let stat = files.table("memory", "memory.stat");
    let entry = |prefix: &str| {
        let of = |what: &str| files.number("memory", &format!("memory.{prefix}{what}"));
        MessageField::some(v1::MemoryEntry {
            limit: of("limit_in_bytes"),
            usage: of("usage_in_bytes"),
            max: of("max_usage_in_bytes"),
            failcnt: of("failcnt"),
            ..v1::MemoryEntry::default()
        })
    };
    v1::MemoryStat {
        cache: stat.get("cache"),
        rss: stat.get("rss"),
        rss_huge: stat.get("rss_huge"),
        mapped_file: stat.get("mapped_file"),
        dirty: stat.get("dirty"),
        writeback: stat.get("writeback"),
        pg_pg_in: stat.get("pgpgin"),
        pg_pg_out: stat.get("pgpgout"),
        pg_fault: stat.get("pgfault"),
        pg_maj_fault: stat.get("pgmajfault"),
        inactive_anon: stat.get("inactive_anon"),
        active_anon: stat.get("active_anon"),
        inactive_file: stat.get("inactive_file"),
        active_file: stat.get("active_file"),
        unevictable: stat.get("unevictable"),
        hierarchical_memory_limit: stat.get("hierarchical_memory_limit"),
        hierarchical_swap_limit: stat.get("hierarchical_memsw_limit"),
        total_cache: stat.get("total_cache"),
        total_rss: stat.get("total_rss"),
        total_rss_huge: stat.get("total_rss_huge"),
        total_mapped_file: stat.get("total_mapped_file"),
        total_dirty: stat.get("total_dirty"),
        total_writeback: stat.get("total_writeback"),
        total_pg_pg_in: stat.get("total_pgpgin"),
        total_pg_pg_out: stat.get("total_pgpgout"),
        total_pg_fault: stat.get("total_pgfault"),
        total_pg_maj_fault: stat.get("total_pgmajfault"),
        total_inactive_anon: stat.get("total_inactive_anon"),
        total_active_anon: stat.get("total_active_anon"),
        total_inactive_file: stat.get("total_inactive_file"),
        total_active_file: stat.get("total_active_file"),
        total_unevictable: stat.get("total_unevictable"),
        usage: entry(""),
        swap: entry("memsw."),
        kernel: entry("kmem."),
        kernel_tcp: entry("kmem.tcp."),
        ..v1::MemoryStat::default()
    }
}

/// Lines of `8:0 Read 1`.
fn blkio(files: &Files<'_>, file: &str) -> Vec<v1::BlkIOEntry> {
    let text = files.0.read("blkio", file).unwrap_or_default();
    let entries = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (major, minor) = words.next()?.split_once(':')?;
        Some(v1::BlkIOEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            op: words.next()?.to_owned(),
            value: words.next()?.parse().ok()?,
            ..v1::BlkIOEntry::default()
        })
    });
    entries.collect()
}

fn of_v2(files: &Files<'_>) -> v2::Metrics {
    let cpu = files.table("cpu", "cpu.stat");
    let events = files.table("memory", "memory.events");
    v2::Metrics {
        pids: MessageField::some(v2::PidsStat {
            current: files.number("pids", "pids.current"),
            limit: files.number("pids", "pids.max"),
            ..v2::PidsStat::default()
        }),
        cpu: MessageField::some(v2::CPUStat {
            usage_usec: cpu.get("usage_usec"),
            user_usec: cpu.get("user_usec"),
            system_usec: cpu.get("system_usec"),
            nr_periods: cpu.get("nr_periods"),
            nr_throttled: cpu.get("nr_throttled"),
            throttled_usec: cpu.get("throttled_usec"),
            nr_bursts: cpu.get("nr_bursts"),
            burst_usec: cpu.get("burst_usec"),
            psi: pressure(files, "cpu"),
            ..v2::CPUStat::default()
        }),
        memory: MessageField::some(memory_v2(files)),
        io: MessageField::some(v2::IOStat {
            usage: io(&files.0.read("io", "io.stat").unwrap_or_default()),
            psi: pressure(files, "io"),
            ..v2::IOStat::default()
        }),
        memory_events: MessageField::some(v2::MemoryEvents {
            low: events.get("low"),
            high: events.get("high"),
            max: events.get("max"),
            oom: events.get("oom"),
            oom_kill: events.get("oom_kill"),
            oom_group_kill: events.get("oom_group_kill"),
            ..v2::MemoryEvents::default()
        }),
        ..v2::Metrics::default()
    }
}

fn memory_v2(files: &Files<'_>) -> v2::MemoryStat {
    let stat = files.table("memory", "memory.stat");
    let number = |file: &str| files.number("memory", file);
    v2::MemoryStat {
        anon: stat.get("anon"),
        file: stat.get("file"),
        kernel_stack: stat.get("kernel_stack"),
        slab: stat.get("slab"),
        sock: stat.get("sock"),
        shmem: stat.get("shmem"),
        file_mapped: stat.get("file_mapped"),
        file_dirty: stat.get("file_dirty"),
        file_writeback: stat.get("file_writeback"),
        anon_thp: stat.get("anon_thp"),
        inactive_anon: stat.get("inactive_anon"),
        active_anon: stat.get("active_anon"),
        inactive_file: stat.get("inactive_file"),
        active_file: stat.get("active_file"),
        unevictable: stat.get("unevictable"),
        slab_reclaimable: stat.get("slab_reclaimable"),
        slab_unreclaimable: stat.get("slab_unreclaimable"),
        pgfault: stat.get("pgfault"),
        pgmajfault: stat.get("pgmajfault"),
        pgrefill: stat.get("pgrefill"),
        pgscan: stat.get("pgscan"),
        pgsteal: stat.get("pgsteal"),
        pgactivate: stat.get("pgactivate"),
        pgdeactivate: stat.get("pgdeactivate"),
        pglazyfree: stat.get("pglazyfree"),
        pglazyfreed: stat.get("pglazyfreed"),
        thp_fault_alloc: stat.get("thp_fault_alloc"),
        thp_collapse_alloc: stat.get("thp_collapse_alloc"),
        usage: number("memory.current"),
        usage_limit: number("memory.max"),
        max_usage: number("memory.peak"),
        swap_usage: number("memory.swap.current"),
        swap_limit: number("memory.swap.max"),
        swap_max_usage: number("memory.swap.peak"),
        psi: pressure(files, "memory"),
        ..v2::MemoryStat::default()
    }
}

/// Lines of `8:0 rbytes=1 wbytes=2 rios=3 wios=4 …`.
fn io(text: &str) -> Vec<v2::IOEntry> {
    let entries = text.lines().filter_map(|line| {
        let mut words = line.split(' ');
        let (major, minor) = words.next()?.split_once(':')?;
        let mut entry = v2::IOEntry {
            major: major.parse().ok()?,
            minor: minor.parse().ok()?,
            ..v2::IOEntry::default()
        };
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            match key {
                "rbytes" => entry.rbytes = number(value),
                "wbytes" => entry.wbytes = number(value),
                "rios" => entry.rios = number(value),
                "wios" => entry.wios = number(value),
                _ => {}
            }
        }
        Some(entry)
    });
    entries.collect()
}

/// Lines of `some avg10=0.00 avg60=0.00 avg300=0.00 total=1`; absent where the kernel does not measure it.
fn pressure(files: &Files<'_>, what: &str) -> MessageField<v2::PSIStats> {
    let text = files.0.read(what, &format!("{what}.pressure"));
    let Some(text) = text else {
        return MessageField::none();
    };
    let line = |kind: &str| {
        let rest = text.lines().find_map(|line| line.strip_prefix(kind));
        let mut data = v2::PSIData::default();
        let words = rest.unwrap_or_default().split_whitespace();
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let average = || value.parse().unwrap_or(0.0);
            match key {
                "avg10" => data.avg10 = average(),
                "avg60" => data.avg60 = average(),
                "avg300" => data.avg300 = average(),
                "total" => data.total = number(value),
                _ => {}
            }
        }
        MessageField::some(data)
    };
    MessageField::some(v2::PSIStats {
        some: line("some "),
        full: line("full "),
        ..v2::PSIStats::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_kernel_are_read() {
        let table = Table::parse("usage_usec 5\nx y\nuser_usec 3\n");
        assert_eq!((table.get("usage_usec"), table.get("none")), (5, 0));
        assert_eq!(
            (number("max\n"), number("12\n"), number("x")),
            (u64::MAX, 12, 0)
        );
        let read = io("8:0 rbytes=10 wbytes=2 rios=1 wios=4 dbytes=0\nbad\n");
        assert_eq!(read.len(), 1);
        assert_eq!((read[0].rbytes, read[0].wios, read[0].major), (10, 4, 8));
    }
}
