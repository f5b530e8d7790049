//! The volumes of a pod: host directories and files, made before its sandbox. Blocking; one file per kind.
//!
//! ```text
//!  <data>/pods/<uid>/volumes/<name>    emptyDir, configMap                       lives until the pod is removed
//!  <state>/pods/<uid>/volumes/<name>   emptyDir Memory, secret, downwardAPI, projected: a tmpfs each
//! ```
//!
//! Invariants: preparing twice changes nothing and loses nothing; a directory that stands under its final name is complete;
//! below a volume no symbolic link is ever followed, because containers write there; a removal never leaves the pod's
//! directories. Source: Kubernetes volume plugins of the kubelet.

mod atomic;
mod dir;
mod empty_dir;
mod error;
mod files;
mod host_path;
mod nested;
mod ownership;
mod prepare;
mod release;
mod sub_path;
mod tmpfs;

pub use error::{Error, VolumeError};
pub use prepare::{VolumeDirs, VolumeInput, prepare};
pub use release::{release, remove_data};
pub use sub_path::{Part, bind_sub_path, release_sub_paths};
