//! The runtime of a process that stays with a pod: one thread, which gives back what it does not need to wait, as soon as there has
//! been nothing to do for a while. Most pods do nothing most of the time, and a machine has hundreds.

use crate::sys;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::runtime::{Builder, Runtime};

/// After so long without anything to do memory is given back: longer than the pauses within a start or a stop.
pub(super) const QUIET: Duration = Duration::from_secs(1);
/// Events that one look at the kernel takes: more of a pod seldom happen at once, and the next look takes the rest.
const EVENTS: usize = 64;

/// How a loop says that it has nothing to do.
pub struct Quiet(Arc<AtomicBool>);

impl Quiet {
    /// A runtime, and how its loop says that it is quiet.
    pub fn runtime() -> std::io::Result<(Runtime, Quiet)> {
        let is_quiet = Arc::new(AtomicBool::new(false));
        let at_park = Arc::clone(&is_quiet);
        let runtime = Builder::new_current_thread()
            .enable_all()
            .max_io_events_per_tick(EVENTS)
            // The last thing before the thread waits: whatever ran after it would be mapped again.
            .on_thread_park(move || {
                if at_park.swap(false, Ordering::Relaxed) {
                    sys::release_idle();
                }
            })
            .build()?;
        Ok((runtime, Quiet(is_quiet)))
    }

    /// One of the things that a loop waits for, which never comes: if it is waited for long enough, the process is quiet.
    pub(super) async fn rest(&self) {
        tokio::time::sleep(QUIET).await;
        self.0.store(true, Ordering::Relaxed);
        std::future::pending().await
    }
}
