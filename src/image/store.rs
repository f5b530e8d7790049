//! The image store below the data directory: layers by chain id, records by reference.
//!
//! ```text
//!  images/<sha256 of reference>.json   one record each, written whole and renamed
//!  content/, partial/                   what came from registries and archives, see `blobs`
//!  images.lock                         shared by whoever adds, exclusive for whoever removes
//!  layers/<chain id>/                   unpacked, complete: the name appears by rename
//!  layers/<chain id>.tmp/               being unpacked, or left by a crash
//!  layers/<chain id>.lock               held while unpacking
//! ```
//!
//! A crash at any point leaves only `.tmp` trees and lock files, which the next unpacking of that layer or the next removal cleans.

use crate::bundle::ImageConfig;
use crate::image::ImageError;
use crate::image::blobs::Blobs;
use crate::image::digest::Digest;
use crate::image::layout::{Descriptor, INDEX_TYPES};
use crate::image::root::{open_root, remove_tree};
use serde::{Deserialize, Serialize};
use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// What the store knows of one reference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageRecord {
    /// The reference in its normal form.
    pub reference: String,
    /// Image id: the digest of its configuration.
    pub id: String,
    /// Chain ids, lowest first.
    pub layers: Vec<Digest>,
    /// What containers inherit.
    pub config: ImageConfig,
    /// Bytes of its layers as they were stored at the source.
    pub size_bytes: u64,
    /// When it was built, RFC 3339 in UTC, as the image says.
    pub created: Option<String>,
    /// What the registry calls what was asked for: an index or a manifest.
    #[serde(default)]
    pub digest: Option<Digest>,
    /// The manifest in the content store, if the image is kept there as it came.
    #[serde(default)]
    pub content: Option<Descriptor>,
    /// What is kept of it there, without the manifest: its configuration and layers.
    #[serde(default)]
    pub blobs: Vec<Digest>,
}

/// The store, locked as long as this value lives.
pub(super) struct Store {
    data: PathBuf,
    _lock: File,
}

/// Whether others may use the store at the same time.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    /// To read and add.
    Shared,
    /// To remove.
    Exclusive,
}

impl Store {
    /// Opens the store below `data`, creating it if need be, and waits for its lock.
    pub fn open(data: &Path, access: Access) -> Result<Store, ImageError> {
        let open = || -> io::Result<File> {
            // Layers have setuid files: nobody but us may reach them.
            let mut private = DirBuilder::new();
            private.recursive(true).mode(0o700);
            DirBuilder::new().recursive(true).mode(0o755).create(data)?;
            private.create(data.join("layers"))?;
            private.create(data.join("images"))?;
            Blobs::new(data).prepare()?;
            let lock = File::options()
                .create(true)
                .append(true)
                .open(data.join("images.lock"))?;
            match access {
                Access::Shared => lock.lock_shared()?,
                Access::Exclusive => lock.lock()?,
            }
            Ok(lock)
        };
        match open() {
            Ok(lock) => Ok(Store {
                data: data.to_owned(),
                _lock: lock,
            }),
            Err(source) => Err(store_error(data, source)),
        }
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.data
    }

    /// Where an unpacked layer is.
    pub fn layer_dir(&self, chain: &Digest) -> PathBuf {
        layer_dir(&self.data, chain)
    }

    /// Makes sure that a layer is there. `unpack` fills an empty directory; of several processes one does it, and the others wait.
    pub fn ensure_layer(
        &self,
        chain: &Digest,
        unpack: impl FnOnce(&Path) -> Result<(), ImageError>,
    ) -> Result<(), ImageError> {
        let done = self.layer_dir(chain);
        if done.is_dir() {
            return Ok(());
        }
        let temporary = done.with_added_extension("tmp");
        let lock_path = done.with_added_extension("lock");
        let lock = File::options().create(true).append(true).open(&lock_path);
        let _lock = lock
            .and_then(|lock| lock.lock().map(|()| lock))
            .map_err(|source| store_error(&lock_path, source))?;
        if done.is_dir() {
            return Ok(());
        }
        let prepared = remove(&temporary)
            .and_then(|()| fs::create_dir(&temporary))
            .and_then(|()| fs::set_permissions(&temporary, fs::Permissions::from_mode(0o755)));
        prepared.map_err(|source| store_error(&temporary, source))?;
        let unpacked = unpack(&temporary).and_then(|()| {
            fs::rename(&temporary, &done).map_err(|source| store_error(&done, source))
        });
        if unpacked.is_err() {
            // The first failure is the one to tell; what cannot be removed now is removed by the next attempt.
            let _ = remove(&temporary);
        }
        unpacked
    }

