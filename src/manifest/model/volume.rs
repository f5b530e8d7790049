//! Volumes and where they are mounted.

use crate::base::Quantity;
use crate::manifest::{EnvValue, ObjectRef, PullPolicy};
use serde::{Deserialize, Serialize};

/// One of `volumeMounts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// The volume's name.
    pub volume: String,
    /// Where in the container; absolute (a relative path of the manifest has been taken from `/`).
    pub path: String,
    /// `subPath` or `subPathExpr`: only a part of the volume.
    #[serde(default)]
    pub sub_path: Option<SubPath>,
    /// `readOnly`.
    pub read_only: bool,
    /// `mountPropagation`.
    pub propagation: Propagation,
    /// `recursiveReadOnly`.
    pub recursive_read_only: RecursiveReadOnly,
    /// `bindMountOptions`: `noexec`, `nodev`, `nosuid`.
    #[serde(default)]
    pub options: Vec<String>,
}

/// One of `volumeDevices`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeDevice {
    /// The volume's name.
    pub volume: String,
    /// Where its node is in the container; absolute.
    pub path: String,
}

/// Which part of a volume is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubPath {
    /// `subPath`: relative, no `..`.
    Plain(String),
    /// `subPathExpr`: `$(VAR)` not yet expanded.
    Expression(String),
}

/// `mountPropagation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Private.
    None,
    /// Mounts of the host appear in the container.
    HostToContainer,
    /// And the other way round.
    Bidirectional,
}

/// `recursiveReadOnly`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecursiveReadOnly {
    /// The top mount only.
    Disabled,
    /// Where the runtime can.
    IfPossible,
    /// Or the container does not start.
    Enabled,
}

/// One of `spec.volumes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name, unique in the pod.
    pub name: String,
    /// What it is.
    pub source: VolumeSource,
}

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// A directory with the life of the pod.
    EmptyDir {
        /// What it is on.
        medium: Medium,
        /// Bytes.
        size_limit: Option<Quantity>,
        /// Its permissions; `None` means 0777.
        #[serde(default)]
        mode: Option<u32>,
    },
    /// A path of the host.
    HostPath {
        /// The path.
        path: String,
        /// What must be there.
        kind: HostPathType,
    },
    /// A named volume of the pod's namespace, which outlives pods.
    Claim(ClaimVolume),
    /// The layers of an image, read-only.
    Image {
        /// As `image` of a container.
        reference: String,
        /// When it is pulled.
        pull_policy: PullPolicy,
    },
    /// Files made of ConfigMaps, Secrets and pod fields. A `configMap`, `secret` or `downwardAPI` volume has one source.
    Files(FilesVolume),
}

impl VolumeSource {
    /// Whether it is a path that the host has without us.
    pub fn is_of_host(&self) -> bool {
        match self {
            VolumeSource::HostPath { .. } => true,
            VolumeSource::Claim(claim) => claim.options.device.is_some(),
            VolumeSource::EmptyDir { .. } | VolumeSource::Image { .. } | VolumeSource::Files(_) => {
                false
            }
        }
    }
}

/// What an `emptyDir` is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Medium {
    /// The data directory.
    Disk,
    /// A tmpfs.
    Memory,
    /// Huge pages.
    HugePages {
        /// Of this size.
        page_bytes: u64,
    },
}

/// `persistentVolumeClaim`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimVolume {
    /// `claimName`: the volume's name in the pod's namespace.
    pub claim: String,
    /// Nobody in the pod may write.
    pub read_only: bool,
    /// What it is made like, should it not be there.
    pub options: ClaimOptions,
}

/// How the volume of a claim is made. Source: podman, annotations `volume.podman.io/…`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimOptions {
    /// Owner of its directory; root if unset.
    pub uid: Option<u32>,
    /// Group of its directory; root's if unset.
    pub gid: Option<u32>,
    /// A directory of the host that is the volume, instead of one of ours.
    pub device: Option<String>,
    /// Nobody may write, whatever the pod says.
    pub read_only: bool,
}

/// A volume made of small files: `configMap`, `secret`, `downwardAPI`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesVolume {
    /// Mode of files whose item says none, 0-0777.
    pub default_mode: u32,
    /// Whether it lives on a tmpfs: everything but `configMap`.
    pub memory: bool,
    /// In order; a later file replaces an earlier one of the same path.
    pub sources: Vec<FilesSource>,
}

/// One source of a [`FilesVolume`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilesSource {
    /// Keys of a ConfigMap or Secret.
    Object {
        /// Which object.
        object: ObjectRef,
        /// `None` means every key under its own name.
        items: Option<Vec<KeyToPath>>,
    },
    /// Fields and amounts of the pod.
    Downward(Vec<DownwardFile>),
}

/// One `items` entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyToPath {
    /// The key.
    pub key: String,
    /// Relative, no `..`.
    pub path: String,
    /// 0-0777.
    pub mode: Option<u32>,
}

/// One downward API file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownwardFile {
    /// Relative, no `..`.
    pub path: String,
    /// 0-0777.
    pub mode: Option<u32>,
    /// [`EnvValue::Field`] or [`EnvValue::Resource`].
    pub value: EnvValue,
}

/// `hostPath.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPathType {
    /// No check; an absent path becomes a directory.
    Unset,
    /// Made if absent.
    DirectoryOrCreate,
    /// Must be there.
    Directory,
    /// Made if absent; its parent must be there.
    FileOrCreate,
    /// Must be there.
    File,
    /// Must be there.
    Socket,
    /// Must be there.
    CharDevice,
    /// Must be there.
    BlockDevice,
}
