//! JSON documents: written whole, read with a limit.

use crate::base::to_json;
use crate::sys;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Largest document that is read, in bytes: a manifest of 1 MiB with its ConfigMaps, many times over.
const MAX_BYTES: u64 = 64 * 1024 * 1024;

/// Reads a document; `None` when there is none.
pub fn read_json<T: DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    let mut bytes = Vec::new();
    match File::open(path) {
        Ok(file) => file.take(MAX_BYTES).read_to_end(&mut bytes)?,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let value = serde_json::from_slice(&bytes);
    value.map(Some).map_err(|e| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("`{}`: {e}", path.display()),
        )
    })
}

/// Writes a document for our eyes only (0600): plans and snapshots may hold secrets.
pub fn write_json<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    sys::write_atomic(path, &to_json(value)?, 0o600)
}
