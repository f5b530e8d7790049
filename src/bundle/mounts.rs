//! What is mounted in a container, and in which order: parents before children.

use crate::bundle::skeleton::Skeleton;
use crate::bundle::{BundleError, ContainerInput, has_privileged};
use crate::manifest::{Pod, Propagation, RecursiveReadOnly, Role, VolumeMount, VolumeSource};
use oci_spec::runtime::Mount;
use std::collections::BTreeSet;
use std::path::Path;

/// Where an ephemeral container finds the pause program: what it runs while somebody works in it.
const PAUSE_DIR: &str = "/.podshim";
/// The command of an ephemeral container that only waits.
pub const WAIT_COMMAND: &str = "/.podshim/pause";

/// Names below a root.
pub struct MountPoints {
    /// Parents before children.
    pub directories: &'static [&'static str],
    /// In directories of the list.
    pub files: &'static [&'static str],
}

/// Where something is mounted in every container, and images often have nothing.
pub const MOUNT_POINTS: MountPoints = MountPoints {
    directories: &["dev", "etc", "proc", "sys"],
    files: &["etc/hostname", "etc/hosts", "etc/resolv.conf"],
};

/// `mounts` of a container: the defaults, the pod's files, image volumes and volumes, one for each path. A volume comes before
/// all else, an image volume after it; a volume over `/dev` takes the defaults below it away too.
pub(crate) fn of_container(
    input: &ContainerInput,
    skeleton: &Skeleton,
) -> Result<Vec<Mount>, BundleError> {
    let volumes = input.container.mounts.iter().enumerate();
    let volumes = volumes
        .map(|(place, mount)| volume_mount(input, place, mount))
        .collect::<Result<Vec<_>, _>>()?;
    let place = |mount: &Mount| mount.destination().to_string_lossy().into_owned();
    let mut taken: BTreeSet<String> = volumes.iter().map(place).collect();
    let has_dev = taken.contains("/dev");

    let defaults = defaults(skeleton, input.container.security.privileged);
    let defaults = defaults.into_iter();
    let mut list: Vec<Mount> = defaults
        .filter(|mount| !(has_dev && mount.destination().starts_with("/dev")))
        .chain(pod_files(input))
        .filter(|mount| taken.insert(place(mount)))
        .collect();
    list.extend(volumes);
    list.sort_by_key(|mount| mount.destination().components().count());
    Ok(list)
}

/// `mounts` of pause: what runtimes ask of every container, as each mount delays the pod. All sysfs mounts of one network
/// namespace are one file system, read-only for good if its first mount was: pause mounts it writable first when a container of
/// the pod needs that.
pub(crate) fn of_pause(pod: &Pod, skeleton: &Skeleton) -> Vec<Mount> {
    let privileged = has_privileged(pod);
    let mut list = defaults(skeleton, privileged);
    list.retain(|mount| match mount.destination().to_str() {
        Some("/proc" | "/dev") => true,
        Some("/sys") => privileged,
        _ => false,
    });
    list
}

/// `linux.rootfsPropagation`: as wide as the widest mount needs.
pub(crate) fn rootfs_propagation(mounts: &[VolumeMount]) -> Option<String> {
    let has = |p| mounts.iter().any(|m| m.propagation == p);
    if has(Propagation::Bidirectional) {
        Some("rshared".to_owned())
    } else if has(Propagation::HostToContainer) {
        Some("rslave".to_owned())
    } else {
        None
    }
}

/// An absolute path without `.`, `..`, double or final slashes; text only, links are not looked at.
pub(crate) fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    format!("/{}", parts.join("/"))
}

fn defaults(skeleton: &Skeleton, privileged: bool) -> Vec<Mount> {
    let mut list = skeleton.mounts.clone();
    for mount in list.iter_mut().filter(|_| privileged) {
        let options = mount.options().iter().flatten();
        let writable = options
            .map(|o| {
                if o == "ro" {
                    "rw".to_owned()
                } else {
                    o.clone()
                }
            })
            .collect();
        mount.set_options(Some(writable));
    }
    list
}

/// What every container gets beside the defaults.
fn pod_files<'a>(input: &'a ContainerInput) -> impl Iterator<Item = Mount> + 'a {
    let rw: &[&str] = &["rbind", "rprivate", "rw"];
    let as_root: &[&str] = if input.container.security.read_only_root {
        &["rbind", "rprivate", "ro"]
    } else {
        rw
    };
    let fixed = [
        bind(&input.paths.hosts, "/etc/hosts", rw),
        bind(&input.paths.hostname, "/etc/hostname", as_root),
        bind(&input.paths.resolv_conf, "/etc/resolv.conf", as_root),
        bind(&input.paths.shm, "/dev/shm", rw),
        bind(
            input.termination_log,
            &clean(&input.container.termination_message_path),
            rw,
        ),
    ];
    let image = input.image_volumes.iter();
    let image = image.map(move |(path, dir)| bind(dir, &clean(path), rw));
    let is_ephemeral = input.container.role == Role::Ephemeral;
    let ro = &["rbind", "rprivate", "ro"];
    let pause = is_ephemeral.then(|| bind(&input.paths.pause, PAUSE_DIR, ro));
    fixed.into_iter().chain(image).chain(pause)
}

fn volume_mount(
    input: &ContainerInput,
    place: usize,
    mount: &VolumeMount,
) -> Result<Mount, BundleError> {
    let source = match mount.sub_path {
        None => input.paths.volumes.get(&mount.volume),
        Some(_) => input.volume_parts.sub_paths.get(&place),
    };
    let source = source.ok_or_else(|| BundleError::VolumeMissing(mount.volume.clone()))?;
    let propagation = match mount.propagation {
        Propagation::None => "rprivate",
        Propagation::HostToContainer => "rslave",
        Propagation::Bidirectional => "rshared",
    };
    let volume = input.pod.volumes.iter().find(|v| v.name == mount.volume);
    let is_read_only = volume.is_some_and(|v| match &v.source {
        VolumeSource::Files(_) | VolumeSource::Image { .. } => true,
        VolumeSource::Claim(claim) => claim.read_only || claim.options.read_only,
        VolumeSource::EmptyDir { .. } | VolumeSource::HostPath { .. } => false,
    });
    let access = match (mount.recursive_read_only, input.runtime_rro) {
        (RecursiveReadOnly::Enabled, false) => {
            return Err(BundleError::RecursiveReadOnly(mount.volume.clone()));
        }
        (RecursiveReadOnly::Enabled | RecursiveReadOnly::IfPossible, true) => "rro",
        (RecursiveReadOnly::IfPossible, false) => "ro",
        (RecursiveReadOnly::Disabled, _) if mount.read_only || is_read_only => "ro",
        (RecursiveReadOnly::Disabled, _) => "rw",
    };
    let mut options = vec!["rbind", propagation, access];
    options.extend(mount.options.iter().map(String::as_str));
    Ok(bind(source, &clean(&mount.path), &options))
}

fn bind(source: &Path, destination: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(destination.into())
        .set_typ(Some("bind".to_owned()))
        .set_source(Some(source.to_path_buf()))
        .set_options(Some(options.iter().map(|o| (*o).to_owned()).collect()));
    mount
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_without_leaving_the_root() {
        for (path, want) in [
            ("/a/b", "/a/b"),
            ("/a//b/./", "/a/b"),
            ("/a/../../b", "/b"),
            ("a", "/a"),
            ("/", "/"),
        ] {
            assert_eq!(clean(path), want, "{path}");
        }
    }
}
