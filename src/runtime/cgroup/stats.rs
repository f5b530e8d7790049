//! What a pod or a container uses, read from cgroupfs alone.

use crate::base::InstanceId;
use crate::runtime::cgroup::files::{self, keyed};
use crate::runtime::{CgroupError, Mode, PodCgroup};
use serde::{Deserialize, Serialize};

/// Use since the cgroup was made, or now; `None` where the controller is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// Nanoseconds of CPU.
    pub cpu_ns: Option<u64>,
    /// Bytes of memory, page cache included.
    pub memory_usage_bytes: Option<u64>,
    /// The same without inactive file pages: what cannot be given back easily. Source: cAdvisor.
    pub memory_working_set_bytes: Option<u64>,
    /// Processes and threads now.
    pub pids: Option<u64>,
    /// Bytes read from block devices.
    pub io_read_bytes: Option<u64>,
    /// Bytes written to block devices.
    pub io_write_bytes: Option<u64>,
}

impl PodCgroup {
    /// Use of one container, or of the whole pod with all that ever ran in it.
    pub fn stats(&self, id: Option<&InstanceId>) -> Result<Stats, CgroupError> {
        let path = self.relative(id)?;
        let file = |controller: &str, name: &str| {
            files::read(&self.directory_below(controller, &path)?.join(name))
        };
        let number = |controller: &str, name: &str| file(controller, name)?.trim().parse().ok();
        let is_v2 = self.layout.mode() == Mode::V2;
        let (usage, inactive_key) = if is_v2 {
            (number("memory", "memory.current"), "inactive_file")
        } else {
            (
                number("memory", "memory.usage_in_bytes"),
                "total_inactive_file",
            )
        };
        let inactive = file("memory", "memory.stat").and_then(|text| keyed(&text, inactive_key));
        let (io_read_bytes, io_write_bytes) = if is_v2 {
            let text = file("io", "io.stat");
            let sum = |key| text.as_deref().map(|text| sum_v2(text, key));
            (sum("rbytes="), sum("wbytes="))
        } else {
            let text = file("blkio", "blkio.throttle.io_service_bytes_recursive");
            let sum = |key| text.as_deref().map(|text| sum_v1(text, key));
            (sum("Read"), sum("Write"))
        };
        Ok(Stats {
            cpu_ns: if is_v2 {
                // `cpu.stat` is there without the controller.
                let stat = self.directories(&path).first().map(|d| d.join("cpu.stat"));
                stat.and_then(|file| keyed(&files::read(&file)?, "usage_usec"))
                    .map(|us| us.saturating_mul(1000))
            } else {
                number("cpuacct", "cpuacct.usage")
            },
            memory_usage_bytes: usage,
            memory_working_set_bytes: usage
                .map(|bytes: u64| bytes.saturating_sub(inactive.unwrap_or(0))),
            pids: number("pids", "pids.current"),
            io_read_bytes,
            io_write_bytes,
        })
    }
}

/// Lines of `8:0 rbytes=1 wbytes=2 …`.
fn sum_v2(text: &str, key: &str) -> u64 {
    text.split_whitespace()
        .filter_map(|word| word.strip_prefix(key)?.parse::<u64>().ok())
        .fold(0, u64::saturating_add)
}

/// Lines of `8:0 Read 1`.
fn sum_v1(text: &str, key: &str) -> u64 {
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ').skip(1);
            (words.next()? == key).then(|| words.next()?.parse::<u64>().ok())?
        })
        .fold(0, u64::saturating_add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_all_devices_are_added() {
        let v2 = "8:0 rbytes=10 wbytes=1 rios=3\n259:0 rbytes=5 wbytes=x\n";
        assert_eq!((sum_v2(v2, "rbytes="), sum_v2(v2, "wbytes=")), (15, 1));
        let v1 = "8:0 Read 10\n8:0 Write 4\n259:0 Read 5\nTotal 19\n";
        assert_eq!((sum_v1(v1, "Read"), sum_v1(v1, "Write")), (15, 4));
    }
}
