//! Loading images from files on this machine into the store, under names that pods can use.

use crate::image::blobs::Blobs;
use crate::image::config::Content;
use crate::image::ensure::{Origin, add, origin};
use crate::image::files::Files;
use crate::image::keep::keep;
use crate::image::layout::Descriptor;
use crate::image::store::{Access, Store};
use crate::image::{ImageError, Reference, docker, layout};
use std::path::Path;

/// An image of a source with the names the source has for it.
type Named = (Content, Vec<String>);

/// Brings the images of `source` — a path or a reference with a transport — into the store, under `name` if there is one image, else under
/// the names that the source has for them, and gives these names in their normal form.
pub fn load(data: &Path, source: &str, name: Option<&str>) -> Result<Vec<String>, ImageError> {
    let (files, images) = images_of(source)?;
    let choose = |wanted: &str, found| ImageError::Choose {
        wanted: wanted.to_owned(),
        found,
    };
    if images.is_empty() || (name.is_some() && images.len() > 1) {
        return Err(choose("one name", format!("{} images", images.len())));
    }
    // Every name is read before anything is changed.
    let mut named = Vec::new();
    for (content, own_names) in images {
        let names = name.map_or(own_names, |name| vec![name.to_owned()]);
        if names.is_empty() {
            let found = format!("image `{}` without a name", content.id);
            return Err(choose("no name", found));
        }
        let mut whole = Vec::new();
        for name in names {
            let Reference::Registry(name) = name.parse()? else {
                return Err(ImageError::Reference {
                    reference: name,
                    problem: "a loaded image cannot have a name with a transport",
                });
            };
            whole.push(name);
        }
        named.push((whole, content));
    }
    let store = Store::open(data, Access::Shared)?;
    let mut loaded = Vec::new();
    for (names, content) in named {
        // A source that has a manifest has its digest; what we write for others has none that anybody else knows.
        let digest = content
            .manifest
            .as_ref()
            .map(|(manifest, _)| manifest.digest.clone());
        let content = keep(&store, &files, content)?;
        let kept = Files::directory(&Blobs::new(data).layout())?;
        for name in names {
            let mut record = add(&store, &name, &kept, &content, &mut |_| Ok(()), &|| {})?;
            record.digest.clone_from(&digest);
            record.content = content
                .manifest
                .as_ref()
                .map(|(manifest, _)| manifest.clone());
            store.write(&record)?;
            loaded.push(name);
        }
    }
    Ok(loaded)
}

/// The images of a source to load, with the names the source has for them.
fn images_of(source: &str) -> Result<(Files, Vec<Named>), ImageError> {
    match Reference::typed(source)? {
        Some(Reference::Oci(dir, None)) => all_of_layout(Files::directory(&dir)?),
        Some(Reference::OciArchive(file, None)) => all_of_layout(Files::tar(&file)?),
        Some(Reference::DockerArchive(file, None)) => all_of_docker(Files::tar(&file)?),
        Some(Reference::Rootfs(_)) => Err(ImageError::Reference {
            reference: source.to_owned(),
            problem: "a plain directory is used where it is and cannot be loaded",
        }),
        Some(chosen) if !matches!(chosen, Reference::Registry(_)) => {
            match origin(Path::new(""), &chosen)? {
                Origin::Source(files, content) => {
                    let names = match chosen {
                        Reference::DockerArchive(_, Some(name)) => vec![name],
                        Reference::Oci(_, tag) | Reference::OciArchive(_, tag) => {
                            tag.filter(|tag| is_whole_name(tag)).into_iter().collect()
                        }
                        _ => Vec::new(),
                    };
                    Ok((files, vec![(content, names)]))
                }
                _ => Err(ImageError::Absent(source.to_owned())),
            }
        }
        // No transport: a path.
        _ => {
            let path = Path::new(source);
            if path.is_dir() {
                return all_of_layout(Files::directory(path)?);
            }
            let files = Files::tar(path)?;
            if files.has(docker::MANIFEST) {
                all_of_docker(files)
            } else {
                all_of_layout(files)
            }
        }
    }
}

/// A bare tag in a layout is no name to load an image under.
fn is_whole_name(name: &str) -> bool {
    name.contains(['/', ':'])
}

fn all_of_layout(files: Files) -> Result<(Files, Vec<Named>), ImageError> {
    let mut images = Vec::new();
    let descriptors = layout::descriptors(&files)?;
    for descriptor in descriptors.into_iter().filter(Descriptor::fits) {
        let name = descriptor.name().filter(|name| is_whole_name(name));
        let names = name.map(str::to_owned).into_iter().collect();
        images.push((layout::content(&files, &descriptor)?, names));
    }
    Ok((files, images))
}

fn all_of_docker(files: Files) -> Result<(Files, Vec<Named>), ImageError> {
    let mut images = Vec::new();
    for item in docker::items(&files)? {
        let names = item.names().to_vec();
        images.push((item.content(&files)?, names));
    }
    Ok((files, images))
}
