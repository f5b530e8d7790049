//! podshim under a real containerd: Debian's, with `ctr` of the same package, on a root, state and socket of its own. And the
//! shim's own socket, spoken to without containerd, for what containerd 1.6 does not ask. Needs root.

#[path = "../support/mod.rs"]
mod support;

mod cri;
mod daemon;
mod direct;
mod faults;
mod installed;
mod life;
mod memory;
mod plugin;
mod pods;
mod streams;
mod wire;
