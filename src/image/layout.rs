//! OCI image layouts: index → manifest → configuration and layers, each verified against the descriptor that names it.
//! Source: OCI image-spec, image-layout, image-index, manifest.

use crate::image::ImageError;
use crate::image::config::Content;
use crate::image::digest::Digest;
use crate::image::error::shown;
use crate::image::files::{Files, parse};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// Indexes inside indexes: one for the platforms, the rest is generosity.
const INDEX_DEPTH: usize = 4;
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// containerd and newer Docker keep the whole name here, and only the tag in `REF_NAME`.
const IMAGE_NAME: &str = "io.containerd.image.name";
const INDEX: &str = "index.json";
/// Of indexes: OCI's, and Docker's.
pub(super) const INDEX_TYPES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// Of manifests: OCI's, and Docker's.
pub(super) const MANIFEST_TYPES: [&str; 2] = [
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
];

#[derive(Deserialize)]
struct LayoutVersion {
    #[serde(rename = "imageLayoutVersion")]
    version: String,
}

#[derive(Deserialize)]
struct Index {
    manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
struct Manifest {
    config: Descriptor,
    layers: Vec<Descriptor>,
}

/// What names a blob.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Descriptor {
    /// What it is; absent in some old documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What its bytes are.
    pub digest: Digest,
    /// How many there are.
    pub size: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Platform>,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<BTreeMap<String, String>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Platform {
    architecture: String,
    os: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    variant: Option<String>,
}

/// Documents by their descriptors, verified.
pub(super) type Fetch<'a> = &'a dyn Fn(&Descriptor) -> Result<Vec<u8>, ImageError>;

impl Descriptor {
    /// A blob that nothing more is known of.
    pub fn new(media_type: &str, digest: Digest, size: u64) -> Descriptor {
        Descriptor {
            media_type: Some(media_type.to_owned()),
            digest,
            size,
            platform: None,
            annotations: None,
        }
    }

    /// The same with the name that an index gives it.
    pub fn named(mut self, name: &str) -> Descriptor {
        let annotations = self.annotations.get_or_insert_default();
        annotations.insert(REF_NAME.to_owned(), name.to_owned());
        self
    }

    /// Of a document that came without one: what it says of itself, else what its sender said, else what it looks like.
    pub fn of(bytes: &[u8], told: Option<&str>) -> Descriptor {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Kind {
            media_type: Option<String>,
            manifests: Option<serde::de::IgnoredAny>,
        }
        let kind: Option<Kind> = serde_json::from_slice(bytes).ok();
        let (own, is_index) = kind.map_or((None, false), |k| (k.media_type, k.manifests.is_some()));
        let told = told.map(|told| told.split(';').next().unwrap_or_default().trim());
        let known = |kind: &str| MANIFEST_TYPES.contains(&kind) || INDEX_TYPES.contains(&kind);
        let own = own.filter(|own| known(own));
        let media_type = own.or(told.filter(|told| known(told)).map(str::to_owned));
        let otherwise = if is_index {
            INDEX_TYPES[0]
        } else {
            MANIFEST_TYPES[0]
        };
        let media_type = media_type.unwrap_or_else(|| otherwise.to_owned());
        Descriptor::new(&media_type, Digest::of(bytes), bytes.len() as u64)
    }

    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The name an image is loaded under.
    pub fn name(&self) -> Option<&str> {
        self.annotation(IMAGE_NAME)
            .or_else(|| self.annotation(REF_NAME))
    }

    /// Whether this machine can run it, as far as it says.
    pub fn fits(&self) -> bool {
        self.rank().is_some()
    }

    /// Its file in a layout.
    pub fn file(&self) -> String {
        format!("blobs/sha256/{}", self.digest.hex())
    }

