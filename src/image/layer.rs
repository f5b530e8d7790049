//! One layer blob → one directory, in one pass: size and digest of the blob, compression, limits, digest of the stream.

use crate::image::ahead::ahead;
use crate::image::config::Layer;
use crate::image::digest::Hashing;
use crate::image::files::Files;
use crate::image::layout::check_blob;
use crate::image::unpack::{Limits, unpack};
use crate::image::zstd::Zstd;
use crate::image::{ImageError, UnpackError};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// First bytes of a gzip stream. Source: RFC 1952.
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// First bytes of a zstd frame. Source: RFC 8878.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes 1 to 3 of a frame to skip; the first is 0x50 to 0x5f. Source: RFC 8878, 3.1.2.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];
/// Bytes read from a blob at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Unpacks a layer of `files` into the empty directory `dir`, on top of `below` (highest first). What it leaves there after an error is worthless.
pub(super) fn unpack_layer(
    files: &Files,
    layer: &Layer,
    dir: &Path,
    below: &[PathBuf],
    limits: &Limits,
) -> Result<(), ImageError> {
    let section = files.open(&layer.file)?;
    let size = section.size;
    if let Some((digest, expected)) = layer
        .blob
        .as_ref()
        .filter(|(_, expected)| *expected != size)
    {
        return check_blob(layer.file.clone(), (digest, *expected), (digest, size));
    }
    let mut blob = Hashing::new(section);
    let failed = |source| ImageError::Layer {
        file: layer.file.clone(),
        source,
    };
    let stream = decompressed(&mut blob)
        .map(|stream| Limited {
            stream,
            left: limits.stream_bytes(size),
        })
        .map_err(|error| failed(UnpackError::Stream(error)))?;
    let (unpacked, stream) = ahead(Hashing::new(stream), |stream| {
        unpack(stream, dir, below, limits)
    });
    unpacked.map_err(failed)?;
    let diff = stream.digest();
    if let Some((expected, _)) = &layer.blob {
        check_blob(layer.file.clone(), (expected, size), (&blob.digest(), size))?;
    }
    if diff != layer.diff {
        return Err(ImageError::Mismatch {
            file: layer.file.clone(),
            expected: format!("diff id {}", layer.diff),
            found: diff.to_string(),
        });
    }
    Ok(())
}

/// How a layer is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

/// By the first bytes: media types are wrong often enough, and docker archives have none. A zstd stream may begin with a frame that
/// is skipped.
pub(super) fn compression(start: &[u8]) -> Compression {
    let is_skippable = start.len() >= 4 && start[0] & 0xf0 == 0x50 && start[1..4] == ZSTD_SKIPPABLE;
    if start.starts_with(&GZIP_MAGIC) {
        Compression::Gzip
    } else if start.starts_with(&ZSTD_MAGIC) || is_skippable {
        Compression::Zstd
    } else {
        Compression::None
    }
}

/// The tar stream of a blob.
pub(super) fn decompressed<'a>(
    blob: impl Read + Send + 'a,
) -> io::Result<Box<dyn Read + Send + 'a>> {
    let mut blob = BufReader::with_capacity(BUFFER_BYTES, blob);
    Ok(match compression(blob.fill_buf()?) {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(blob)),
        Compression::Zstd => Box::new(Zstd::new(blob)),
        Compression::None => Box::new(blob),
    })
}

/// Fails instead of giving more than `left` bytes.
struct Limited<R> {
    stream: R,
    left: u64,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        match self.left.checked_sub(count as u64) {
            Some(left) => {
                self.left = left;
                Ok(count)
            }
            None => Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "the layer is too large, or too large for its compressed size",
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::digest::Digest;
    use std::io::Write;

    const SMALL: Limits = Limits {
        bytes: 64 << 10,
        ratio: 10,
        ratio_free_bytes: 8 << 10,
        entries: 5,
        directory_name_bytes: 20,
    };

    /// Unpacks a layer with a member of each kind, name and size; gives the error with its causes.
    fn unpack_members(
        compress: bool,
        members: &[(tar::EntryType, &str, usize)],
    ) -> Result<(), String> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, size) in members {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_size(*size as u64);
            header.set_mode(0o755);
            let data = io::repeat(0).take(*size as u64);
            builder
                .append_data(&mut header, name, data)
                .expect("memory");
        }
        let tar = builder.into_inner().expect("memory");
        let mut blob = tar.clone();
        if compress {
            let mut encoder =
                flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(&tar).expect("memory");
            blob = encoder.finish().expect("memory");
        }
        let source = tempfile::tempdir().expect("a directory");
        let target = tempfile::tempdir().expect("a directory");
        std::fs::write(source.path().join("blob"), &blob).expect("a file");
        let layer = Layer {
            file: "blob".to_owned(),
            blob: Some((Digest::of(&blob), blob.len() as u64)),
            diff: Digest::of(&tar),
            chain: Digest::of(&tar),
        };
        let files = Files::directory(source.path()).expect("opens");
        unpack_layer(&files, &layer, target.path(), &[], &SMALL).map_err(|error| {
            let mut text = error.to_string();
            let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
            while let Some(error) = cause {
                text += &format!(": {error}");
                cause = error.source();
            }
            text
        })
    }

    const FILE: tar::EntryType = tar::EntryType::Regular;

    #[test]
    fn a_stream_may_grow_by_a_ratio_and_to_a_size() {
        unpack_members(false, &[(FILE, "a", 60 << 10)]).expect("below every limit");
        let too_large = "the layer is too large, or too large for its compressed size";
        let zeros = unpack_members(true, &[(FILE, "a", 60 << 10)]).expect_err("zeros");
        assert!(zeros.contains(too_large), "{zeros}");
        unpack_members(true, &[(FILE, "a", 4 << 10)]).expect("small streams may have any ratio");
        let long = unpack_members(false, &[(FILE, "a", 40 << 10), (FILE, "b", 40 << 10)]);
        let long = long.expect_err("long");
        assert!(long.contains("too large"), "{long}");
    }

    #[test]
    fn members_and_directory_names_are_counted() {
        let members = vec![(FILE, "a", 0); 6];
        unpack_members(false, &members[..5]).expect("five are fine");
        let many = unpack_members(false, &members).expect_err("six");
        assert!(many.contains("too many members"), "{many}");
        let directories = [(tar::EntryType::Directory, "twelve-chars", 0); 2];
        let names = unpack_members(false, &directories).expect_err("24 bytes of names");
        assert!(names.contains("too many directories"), "{names}");
    }
}
