//! The volumes of a pod: host directories and files, made before its sandbox. Blocking; one file per kind.
//!
//! ```text
//!  <data>/pods/<uid>/volumes/<name>    emptyDir, configMap                       lives until the pod is removed
//!  <state>/pods/<uid>/volumes/<name>   emptyDir Memory, secret, downwardAPI, projected: a tmpfs each; images
//!  <data>/volumes/<namespace>_<claim>/ persistentVolumeClaim                    lives until it is removed by hand
//!  <state>/pods/<uid>/shared/<name>    volumes whose mounts are shared, bound there
//! ```
//!
//! Invariants: preparing twice changes nothing and loses nothing; a directory that stands under its final name is complete;
//! below a volume no symbolic link is ever followed, because containers write there; a removal never leaves the pod's
//! directories. Source: Kubernetes volume plugins of the kubelet.

mod atomic;
mod claim;
mod dir;
mod empty_dir;
mod env_file;
mod error;
mod files;
mod host_path;
mod mountinfo;
mod nested;
mod ownership;
mod place;
mod places;
mod prepare;
mod release;
mod sub_path;
mod tmpfs;
mod usage;

pub use claim::{Claims, Record};
pub use env_file::read_env_file;
pub use error::{Error, VolumeError};
pub use place::VolumeDirs;
pub use places::{receives_mounts, release_places, share};
pub use prepare::{VolumeInput, prepare};
pub use release::release;
pub use sub_path::{Part, bind_sub_path};
pub use usage::{Usage, usage};
