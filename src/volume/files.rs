//! `configMap`, `secret`, `downwardAPI`, `projected`: which files a volume has. Pure; `atomic` writes them.

use crate::manifest::downward::{self, Facts};
use crate::manifest::{
    ConfigObject, DownwardFile, EnvValue, FilesSource, FilesVolume, KeyToPath, ObjectRef, Pod,
};
use crate::volume::atomic::{FileContent, Files, is_valid_path};
use crate::volume::error::Error;
use std::borrow::Cow;

/// Bytes of all files of a volume. An object has at most 1 MiB; this leaves room for a projection of many.
pub(super) const BYTES_MAX: u64 = 16 * 1024 * 1024;

/// What the files are made of.
pub(super) struct Sources<'a> {
    /// Whose volume it is.
    pub(super) pod: &'a Pod,
    /// ConfigMaps and Secrets, also of other namespaces.
    pub(super) objects: &'a [ConfigObject],
    /// The machine.
    pub(super) facts: &'a Facts<'a>,
}

impl<'a> Sources<'a> {
    /// The files of `volume` by their paths, sources merged in order.
    pub(super) fn files(&self, volume: &'a FilesVolume) -> Result<Files<'a>, Error> {
        let mut files = Files::new();
        let mut add = |path: &str, mode: Option<u32>, content: Cow<'a, [u8]>| {
            let mode = mode.unwrap_or(volume.default_mode) & 0o777;
            files.insert(path.to_owned(), FileContent { mode, content });
        };
        for source in &volume.sources {
            match source {
                FilesSource::Object { object, items } => {
                    let Some(found) = self.object(object)? else {
                        continue;
                    };
                    let Some(items) = items else {
                        for (key, value) in found.data.iter().chain(&found.binary) {
                            add(key, None, Cow::Borrowed(value));
                        }
                        continue;
                    };
                    for KeyToPath { key, path, mode } in items {
                        if let Some(value) = value_of(found, object, key)? {
                            add(path, *mode, Cow::Borrowed(value));
                        }
                    }
                }
                FilesSource::Downward(items) => {
                    for item in items {
                        if let Some(value) = self.downward(item)? {
                            add(&item.path, item.mode, value);
                        }
                    }
                }
            }
        }
        check(&files)?;
        Ok(files)
    }

    /// The object; `None` if it is absent and may be.
    fn object(&self, wanted: &ObjectRef) -> Result<Option<&'a ConfigObject>, Error> {
        let found = self.objects.iter().find(|o| {
            (o.kind, &o.name, &o.namespace) == (wanted.kind, &wanted.name, &self.pod.namespace)
        });
        if found.is_none() && !wanted.optional {
            return Err(Error::NoObject {
                kind: wanted.kind,
                name: wanted.name.clone(),
            });
        }
        Ok(found)
    }

    fn downward(&self, file: &'a DownwardFile) -> Result<Option<Cow<'a, [u8]>>, Error> {
        let text = match &file.value {
            EnvValue::Field(field) => downward::field(field, self.pod, self.facts),
            EnvValue::Resource(amount) => downward::resource(amount, self.pod, None, self.facts)
                .ok_or_else(|| Error::NoContainer {
                    file: file.path.clone(),
                })?
                .to_string(),
            EnvValue::Literal(text) => text.clone(),
            // Of volumes that are not made yet there is nothing to read; no item can ask for it.
            EnvValue::File { .. } => return Ok(None),
            EnvValue::Key { object, key } => {
                let Some(found) = self.object(object)? else {
                    return Ok(None);
                };
                let value = value_of(found, object, key)?;
                return Ok(value.map(|v| Cow::Borrowed(v.as_slice())));
            }
        };
        Ok(Some(Cow::Owned(text.into_bytes())))
    }
}

/// The value of a key; `None` if it is absent and may be.
fn value_of<'a>(
    found: &'a ConfigObject,
    wanted: &ObjectRef,
    key: &str,
) -> Result<Option<&'a Vec<u8>>, Error> {
    let value = found.data.get(key).or_else(|| found.binary.get(key));
    if value.is_none() && !wanted.optional {
        return Err(Error::NoKey {
            kind: wanted.kind,
            name: wanted.name.clone(),
            key: key.to_owned(),
        });
    }
    Ok(value)
}

fn check(files: &Files<'_>) -> Result<(), Error> {
    let bytes: u64 = files.values().map(|file| file.content.len() as u64).sum();
    if bytes > BYTES_MAX {
        let limit = BYTES_MAX;
        return Err(Error::TooLarge { bytes, limit });
    }
    for path in files.keys() {
        let directory_is_file = path
            .match_indices('/')
            .any(|(end, _)| files.contains_key(&path[..end]));
        if directory_is_file || !is_valid_path(path) {
            return Err(Error::FilePath { file: path.clone() });
        }
    }
    Ok(())
}
