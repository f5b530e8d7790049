//! Image references → root file system layers and the configuration a container inherits.
//!
//! ```text
//!  ensure / load / save / remove / prune / list     the doors
//!    reference   what is asked for
//!    registry    images at registries     pull, layers   from there to a record
//!    layout, docker   documents of an OCI layout, of a docker archive
//!      files     their files, in a directory or inside a tar: one way to open both
//!    layer       one blob: size, digest, compression, diff id, in one pass
//!      entries   tar headers        unpack   entries → a directory, overlayfs whiteouts       ahead   both at once
//!    store       layers by chain id, records by reference, locks
//!      blobs     what came, as it came: an OCI layout      keep   archives into it      collect   what goes
//!  overlay       layers → a mounted root          mount_points   the lowest of them          users   its passwd and group files
//! ```
//!
//! Blocking: it runs in short-lived processes. Everything inside an image is hostile. Invariants: no document is parsed before its
//! size is known to be small; no layer has its final name before size, digest and diff id agree; a path from an image is resolved
//! by the kernel below the layer's root and nowhere else.

mod ahead;
mod blobs;
mod collect;
mod config;
mod digest;
mod docker;
mod ensure;
mod entries;
mod error;
mod files;
mod keep;
mod layer;
mod layers;
mod layout;
mod load;
mod mapped;
mod metadata;
mod mount_points;
mod mounts;
mod overlay;
mod pull;
mod reference;
mod registry;
mod remove;
mod root;
mod save;
mod store;
mod unpack;
mod users;
mod zstd;

pub use ensure::{Image, ensure, inspect, list, ready};
pub use error::ImageError;
pub use load::load;
pub use mount_points::mount_points;
pub use mounts::{Mount, MountError, mount_all, unmount_all};
pub use overlay::{mount_overlay, mount_read_only};
pub use pull::{Progress, Pull};
pub use reference::Reference;
pub use registry::{ENVIRONMENT, PullError, Times};
pub use remove::{InUse, Prune, is_busy, prune, remove};
pub use root::resolve_in_root;
pub use save::{describe, save};
pub use store::ImageRecord;
pub use unpack::UnpackError;
pub use users::user_files;
