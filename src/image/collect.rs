//! What leaves the store: files that no record needs and no pod uses.

use crate::image::ImageError;
use crate::image::blobs::Blobs;
use crate::image::digest::Digest;
use crate::image::store::{Store, alone, record_path, records, remove, store_error};
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// Removes what no record needs and no pod uses, and what crashes left. Only with exclusive access.
pub(super) fn collect(store: &Store, in_use: &[PathBuf]) -> Result<(), ImageError> {
    let records = records(store.data())?;
    let mut keep: BTreeSet<PathBuf> = in_use.iter().cloned().collect();
    let needed = records.iter().flat_map(|record| &record.layers);
    keep.extend(needed.map(|chain| store.layer_dir(chain)));
    let names = records
        .iter()
        .map(|r| record_path(store.data(), &r.reference));
    keep.extend(names);
    let blobs = Blobs::new(store.data());
    let kept = records.iter().flat_map(|record| {
        let manifest = record.content.as_ref().map(|content| &content.digest);
        manifest.into_iter().chain(&record.blobs)
    });
    keep.extend(kept.map(|digest| blobs.path(digest)));
    // The index first: it never names what is not there.
    store.index()?;
    for directory in ["layers", "images", "content/blobs/sha256", "partial"] {
        let directory = store.data().join(directory);
        let sweep = || -> io::Result<()> {
            for entry in fs::read_dir(&directory)? {
                let path = entry?.path();
                if keep.contains(&path) {
                    continue;
                }
                // Renamed first: a crash in the middle must not leave half a layer under its name.
                let aside = match path.extension() {
                    Some(_) => path,
                    None if !path.is_dir() => path,
                    None => {
                        let aside = path.with_added_extension("tmp");
                        remove(&aside)?;
                        fs::rename(&path, &aside)?;
                        aside
                    }
                };
                remove(&aside)?;
            }
            Ok(())
        };
        sweep().map_err(|source| store_error(&directory, source))?;
    }
    Ok(())
}

/// Removes blobs, whole or in part, that no record needs. Where others use the store they may be about to: then these go with the next
/// removal of images.
pub(super) fn forget_blobs(data: &Path, digests: &[Digest]) {
    if digests.is_empty() {
        return;
    }
    let Some(_lock) = alone(data) else { return };
    let Ok(records) = records(data) else { return };
    let blobs = Blobs::new(data);
    for digest in digests {
        if !records.iter().any(|record| record.blobs.contains(digest)) {
            // Why the image was refused is what is told.
            let _ = fs::remove_file(blobs.path(digest));
            let _ = fs::remove_file(blobs.partial(digest));
        }
    }
}
