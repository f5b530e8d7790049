//! What of the pod's volumes is made, or looked at, when an instance is created: their images, files and parts.

use crate::bundle::{self, ContainerInput, HostDevice, PodPaths, VolumeParts};
use crate::image;
use crate::manifest::{Container, EnvFile, Propagation, VolumeSource};
use crate::pod::{Failure, FailureReason};
use crate::runtime::host_device;
use crate::supervisor::context::{Context, failure, other};
use crate::supervisor::instance::unusable;
use crate::supervisor::{Hands, sandbox};
use crate::volume;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// Makes and looks up what the container needs of the pod's volumes beside the volumes themselves.
pub(super) fn look_up(
    context: &Context,
    hands: &Hands,
    input: &ContainerInput<'_>,
) -> Result<VolumeParts, Failure> {
    mount_images(context, hands, input.container)?;
    check_propagation(input)?;
    let mut parts = VolumeParts {
        env_files: env_files(input.container, input.paths)?,
        devices: devices(input)?,
        ..VolumeParts::default()
    };
    let sub_paths = bundle::sub_paths(&ContainerInput {
        volume_parts: &parts,
        ..*input
    });
    let sub_paths = sub_paths.map_err(|e| unusable(&e))?;
    parts.sub_paths = bind_sub_paths(context, input, sub_paths)?;
    Ok(parts)
}

/// What the host mounts later can appear in the container only where its mounts are passed on. Source: containerd,
/// `ensureSharedOrSlave`.
fn check_propagation(input: &ContainerInput<'_>) -> Result<(), Failure> {
    let mounts = input.container.mounts.iter();
    for mount in mounts.filter(|m| m.propagation == Propagation::HostToContainer) {
        let volume = input.pod.volumes.iter().find(|v| v.name == mount.volume);
        let is_of_host = volume.is_some_and(|volume| volume.source.is_of_host());
        let Some(path) = input
            .paths
            .volumes
            .get(&mount.volume)
            .filter(|_| is_of_host)
        else {
            continue;
        };
        let receives = volume::receives_mounts(path)
            .map_err(|e| failure(FailureReason::CreateContainerError, "", &e))?;
        if !receives {
            return Err(Failure {
                reason: FailureReason::CreateContainerError,
                message: format!(
                    "path `{}` of volume `{}` is not on a shared or slave mount: `mount --make-shared` makes it one",
                    path.display(),
                    mount.volume
                ),
            });
        }
    }
    Ok(())
}

/// Mounts the images that are volumes of the container, unless another container did.
fn mount_images(context: &Context, hands: &Hands, container: &Container) -> Result<(), Failure> {
    for volume in context.plan.pod.image_volumes(container) {
        let Some(place) = hands.volumes.get(&volume.name) else {
            continue;
        };
        let image = hands.images.get(&Hands::image_volume(&volume.name));
        let layers = image
            .map(|image| image.layers.as_slice())
            .unwrap_or_default();
        let mount = || match sandbox::is_mount_point(place)? {
            true => Ok(()),
            false => image::mount_read_only(layers, place),
        };
        mount().map_err(|e| {
            let what = format!("cannot mount the image of volume `{}`", volume.name);
            failure(FailureReason::CreateContainerError, &what, &e)
        })?;
    }
    Ok(())
}

/// The files that variables of the container come from, as far as they are there.
fn env_files(
    container: &Container,
    paths: &PodPaths,
) -> Result<BTreeMap<EnvFile, String>, Failure> {
    let mut found = BTreeMap::new();
    for file in bundle::env_files(container) {
        let Some(root) = paths.volumes.get(&file.volume) else {
            continue;
        };
        let text = volume::read_env_file(root, &file.path)
            .map_err(|e| failure(FailureReason::CreateContainerConfigError, "", &e))?;
        found.extend(text.map(|text| (file.clone(), text)));
    }
    Ok(found)
}

/// The nodes of the volumes that the container is given as devices, as they are now.
fn devices(input: &ContainerInput<'_>) -> Result<BTreeMap<String, HostDevice>, Failure> {
    let mut found = BTreeMap::new();
    for device in &input.container.devices {
        let Some(path) = input.paths.volumes.get(&device.volume) else {
            continue;
        };
        let host = block_device(path).map_err(|e| {
            let what = format!("cannot give volume `{}` as a device", device.volume);
            failure(FailureReason::CreateContainerConfigError, &what, &e)
        })?;
        found.insert(device.volume.clone(), host);
    }
    Ok(found)
}

fn block_device(path: &Path) -> io::Result<HostDevice> {
    let found = host_device(path)?.filter(|device| device.block);
    found.ok_or_else(|| io::Error::other("it is not a block device any more"))
}

/// Binds the parts of volumes that the container mounts to places of its instance.
fn bind_sub_paths(
    context: &Context,
    input: &ContainerInput<'_>,
    paths: BTreeMap<usize, String>,
) -> Result<BTreeMap<usize, PathBuf>, Failure> {
    let dir = context.sub_paths(input.instance);
    let mut places = BTreeMap::new();
    for (number, path) in paths {
        let (container, mount) = (input.container, &input.container.mounts[number]);
        let Some(volume) = input.paths.volumes.get(&mount.volume) else {
            continue;
        };
        let place = dir.join(number.to_string());
        let source = input.pod.volumes.iter().find(|v| v.name == mount.volume);
        let part = match source.map(|volume| &volume.source) {
            Some(VolumeSource::Image { .. }) => volume::Part::Directory,
            _ => volume::Part::Any,
        };
        volume::bind_sub_path(volume, &path, part, &place).map_err(|error| {
            // Where volumes are on the host is not for those who read the pod's status.
            tracing::warn!(
                container = container.name,
                volume = mount.volume,
                "{}",
                other("cannot mount a part of a volume", &error).message
            );
            Failure {
                reason: FailureReason::CreateContainerConfigError,
                message: format!(
                    "failed to prepare subPath for volumeMount \"{}\" of container \"{}\"",
                    mount.volume, container.name
                ),
            }
        })?;
        places.insert(number, place);
    }
    Ok(places)
}
