//! The files of an image source, by name: in a directory, or inside a tar that is only indexed, never copied.

use crate::image::ImageError;
use crate::image::entries::Entries;
use crate::image::error::shown;
use crate::image::layer::GZIP_MAGIC;
use crate::image::root::{open_below, open_regular, open_root, relative};
use crate::image::unpack::Limits;
use rustix::fs::OFlags;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use tar::EntryType;

/// Bytes of one JSON document. Source: registries refuse manifests above 4 MiB.
const DOCUMENT_BYTES: u64 = 4 << 20;
/// Members of an archive: a few per layer and image.
const ARCHIVE_MEMBERS: usize = 100_000;

/// A directory or an archive with the files of one or more images.
pub(super) struct Files {
    /// How messages call it.
    pub name: String,
    place: Place,
}

enum Place {
    Directory(OwnedFd),
    Tar {
        file: File,
        members: HashMap<PathBuf, Member>,
    },
}

enum Member {
    Data { offset: u64, size: u64 },
    Link(PathBuf),
}

impl Files {
    /// A directory.
    pub fn directory(path: &Path) -> Result<Files, ImageError> {
        let name = path.display().to_string();
        match open_root(path) {
            Ok(root) => Ok(Files {
                name,
                place: Place::Directory(root),
            }),
            Err(source) => Err(open_error(&name, ".", source)),
        }
    }

    /// A tar, plain or compressed with gzip.
    pub fn tar(path: &Path) -> Result<Files, ImageError> {
        let name = path.display().to_string();
        let indexed = open_archive(path).and_then(|file| {
            let members = index(file.try_clone()?)?;
            Ok(Place::Tar { file, members })
        });
        match indexed {
            Ok(place) => Ok(Files { name, place }),
            Err(source) => Err(open_error(&name, ".", source)),
        }
    }

    /// Whether it has a file of this name.
    pub fn has(&self, path: &str) -> bool {
        match &self.place {
            Place::Directory(root) => open_below(root, Path::new(path), OFlags::PATH).is_ok(),
            Place::Tar { members, .. } => members.contains_key(Path::new(path)),
        }
    }

    /// Opens one file.
    pub fn open(&self, path: &str) -> Result<Section, ImageError> {
        let opened = match &self.place {
            Place::Directory(root) => {
                open_regular(root, Path::new(path)).map(|(file, size)| Section {
                    file,
                    offset: 0,
                    size,
                })
            }
            Place::Tar { file, members } => member(file, members, Path::new(path)),
        };
        opened.map_err(|source| open_error(&self.name, path, source))
    }

    /// Reads one file of at most 4 MiB.
    pub fn bytes(&self, path: &str) -> Result<Vec<u8>, ImageError> {
        let section = self.open(path)?;
        if section.size > DOCUMENT_BYTES {
            return Err(ImageError::Refused {
                file: path.to_owned(),
                problem: "a JSON document may have at most 4 MiB",
            });
        }
        let mut bytes = Vec::new();
        match section.take(DOCUMENT_BYTES).read_to_end(&mut bytes) {
            Ok(_) => Ok(bytes),
            Err(source) => Err(open_error(&self.name, path, source)),
        }
    }
}

/// Parses a document.
pub(super) fn parse<T: DeserializeOwned>(file: &str, bytes: &[u8]) -> Result<T, ImageError> {
    serde_json::from_slice(bytes).map_err(|source| ImageError::Document {
        file: file.to_owned(),
        source,
    })
}

fn open_error(image: &str, file: &str, source: io::Error) -> ImageError {
    ImageError::Open {
        image: image.to_owned(),
        file: shown(file.as_bytes()),
        source,
    }
}

/// A range of a file, read without moving the file's own position.
pub(super) struct Section {
    file: File,
    offset: u64,
    /// Bytes left.
    pub size: u64,
}

impl Read for Section {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.size).map_or(buffer.len(), |size| size.min(buffer.len()));
        let count = self.file.read_at(&mut buffer[..most], self.offset)?;
        self.offset += count as u64;
        self.size -= count as u64;
        Ok(count)
    }
}

/// A compressed archive is unpacked into an unnamed temporary file first, because its members are read out of order.
fn open_archive(path: &Path) -> io::Result<File> {
    let (file, size) = open_regular(open_root(Path::new("/"))?, &std::path::absolute(path)?)?;
    let mut magic = [0; 2];
    if file.read_at(&mut magic, 0)? < 2 || magic != GZIP_MAGIC {
        return Ok(file);
    }
    let most = Limits::LAYER.stream_bytes(size);
    let mut plain = tempfile::tempfile()?;
    let mut stream = flate2::read::MultiGzDecoder::new(file).take(most + 1);
    if io::copy(&mut stream, &mut plain)? > most {
        return Err(bad("the archive is too large when decompressed"));
    }
    io::Seek::rewind(&mut plain)?;
    Ok(plain)
}

fn index(file: File) -> io::Result<HashMap<PathBuf, Member>> {
    let mut members = HashMap::new();
    let mut entries = Entries::new(file);
    while let Some(entry) = entries.next()? {
        if members.len() == ARCHIVE_MEMBERS {
            return Err(bad("the archive has more than 100,000 members"));
        }
        let path = relative(&entry.path).map_err(bad)?;
        let member = match entry.kind {
            EntryType::Regular | EntryType::Continuous => Member::Data {
                offset: entry.offset,
                size: entry.size,
            },
            EntryType::Link => Member::Link(relative(&entry.link).map_err(bad)?),
            // Old `docker save` names a layer that two images share by a symlink `../<id>/layer.tar`.
            EntryType::Symlink => {
                let up = entry.link.strip_prefix(b"../").unwrap_or(&entry.link);
                let base = if up.len() < entry.link.len() {
                    path.parent().and_then(Path::parent)
                } else {
                    path.parent()
                };
                match (base, relative(up)) {
                    (Some(base), Ok(target)) => Member::Link(base.join(target)),
                    _ => continue,
                }
            }
            _ => continue,
        };
        members.insert(path, member);
    }
    Ok(members)
}

fn member(file: &File, members: &HashMap<PathBuf, Member>, path: &Path) -> io::Result<Section> {
    let found = match members.get(path) {
        Some(Member::Link(target)) => members.get(target),
        found => found,
    };
    match found {
        Some(Member::Data { offset, size }) => Ok(Section {
            file: file.try_clone()?,
            offset: *offset,
            size: *size,
        }),
        Some(Member::Link(_)) => Err(bad("a link to a link")),
        None => Err(io::ErrorKind::NotFound.into()),
    }
}

fn bad(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}
