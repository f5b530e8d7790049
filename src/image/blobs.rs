//! Content as it came, below the store: an OCI image layout, which other programs can read.
//!
//! ```text
//!  content/oci-layout, index.json        the layout; the index is rewritten from the records
//!  content/blobs/sha256/<digest>         complete and verified: the name appears by rename
//!  partial/<digest>                      what has come so far; locked by whoever receives it
//! ```

use crate::image::ImageError;
use crate::image::digest::{Digest, Hasher, Hashing};
use crate::image::layout::check_blob;
use crate::image::store::store_error;
use crate::sys::is_still_at;
use rustix::io::Errno;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Bytes read at once when what came before is hashed again.
const BUFFER_BYTES: usize = 128 << 10;

/// The content of the store below a data directory.
#[derive(Clone, Debug)]
pub(super) struct Blobs {
    data: PathBuf,
}

/// How a blob is met.
pub(super) enum Arrival {
    /// It is there.
    Present,
    /// It has to come; nobody else receives it as long as this lives.
    Partial(Partial),
}

/// A blob that is being received.
pub(super) struct Partial {
    path: PathBuf,
    done: PathBuf,
    file: File,
    length: u64,
    hasher: Hasher,
}

impl Blobs {
    /// The content of a store that is open.
    pub fn new(data: &Path) -> Blobs {
        Blobs {
            data: data.to_owned(),
        }
    }

    /// Makes the directories and the mark of a layout.
    pub fn prepare(&self) -> io::Result<()> {
        let mut private = fs::DirBuilder::new();
        private.recursive(true).mode(0o700);
        private.create(self.data.join("content/blobs/sha256"))?;
        private.create(self.data.join("partial"))?;
        let mark = self.layout().join("oci-layout");
        if !mark.exists() {
            crate::sys::write_atomic(&mark, br#"{"imageLayoutVersion":"1.0.0"}"#, 0o600)?;
        }
        Ok(())
    }

    /// The directory of the layout.
    pub fn layout(&self) -> PathBuf {
        self.data.join("content")
    }

    /// Where a blob is or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.layout().join("blobs/sha256").join(digest.hex())
    }

    /// Where it comes together.
    pub fn partial(&self, digest: &Digest) -> PathBuf {
        self.data.join("partial").join(digest.hex())
    }

    /// Whether a blob is there. Its content is verified when it is used.
    pub fn has(&self, digest: &Digest, size: u64) -> bool {
        fs::metadata(self.path(digest)).is_ok_and(|meta| meta.is_file() && meta.len() == size)
    }

    /// Keeps a document.
    pub fn keep(&self, bytes: &[u8]) -> Result<Digest, ImageError> {
        let digest = Digest::of(bytes);
        if !self.has(&digest, bytes.len() as u64) {
            let path = self.path(&digest);
            crate::sys::write_atomic(&path, bytes, 0o600)
                .map_err(|source| store_error(&path, source))?;
        }
        Ok(digest)
    }

    /// Waits until a blob is there, or until nobody else receives it.
    pub fn arrival(&self, digest: &Digest, size: u64) -> Result<Arrival, ImageError> {
        let path = self.partial(digest);
        let arrive = || -> io::Result<Arrival> {
            loop {
                if self.has(digest, size) {
                    return Ok(Arrival::Present);
                }
                let file = File::options()
                    .read(true)
                    .append(true)
                    .create(true)
                    .mode(0o600)
                    .open(&path)?;
                file.lock()?;
                // Whoever had it may have finished it, and then it has another name.
                if is_still_at(&path, &file)? {
                    let done = self.path(digest);
                    return Partial::resume(path.clone(), done, file, size).map(Arrival::Partial);
                }
            }
        };
        arrive().map_err(|source| store_error(&path, source))
    }

    /// A blob that came by other means: from a file on this machine. Gives digest and size.
    pub fn copy(&self, source: impl Read) -> Result<(Digest, u64), ImageError> {
        let directory = self.data.join("partial");
        let copy = || -> io::Result<(Digest, u64)> {
            let mut file = tempfile::NamedTempFile::new_in(&directory)?;
            let mut source = Hashing::new(source);
            let size = io::copy(&mut source, &mut file)?;
            let digest = source.digest();
            file.persist(self.path(&digest))?;
            Ok((digest, size))
        };
        copy().map_err(|source| store_error(&directory, source))
    }
}

impl Partial {
    /// Takes up what an earlier attempt left, as far as it can be the blob.
    fn resume(path: PathBuf, done: PathBuf, mut file: File, size: u64) -> io::Result<Partial> {
        let mut hasher = Hasher::default();
        let mut length = 0;
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let count = file.read(&mut buffer)?;
            if count == 0 {
                break;
            }
            hasher.update(&buffer[..count]);
            length += count as u64;
        }
        let mut partial = Partial {
            path,
            done,
            file,
            length,
            hasher,
        };
        if length > size {
            partial.clear()?;
        }
        Ok(partial)
    }

    /// Bytes that have come.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Adds what came. A full disk is given back what we took.
    pub fn append(&mut self, bytes: &[u8]) -> Result<(), ImageError> {
        if let Err(source) = self.file.write_all(bytes) {
            let full = Errno::from_io_error(&source);
            if matches!(full, Some(Errno::NOSPC | Errno::DQUOT)) {
                self.discard();
            }
            return Err(store_error(&self.path, source));
        }
        self.hasher.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// Begins anew.
    pub fn restart(&mut self) -> Result<(), ImageError> {
        self.clear()
            .map_err(|source| store_error(&self.path, source))
    }

    /// Gives the blob its name, if it is the right one.
    pub fn finish(self, digest: &Digest, size: u64) -> Result<(), ImageError> {
        let found = self.hasher.clone().digest();
        let file = format!("blobs/{digest}");
        if let Err(error) = check_blob(file, (digest, size), (&found, self.length)) {
            return Err(self.failed(error));
        }
        fs::rename(&self.path, &self.done).map_err(|source| store_error(&self.done, source))
    }

    /// An error after which what came is worthless.
    pub fn failed(self, error: ImageError) -> ImageError {
        if matches!(error, ImageError::Mismatch { .. }) {
            self.discard();
        }
        error
    }

    fn clear(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.hasher = Hasher::default();
        self.length = 0;
        Ok(())
    }

    fn discard(&self) {
        // The first failure is the one to tell; a remainder is removed with the next removal of images.
        let _ = fs::remove_file(&self.path);
        let _ = self.file.set_len(0);
    }
}
