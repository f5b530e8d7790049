//! Everything the API server and the kubelet would refuse, found at once. Source: Kubernetes pkg/apis/core/validation.
//!
//! Works on the defaulted object; every check only reads and pushes findings, in the order in which the API server reports
//! them. After an error-free run `convert` cannot fail.

mod check;
mod container;
mod env;
mod metadata;
mod mount;
mod network;
mod pod;
mod probe;
mod resources;
mod security;
mod size;
#[cfg(test)]
mod tests;
mod volume;

pub use pod::pod;
pub use size::size;
pub(super) use volume::page_sizes;
pub(super) use volume::volume_mode;
