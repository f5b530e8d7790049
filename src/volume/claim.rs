//! Claims: named volumes that outlive pods. One directory each, shared by the pods of a namespace that name it.
//!
//! ```text
//! <data>/volumes/lock                              held while one is made or removed
//! <data>/volumes/<namespace>_<claim>/claim.json    what it was made like
//! <data>/volumes/<namespace>_<claim>/data/         what the pods see
//! ```
//!
//! Invariant: a claim that stands under its name is complete; neither part of the name can hold `_`, `/` or begin with a dot.

use crate::manifest::{ClaimOptions, ClaimVolume, Pod};
use crate::sys::{self, Lock};
use crate::volume::dir;
use crate::volume::error::Error;
use crate::volume::ownership::{self, Access};
use rustix::fs::{Gid, Mode, Uid, fchmod, fchown, fstat};
use serde::{Deserialize, Serialize};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// What is known of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Whose pods may name it.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// When it was made.
    pub created: jiff::Timestamp,
    /// What it was made like.
    pub options: ClaimOptions,
}

/// All claims, locked: none is made or removed by others as long as this lives.
pub struct Claims {
    dir: PathBuf,
    _lock: Lock,
}

impl Claims {
    /// Opens the directory of claims, which is made if need be, and waits for its lock.
    pub fn open(dir: &Path) -> Result<Claims, Error> {
        let open = || {
            dir::make_on_host(dir, 0o700)?;
            Lock::take(&dir.join("lock"))
        };
        Ok(Claims {
            dir: dir.to_owned(),
            _lock: open().map_err(Error::system("lock the claims in", dir))?,
        })
    }

    /// Every claim, by namespace and name.
    pub fn list(&self) -> Result<Vec<Record>, Error> {
        let mut found = Vec::new();
        let list = || self.dir.read_dir()?.collect::<io::Result<Vec<_>>>();
        for entry in list().map_err(Error::system("list the claims in", &self.dir))? {
            let name = entry.file_name();
            if let Some((namespace, name)) = name.to_string_lossy().split_once('_') {
                found.extend(self.find(namespace, name)?);
            }
        }
        found.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
        Ok(found)
    }

    /// The claim of this name.
    pub fn find(&self, namespace: &str, name: &str) -> Result<Option<Record>, Error> {
        let path = home(&self.dir, namespace, name).join("claim.json");
        let read = || match std::fs::read(&path) {
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                Ok(None)
            }
            other => Ok(Some(serde_json::from_slice(&other?)?)),
        };
        read().map_err(Error::system::<io::Error>("read", &path))
    }

    /// Where the data of a claim is.
    pub fn data(&self, claim: &Record) -> PathBuf {
        data(&self.dir, &claim.namespace, &claim.name, &claim.options)
    }

    /// Removes a claim with its data; a directory of the host stays. Whether a pod uses it is for the caller to know. A crash in the
    /// middle leaves the rest of its data under a name that no claim has; it is removed by the next removal.
    pub fn remove(&self, claim: &Record) -> Result<(), Error> {
        let path = home(&self.dir, &claim.namespace, &claim.name);
        let aside = self.dir.join(".removed");
        let remove = || {
            remove_tree(&aside)?;
            std::fs::rename(&path, &aside)?;
            remove_tree(&aside)
        };
        remove().map_err(Error::system("remove", &path))
    }

    fn make(&self, namespace: &str, claim: &ClaimVolume) -> Result<Record, Error> {
        let record = Record {
            namespace: namespace.to_owned(),
            name: claim.claim.clone(),
            created: jiff::Timestamp::now(),
            options: claim.options.clone(),
        };
        let unfinished = self.dir.join(".new");
        let make = || {
            remove_tree(&unfinished)?;
            dir::make_on_host(&unfinished, 0o700)?;
            sys::write_atomic(
                &unfinished.join("claim.json"),
                &serde_json::to_vec(&record)?,
                0o600,
            )?;
            if record.options.device.is_none() {
                let data = unfinished.join("data");
                dir::make_on_host(&data, 0o755)?;
                let data = dir::open(&data)?;
                let (uid, gid) = (record.options.uid, record.options.gid);
                fchown(&data, uid.map(Uid::from_raw), gid.map(Gid::from_raw))?;
                fchmod(&data, Mode::from_raw_mode(0o755))?;
            }
            std::fs::rename(&unfinished, home(&self.dir, namespace, &claim.claim))
        };
        make().map_err(Error::system("make a claim in", &self.dir))?;
        Ok(record)
    }
}

/// Makes sure that the claim is there and gives its directory. One that is there stays what it is, whatever the manifest says now.
pub(super) fn prepare(
    claims: &Path,
    pod: &Pod,
    wanted: &ClaimVolume,
    nested: &[PathBuf],
) -> Result<PathBuf, Error> {
    let claims = Claims::open(claims)?;
    let found = claims.find(&pod.namespace, &wanted.claim)?;
    let record = found.map_or_else(|| claims.make(&pod.namespace, wanted), Ok)?;
    let path = claims.data(&record);
    // What follows may take long, and others have claims of their own.
    drop(claims);
    if let Some(device) = &record.options.device {
        let device = Path::new(device).canonicalize();
        return device.map_err(Error::system("find the directory of a claim at", &path));
    }
    let fill = || {
        let root = dir::open(&path)?;
        for path in nested.iter().filter(|_| !wanted.read_only) {
            dir::make_below(&root, path, 0o755)?;
        }
        match pod.security.fs_group.filter(|_| !wanted.read_only) {
            Some(gid) if !(pod.security.fs_group_on_root_mismatch && belongs(&root, gid)?) => {
                ownership::give(&root, gid, Access::ReadWrite)
            }
            _ => Ok(()),
        }
    };
    fill().map_err(Error::system::<io::Error>("give to the pod's group", &path))?;
    Ok(path)
}

/// Whether the root of a volume is as the group needs it. Source: kubelet `requiresPermissionChange`.
fn belongs(root: impl std::os::fd::AsFd, gid: u32) -> io::Result<bool> {
    let stat = fstat(root)?;
    let needed = ownership::directory_mode(0, Access::ReadWrite);
    Ok(stat.st_gid == gid && stat.st_mode & needed == needed)
}

/// Where the data of a claim is or will be, as far as the manifest knows.
pub(super) fn place(claims: &Path, namespace: &str, claim: &ClaimVolume) -> PathBuf {
    data(claims, namespace, &claim.claim, &claim.options)
}

fn data(claims: &Path, namespace: &str, name: &str, options: &ClaimOptions) -> PathBuf {
    match &options.device {
        Some(device) => PathBuf::from(device),
        None => home(claims, namespace, name).join("data"),
    }
}

fn home(claims: &Path, namespace: &str, name: &str) -> PathBuf {
    claims.join(format!("{namespace}_{name}"))
}

/// Removes a directory of ours with all below; links are removed, not followed.
fn remove_tree(path: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
