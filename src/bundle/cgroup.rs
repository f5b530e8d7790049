//! Where a pod and its containers stand in the cgroup tree, and the pod's own numbers. Nothing is written here.
//!
//! ```text
//! cgroupfs  /podshim[/burstable|/besteffort]/pod<uid>/<instance>
//! systemd   podshim.slice[/podshim-burstable.slice]/podshim-burstable-pod<uid>.slice/podshim-<uid>-<instance>.scope
//! ```

use crate::base::InstanceId;
use crate::bundle::CgroupLayout;
use crate::bundle::resources::{CPU_PERIOD_US, MIN_SHARES, cpu_quota, cpu_shares, cpu_weight};
use crate::manifest::Pod;
use crate::manifest::qos::{self, QosClass};

/// The cgroup of a pod: its place and what is written there. Source: kubelet `ResourceConfigForPod`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodCgroup {
    /// Below the mount point of each controller, with a leading slash.
    pub path: String,
    /// The directory of its QoS class above it, if the class has one.
    pub qos_parent: Option<String>,
    /// `cpu.shares` (v1).
    pub cpu_shares: u64,
    /// `cpu.weight` (v2).
    pub cpu_weight: u64,
    /// Microseconds of CPU time in each period; `None` means unlimited.
    pub cpu_quota_us: Option<i64>,
    /// The period in microseconds.
    pub cpu_period_us: u64,
    /// Bytes; `None` means unlimited.
    pub memory_limit_bytes: Option<i64>,
}

/// The pod's cgroup. A limit holds only when every container of the pod has one.
pub fn pod_cgroup(pod: &Pod, layout: &CgroupLayout) -> PodCgroup {
    let class = qos::qos_class(pod);
    let cpu = qos::effective(pod, "cpu");
    let memory = qos::effective(pod, "memory");
    let is_limited = class != QosClass::BestEffort;
    let shares = match class {
        QosClass::BestEffort => MIN_SHARES,
        QosClass::Guaranteed | QosClass::Burstable => cpu_shares(cpu.request.milli()),
    };
    let slices = slices(pod, layout);
    let above = slices.len() - 1;
    PodCgroup {
        path: format!("/{}", slices.join("/")),
        qos_parent: (above > 1).then(|| format!("/{}", slices[..above].join("/"))),
        cpu_shares: shares,
        cpu_weight: cpu_weight(shares),
        cpu_quota_us: (is_limited && cpu.limited)
            .then(|| cpu_quota(cpu.limit.milli()))
            .flatten(),
        cpu_period_us: CPU_PERIOD_US,
        memory_limit_bytes: (is_limited && memory.limited)
            .then(|| memory.limit.units())
            .filter(|bytes| *bytes > 0),
    }
}

/// `linux.cgroupsPath` of an instance. Names of systemd scopes are the machine's, so the pod's uid is part of them.
pub(crate) fn cgroups_path(pod: &Pod, layout: &CgroupLayout, instance: &InstanceId) -> String {
    let slices = slices(pod, layout);
    match slices.last() {
        Some(slice) if layout.systemd => format!("{slice}:{}:{}-{instance}", layout.root, pod.uid),
        _ => format!("/{}/{instance}", slices.join("/")),
    }
}

/// The directories from the root down to the pod; never empty.
fn slices(pod: &Pod, layout: &CgroupLayout) -> Vec<String> {
    let class = match qos::qos_class(pod) {
        QosClass::Guaranteed => None,
        QosClass::Burstable => Some("burstable"),
        QosClass::BestEffort => Some("besteffort"),
    };
    let own = format!("pod{}", pod.uid);
    let parts = [Some(layout.root.as_str()), class, Some(own.as_str())];
    let parts: Vec<&str> = parts.into_iter().flatten().collect();
    if !layout.systemd {
        return parts.into_iter().map(str::to_owned).collect();
    }
    // A slice's name repeats those above it; `-` stands for `/` in it.
    let names: Vec<String> = parts.iter().map(|p| p.replace('-', "_")).collect();
    (1..=names.len())
        .map(|end| format!("{}.slice", names[..end].join("-")))
        .collect()
}
