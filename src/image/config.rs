//! The image configuration document and what podshim keeps of it. Source: OCI image-spec, config; Docker writes the same shape.

use crate::bundle::ImageConfig;
use crate::image::ImageError;
use crate::image::digest::Digest;
use crate::image::files::parse;
use crate::image::layout::Descriptor;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::collections::BTreeMap;

/// Layers of one image. Source: overlayfs refuses more than 500 lower directories.
const LAYERS: usize = 500;

/// One image of a source, not yet unpacked.
pub(super) struct Content {
    /// Digest of the configuration: the image id.
    pub id: Digest,
    /// The configuration as it came.
    pub document: Vec<u8>,
    /// The manifest as it came, if the source has one.
    pub manifest: Option<(Descriptor, Vec<u8>)>,
    pub config: ImageConfig,
    /// When it was built, RFC 3339 in UTC.
    pub created: Option<String>,
    /// Lowest first.
    pub layers: Vec<Layer>,
}

/// One layer of a source.
#[derive(Clone)]
pub(super) struct Layer {
    /// Its file.
    pub file: String,
    /// What its descriptor says of the file, if there is one.
    pub blob: Option<(Digest, u64)>,
    /// Digest of the uncompressed stream.
    pub diff: Digest,
    /// Digest of this layer on top of those below: what the store calls it, because directories that a layer only passes through take
    /// their owner and mode from below. Source: OCI image-spec, config, layer chain id.
    pub chain: Digest,
}

#[derive(Deserialize)]
struct Document {
    created: Option<String>,
    #[serde(default)]
    config: Option<Inherited>,
    rootfs: RootFs,
}

#[derive(Deserialize)]
struct RootFs {
    diff_ids: Option<Vec<Digest>>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "PascalCase", default)]
struct Inherited {
    entrypoint: Option<Vec<String>>,
    cmd: Option<Vec<String>>,
    env: Option<Vec<String>>,
    user: Option<String>,
    working_dir: Option<String>,
    stop_signal: Option<String>,
    volumes: Option<BTreeMap<String, IgnoredAny>>,
}

impl Content {
    /// Reads a configuration document and joins its diff ids with the files of the layers.
    pub fn new(
        file: &str,
        bytes: Vec<u8>,
        layers: Vec<(String, Option<(Digest, u64)>)>,
    ) -> Result<Content, ImageError> {
        let document: Document = parse(file, &bytes)?;
        let diffs = document.rootfs.diff_ids.unwrap_or_default();
        let refused = |problem| ImageError::Refused {
            file: file.to_owned(),
            problem,
        };
        if diffs.len() > LAYERS {
            return Err(refused("an image may have at most 500 layers"));
        }
        if diffs.is_empty() {
            return Err(refused("an image without layers has nothing to run"));
        }
        if diffs.len() != layers.len() {
            return Err(refused(
                "it has not as many diff ids as the manifest has layers",
            ));
        }
        let inherited = document.config.unwrap_or_default();
        Ok(Content {
            id: Digest::of(&bytes),
            document: bytes,
            manifest: None,
            created: document
                .created
                .and_then(|time| time.parse::<jiff::Timestamp>().ok())
                .map(|time| time.to_string()),
            config: ImageConfig {
                entrypoint: inherited.entrypoint.unwrap_or_default(),
                cmd: inherited.cmd.unwrap_or_default(),
                env: inherited.env.unwrap_or_default(),
                user: inherited.user.unwrap_or_default(),
                working_dir: inherited.working_dir.unwrap_or_default(),
                stop_signal: inherited.stop_signal.unwrap_or_default(),
                volumes: inherited.volumes.unwrap_or_default().into_keys().collect(),
            },
            layers: chained(diffs, layers),
        })
    }
}

fn chained(diffs: Vec<Digest>, files: Vec<(String, Option<(Digest, u64)>)>) -> Vec<Layer> {
    let mut layers: Vec<Layer> = Vec::with_capacity(diffs.len());
    for (diff, (file, blob)) in diffs.into_iter().zip(files) {
        let chain = match layers.last() {
            None => diff.clone(),
            Some(below) => Digest::of(format!("{} {diff}", below.chain).as_bytes()),
        };
        layers.push(Layer {
            file,
            blob,
            diff,
            chain,
        });
    }
    layers
}
