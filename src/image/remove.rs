//! Removing images. What a pod of this machine uses stays, whatever is asked.

use crate::image::collect::collect;
use crate::image::registry::spellings;
use crate::image::store::{self, Access, Store};
use crate::image::{ImageError, ImageRecord, Reference};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// What the pods of this machine use.
#[derive(Clone, Debug, Default)]
pub struct InUse {
    /// References of the containers of every pod that exists, as its manifest has them.
    pub references: Vec<String>,
    /// Directories of layers that pods have resolved.
    pub layers: Vec<PathBuf>,
    /// Whether some pod cannot be read: then anything may be in use.
    pub is_unknown: bool,
}

impl InUse {
    /// Every spelling of every reference.
    fn names(&self) -> BTreeSet<String> {
        let parsed = self
            .references
            .iter()
            .filter_map(|text| text.parse::<Reference>().ok());
        parsed
            .flat_map(|reference| spellings(&reference.to_string()))
            .collect()
    }
}

/// How much [`prune`] removes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prune {
    /// What belongs to no image: left by a crash, or by images that were removed while in use.
    Remains,
    /// Also every image that no pod uses.
    Unused,
}

/// Removes an image, and of its content what neither another image nor a pod needs. `in_use` is asked when nobody can bring an image
/// any more: a pod that comes later finds out that this one is gone. Errors: `Absent`; `InUse`.
pub fn remove(
    data: &Path,
    reference: &str,
    in_use: impl FnOnce() -> InUse,
) -> Result<(), ImageError> {
    let name = reference.parse::<Reference>()?.to_string();
    let store = Store::open(data, Access::Exclusive)?;
    let mut found = None;
    for spelling in spellings(&name) {
        found = found.or(store::find(data, &spelling)?);
    }
    let Some(record) = found else {
        return Err(ImageError::Absent(name));
    };
    let in_use = in_use();
    let records = store::records(data)?;
    if in_use.is_unknown || is_used(&store, &record, &records, &in_use, &in_use.names()) {
        return Err(ImageError::InUse(name));
    }
    store.forget(&record.reference)?;
    collect(&store, &in_use.layers)
}

/// Removes what is not needed; gives the names of the images that went. `in_use` as for [`remove`].
pub fn prune(
    data: &Path,
    what: Prune,
    in_use: impl FnOnce() -> InUse,
) -> Result<Vec<String>, ImageError> {
    let store = Store::open(data, Access::Exclusive)?;
    let in_use = in_use();
    let mut gone = Vec::new();
    if in_use.is_unknown {
        return Ok(gone);
    }
    if what == Prune::Unused {
        let names = in_use.names();
        let mut records = store::records(data)?;
        let mut next = 0;
        while let Some(record) = records.get(next) {
            if is_used(&store, record, &records, &in_use, &names) {
                next += 1;
            } else {
                store.forget(&record.reference)?;
                gone.push(records.remove(next).reference);
            }
        }
    }
    collect(&store, &in_use.layers)?;
    Ok(gone)
}

/// Whether somebody brings or removes images now, so that removing would have to wait.
pub fn is_busy(data: &Path) -> bool {
    data.join("images.lock").exists() && store::alone(data).is_none()
}

/// A pod names it, or uses its layers and no other of the records that are left would keep them. `names` are those of `in_use`.
fn is_used(
    store: &Store,
    record: &ImageRecord,
    records: &[ImageRecord],
    in_use: &InUse,
    names: &BTreeSet<String>,
) -> bool {
    if names.contains(&record.reference) {
        return true;
    }
    let mut layers = record.layers.iter();
    if !layers.all(|chain| in_use.layers.contains(&store.layer_dir(chain))) {
        return false;
    }
    let same =
        |other: &ImageRecord| other.reference != record.reference && other.layers == record.layers;
    !records.iter().any(same)
}
