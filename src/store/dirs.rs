//! Where things are.

use crate::base::{InstanceId, PodUid};
use crate::manifest::Pod;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// The three roots of an installation. Defaults: `/run/podshim`, `/var/lib/podshim`, `/var/log/pods`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dirs {
    /// Gone at reboot.
    pub state: PathBuf,
    /// Images, layers, volumes.
    pub data: PathBuf,
    /// Container logs.
    pub logs: PathBuf,
}

/// The directories of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodDir {
    /// `<state>/pods/<uid>`.
    pub state: PathBuf,
    /// `<data>/pods/<uid>`.
    pub data: PathBuf,
}

impl Dirs {
    /// The directories of the pod with this UID.
    pub fn pod(&self, uid: &PodUid) -> PodDir {
        PodDir {
            state: self.state.join("pods").join(&uid.0),
            data: self.data.join("pods").join(&uid.0),
        }
    }

    /// Where the volumes of claims are: of all pods.
    pub fn claims(&self) -> PathBuf {
        self.data.join("volumes")
    }

    /// Where the logs of a pod are: `<logs>/<namespace>_<name>_<uid>`. Source: the kubelet's log path.
    pub fn pod_logs(&self, pod: &Pod) -> PathBuf {
        self.logs
            .join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
    }
}

/// The control socket in a pod's directory: there until the pod is over. Removing it needs no room, so the end of a pod is known
/// even where its last snapshot could not be written.
pub const CONTROL_SOCKET: &str = "control.sock";

impl PodDir {
    /// A file or directory of the state.
    pub fn file(&self, name: &str) -> PathBuf {
        self.state.join(name)
    }

    /// The bundle of an instance.
    pub fn bundle(&self, instance: &InstanceId) -> PathBuf {
        self.state.join("instances").join(&instance.0)
    }

    /// The writable layer and other data of an instance.
    pub fn instance_data(&self, instance: &InstanceId) -> PathBuf {
        self.data.join("instances").join(&instance.0)
    }

    /// The UID that names these directories.
    pub fn uid(&self) -> PodUid {
        PodUid(
            self.state
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
        )
    }

    /// From the state directory of a pod and its data directory.
    pub fn new(state: &Path, data: &Path) -> PodDir {
        PodDir {
            state: state.to_owned(),
            data: data.to_owned(),
        }
    }
}
