//! From a registry reference to a record: where to ask, and what for.

use crate::image::blobs::Blobs;
use crate::image::collect::forget_blobs;
use crate::image::digest::Digest;
use crate::image::layout::{Descriptor, INDEX_TYPES, MANIFEST_TYPES, check_blob, follow};
use crate::image::registry::{Endpoint, Keyring, Name, PullError, Registries, Session, Times};
use crate::image::store::{Access, Store};
use crate::image::{ImageError, ImageRecord, layers};
use std::path::Path;

/// How an image is pulled.
pub struct Pull<'a> {
    /// Secrets of the pod: documents of type `dockerconfigjson` or `dockercfg`.
    pub secrets: &'a [Vec<u8>],
    /// How long we bear with a registry.
    pub times: Times,
    /// Is told what happens, from several threads.
    pub progress: &'a (dyn Fn(Progress) + Sync),
}

impl Default for Pull<'_> {
    fn default() -> Self {
        Pull {
            secrets: &[],
            times: Times::default(),
            progress: &|_| {},
        }
    }
}

impl std::fmt::Debug for Pull<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pull")
            .field("times", &self.times)
            .finish_non_exhaustive()
    }
}

/// What happens while an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Progress {
    /// It is known how much there is: layers, and their bytes.
    Begun {
        /// How many layers.
        layers: usize,
        /// Their bytes as the registry has them.
        bytes: u64,
    },
    /// So many more bytes are here.
    Received(u64),
    /// One more layer is unpacked, or was here.
    Unpacked,
}

/// Pulls what a name means. `known` is what we have under it: if the registry has the same, nothing is pulled.
pub(super) fn pull(
    data: &Path,
    name: &str,
    known: Option<&ImageRecord>,
    how: &Pull<'_>,
) -> Result<ImageRecord, ImageError> {
    let failed = |source| ImageError::pull(&name, source);
    let registries = Registries::load().map_err(failed)?;
    let keyring = Keyring::load(how.secrets).map_err(failed)?;
    let store = Store::open(data, Access::Shared)?;
    let mut refused = Vec::new();
    let result = ask_all(
        &store,
        name,
        (&registries, &keyring),
        known,
        how,
        &mut refused,
    );
    drop(store);
    forget_blobs(data, &refused);
    result
}

/// Asks one registry after the other. `refused` gets what came of images that then could not be used.
fn ask_all(
    store: &Store,
    name: &str,
    (registries, keyring): (&Registries, &Keyring),
    known: Option<&ImageRecord>,
    how: &Pull<'_>,
    refused: &mut Vec<Digest>,
) -> Result<ImageRecord, ImageError> {
    let failed = |source| ImageError::pull(&name, source);
    let mut last = None;
    for candidate in registries.candidates(&Name::new(name)) {
        let endpoints = match registries.endpoints(&candidate) {
            Ok(endpoints) => endpoints,
            Err(blocked) => {
                last = Some(failed(blocked));
                continue;
            }
        };
        for endpoint in endpoints {
            let source = Source {
                endpoint: &endpoint,
                keyring,
                name: &candidate,
                how,
            };
            match source.bring(store, name, known, refused) {
                Ok(record) => return Ok(record),
                // Another registry does not mend our disk.
                Err(error @ ImageError::Store { .. }) => return Err(error),
                Err(ImageError::Pull { source, .. }) => last = Some(failed(*source)),
                Err(error) => last = Some(error),
            }
        }
    }
    Err(last.unwrap_or_else(|| {
        failed(PullError::Configuration {
            path: "registries.conf".to_owned(),
            problem: "it leaves no registry to ask".to_owned(),
        })
    }))
}

/// One registry that may have an image.
struct Source<'a> {
    endpoint: &'a Endpoint,
    keyring: &'a Keyring,
    name: &'a Name,
    how: &'a Pull<'a>,
}

impl Source<'_> {
    fn bring(
        &self,
        store: &Store,
        record_name: &str,
        known: Option<&ImageRecord>,
        refused: &mut Vec<Digest>,
    ) -> Result<ImageRecord, ImageError> {
        let failed = |source| ImageError::pull(self.name, source);
        let session = Session::open(self.endpoint, self.keyring, self.how.times).map_err(failed)?;
        let which = self.name.manifest();
        if let Some((known, digest)) = known.and_then(|known| Some((known, known.digest.as_ref()?)))
            && session.digest(&which).map_err(failed)?.as_ref() == Some(digest)
        {
            return Ok(known.clone());
        }
        let document = session.manifest(&which).map_err(failed)?;
        let top = Descriptor::of(&document.bytes, document.media_type.as_deref());
        if let Some(digest) = &self.name.digest {
            let size = top.size;
            check_blob(
                format!("manifests/{which}"),
                (digest, size),
                (&top.digest, size),
            )?;
        }
        let content = follow(
            &|wanted| {
                if wanted.digest == top.digest {
                    return Ok(document.bytes.clone());
                }
                let kind = wanted.media_type.as_deref().unwrap_or(MANIFEST_TYPES[0]);
                let bytes = match MANIFEST_TYPES.contains(&kind) || INDEX_TYPES.contains(&kind) {
                    true => session
                        .manifest(&wanted.digest.to_string())
                        .map(|d| d.bytes),
                    false => session.document(&wanted.digest),
                };
                bytes.map_err(failed)
            },
            &top,
        )?;
        let blobs = Blobs::new(store.data());
        let mut record = layers::bring(store, record_name, &session, &content, self.how.progress)
            .inspect_err(|error| {
            // What a broken line left is worth resuming; what was refused is worth nothing.
            if !matches!(error, ImageError::Pull { .. }) {
                let blobs = content.layers.iter().filter_map(|l| l.blob.as_ref());
                refused.extend(blobs.map(|(digest, _)| digest.clone()));
            }
        })?;
        if let Some((manifest, bytes)) = &content.manifest {
            blobs.keep(bytes)?;
            blobs.keep(&content.document)?;
            record.content = Some(manifest.clone());
        }
        record.digest = Some(top.digest.clone());
        store.write(&record)?;
        Ok(record)
    }
}
