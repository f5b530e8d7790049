//! The cgroup of one pod: the parent of its containers' cgroups, which the runtime makes.
//!
//! podshim makes it before the first create (parallel creates race for it otherwise) and removes it after the last process
//! is gone. On cgroup v1 it stands in every mounted hierarchy, the named and the v2 one of a hybrid machine included, since
//! runtimes join all of them. Names are plain; links are never followed; what is already gone is no error.

mod arm;
mod container;
mod error;
mod files;
mod kill;
mod layout;
mod list;
mod oom;
mod pod;
mod qos;
mod stats;
#[cfg(test)]
mod tests;
mod v1;
mod v2;

pub use arm::arm;
pub use container::ContainerCgroup;
pub use error::CgroupError;
#[cfg(test)]
pub(super) use layout::Hierarchy;
pub use layout::{Layout, Mode};
pub use oom::OomWatch;
pub use pod::{PodCgroup, PodCgroupValues};
pub use stats::Stats;
