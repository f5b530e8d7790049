//! What can go wrong with a cgroup.

use std::io;
use std::path::PathBuf;

/// Something about a cgroup could not be done.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// There are no cgroups below `/sys/fs/cgroup`.
    #[error("cannot find a cgroup file system below `/sys/fs/cgroup`")]
    NotMounted,
    /// A path or id is not made of plain names.
    #[error("cannot use `{0}` as a cgroup name")]
    Name(String),
    /// It could not be made.
    #[error("cannot create cgroup `{}`", path.display())]
    Create {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A value was refused.
    #[error("cannot write `{value}` to `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Devices cannot be kept from its processes.
    #[error("cannot keep devices from cgroup `{}`", path.display())]
    Devices {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file could not be read.
    #[error("cannot read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It could not be removed in time.
    #[error("cannot remove cgroup `{}`{processes}", path.display())]
    Remove {
        /// Which.
        path: PathBuf,
        /// ` with processes …`, if there are any.
        processes: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Processes outlived SIGKILL.
    #[error("cannot kill cgroup `{}`{processes}", path.display())]
    Kill {
        /// Which.
        path: PathBuf,
        /// ` with processes …` and their states.
        processes: String,
    },
}
