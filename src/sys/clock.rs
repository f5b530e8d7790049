//! The two clocks and the identity of this boot.

use crate::base::{Mono, Now, Wall};
use rustix::time::{ClockId, clock_gettime};

/// This moment on both clocks: `CLOCK_BOOTTIME` and `CLOCK_REALTIME`.
pub fn now() -> Now {
    Now {
        mono: Mono(milliseconds(ClockId::Boottime)),
        wall: Wall(milliseconds(ClockId::Realtime)),
    }
}

fn milliseconds(clock: ClockId) -> u64 {
    let time = clock_gettime(clock);
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}

/// A random text that the kernel makes at each boot; empty where `/proc` does not tell.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
