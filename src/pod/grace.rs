//! How long something may take to end. A later wish only shortens it. Whoever takes over after a supervisor gives the whole of it
//! again: for how long nobody listened is not known, and a preStop hook or signal of that time may be lost. Source: the kubelet,
//! whose restart begins a termination anew.

use crate::base::Mono;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A span of time that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Grace {
    length: Duration,
    until: Mono,
}

impl Grace {
    /// It begins now.
    pub fn new(now: Mono, length: Duration) -> Grace {
        Grace {
            length,
            until: now + length,
        }
    }

    /// When it ends.
    pub fn until(self) -> Mono {
        self.until
    }

    /// The one of the two that ends first.
    pub fn shorten(&mut self, other: Grace) {
        if other.until < self.until {
            *self = other;
        }
    }

    /// It begins again.
    pub fn renew(&mut self, now: Mono) {
        *self = Grace::new(now, self.length);
    }
}
