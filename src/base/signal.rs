//! Signals by name and number.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// A signal number of this kernel, 1-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Signal(i32);

/// The text names no signal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown signal `{0}`")]
pub struct UnknownSignal(pub String);

/// Linux on x86-64 and arm64. Aliases come after the name that is shown.
const NAMES: &[(&str, i32)] = &[
    ("HUP", 1),
    ("INT", 2),
    ("QUIT", 3),
    ("ILL", 4),
    ("TRAP", 5),
    ("ABRT", 6),
    ("IOT", 6),
    ("BUS", 7),
    ("FPE", 8),
    ("KILL", 9),
    ("USR1", 10),
    ("SEGV", 11),
    ("USR2", 12),
    ("PIPE", 13),
    ("ALRM", 14),
    ("TERM", 15),
    ("STKFLT", 16),
    ("CHLD", 17),
    ("CLD", 17),
    ("CONT", 18),
    ("STOP", 19),
    ("TSTP", 20),
    ("TTIN", 21),
    ("TTOU", 22),
    ("URG", 23),
    ("XCPU", 24),
    ("XFSZ", 25),
    ("VTALRM", 26),
    ("PROF", 27),
    ("WINCH", 28),
    ("IO", 29),
    ("POLL", 29),
    ("PWR", 30),
    ("SYS", 31),
];

/// glibc and musl keep 32 and 33 for themselves; Docker and Kubernetes count from 34.
const RTMIN: i32 = 34;
const RTMAX: i32 = 64;

impl Signal {
    /// Ends a process at once; it cannot be caught.
    pub const KILL: Signal = Signal(9);
    /// Asks a process to end.
    pub const TERM: Signal = Signal(15);
    /// Interrupt from a terminal.
    pub const INT: Signal = Signal(2);
    /// SIGHUP.
    pub const HUP: Signal = Signal(1);

    /// The signal of this number, if there is one.
    pub fn from_number(number: i32) -> Option<Signal> {
        (1..=RTMAX).contains(&number).then_some(Signal(number))
    }

    /// Its number.
    pub fn number(self) -> i32 {
        self.0
    }
}

impl FromStr for Signal {
    type Err = UnknownSignal;

    /// Reads `TERM`, `SIGTERM`, `15`, `SIGRTMIN+3`, `RTMAX-1`; upper or lower case, as image configs and kill(1) write it.
    fn from_str(text: &str) -> Result<Signal, UnknownSignal> {
        let unknown = || UnknownSignal(text.chars().take(64).collect());
        if let Ok(number) = text.parse::<i32>() {
            return Signal::from_number(number).ok_or_else(unknown);
        }
        let upper = text.to_ascii_uppercase();
        let name = upper.strip_prefix("SIG").unwrap_or(&upper);
        if let Some((_, number)) = NAMES.iter().find(|(known, _)| *known == name) {
            return Ok(Signal(*number));
        }
        let offset = |rest: &str, sign: char, most: i32| match rest.strip_prefix(sign) {
            None if rest.is_empty() => Some(0),
            None => None,
            Some(digits) => digits
                .parse::<i32>()
                .ok()
                .filter(|n| (1..=most).contains(n) && !digits.starts_with('+')),
        };
        if let Some(rest) = name.strip_prefix("RTMIN") {
            return offset(rest, '+', 15)
                .map(|n| Signal(RTMIN + n))
                .ok_or_else(unknown);
        }
        if let Some(rest) = name.strip_prefix("RTMAX") {
            return offset(rest, '-', 14)
                .map(|n| Signal(RTMAX - n))
                .ok_or_else(unknown);
        }
        Err(unknown())
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(_, number)| *number == self.0) {
            Some((name, _)) => write!(f, "SIG{name}"),
            None if self.0 == RTMAX => f.write_str("SIGRTMAX"),
            None if self.0 == RTMIN => f.write_str("SIGRTMIN"),
            None if self.0 < RTMIN => write!(f, "{}", self.0),
            None if self.0 <= RTMIN + 15 => write!(f, "SIGRTMIN+{}", self.0 - RTMIN),
            None => write!(f, "SIGRTMAX-{}", RTMAX - self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_numbers_and_prefixes_are_read() {
        for (text, number) in [
            ("TERM", 15),
            ("SIGTERM", 15),
            ("sigquit", 3),
            ("9", 9),
            ("SIGCLD", 17),
            ("SIGRTMIN", 34),
        ] {
            assert_eq!(
                text.parse::<Signal>().map(Signal::number),
                Ok(number),
                "{text}"
            );
        }
        assert_eq!("SIGRTMIN+3".parse::<Signal>().map(Signal::number), Ok(37));
        assert_eq!("RTMAX-14".parse::<Signal>().map(Signal::number), Ok(50));
        for bad in [
            "", "SIG", "0", "65", "-9", "SIGFOO", "RTMIN+16", "RTMIN+", "RTMIN++1", "RTMAX+1",
        ] {
            assert!(bad.parse::<Signal>().is_err(), "{bad}");
        }
    }

    #[test]
    fn every_signal_reads_back_what_it_prints() {
        for number in 1..=64 {
            let signal = Signal(number);
            assert_eq!(signal.to_string().parse(), Ok(signal));
        }
    }
}
