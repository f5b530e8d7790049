//! Volumes.

use super::env::{downward, object};
use crate::base::Quantity;
use crate::manifest::{
    ClaimOptions, ClaimVolume, DownwardFile, FilesSource, FilesVolume, HostPathType, KeyToPath,
    Medium, ObjectKind, Volume, VolumeSource, grammar,
};
use k8s_openapi::api::core::v1 as core;

/// One of `volumes`. `pages` is the size of the pod's huge pages in bytes, if there is one size.
pub fn volume(raw: core::Volume, pages: Option<u64>) -> Option<Volume> {
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
        ephemeral,
        fc: _,
        flex_volume: _,
        flocker: _,
        gce_persistent_disk: _,
        git_repo: _,
        glusterfs: _,
        host_path,
        image,
        iscsi: _,
        name,
        nfs: _,
        persistent_volume_claim,
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
    let sources = [
        empty_dir.map(|source| self::empty_dir(source, pages)),
        host_path.map(self::host_path),
        persistent_volume_claim.map(|source| Some(claim(source))),
        image.map(self::image),
        // Nothing provisions storage here: what lives as long as the pod is an emptyDir.
        ephemeral.map(|_| {
            Some(VolumeSource::EmptyDir {
                medium: Medium::Disk,
                size_limit: None,
                mode: None,
            })
        }),
        files.map(|files| files.map(VolumeSource::Files)),
    ];
    let mut given = sources.into_iter().flatten();
    match (given.next(), given.next()) {
        (Some(source), None) => source.map(|source| Volume { name, source }),
        _ => None,
    }
}

fn empty_dir(raw: core::EmptyDirVolumeSource, pages: Option<u64>) -> Option<VolumeSource> {
    let core::EmptyDirVolumeSource {
        medium,
        mode,
        size_limit,
    } = raw;
    Some(VolumeSource::EmptyDir {
        medium: match medium.as_deref().unwrap_or_default() {
            "" => Medium::Disk,
            "Memory" => Medium::Memory,
            "HugePages" => Medium::HugePages { page_bytes: pages? },
            other => {
                let size: Quantity = other.strip_prefix("HugePages-")?.parse().ok()?;
                Medium::HugePages {
                    page_bytes: u64::try_from(size.units()).ok()?,
                }
            }
        },
        size_limit: size_limit.and_then(|text| text.0.parse().ok()),
        mode: mode.and_then(|mode| u32::try_from(mode).ok()),
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

/// What a document says of the claim comes later: it may stand anywhere in the input.
fn claim(raw: core::PersistentVolumeClaimVolumeSource) -> VolumeSource {
    let core::PersistentVolumeClaimVolumeSource {
        claim_name,
        read_only,
    } = raw;
    VolumeSource::Claim(ClaimVolume {
        claim: claim_name,
        read_only: read_only == Some(true),
        options: ClaimOptions::default(),
    })
}

fn image(raw: core::ImageVolumeSource) -> Option<VolumeSource> {
    let core::ImageVolumeSource {
        pull_policy,
        reference,
    } = raw;
    Some(VolumeSource::Image {
        reference: reference?,
        pull_policy: super::container::pull_policy(&pull_policy?)?,
    })
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
