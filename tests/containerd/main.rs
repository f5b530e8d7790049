//! podshim under real containerds: the one that is installed and those of later Debian releases, each with `ctr` of the same
//! package, on a root, state and socket of its own. And the shim's own socket, spoken to without containerd, for what none of
//! them asks. Needs root.

#[path = "../support/mod.rs"]
mod support;

mod alike;
mod checkpoint;
mod config;
mod cri;
mod cycles;
mod daemon;
mod direct;
mod faults;
mod features;
mod installed;
mod life;
mod listed;
mod memory;
mod plugin;
mod pods;
mod restore;
mod streams;
mod versions;
mod wire;