    /// Writes a record unless the same one is there.
    pub fn write(&self, record: &ImageRecord) -> Result<(), ImageError> {
        if find(&self.data, &record.reference)?.as_ref() == Some(record) {
            return Ok(());
        }
        let path = record_path(&self.data, &record.reference);
        let write = || -> io::Result<()> {
            let mut file = tempfile::NamedTempFile::new_in(self.data.join("images"))?;
            file.write_all(&serde_json::to_vec(record)?)?;
            file.persist(&path)?;
            Ok(())
        };
        write().map_err(|source| store_error(&path, source))?;
        self.index()
    }

    /// Writes the index of the content store anew.
    pub fn index(&self) -> Result<(), ImageError> {
        let path = self.data.join("content/index.json");
        let lock_path = self.data.join("index.lock");
        let lock = File::options().create(true).append(true).open(&lock_path);
        let _lock = lock
            .and_then(|lock| lock.lock().map(|()| lock))
            .map_err(|source| store_error(&lock_path, source))?;
        let kept = records(&self.data)?.into_iter();
        let manifests: Vec<Descriptor> = kept
            .filter_map(|record| Some(record.content?.named(&record.reference)))
            .collect();
        let index = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": manifests });
        crate::sys::write_atomic(&path, index.to_string().as_bytes(), 0o600)
            .map_err(|source| store_error(&path, source))
    }

    /// Removes a record.
    pub fn forget(&self, reference: &str) -> Result<(), ImageError> {
        let path = record_path(&self.data, reference);
        fs::remove_file(&path).map_err(|source| store_error(&path, source))
    }
}

/// The lock of the store to read, if nobody removes anything; without a store there is nothing to read.
pub(super) fn try_shared(data: &Path) -> Option<File> {
    let lock = File::open(data.join("images.lock")).ok()?;
    lock.try_lock_shared().ok()?;
    Some(lock)
}

/// The lock of the store to remove, if nobody uses it.
pub(super) fn alone(data: &Path) -> Option<File> {
    let lock = File::open(data.join("images.lock")).ok()?;
    lock.try_lock().ok()?;
    Some(lock)
}

/// Where a layer is or would be.
pub(super) fn layer_dir(data: &Path, chain: &Digest) -> PathBuf {
    data.join("layers").join(chain.hex())
}

/// The record of a reference, if there is one. A record cut short by a power failure counts as none.
pub(super) fn find(data: &Path, reference: &str) -> Result<Option<ImageRecord>, ImageError> {
    let path = record_path(data, reference);
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(source) => Err(store_error(&path, source)),
    }
}

/// Every record, by reference.
pub(super) fn records(data: &Path) -> Result<Vec<ImageRecord>, ImageError> {
    let directory = data.join("images");
    let read = || -> io::Result<Vec<ImageRecord>> {
        let mut records = Vec::new();
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            if path.extension() != Some(OsStr::new("json")) {
                continue;
            }
            match fs::read(&path) {
                Ok(bytes) => records.extend(serde_json::from_slice::<ImageRecord>(&bytes).ok()),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        Ok(records)
    };
    match read() {
        Ok(mut records) => {
            records.sort_by(|a, b| a.reference.cmp(&b.reference));
            Ok(records)
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(source) => Err(store_error(&directory, source)),
    }
}

/// The file of a record.
pub(super) fn record_path(data: &Path, reference: &str) -> PathBuf {
    let name = Digest::of(reference.as_bytes());
    data.join("images").join(format!("{}.json", name.hex()))
}

/// Removes a file or a tree.
pub(super) fn remove(path: &Path) -> io::Result<()> {
    let parent = path.parent().unwrap_or(Path::new("/"));
    let name = path.file_name().map(OsString::from).unwrap_or_default();
    remove_tree(open_root(parent)?, &name)
}

pub(super) fn store_error(path: &Path, source: io::Error) -> ImageError {
    ImageError::Store {
        path: path.display().to_string(),
        source,
    }
}
