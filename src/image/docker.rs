//! `docker save` archives: `manifest.json` names configurations, layers and names of images. Its layers have no digests of their own;
//! the diff ids of the configuration vouch for them. Source: moby image specification v1.2.

use crate::image::ImageError;
use crate::image::config::Content;
use crate::image::error::shown;
use crate::image::files::{Files, parse};
use crate::image::layout::listed;
use serde::Deserialize;

/// What makes an archive a docker archive.
pub(super) const MANIFEST: &str = "manifest.json";

/// One image of the archive.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Item {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Option<Vec<String>>,
}

impl Item {
    /// The names it was saved with.
    pub fn names(&self) -> &[String] {
        self.repo_tags.as_deref().unwrap_or_default()
    }

    /// Its configuration and layers.
    pub fn content(self, files: &Files) -> Result<Content, ImageError> {
        let layers = self.layers.unwrap_or_default();
        let strange = |name: &String| shown(name.as_bytes()) != *name;
        if strange(&self.config) || layers.iter().any(strange) {
            return Err(ImageError::Refused {
                file: MANIFEST.to_owned(),
                problem: "a file name is longer than 256 bytes or has control characters",
            });
        }
        let bytes = files.bytes(&self.config)?;
        Content::new(
            &self.config,
            bytes,
            layers.into_iter().map(|file| (file, None)).collect(),
        )
    }
}

/// The images of an archive.
pub(super) fn items(files: &Files) -> Result<Vec<Item>, ImageError> {
    parse(MANIFEST, &files.bytes(MANIFEST)?)
}

/// The image with this name; without a name the only one.
pub(super) fn choose(files: &Files, name: Option<&str>) -> Result<Content, ImageError> {
    let items = items(files)?;
    let known = items.iter().flat_map(Item::names).map(String::as_str);
    let found = listed(items.len(), &known.collect());
    let mut wanted = items.into_iter().filter(|item| match name {
        Some(name) => item.names().iter().any(|n| n == name),
        None => true,
    });
    match (wanted.next(), wanted.next()) {
        (Some(item), None) => item.content(files),
        _ => Err(ImageError::Choose {
            wanted: name.map_or("no name".to_owned(), |name| format!("name `{name}`")),
            found,
        }),
    }
}
