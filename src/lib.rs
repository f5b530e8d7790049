//! podshim runs Kubernetes pods on one machine with nothing but an OCI runtime.
//!
//! ```text
//!  FACES   cli        shim (containerd)     cri (later)    translate one language, nothing else
//!  DOOR    api                                             varlink over a unix socket
//!  LOOP    supervisor                                      the only place where pure meets effects
//!  HANDS   runtime  image  network  volume  store  stdio  probe      effects; they never import one another
//!  MIND    manifest  →  bundle              pod            pure: no tokio, files, clock, process, env, random
//!  GROUND  base                             sys            ids, time, exit, quantity │ the only `unsafe`
//! ```
//!
//! Imports run downwards only; sideways only `bundle → manifest` and `pod → manifest`; MIND uses `base`, not `sys`.
//! `tests/tidy.rs` reads the `use crate::…` lines and fails on an arrow this picture does not have.

// GROUND
pub mod base;
#[allow(unsafe_code)] // the one layer that may: each use says why it is sound
pub mod sys;
// MIND
pub mod bundle;
pub mod manifest;
pub mod pod;
// HANDS
pub mod image;
pub mod network;
pub mod probe;
pub mod runtime;
pub mod stdio;
pub mod store;
pub mod volume;
// LOOP
pub mod supervisor;
// DOOR
pub mod api;
// FACES
pub mod cli;
pub mod shim;