    /// How well its platform fits this machine: lower is better, `None` not at all.
    fn rank(&self) -> Option<usize> {
        let Some(platform) = &self.platform else {
            return Some(0);
        };
        if platform.os != "linux" || platform.architecture != architecture() {
            return None;
        }
        let variant = platform.variant.as_deref().unwrap_or("");
        // Only what every machine of the architecture runs; a 32-bit ARM kernel of today is v7.
        let known: &[&str] = match architecture() {
            "arm" => &["v7", "v6", "v5", ""],
            "arm64" => &["", "v8"],
            _ => &["", "v1"],
        };
        known.iter().position(|k| *k == variant)
    }
}

/// This machine as Go calls it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        "x86" => "386",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

/// What the index of a layout names, for any platform.
pub(super) fn descriptors(files: &Files) -> Result<Vec<Descriptor>, ImageError> {
    let file = "oci-layout";
    let layout: LayoutVersion = parse(file, &files.bytes(file)?)?;
    if !layout.version.starts_with("1.") {
        return Err(ImageError::Refused {
            file: file.to_owned(),
            problem: "its version is not 1",
        });
    }
    let index: Index = parse(INDEX, &files.bytes(INDEX)?)?;
    Ok(index.manifests)
}

/// The image with this tag; without a tag the only one.
pub(super) fn choose(files: &Files, tag: Option<&str>) -> Result<Content, ImageError> {
    let all = descriptors(files)?;
    let names: BTreeSet<&str> = all.iter().filter_map(Descriptor::name).collect();
    let wanted: Vec<&Descriptor> = all
        .iter()
        .filter(|d| {
            tag.is_none_or(|tag| d.annotation(REF_NAME) == Some(tag) || d.name() == Some(tag))
        })
        .collect();
    let digests: BTreeSet<&Digest> = wanted.iter().map(|d| &d.digest).collect();
    let platforms = wanted.iter().all(|d| d.platform.is_some());
    // Several manifests are one image only if their platforms tell them apart.
    let ambiguous = digests.len() > 1 && (!platforms || (tag.is_none() && names.len() > 1));
    match best(wanted.into_iter()).filter(|_| !ambiguous) {
        Some(descriptor) => content(files, descriptor),
        None => Err(ImageError::Choose {
            wanted: match tag {
                Some(tag) => format!("tag `{tag}` on linux/{}", architecture()),
                None => format!("no tag on linux/{}", architecture()),
            },
            found: listed(all.len(), &names),
        }),
    }
}

/// What a source has, for messages; a hostile list is cut.
pub(super) fn listed(count: usize, names: &BTreeSet<&str>) -> String {
    let shown: Vec<String> = names
        .iter()
        .take(20)
        .map(|name| format!("`{}`", shown(name.as_bytes())))
        .collect();
    match shown.is_empty() {
        true => format!("{count} images without tags"),
        false => format!("{count} images, tagged {}", shown.join(", ")),
    }
}

fn best<'a>(descriptors: impl Iterator<Item = &'a Descriptor>) -> Option<&'a Descriptor> {
    descriptors
        .filter_map(|d| Some((d.rank()?, d)))
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, d)| d)
}

/// The configuration and layers of an image in files.
pub(super) fn content(files: &Files, descriptor: &Descriptor) -> Result<Content, ImageError> {
    follow(&|descriptor| files.bytes(&descriptor.file()), descriptor)
}

/// Follows a descriptor to a manifest for this machine, its configuration and layers.
pub(super) fn follow(fetch: Fetch<'_>, descriptor: &Descriptor) -> Result<Content, ImageError> {
    let mut descriptor = descriptor.clone();
    for _ in 0..INDEX_DEPTH {
        let file = descriptor.file();
        let bytes = verified(fetch, &descriptor)?;
        let media_type = descriptor.media_type.as_deref().unwrap_or("");
        if !INDEX_TYPES.contains(&media_type) {
            return manifest(fetch, descriptor, bytes);
        }
        let index: Index = parse(&file, &bytes)?;
        descriptor = best(index.manifests.iter())
            .ok_or_else(|| ImageError::Choose {
                wanted: format!("linux/{}", architecture()),
                found: listed(index.manifests.len(), &BTreeSet::new()),
            })?
            .clone();
    }
    Err(ImageError::Refused {
        file: INDEX.to_owned(),
        problem: "indexes are nested more than four deep",
    })
}

fn manifest(
    fetch: Fetch<'_>,
    descriptor: Descriptor,
    bytes: Vec<u8>,
) -> Result<Content, ImageError> {
    let manifest: Manifest = parse(&descriptor.file(), &bytes)?;
    let config = verified(fetch, &manifest.config)?;
    let layers = manifest
        .layers
        .into_iter()
        .map(|layer| (layer.file(), Some((layer.digest, layer.size))))
        .collect();
    let mut content = Content::new(&manifest.config.file(), config, layers)?;
    // Not the descriptor as it came: it is kept in a record, and its other fields may be of any size.
    let kept = Descriptor {
        platform: descriptor.platform,
        ..Descriptor::of(&bytes, None)
    };
    content.manifest = Some((kept, bytes));
    Ok(content)
}

/// The bytes of a document, if they are what its descriptor says.
fn verified(fetch: Fetch<'_>, descriptor: &Descriptor) -> Result<Vec<u8>, ImageError> {
    let file = descriptor.file();
    let bytes = fetch(descriptor)?;
    let found = (Digest::of(&bytes), bytes.len() as u64);
    check_blob(
        file,
        (&descriptor.digest, descriptor.size),
        (&found.0, found.1),
    )?;
    Ok(bytes)
}

/// Compares digest and size in bytes of a blob with its descriptor.
pub(super) fn check_blob(
    file: String,
    expected: (&Digest, u64),
    found: (&Digest, u64),
) -> Result<(), ImageError> {
    if expected == found {
        return Ok(());
    }
    Err(ImageError::Mismatch {
        file,
        expected: format!("{} of {} bytes", expected.0, expected.1),
        found: format!("{} of {} bytes", found.0, found.1),
    })
}
