//! Images of archives and layouts into the content store, so that they can be saved again, byte for byte.

use crate::image::blobs::Blobs;
use crate::image::config::{Content, Layer};
use crate::image::digest::Digest;
use crate::image::files::Files;
use crate::image::layer::{Compression, compression};
use crate::image::layout::{Descriptor, MANIFEST_TYPES, check_blob};
use crate::image::store::Store;
use crate::image::{ImageError, UnpackError};
use serde_json::json;
use std::io::Read;

/// Media type of a configuration. Docker's documents have the same shape.
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";

/// Copies an image into the content store and gives it as it is there. An image of a docker archive, which has no manifest, gets one.
pub(super) fn keep(store: &Store, files: &Files, content: Content) -> Result<Content, ImageError> {
    let blobs = Blobs::new(store.data());
    let mut layers = Vec::new();
    let mut descriptors = Vec::new();
    for layer in &content.layers {
        let (digest, size) = keep_layer(&blobs, files, layer)?;
        let descriptor = Descriptor::new(media_type(&blobs, layer, &digest)?, digest.clone(), size);
        layers.push(Layer {
            file: descriptor.file(),
            blob: Some((digest, size)),
            ..layer.clone()
        });
        descriptors.push(descriptor);
    }
    let id = blobs.keep(&content.document)?;
    let manifest = match content.manifest {
        Some(manifest) => manifest,
        None => {
            let config = Descriptor::new(CONFIG_TYPE, id, content.document.len() as u64);
            let manifest = json!({
                "schemaVersion": 2, "mediaType": MANIFEST_TYPES[0], "config": config, "layers": descriptors,
            });
            let bytes = manifest.to_string().into_bytes();
            (Descriptor::of(&bytes, None), bytes)
        }
    };
    blobs.keep(&manifest.1)?;
    Ok(Content {
        layers,
        manifest: Some(manifest),
        ..content
    })
}

/// The blob of a layer, verified if the source says what it is.
fn keep_layer(blobs: &Blobs, files: &Files, layer: &Layer) -> Result<(Digest, u64), ImageError> {
    let known = layer.blob.as_ref();
    if let Some((digest, size)) = known.filter(|(digest, size)| blobs.has(digest, *size)) {
        return Ok((digest.clone(), *size));
    }
    let section = files.open(&layer.file)?;
    if let Some((digest, size)) = known.filter(|(_, size)| *size != section.size) {
        check_blob(layer.file.clone(), (digest, *size), (digest, section.size))?;
    }
    let (found, length) = blobs.copy(section)?;
    if let Some((digest, size)) = known {
        check_blob(layer.file.clone(), (digest, *size), (&found, length))?;
    }
    Ok((found, length))
}

/// By the first bytes.
fn media_type(blobs: &Blobs, layer: &Layer, digest: &Digest) -> Result<&'static str, ImageError> {
    let mut start = Vec::new();
    let read = std::fs::File::open(blobs.path(digest))
        .and_then(|file| file.take(4).read_to_end(&mut start));
    read.map_err(|error| ImageError::Layer {
        file: layer.file.clone(),
        source: UnpackError::Stream(error),
    })?;
    Ok(match compression(&start) {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip => "application/vnd.oci.image.layer.v1.tar+gzip",
        Compression::Zstd => "application/vnd.oci.image.layer.v1.tar+zstd",
    })
}
