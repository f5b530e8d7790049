//! Bringing an image: the doors for pods, and for looking into and emptying the store.

use crate::bundle::ImageConfig;
use crate::image::config::Content;
use crate::image::files::Files;
use crate::image::layer::unpack_layer;
use crate::image::store::{self, Access, Store};
use crate::image::unpack::Limits;
use crate::image::{ImageError, ImageRecord, Reference, docker, layout};
use crate::manifest::PullPolicy;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// An image that is on this machine, ready to be mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// `sha256:…` of its configuration; the reference itself for a plain directory.
    pub id: String,
    /// The reference in its normal form.
    pub reference: String,
    /// Directories of its layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// What its containers inherit.
    pub config: ImageConfig,
}

/// Where the content of a reference comes from.
pub(super) enum Origin {
    Directory(PathBuf),
    Source(Files, Content),
    Record(ImageRecord),
    Nowhere,
}

/// Makes sure that an image is unpacked below `data`. Layers that are there are neither read nor hashed again; the small documents of a
/// layout or archive are, so a changed source is noticed. The policy decides about registries only: what a transport names is on this
/// machine already. Errors: see [`ImageError::reason`].
pub fn ensure(data: &Path, reference: &str, policy: PullPolicy) -> Result<Image, ImageError> {
    let parsed: Reference = reference.parse()?;
    let name = parsed.to_string();
    match origin(data, &parsed)? {
        Origin::Directory(dir) => Ok(Image {
            id: name.clone(),
            reference: name,
            layers: vec![dir],
            config: ImageConfig::default(),
        }),
        Origin::Source(files, content) => {
            let store = Store::open(data, Access::Shared)?;
            add(&store, &name, &files, &content).map(|record| image(data, record))
        }
        Origin::Record(record) => Ok(image(data, record)),
        Origin::Nowhere => Err(match policy {
            PullPolicy::Never => ImageError::Never(name),
            PullPolicy::Always | PullPolicy::IfNotPresent => ImageError::Registry(name),
        }),
    }
}

/// An image that is in the store with all its layers: nothing but its record has to be read.
pub fn ready(data: &Path, reference: &str) -> Option<Image> {
    let parsed: Reference = reference.parse().ok()?;
    match (&parsed, origin(data, &parsed)) {
        (Reference::Registry(_), Ok(Origin::Record(record))) => Some(image(data, record)),
        _ => None,
    }
}

/// What containers of an image inherit; creates and changes nothing.
pub fn inspect(data: &Path, reference: &str) -> Result<ImageConfig, ImageError> {
    let parsed: Reference = reference.parse()?;
    match origin(data, &parsed)? {
        Origin::Directory(_) => Ok(ImageConfig::default()),
        Origin::Source(_, content) => Ok(content.config),
        Origin::Record(record) => Ok(record.config),
        Origin::Nowhere => Err(ImageError::Registry(parsed.to_string())),
    }
}

/// What is in the store, by reference.
pub fn list(data: &Path) -> Result<Vec<ImageRecord>, ImageError> {
    store::records(data)
}

/// Removes an image and the layers that neither another image nor a pod needs. `in_use` are the layer directories of all pods on this
/// machine, collected before the call: what a pod brings later has a record of its own. Errors: `Absent`; `InUse` if pods use every layer.
pub fn remove(data: &Path, reference: &str, in_use: &[PathBuf]) -> Result<(), ImageError> {
    let name = reference.parse::<Reference>()?.to_string();
    let store = Store::open(data, Access::Exclusive)?;
    let Some(record) = store::find(data, &name)? else {
        return Err(ImageError::Absent(name));
    };
    let used = |chain| in_use.contains(&store.layer_dir(chain));
    if record.layers.iter().all(used) {
        return Err(ImageError::InUse(name));
    }
    store.forget(&name)?;
    store.collect(in_use)
}

/// Removes the layers that no image and no pod needs (`in_use` as for [`remove`]), and what crashes left.
pub fn prune(data: &Path, in_use: &[PathBuf]) -> Result<(), ImageError> {
    Store::open(data, Access::Exclusive)?.collect(in_use)
}

pub(super) fn origin(data: &Path, reference: &Reference) -> Result<Origin, ImageError> {
    let source = |files: Files, content: Content| Ok(Origin::Source(files, content));
    match reference {
        Reference::Rootfs(dir) => {
            Files::directory(dir)?;
            Ok(Origin::Directory(dir.clone()))
        }
        Reference::Oci(dir, tag) => {
            let files = Files::directory(dir)?;
            let content = layout::choose(&files, tag.as_deref())?;
            source(files, content)
        }
        Reference::OciArchive(file, tag) => {
            let files = Files::tar(file)?;
            let content = layout::choose(&files, tag.as_deref())?;
            source(files, content)
        }
        Reference::DockerArchive(file, name) => {
            let files = Files::tar(file)?;
            let content = docker::choose(&files, name.as_deref())?;
            source(files, content)
        }
        Reference::Registry(name) => Ok(match store::find(data, name)? {
            Some(record)
                if record
                    .layers
                    .iter()
                    .all(|d| store::layer_dir(data, d).is_dir()) =>
            {
                Origin::Record(record)
            }
            _ => Origin::Nowhere,
        }),
    }
}

/// Unpacks what is missing and records the image under a name.
pub(super) fn add(
    store: &Store,
    name: &str,
    files: &Files,
    content: &Content,
) -> Result<ImageRecord, ImageError> {
    let mut size_bytes = 0_u64;
    let mut below = Vec::new();
    for layer in &content.layers {
        let size = match &layer.blob {
            Some((_, size)) => *size,
            None => files.open(&layer.file)?.size,
        };
        size_bytes = size_bytes.saturating_add(size);
        store.ensure_layer(&layer.chain, |dir| {
            unpack_layer(files, layer, dir, &below, &Limits::LAYER)
        })?;
        below.insert(0, store.layer_dir(&layer.chain));
    }
    let record = ImageRecord {
        reference: name.to_owned(),
        id: content.id.to_string(),
        layers: content.layers.iter().map(|l| l.chain.clone()).collect(),
        config: content.config.clone(),
        size_bytes,
        created: content.created.clone(),
    };
    store.write(&record)?;
    Ok(record)
}

fn image(data: &Path, record: ImageRecord) -> Image {
    Image {
        layers: record
            .layers
            .iter()
            .map(|chain| store::layer_dir(data, chain))
            .collect(),
        id: record.id,
        reference: record.reference,
        config: record.config,
    }
}
