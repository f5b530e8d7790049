//! Images out of the content store, as other programs read them: a layout, a tar of one, or what `docker load` takes.

use crate::image::blobs::Blobs;
use crate::image::digest::{Digest, Hashing};
use crate::image::files::Files;
use crate::image::layer::decompressed;
use crate::image::layout::{INDEX_TYPES, check_blob, content};
use crate::image::registry::{Name, spellings};
use crate::image::store::{self, Access, Store, store_error};
use crate::image::unpack::Limits;
use crate::image::{ImageError, ImageRecord, Reference, UnpackError};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;

/// Writes images to `target`, `oci:DIR[:TAG]`, `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:NAME]`, under the name that it gives, else
/// under their own. A file appears complete or not at all; a directory must be new or empty.
pub fn save(data: &Path, names: &[String], target: &str) -> Result<(), ImageError> {
    let refused = |problem| ImageError::Reference {
        reference: target.to_owned(),
        problem,
    };
    let elsewhere = || refused("images are saved to oci:, oci-archive: or docker-archive:");
    let place = Reference::typed(target)?.ok_or_else(elsewhere)?;
    let store = Store::open(data, Access::Shared)?;
    let records: Vec<ImageRecord> = names
        .iter()
        .map(|name| kept(data, name))
        .collect::<Result<_, _>>()?;
    let (path, tag) = match &place {
        Reference::Oci(path, tag)
        | Reference::OciArchive(path, tag)
        | Reference::DockerArchive(path, tag) => (path, tag),
        Reference::Rootfs(_) | Reference::Registry(_) => {
            return Err(elsewhere());
        }
    };
    if tag.is_some() && records.len() != 1 {
        return Err(refused("several images cannot have one name"));
    }
    let named = |record: &ImageRecord| tag.clone().unwrap_or_else(|| record.reference.clone());
    let images: Vec<(String, ImageRecord)> = records
        .into_iter()
        .map(|record| (named(&record), record))
        .collect();
    let blobs = Blobs::new(store.data());
    match place {
        Reference::Oci(..) => {
            let is_empty = match fs::read_dir(path) {
                Ok(mut entries) => entries.next().is_none(),
                Err(error) => error.kind() == io::ErrorKind::NotFound,
            };
            if !is_empty {
                return Err(ImageError::Save {
                    target: target.to_owned(),
                    problem: "the directory must be new or empty",
                });
            }
            layout(&blobs, &images, &mut |name, size, content| {
                let file = path.join(name);
                let mut write = || -> io::Result<()> {
                    fs::create_dir_all(file.parent().unwrap_or(path))?;
                    let copied = io::copy(content, &mut File::create_new(&file)?)?;
                    all(copied, size)
                };
                write().map_err(|source| store_error(&file, source))
            })
        }
        Reference::OciArchive(..) => archive(path, |add| layout(&blobs, &images, add)),
        _ => archive(path, |add| docker(&blobs, &images, add)),
    }
}

/// Takes a file: its name, its size, its content.
type Add<'a> = &'a mut dyn FnMut(&str, u64, &mut dyn Read) -> Result<(), ImageError>;

/// The record of an image that is kept as it came.
fn kept(data: &Path, name: &str) -> Result<ImageRecord, ImageError> {
    let name = name.parse::<Reference>()?.to_string();
    for spelling in spellings(&name) {
        if let Some(record) = store::find(data, &spelling)?.filter(|r| r.content.is_some()) {
            return Ok(record);
        }
    }
    Err(ImageError::Absent(name))
}

