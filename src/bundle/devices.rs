//! Device nodes and the device cgroup. The runtime adds the usual nodes by itself; only privileged containers get more.

use crate::bundle::{HostDevice, HostFacts};
use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

/// Below `/dev`, and the container's own in every case.
const NOT_SHARED: [&str; 5] = [
    "/dev/pts",
    "/dev/shm",
    "/dev/fd",
    "/dev/mqueue",
    "/dev/console",
];

/// `linux.devices` of a privileged container: every node of the host's `/dev` that is not the container's own.
pub(crate) fn of_host(host: &HostFacts) -> Vec<LinuxDevice> {
    let is_shared = |device: &&HostDevice| {
        device.path.starts_with("/dev/")
            && !NOT_SHARED.iter().any(|own| {
                device
                    .path
                    .strip_prefix(own)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
            })
    };
    host.devices.iter().filter(is_shared).map(node).collect()
}

/// The one rule of the device cgroup: everything or nothing; runtimes add theirs for the usual nodes.
pub(crate) fn cgroup_rule(privileged: bool) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(privileged)
        .set_access(Some("rwm".to_owned()));
    rule
}

fn node(device: &HostDevice) -> LinuxDevice {
    let kind = if device.block {
        LinuxDeviceType::B
    } else {
        LinuxDeviceType::C
    };
    let mut node = LinuxDevice::default();
    node.set_path(device.path.clone().into())
        .set_typ(kind)
        .set_major(device.major)
        .set_minor(device.minor)
        .set_file_mode(Some(device.mode))
        .set_uid(Some(device.uid))
        .set_gid(Some(device.gid));
    node
}
