//! Device nodes and the device cgroup. The runtime adds the usual nodes by itself; only privileged containers, and those
//! that are given a volume as a device, get more.

use crate::bundle::{BundleError, ContainerInput, HostDevice, HostFacts, mounts};
use crate::manifest::Pod;
use oci_spec::runtime::{LinuxDevice, LinuxDeviceCgroup, LinuxDeviceType};

/// Below `/dev`, and the container's own in every case.
const NOT_SHARED: [&str; 5] = [
    "/dev/pts",
    "/dev/shm",
    "/dev/fd",
    "/dev/mqueue",
    "/dev/console",
];

/// Whether a container of the pod is privileged, and gets the device nodes of the host.
pub fn has_privileged(pod: &Pod) -> bool {
    pod.containers.iter().any(|c| c.security.privileged)
}

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

/// `linux.devices` of a container that is given volumes as devices: their nodes where it wants them.
pub(crate) fn of_volumes(input: &ContainerInput) -> Result<Vec<LinuxDevice>, BundleError> {
    let devices = input.container.devices.iter();
    let nodes = devices.map(|device| {
        let path = mounts::clean(&device.path);
        Ok(node(&HostDevice {
            path,
            ..of_volume(input, &device.volume)?.clone()
        }))
    });
    nodes.collect()
}

/// What the device cgroup lets it do with them. Source: kubelet, `makeBlockVolumes`.
pub(crate) fn volume_rules(input: &ContainerInput) -> Result<Vec<LinuxDeviceCgroup>, BundleError> {
    let devices = input.container.devices.iter();
    let rules = devices.map(|device| {
        let found = of_volume(input, &device.volume)?;
        let mut rule = cgroup_rule(true);
        rule.set_typ(Some(kind(found)))
            .set_major(Some(found.major))
            .set_minor(Some(found.minor));
        Ok(rule)
    });
    rules.collect()
}

fn of_volume<'a>(input: &ContainerInput<'a>, volume: &str) -> Result<&'a HostDevice, BundleError> {
    let found = input.volume_parts.devices.get(volume);
    found.ok_or_else(|| BundleError::VolumeMissing(volume.to_owned()))
}

/// The one rule of the device cgroup: everything or nothing; runtimes add theirs for the usual nodes.
pub(crate) fn cgroup_rule(privileged: bool) -> LinuxDeviceCgroup {
    let mut rule = LinuxDeviceCgroup::default();
    rule.set_allow(privileged)
        .set_access(Some("rwm".to_owned()));
    rule
}

fn kind(device: &HostDevice) -> LinuxDeviceType {
    if device.block {
        LinuxDeviceType::B
    } else {
        LinuxDeviceType::C
    }
}

fn node(device: &HostDevice) -> LinuxDevice {
    let mut node = LinuxDevice::default();
    node.set_path(device.path.clone().into())
        .set_typ(kind(device))
        .set_major(device.major)
        .set_minor(device.minor)
        .set_file_mode(Some(device.mode))
        .set_uid(Some(device.uid))
        .set_gid(Some(device.gid));
    node
}
