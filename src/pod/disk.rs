//! What a pod may use of the disk, and what it is told to be using. Source: kubelet, eviction manager, `localStorageEviction`.

use crate::base::Quantity;
use crate::manifest::{Medium, Pod, VolumeSource, qos};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The resource that counts what containers and volumes take of the disk.
const STORAGE: &str = "ephemeral-storage";

/// What parts of a pod take of the disk, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    /// By volume.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, u64>,
    /// By container: what it has written into its root file system, and its logs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub containers: BTreeMap<String, u64>,
}

/// The limits of a pod that somebody has to look after.
#[derive(Clone, Debug)]
pub(super) struct DiskLimits {
    /// `sizeLimit` of its `emptyDir`s on disk.
    volumes: Vec<(String, Quantity)>,
    /// `limits[ephemeral-storage]` of its containers.
    containers: Vec<(String, Quantity)>,
    /// Of all of them.
    total: Option<Quantity>,
    /// What counts for these limits.
    pub wanted: (Vec<String>, Vec<String>),
}

impl DiskLimits {
    /// `None` for a pod without such a limit.
    pub fn of(pod: &Pod) -> Option<DiskLimits> {
        let is_limit = |limit: &Quantity| !limit.is_zero() && !limit.is_negative();
        let on_disk: Vec<(String, Option<Quantity>)> = pod
            .volumes
            .iter()
            .filter_map(|volume| match &volume.source {
                VolumeSource::EmptyDir {
                    medium: Medium::Disk,
                    size_limit,
                    ..
                } => Some((volume.name.clone(), size_limit.filter(is_limit))),
                _ => None,
            })
            .collect();
        let containers: Vec<(String, Quantity)> = pod
            .containers
            .iter()
            .filter_map(|container| {
                let limit = container.resources.limits.get(STORAGE).copied();
                Some((container.name.clone(), limit.filter(is_limit)?))
            })
            .collect();
        let total = Some(qos::effective(pod, STORAGE).limit).filter(is_limit);
        let wanted = match total {
            Some(_) => (
                on_disk.iter().map(|(name, _)| name.clone()).collect(),
                pod.containers.iter().map(|c| c.name.clone()).collect(),
            ),
            None => {
                let limited = on_disk.iter().filter(|(_, limit)| limit.is_some());
                (limited.map(|(name, _)| name.clone()).collect(), Vec::new())
            }
        };
        let volumes: Vec<(String, Quantity)> = on_disk
            .into_iter()
            .filter_map(|(name, limit)| Some((name, limit?)))
            .collect();
        (!volumes.is_empty() || total.is_some()).then_some(DiskLimits {
            volumes,
            containers,
            total,
            wanted,
        })
    }

    /// Says which limit is exceeded, in the kubelet's words and order.
    pub fn exceeded(&self, used: &DiskUse) -> Option<String> {
        let over = |used: u64, limit: Quantity| used > u64::try_from(limit.units()).unwrap_or(0);
        let first = |limits: &[(String, Quantity)], used: &BTreeMap<String, u64>| {
            limits.iter().find_map(|(name, limit)| {
                let is_over = over(used.get(name).copied().unwrap_or(0), *limit);
                is_over.then(|| (name.clone(), *limit))
            })
        };
        if let Some((name, limit)) = first(&self.volumes, &used.volumes) {
            return Some(format!(
                "Usage of EmptyDir volume \"{name}\" exceeds the limit \"{limit}\"."
            ));
        }
        let all = used.volumes.values().chain(used.containers.values());
        let sum = all.fold(0_u64, |sum, bytes| sum.saturating_add(*bytes));
        if let Some(limit) = self.total.filter(|limit| over(sum, *limit)) {
            return Some(format!(
                "Pod ephemeral local storage usage exceeds the total limit of containers {limit}."
            ));
        }
        let (name, limit) = first(&self.containers, &used.containers)?;
        Some(format!(
            "Container {name} exceeded its local ephemeral storage limit \"{limit}\"."
        ))
    }
}
