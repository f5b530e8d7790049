//! The runtime driver against a runtime that fails in every way, and against real ones.
//!
//! `PODSHIM_TEST_RUNTIMES` lists the real ones, by name or path, separated by commas; `runc` alone if it is not set. Tests
//! of real runtimes need root.

mod containers;
mod faults;
mod faulty;
mod processes;
mod world;

use podshim::base::InstanceId;
use std::time::Duration;

/// Long for any machine; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);

fn id(name: &str) -> InstanceId {
    InstanceId(name.into())
}
