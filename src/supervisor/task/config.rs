//! A bundle's `config.json`, as far as somebody wants it.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Longest that is read, in bytes; the longest seen have 60 KiB.
const MAX_BYTES: u64 = 4 * 1024 * 1024;

/// Reads the members that are named. The whole of it would make the heap of a process that lives long larger for good.
pub(super) fn read_config<T: DeserializeOwned>(path: &Path) -> io::Result<T> {
    let mut text = Vec::new();
    File::open(path)?.take(MAX_BYTES).read_to_end(&mut text)?;
    Ok(serde_json::from_slice(&text)?)
}

/// What containerd, and whoever asked it, wrote beside a container; nothing of a bundle that is going.
pub fn annotations(bundle: &Path) -> BTreeMap<String, String> {
    #[derive(Default, Deserialize)]
    struct Document {
        #[serde(default)]
        annotations: BTreeMap<String, String>,
    }
    let document: Document = read_config(&bundle.join("config.json")).unwrap_or_default();
    document.annotations
}
