//! One layer blob → one directory, in one pass: size and digest of the blob, compression, limits, digest of the stream.

use crate::image::config::Layer;
use crate::image::digest::Hashing;
use crate::image::files::{Files, Section};
use crate::image::layout::check_blob;
use crate::image::unpack::{Limits, unpack};
use crate::image::{ImageError, UnpackError};
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

/// First bytes of a gzip stream. Source: RFC 1952.
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// First bytes of a zstd frame. Source: RFC 8878.
const ZSTD_MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
/// Bytes read from a blob at once.
const BUFFER_BYTES: usize = 64 << 10;

/// Unpacks a layer of `files` into the empty directory `dir`. What it leaves there after an error is worthless.
pub(super) fn unpack_layer(
    files: &Files,
    layer: &Layer,
    dir: &Path,
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
    let stream = decompress(&mut blob)
        .map(|stream| Limited {
            stream,
            left: limits.stream_bytes(size),
        })
        .map_err(|error| failed(UnpackError::Stream(error)))?;
    let stream = unpack(Hashing::new(stream), dir, limits).map_err(failed)?;
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

/// By the first bytes: media types are wrong often enough, and docker archives have none.
fn decompress(blob: &mut Hashing<Section>) -> io::Result<Box<dyn Read + '_>> {
    let mut blob = BufReader::with_capacity(BUFFER_BYTES, blob);
    let start = blob.fill_buf()?;
    if start.starts_with(&GZIP_MAGIC) {
        return Ok(Box::new(flate2::bufread::MultiGzDecoder::new(blob)));
    }
    if start.starts_with(&ZSTD_MAGIC) {
        let problem = "layers compressed with zstd are not supported yet";
        return Err(io::Error::new(io::ErrorKind::Unsupported, problem));
    }
    Ok(Box::new(blob))
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