fn archive(
    path: &Path,
    write: impl FnOnce(Add<'_>) -> Result<(), ImageError>,
) -> Result<(), ImageError> {
    let failed = |source| store_error(path, source);
    let directory = path.parent().unwrap_or(Path::new("/"));
    let file = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    let mut builder = tar::Builder::new(file);
    write(&mut |name, size, content| {
        let mut header = tar::Header::new_gnu();
        header.set_size(size);
        header.set_mode(0o644);
        header.set_mtime(0);
        let append = builder.append_data(&mut header, name, content.take(size));
        append.map_err(failed)
    })?;
    let file = builder.into_inner().map_err(failed)?;
    file.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

fn layout(blobs: &Blobs, images: &[(String, ImageRecord)], add: Add<'_>) -> Result<(), ImageError> {
    let mut digests = BTreeMap::new();
    let mut manifests = Vec::new();
    for (name, record) in images {
        let Some(manifest) = &record.content else {
            continue;
        };
        manifests.push(manifest.clone().named(name));
        for digest in std::iter::once(&manifest.digest).chain(&record.blobs) {
            digests.insert(digest, name);
        }
    }
    document(add, "oci-layout", &json!({"imageLayoutVersion": "1.0.0"}))?;
    let index = json!({"schemaVersion": 2, "mediaType": INDEX_TYPES[0], "manifests": manifests});
    document(add, "index.json", &index)?;
    for (digest, name) in digests {
        let (file, size) = open(blobs, digest, name)?;
        let mut content = Hashing::new(file);
        let path = format!("blobs/sha256/{}", digest.hex());
        add(&path, size, &mut content)?;
        check_blob(path, (digest, size), (&content.digest(), size))?;
    }
    Ok(())
}

fn docker(blobs: &Blobs, images: &[(String, ImageRecord)], add: Add<'_>) -> Result<(), ImageError> {
    let files = Files::directory(&blobs.layout())?;
    let mut written = std::collections::BTreeSet::new();
    let mut items = Vec::new();
    for (name, record) in images {
        let Some(manifest) = &record.content else {
            continue;
        };
        let content = content(&files, manifest)?;
        let config = format!("{}.json", content.id.hex());
        if written.insert(config.clone()) {
            let bytes = content.document.as_slice();
            add(&config, bytes.len() as u64, &mut &*bytes)?;
        }
        let mut layers = Vec::new();
        for layer in &content.layers {
            let file = format!("{}.tar", layer.diff.hex());
            layers.push(file.clone());
            let Some((digest, _)) = layer.blob.as_ref().filter(|_| written.insert(file.clone()))
            else {
                continue;
            };
            // Twice: a tar says how long a member is before it comes.
            let broken = |error| ImageError::Layer {
                file: layer.file.clone(),
                source: UnpackError::Stream(error),
            };
            let (blob, size) = open(blobs, digest, name)?;
            let most = Limits::LAYER.stream_bytes(size);
            let mut stream = Hashing::new(decompressed(blob).map_err(broken)?.take(most));
            let length = io::copy(&mut stream, &mut io::sink()).map_err(broken)?;
            let found = stream.digest();
            check_blob(layer.file.clone(), (&layer.diff, length), (&found, length))?;
            let (blob, _) = open(blobs, digest, name)?;
            add(&file, length, &mut decompressed(blob).map_err(broken)?)?;
        }
        // An image that is named by its digest alone has no tag there.
        let tagged = Name::new(name).digest.is_none();
        let tags: Vec<&String> = tagged.then_some(name).into_iter().collect();
        items.push(json!({"Config": config, "RepoTags": tags, "Layers": layers}));
    }
    document(add, "manifest.json", &json!(items))
}

fn document(add: Add<'_>, name: &str, value: &serde_json::Value) -> Result<(), ImageError> {
    let bytes = value.to_string().into_bytes();
    add(name, bytes.len() as u64, &mut bytes.as_slice())
}

fn open(blobs: &Blobs, digest: &Digest, image: &str) -> Result<(File, u64), ImageError> {
    let opened = File::open(blobs.path(digest)).and_then(|file| {
        let size = file.metadata()?.len();
        Ok((file, size))
    });
    opened.map_err(|source| ImageError::Open {
        image: image.to_owned(),
        file: digest.to_string(),
        source,
    })
}

fn all(copied: u64, size: u64) -> io::Result<()> {
    match copied == size {
        true => Ok(()),
        false => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

/// What an image is, for people: its record, and its configuration as it came.
pub fn describe(data: &Path, name: &str) -> Result<serde_json::Value, ImageError> {
    let name = name.parse::<Reference>()?.to_string();
    let found = spellings(&name)
        .iter()
        .find_map(|spelling| store::find(data, spelling).transpose());
    let record = found.unwrap_or(Err(ImageError::Absent(name)))?;
    let mut value = json!(record);
    if let Some(manifest) = &record.content {
        let files = Files::directory(&Blobs::new(data).layout())?;
        let document = content(&files, manifest)?.document;
        value["document"] = serde_json::from_slice(&document).unwrap_or_default();
    }
    Ok(value)
}
