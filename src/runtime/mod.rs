//! Finds, drives and understands an OCI runtime (runc, crun, youki), and keeps the cgroup that a pod's containers live in.
//!
//! Invariants: every call of a runtime has a deadline, its own process group and a bounded answer; a call that was cut off
//! says so ([`RuntimeError::is_hung`]) because what it left is unknown; no error is classified by its text; what differs
//! between runtimes is data in one table. Imports `base`, `bundle` (for [`crate::bundle::HostFacts`]) and nothing sideways.

mod call;
mod capture;
mod cgroup;
mod checkpoint;
mod complaint;
mod driver;
mod error;
mod exec;
mod find;
mod gate;
mod host;
mod host_devices;
mod known;
mod name;
mod native;
mod pid_file;
mod preflight;
mod quirks;
mod running;
mod sealed;
mod small_file;

pub use cgroup::{
    CgroupError, ContainerCgroup, Layout, Mode, OomWatch, PodCgroup, PodCgroupValues, Stats, arm,
};
pub use checkpoint::{CheckpointCall, CheckpointOptions};
pub use driver::{CreateCall, Deadlines, Driver, InitIo};
pub use error::{Refused, RuntimeError};
pub use exec::{ExecCall, kill_exec};
pub use find::{Features, Runtime, find, find_known};
pub use gate::{START_VERB, open_gate};
pub use host::{HostError, host_facts};
pub use host_devices::host_device;
pub use name::is_plain_name;
pub use native::{SANDBOX_VERB, SandboxError, make_sandbox, native_problem};
pub use pid_file::{PidFileError, read as read_pid_file};
pub use preflight::{Needs, Problem, preflight, unless_root};
pub use quirks::{Kind, Quirks, Version};
pub use sealed::Sealed;
