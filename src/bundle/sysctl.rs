//! Which kernel parameters a pod may set. Source: kubelet `sysctl/allowlist.go`, `safe_sysctls.go`.

use crate::manifest::Pod;

/// Names that do no harm outside the pod, and the kernel that made each per namespace.
const SAFE: [(&str, (u32, u32)); 12] = [
    ("kernel.shm_rmid_forced", (0, 0)),
    ("net.ipv4.ip_local_port_range", (0, 0)),
    ("net.ipv4.tcp_syncookies", (0, 0)),
    ("net.ipv4.ping_group_range", (0, 0)),
    ("net.ipv4.ip_unprivileged_port_start", (0, 0)),
    ("net.ipv4.ip_local_reserved_ports", (3, 16)),
    ("net.ipv4.tcp_keepalive_time", (4, 5)),
    ("net.ipv4.tcp_keepalive_intvl", (4, 5)),
    ("net.ipv4.tcp_keepalive_probes", (4, 5)),
    ("net.ipv4.tcp_fin_timeout", (4, 6)),
    ("net.ipv4.tcp_rmem", (4, 15)),
    ("net.ipv4.tcp_wmem", (4, 15)),
];

/// What may be opted in to: these are the pod's own in a network or IPC namespace.
const IPC_NAMES: [&str; 7] = [
    "kernel.sem",
    "kernel.shmall",
    "kernel.shmmax",
    "kernel.shmmni",
    "kernel.msgmax",
    "kernel.msgmnb",
    "kernel.msgmni",
];

/// The message with which the pod is rejected (`SysctlForbidden`), if it sets a parameter that it may not. `extra_allowed` holds
/// names or `prefix*` that the administrator opted in to; `kernel` is major and minor of the release.
pub fn forbidden_sysctl(pod: &Pod, kernel: (u32, u32), extra_allowed: &[String]) -> Option<String> {
    let problem = |name: &str| {
        let is_safe = SAFE.iter().any(|(n, since)| *n == name && kernel >= *since);
        let is_net = name.starts_with("net.");
        let is_ipc = IPC_NAMES.contains(&name)
            || name == "kernel.shm_rmid_forced"
            || name.starts_with("fs.mqueue.");
        let is_chosen = extra_allowed
            .iter()
            .any(|pattern| match pattern.strip_suffix('*') {
                Some(prefix) => name.starts_with(prefix),
                None => name == pattern,
            });
        if is_net && pod.host_network {
            Some("not allowed with host net enabled")
        } else if is_ipc && pod.host_ipc {
            Some("not allowed with host ipc enabled")
        } else if is_safe || (is_chosen && (is_net || is_ipc)) {
            None
        } else {
            Some("not allowlisted")
        }
    };
    pod.security.sysctls.iter().find_map(|(name, _)| {
        let why = problem(name)?;
        Some(format!(
            "Pod was rejected: forbidden sysctl: \"{name}\" {why}"
        ))
    })
}
