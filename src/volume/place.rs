//! Where volumes are: the one place that knows.

use crate::manifest::{Medium, Pod, Volume, VolumeSource};
use crate::volume::claim;
use std::path::PathBuf;

/// Where the volumes of a pod live; the first two end in the pod's own uid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VolumeDirs {
    /// `<data>/pods/<uid>/volumes`; survives the sandbox and a reboot.
    pub disk: PathBuf,
    /// `<state>/pods/<uid>/volumes`: mount points of tmpfs, hugetlbfs and images.
    pub memory: PathBuf,
    /// `<state>/pods/<uid>/shared`: volumes whose mounts are shared with the host or between containers.
    pub shared: PathBuf,
    /// `<data>/volumes`: claims, of all pods.
    pub claims: PathBuf,
}

impl VolumeDirs {
    /// The directory or file that a volume of the pod is; links on the way of a path of the host are not looked at.
    pub fn place(&self, pod: &Pod, volume: &Volume) -> PathBuf {
        let parent = match &volume.source {
            VolumeSource::HostPath { path, .. } => return PathBuf::from(path),
            VolumeSource::Claim(wanted) => {
                return claim::place(&self.claims, &pod.namespace, wanted);
            }
            VolumeSource::EmptyDir {
                medium: Medium::Disk,
                ..
            } => &self.disk,
            VolumeSource::Files(files) if !files.memory => &self.disk,
            VolumeSource::EmptyDir { .. } | VolumeSource::Files(_) | VolumeSource::Image { .. } => {
                &self.memory
            }
        };
        parent.join(&volume.name)
    }
}
