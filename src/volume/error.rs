//! What can go wrong with a volume.

use crate::manifest::ObjectKind;
use std::io;
use std::path::{Path, PathBuf};

/// A volume could not be set up; the pod stays in `ContainerCreating` and it is tried again.
#[derive(Debug, thiserror::Error)]
#[error("cannot set up volume `{volume}`")]
pub struct VolumeError {
    /// Its name in the pod.
    pub volume: String,
    /// Why.
    #[source]
    pub cause: Error,
}

/// Why a volume could not be set up or removed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What is at a `hostPath` is not of its type. The text is the kubelet's.
    #[error("hostPath type check failed: {} is not a {expected}", path.display())]
    HostPathType {
        /// As the manifest has it.
        path: PathBuf,
        /// `directory`, `file`, `socket file`, `character device` or `block device`.
        expected: &'static str,
    },
    /// What containers mount there could not appear on the host.
    #[error("path `{}` is not on a shared mount of the host: `mount --make-shared` makes it one", path.display())]
    NotShared {
        /// On the host.
        path: PathBuf,
    },
    /// The object is not in the input and not optional.
    #[error("cannot find {kind:?} `{name}`")]
    NoObject {
        /// Which kind.
        kind: ObjectKind,
        /// Its name.
        name: String,
    },
    /// An item names a key that the object does not have, and is not optional.
    #[error("cannot find key `{key}` in {kind:?} `{name}`")]
    NoKey {
        /// Which kind.
        kind: ObjectKind,
        /// Its name.
        name: String,
        /// The key.
        key: String,
    },
    /// An amount of a container that the pod does not have.
    #[error("cannot find the container of the amount in file `{file}`")]
    NoContainer {
        /// Path in the volume.
        file: String,
    },
    /// A file's path is too long, leaves the volume, has a reserved name, or is a directory of another file.
    #[error("cannot place file `{file}` in the volume")]
    FilePath {
        /// Path in the volume.
        file: String,
    },
    /// The files are larger than a volume of files may be.
    #[error("cannot put {bytes} bytes into files, the limit is {limit}")]
    TooLarge {
        /// Of all files.
        bytes: u64,
        /// Of all files.
        limit: u64,
    },
    /// The system refused.
    #[error("cannot {verb} `{}`", path.display())]
    System {
        /// What was tried.
        verb: &'static str,
        /// With what.
        path: PathBuf,
        /// What it said.
        #[source]
        source: io::Error,
    },
}

impl Error {
    /// For `map_err` of a system call.
    pub(super) fn system<E: Into<io::Error>>(
        verb: &'static str,
        path: &Path,
    ) -> impl FnOnce(E) -> Error {
        move |source| Error::System {
            verb,
            path: path.to_owned(),
            source: source.into(),
        }
    }
}
