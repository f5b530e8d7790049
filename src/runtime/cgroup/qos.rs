//! The CPU weight of a QoS class: the sum of its pods' for `burstable`, the least for `besteffort`. Source: kubelet
//! `qosContainerManager`.
//!
//! Nobody owns the parent: each pod adds up what it finds whenever it comes, changes or goes.

use crate::runtime::cgroup::files;
use crate::runtime::cgroup::pod::BEST_EFFORT;
use crate::runtime::{Mode, PodCgroup};

impl PodCgroup {
    /// Writes the weight of the QoS class this pod is in, from the pods that are there now.
    pub(super) fn weigh_parent(&self) {
        let Some(parent) = self.qos_parent() else {
            return;
        };
        let Some(directory) = self.directory_below("cpu", parent) else {
            return;
        };
        let (file, least, most) = match self.layout.mode() {
            Mode::V1 | Mode::Hybrid => ("cpu.shares", 2, 262_144),
            Mode::V2 => ("cpu.weight", 1, 10_000),
        };
        let pods = std::fs::read_dir(&directory)
            .into_iter()
            .flatten()
            .flatten();
        let weights = pods.filter_map(|pod| {
            let text = files::read(&pod.path().join(file))?;
            text.trim().parse::<u64>().ok()
        });
        let weight = match parent.file_name() {
            Some(name) if name == BEST_EFFORT => least,
            _ => weights.fold(0, u64::saturating_add).clamp(least, most),
        };
        // Gone with its last pod, or written by another one at this moment; the pod's own values were accepted.
        let _gone = files::write(&directory.join(file), &weight.to_string());
    }
}
