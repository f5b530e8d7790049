//! Volumes.

use super::env::{downward, object};
use crate::manifest::{
    DownwardFile, FilesSource, FilesVolume, HostPathType, KeyToPath, ObjectKind, Volume,
    VolumeSource, grammar,
};
use k8s_openapi::api::core::v1 as core;

/// One of `volumes`.
pub fn volume(raw: core::Volume) -> Option<Volume> {
    let core::Volume {
        aws_elastic_block_store: _,
        azure_disk: _,
        azure_file: _,
        cephfs: _,
        cinder: _,
        config_map,
        csi: _,
        downward_api,
        empty_dir,
        ephemeral: _,
        fc: _,
        flex_volume: _,
        flocker: _,
        gce_persistent_disk: _,
        git_repo: _,
        glusterfs: _,
        host_path,
        image: _,
        iscsi: _,
        name,
        nfs: _,
        persistent_volume_claim: _,
        photon_persistent_disk: _,
        portworx_volume: _,
        projected,
        quobyte: _,
        rbd: _,
        scale_io: _,
        secret,
        storageos: _,
        vsphere_volume: _,
    } = raw;
    let files = config_map
        .map(config_map_files)
        .or_else(|| secret.map(secret_files));
    let files = files
        .or_else(|| downward_api.map(downward_files))
        .or_else(|| projected.map(projected_files));
    let source = match (empty_dir, host_path, files) {
        (Some(source), None, None) => self::empty_dir(source)?,
        (None, Some(source), None) => self::host_path(source)?,
        (None, None, Some(files)) => VolumeSource::Files(files?),
        _ => return None,
    };
    Some(Volume { name, source })
}

fn empty_dir(raw: core::EmptyDirVolumeSource) -> Option<VolumeSource> {
    let core::EmptyDirVolumeSource {
        medium,
        mode: _,
        size_limit,
    } = raw;
    Some(VolumeSource::EmptyDir {
        memory: match medium.as_deref() {
            None | Some("") => false,
            Some("Memory") => true,
            Some(_) => return None,
        },
        size_limit: size_limit.and_then(|text| text.0.parse().ok()),
    })
}

fn host_path(raw: core::HostPathVolumeSource) -> Option<VolumeSource> {
    let core::HostPathVolumeSource { path, type_ } = raw;
    let kind = match type_.as_deref().unwrap_or_default() {
        "" => HostPathType::Unset,
        "DirectoryOrCreate" => HostPathType::DirectoryOrCreate,
        "Directory" => HostPathType::Directory,
        "FileOrCreate" => HostPathType::FileOrCreate,
        "File" => HostPathType::File,
        "Socket" => HostPathType::Socket,
        "CharDevice" => HostPathType::CharDevice,
        "BlockDevice" => HostPathType::BlockDevice,
        _ => return None,
    };
    Some(VolumeSource::HostPath { path, kind })
}

fn config_map_files(raw: core::ConfigMapVolumeSource) -> Option<FilesVolume> {
    let core::ConfigMapVolumeSource {
        default_mode,
        default_user: _,
        items,
        name,
        optional,
    } = raw;
    let object = object(ObjectKind::ConfigMap, name, optional);
    files(
        default_mode,
        false,
        vec![FilesSource::Object {
            object,
            items: keys(items)?,
        }],
    )
}

fn secret_files(raw: core::SecretVolumeSource) -> Option<FilesVolume> {
    let core::SecretVolumeSource {
        default_mode,
        default_user: _,
        items,
        optional,
        secret_name,
    } = raw;
    let object = object(ObjectKind::Secret, secret_name?, optional);
    files(
        default_mode,
        true,
        vec![FilesSource::Object {
            object,
            items: keys(items)?,
        }],
    )
}

fn downward_files(raw: core::DownwardAPIVolumeSource) -> Option<FilesVolume> {
    let core::DownwardAPIVolumeSource {
        default_mode,
        default_user: _,
        items,
    } = raw;
    files(default_mode, true, vec![downward_source(items)?])
}

fn projected_files(raw: core::ProjectedVolumeSource) -> Option<FilesVolume> {
    let core::ProjectedVolumeSource {
        default_mode,
        default_user: _,
        sources,
    } = raw;
    let sources = sources
        .into_iter()
        .flatten()
        .map(projection)
        .collect::<Option<_>>()?;
    files(default_mode, true, sources)
}

fn projection(raw: core::VolumeProjection) -> Option<FilesSource> {
    let core::VolumeProjection {
        cluster_trust_bundle: _,
        config_map,
        downward_api,
        pod_certificate: _,
        secret,
        service_account_token: _,
    } = raw;
    match (config_map, downward_api, secret) {
        (
            Some(core::ConfigMapProjection {
                items,
                name,
                optional,
            }),
            None,
            None,
        ) => Some(FilesSource::Object {
            object: object(ObjectKind::ConfigMap, name, optional),
            items: keys(items)?,
        }),
        (None, Some(core::DownwardAPIProjection { items }), None) => downward_source(items),
        (
            None,
            None,
            Some(core::SecretProjection {
                items,
                name,
                optional,
            }),
        ) => Some(FilesSource::Object {
            object: object(ObjectKind::Secret, name, optional),
            items: keys(items)?,
        }),
        _ => None,
    }
}

fn files(
    default_mode: Option<i32>,
    memory: bool,
    sources: Vec<FilesSource>,
) -> Option<FilesVolume> {
    Some(FilesVolume {
        default_mode: default_mode?.try_into().ok()?,
        memory,
        sources,
    })
}

/// An empty list of items means every key, as an absent one does.
fn keys(items: Option<Vec<core::KeyToPath>>) -> Option<Option<Vec<KeyToPath>>> {
    let Some(items) = items.filter(|items| !items.is_empty()) else {
        return Some(None);
    };
    let item = |core::KeyToPath {
                    key,
                    mode,
                    path,
                    user: _,
                }| {
        Some(KeyToPath {
            key,
            path: grammar::shortest(&path),
            mode: permissions(mode)?,
        })
    };
    items
        .into_iter()
        .map(item)
        .collect::<Option<Vec<_>>>()
        .map(Some)
}

fn downward_source(items: Option<Vec<core::DownwardAPIVolumeFile>>) -> Option<FilesSource> {
    let file = |raw| {
        let core::DownwardAPIVolumeFile {
            field_ref,
            mode,
            path,
            resource_field_ref,
            user: _,
        } = raw;
        let value = downward(field_ref, resource_field_ref)?;
        Some(DownwardFile {
            path: grammar::shortest(&path),
            mode: permissions(mode)?,
            value,
        })
    };
    items
        .into_iter()
        .flatten()
        .map(file)
        .collect::<Option<_>>()
        .map(FilesSource::Downward)
}

fn permissions(mode: Option<i32>) -> Option<Option<u32>> {
    match mode {
        None => Some(None),
        Some(mode) => u32::try_from(mode).ok().map(Some),
    }
}
