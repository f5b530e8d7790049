//! Image references → root file system layers and the configuration a container inherits.
//!
//! ```text
//!  ensure / inspect / load / list / remove / prune   the doors
//!    reference   what is asked for
//!    layout, docker   documents of an OCI layout, of a docker archive
//!      files     their files, in a directory or inside a tar: one way to open both
//!    layer       one blob: size, digest, compression, diff id, in one pass
//!      entries   tar headers        unpack   entries → a directory, overlayfs whiteouts
//!    store       layers by chain id, records by reference, locks
//!  overlay       layers → a mounted root          users   its passwd and group files
//! ```
//!
//! Blocking: it runs in short-lived processes. Everything inside an image is hostile. Invariants: no document is parsed before its
//! size is known to be small; no layer has its final name before size, digest and diff id agree; a path from an image is resolved
//! by the kernel below the layer's root and nowhere else.

mod config;
mod digest;
mod docker;
mod ensure;
mod entries;
mod error;
mod files;
mod layer;
mod layout;
mod load;
mod metadata;
mod overlay;
mod reference;
mod root;
mod store;
mod unpack;
mod users;

pub use ensure::{Image, ensure, inspect, list, prune, ready, remove};
pub use error::ImageError;
pub use load::load;
pub use overlay::{mount_overlay, mount_read_only};
pub use reference::Reference;
pub use root::resolve_in_root;
pub use store::ImageRecord;
pub use unpack::UnpackError;
pub use users::user_files;
