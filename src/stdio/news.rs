//! How it goes with a log, for those who are not there when it is written: told when it changes, and not too often.

use crate::base::Mono;
use crate::stdio::file::WhenFull;
use crate::sys;
use std::fmt;
use std::io;
use std::time::Duration;

/// Time between two news of one log: a disk that is almost full takes a batch now and then.
const INTERVAL: Duration = Duration::from_secs(10);

/// How it goes with a log.
#[derive(Debug)]
pub enum LogNews {
    /// The disk does not take it.
    Refused(io::Error, WhenFull),
    /// It is written again.
    Written,
}

/// Whom a log tells.
pub(super) struct Teller {
    tell: Box<dyn FnMut(LogNews) + Send>,
    refused: bool,
    not_before: Mono,
}

impl fmt::Debug for Teller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Teller({})", self.refused)
    }
}

impl Teller {
    pub fn new(tell: impl FnMut(LogNews) + Send + 'static) -> Teller {
        Teller {
            tell: Box::new(tell),
            refused: false,
            not_before: Mono::default(),
        }
    }

    /// What the disk said of the last batch.
    pub fn tell(&mut self, error: Option<io::Error>, when_full: WhenFull) {
        if self.refused == error.is_some() {
            return;
        }
        let now = sys::now().mono;
        if now < self.not_before {
            return;
        }
        self.refused = error.is_some();
        self.not_before = now + INTERVAL;
        (self.tell)(match error {
            Some(error) => LogNews::Refused(error, when_full),
            None => LogNews::Written,
        });
    }
}
