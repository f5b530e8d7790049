//! The two clocks and the identity of this boot.

use crate::base::{Mono, Now, Wall};
use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_gettime};

/// This moment on both clocks: `CLOCK_BOOTTIME` and `CLOCK_REALTIME`.
pub fn now() -> Now {
    Now {
        mono: Mono(milliseconds(ClockId::CLOCK_BOOTTIME)),
        wall: Wall(milliseconds(ClockId::CLOCK_REALTIME)),
    }
}

/// Asked by way of libc: rustix takes it for granted that a vDSO has this call, and that of user-mode Linux does not.
fn milliseconds(clock: ClockId) -> u64 {
    // Both clocks are older than any kernel that we run on.
    let time = clock_gettime(clock).unwrap_or(TimeSpec::new(0, 0));
    let seconds = u64::try_from(time.tv_sec()).unwrap_or(0);
    seconds * 1000 + u64::try_from(time.tv_nsec()).unwrap_or(0) / 1_000_000
}

/// A random text that the kernel makes at each boot; empty where `/proc` does not tell.
pub fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_owned()
}
