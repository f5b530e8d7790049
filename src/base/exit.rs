//! How a process ended.

use crate::base::Signal;
use serde::{Deserialize, Serialize};
use std::fmt;

/// How a process ended. `Unknown` is said when nobody saw it; a number is never made up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Exit {
    /// It called exit with this code, 0-255.
    Code(u8),
    /// A signal ended it.
    Signal(Signal),
    /// It is gone and nobody saw how.
    Unknown,
}

impl Exit {
    /// Reads a status as `waitpid` gives it. A status that is neither an exit nor a death by signal is `Unknown`.
    /// Source: POSIX `wait`, Linux `bits/waitstatus.h`.
    pub fn from_wait_status(status: i32) -> Exit {
        let signal = status & 0x7f;
        match signal {
            0 => Exit::Code(u8::try_from((status >> 8) & 0xff).unwrap_or(u8::MAX)),
            0x7f => Exit::Unknown,
            n => Signal::from_number(n).map_or(Exit::Unknown, Exit::Signal),
        }
    }

    /// The number a shell and the kubelet show: the code, or 128 + signal; 137 for `Unknown` as the kubelet does, which
    /// always goes with the reason `ContainerStatusUnknown`.
    pub fn code(self) -> i32 {
        match self {
            Exit::Code(code) => i32::from(code),
            Exit::Signal(signal) => 128 + signal.number(),
            Exit::Unknown => 137,
        }
    }

    /// Whether it ended by itself with code 0.
    pub fn is_success(self) -> bool {
        self == Exit::Code(0)
    }
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(code) => write!(f, "exit code {code}"),
            Exit::Signal(signal) => write!(f, "signal {signal}"),
            Exit::Unknown => f.write_str("unknown exit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_status_reads_back() {
        for code in 0..=255_u8 {
            assert_eq!(
                Exit::from_wait_status(i32::from(code) << 8),
                Exit::Code(code)
            );
        }
        for n in 1..=64 {
            let exit = Exit::from_wait_status(n);
            assert_eq!(exit.code(), 128 + n);
            assert_eq!(
                Exit::from_wait_status(n | 0x80),
                exit,
                "a core dump changes nothing"
            );
        }
        assert_eq!(
            Exit::from_wait_status(0x137f),
            Exit::Unknown,
            "stopped is not ended"
        );
    }
}
