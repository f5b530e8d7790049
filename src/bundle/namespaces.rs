//! Which namespaces are made, joined or the host's. Invariant: pause makes what the containers join, and nothing else.

use crate::bundle::HostFacts;
use crate::manifest::{ContainerSecurity, Pod};
use oci_spec::runtime::{LinuxNamespace, LinuxNamespaceType};
use std::path::Path;

/// Namespaces of pause: new ones, but for those of the host. `netns` is a prepared network namespace.
pub(crate) fn of_pause(pod: &Pod, netns: Option<&Path>) -> Vec<LinuxNamespace> {
    let mut list = Vec::new();
    if !pod.host_network {
        list.push(entry(LinuxNamespaceType::Network, netns));
        list.push(entry(LinuxNamespaceType::Uts, None));
    }
    if !pod.host_ipc {
        list.push(entry(LinuxNamespaceType::Ipc, None));
    }
    if !pod.host_pid {
        list.push(entry(LinuxNamespaceType::Pid, None));
    }
    list.push(entry(LinuxNamespaceType::Mount, None));
    list
}

/// Those that pause makes and others may join, all but its mounts, by their names below `/proc/<pid>/ns`.
pub fn joinable(pod: &Pod) -> Vec<&'static str> {
    let name = |namespace: &LinuxNamespace| match namespace.typ() {
        LinuxNamespaceType::Network => Some("net"),
        LinuxNamespaceType::Uts => Some("uts"),
        LinuxNamespaceType::Ipc => Some("ipc"),
        LinuxNamespaceType::Pid => Some("pid"),
        LinuxNamespaceType::Mount
        | LinuxNamespaceType::User
        | LinuxNamespaceType::Cgroup
        | LinuxNamespaceType::Time => None,
    };
    of_pause(pod, None).iter().filter_map(name).collect()
}

/// Namespaces of a container: pause's network, UTS and IPC, its own mounts, and a PID namespace as the pod says, or that of the
/// target of an ephemeral one.
pub(crate) fn of_container(
    pod: &Pod,
    security: &ContainerSecurity,
    host: &HostFacts,
    pause_proc: &str,
    target_proc: Option<&str>,
) -> Vec<LinuxNamespace> {
    let join_of = |proc: &str, kind, name| {
        let path = format!("{proc}/ns/{name}");
        entry(kind, Some(Path::new(&path)))
    };
    let join = |kind, name| join_of(pause_proc, kind, name);
    let mut list = Vec::new();
    if !pod.host_network {
        list.push(join(LinuxNamespaceType::Network, "net"));
        list.push(join(LinuxNamespaceType::Uts, "uts"));
    }
    if !pod.host_ipc {
        list.push(join(LinuxNamespaceType::Ipc, "ipc"));
    }
    if let Some(target) = target_proc {
        list.push(join_of(target, LinuxNamespaceType::Pid, "pid"));
    } else if pod.share_process_namespace {
        list.push(join(LinuxNamespaceType::Pid, "pid"));
    } else if !pod.host_pid {
        list.push(entry(LinuxNamespaceType::Pid, None));
    }
    list.push(entry(LinuxNamespaceType::Mount, None));
    if host.cgroup_v2 && !security.privileged {
        list.push(entry(LinuxNamespaceType::Cgroup, None));
    }
    list
}

fn entry(kind: LinuxNamespaceType, path: Option<&Path>) -> LinuxNamespace {
    let mut namespace = LinuxNamespace::default();
    namespace
        .set_typ(kind)
        .set_path(path.map(Path::to_path_buf));
    namespace
}
