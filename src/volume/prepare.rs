//! All volumes of a pod.

use crate::manifest::downward::Facts;
use crate::manifest::{ConfigObject, FilesVolume, Medium, Pod, Volume, VolumeSource};
use crate::volume::error::{Error, VolumeError};
use crate::volume::files::{self, Sources};
use crate::volume::{VolumeDirs, atomic, claim, dir, empty_dir, host_path, nested, tmpfs};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// What volumes are made of.
#[derive(Clone, Copy, Debug)]
pub struct VolumeInput<'a> {
    /// Whose.
    pub pod: &'a Pod,
    /// ConfigMaps and Secrets; those of other namespaces do not count.
    pub objects: &'a [ConfigObject],
    /// The machine. The pod has no address yet and none is asked for.
    pub facts: &'a Facts<'a>,
    /// Bytes of memory that the pod may use, if it is limited.
    pub memory_limit: Option<u64>,
}

/// Makes every volume of the pod that is not there yet: volume name → directory or file to bind. What containers wrote into an
/// emptyDir is never touched. *Errors*: the first volume that cannot be set up; calling again goes on from there.
pub fn prepare(
    input: &VolumeInput<'_>,
    dirs: &VolumeDirs,
) -> Result<BTreeMap<String, PathBuf>, VolumeError> {
    let mut paths = BTreeMap::new();
    for volume in &input.pod.volumes {
        let path = one(volume, input, dirs).map_err(|cause| VolumeError {
            volume: volume.name.clone(),
            cause,
        })?;
        paths.insert(volume.name.clone(), path);
    }
    Ok(paths)
}

fn one(volume: &Volume, input: &VolumeInput<'_>, dirs: &VolumeDirs) -> Result<PathBuf, Error> {
    let pod = input.pod;
    let group = pod.security.fs_group;
    let nested = nested::mount_points(pod, &volume.name);
    let place = dirs.place(pod, volume);
    match &volume.source {
        VolumeSource::HostPath { kind, .. } => return host_path::prepare(&place, *kind),
        VolumeSource::Claim(wanted) => {
            return claim::prepare(&dirs.claims, pod, wanted, &nested);
        }
        VolumeSource::EmptyDir {
            medium: Medium::Disk,
            mode,
            ..
        } => {
            private(&dirs.disk)?;
            empty_dir::on_disk(&place, *mode, &nested, group)?;
        }
        VolumeSource::EmptyDir {
            medium,
            size_limit,
            mode,
        } => {
            private(&dirs.memory)?;
            let machine = input.facts.memory_bytes;
            let size = empty_dir::size(*size_limit, input.memory_limit, machine);
            let kind = match medium {
                Medium::HugePages { page_bytes } => tmpfs::Kind::HugePages {
                    page_bytes: *page_bytes,
                    limit: *size_limit,
                },
                Medium::Disk | Medium::Memory => tmpfs::Kind::Memory { size },
            };
            empty_dir::in_memory(&place, kind, *mode, &nested, group)?;
        }
        // The image is not here yet: this is only where it will be mounted.
        VolumeSource::Image { .. } => private(&place)?,
        VolumeSource::Files(files) => files_volume(&place, files, &nested, input)?,
    }
    Ok(place)
}

fn files_volume(
    path: &Path,
    volume: &FilesVolume,
    nested: &[PathBuf],
    input: &VolumeInput<'_>,
) -> Result<(), Error> {
    let sources = Sources {
        pod: input.pod,
        objects: input.objects,
        facts: input.facts,
    };
    // Before anything is made: a pod that waits for an object leaves nothing half-done.
    let files = sources.files(volume)?;
    private(path.parent().unwrap_or(path))?;
    if volume.memory {
        // During a change there are two sets of files; as much again is for directories and links.
        let size = 4 * files::BYTES_MAX;
        tmpfs::ensure(path, tmpfs::Kind::Memory { size }, 0o755, None)?;
    }
    let fill = || {
        dir::make_on_host(path, 0o755)?;
        let root = dir::open(path)?;
        for path in nested {
            dir::make_below(&root, path, 0o755)?;
        }
        atomic::write(&root, &files, input.pod.security.fs_group)
    };
    fill().map_err(Error::system("write files of", path))
}

/// The directory of all volumes of a pod is nobody else's: modes inside may be 0777.
fn private(dir: &Path) -> Result<(), Error> {
    dir::make_on_host(dir, 0o700).map_err(Error::system("make directory", dir))
}
