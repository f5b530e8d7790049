//! Bringing an image: the doors for pods, and for looking into and emptying the store.

use crate::bundle::ImageConfig;
use crate::image::config::{Content, Layer};
use crate::image::files::Files;
use crate::image::layer::unpack_layer;
use crate::image::pull::{Pull, pull};
use crate::image::registry::spellings;
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
/// machine already. `Always` asks the registry each time which image a name means, and pulls what is new. Errors: see [`ImageError::reason`].
pub fn ensure(
    data: &Path,
    reference: &str,
    policy: PullPolicy,
    how: &Pull<'_>,
) -> Result<Image, ImageError> {
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
            let record = add(&store, &name, &files, &content, &mut |_| Ok(()), &|| {})?;
            store.write(&record)?;
            Ok(image(data, record))
        }
        found @ (Origin::Record(_) | Origin::Nowhere) => {
            let known = match found {
                Origin::Record(record) => Some(record),
                _ => None,
            };
            let record = match (policy, known) {
                (PullPolicy::Never | PullPolicy::IfNotPresent, Some(record)) => record,
                (PullPolicy::Never, None) => return Err(ImageError::Never(name)),
                (PullPolicy::Always | PullPolicy::IfNotPresent, known) => {
                    pull(data, &name, known.as_ref(), how)?
                }
            };
            Ok(image(data, record))
        }
    }
}

/// An image that is in the store with all its layers and may be used as it is: nothing but its record has to be read. Not while images
/// are being removed: then it is not known yet what stays.
pub fn ready(data: &Path, reference: &str, policy: PullPolicy) -> Option<Image> {
    if policy == PullPolicy::Always {
        return None;
    }
    let _lock = store::try_shared(data)?;
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
        Origin::Nowhere => Err(ImageError::Absent(parsed.to_string())),
    }
}

/// What is in the store, by reference.
pub fn list(data: &Path) -> Result<Vec<ImageRecord>, ImageError> {
    store::records(data)
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
        Reference::Registry(name) => {
            let complete = |record: &ImageRecord| {
                let mut layers = record.layers.iter();
                layers.all(|chain| store::layer_dir(data, chain).is_dir())
            };
            for spelling in spellings(name) {
                if let Some(record) = store::find(data, &spelling)?.filter(complete) {
                    return Ok(Origin::Record(record));
                }
            }
            Ok(Origin::Nowhere)
        }
    }
}

/// Unpacks what is missing and makes a record of the image under a name, not written yet. `arrived` returns when the file of a layer is
/// there; `done` is called after each layer.
pub(super) fn add(
    store: &Store,
    name: &str,
    files: &Files,
    content: &Content,
    arrived: &mut dyn FnMut(&Layer) -> Result<(), ImageError>,
    done: &dyn Fn(),
) -> Result<ImageRecord, ImageError> {
    let mut size_bytes = 0_u64;
    let mut below = Vec::new();
    for layer in &content.layers {
        arrived(layer)?;
        let size = match &layer.blob {
            Some((_, size)) => *size,
            None => files.open(&layer.file)?.size,
        };
        size_bytes = size_bytes.saturating_add(size);
        store.ensure_layer(&layer.chain, |dir| {
            unpack_layer(files, layer, dir, &below, &Limits::LAYER)
        })?;
        below.insert(0, store.layer_dir(&layer.chain));
        done();
    }
    let layers = content.layers.iter().filter_map(|l| l.blob.as_ref());
    Ok(ImageRecord {
        reference: name.to_owned(),
        id: content.id.to_string(),
        layers: content.layers.iter().map(|l| l.chain.clone()).collect(),
        config: content.config.clone(),
        size_bytes,
        created: content.created.clone(),
        digest: None,
        content: None,
        blobs: std::iter::once(content.id.clone())
            .chain(layers.map(|(digest, _)| digest.clone()))
            .collect(),
    })
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
