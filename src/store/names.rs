//! Names: `<namespace>/<name>` belongs to one pod at a time. Taking a name is one link(2), which fails if it exists: no lock.

use crate::base::PodUid;
use crate::store::Dirs;
use crate::sys;
use std::io;
use std::path::PathBuf;

/// The name belongs to another pod.
#[derive(Debug, thiserror::Error)]
pub enum NameTaken {
    /// To this one.
    #[error("pod `{name}` already exists")]
    By {
        /// `<namespace>/<name>`.
        name: String,
        /// Its holder.
        uid: PodUid,
    },
    /// The name could not be written.
    #[error("cannot claim the name `{name}`")]
    Io {
        /// `<namespace>/<name>`.
        name: String,
        /// Why.
        source: io::Error,
    },
}

/// How often a name that is given up at the very moment is asked for again.
const MAX_TRIES: u32 = 10;

fn path(dirs: &Dirs, namespace: &str, name: &str) -> PathBuf {
    // Neither part can hold `_` or `/`: both are DNS names.
    dirs.state.join("names").join(format!("{namespace}_{name}"))
}

/// Takes the name for a pod. Taking it again for the same pod is fine.
pub fn claim_name(dirs: &Dirs, namespace: &str, name: &str, uid: &PodUid) -> Result<(), NameTaken> {
    let shown = || format!("{namespace}/{name}");
    let io = |source| NameTaken::Io {
        name: shown(),
        source,
    };
    let path = path(dirs, namespace, name);
    let parent = dirs.state.join("names");
    sys::create_dirs(&parent, 0o700).map_err(io)?;
    let mut file = tempfile::NamedTempFile::new_in(&parent).map_err(io)?;
    io::Write::write_all(&mut file, uid.0.as_bytes()).map_err(io)?;
    for _ in 0..MAX_TRIES {
        file = match file.persist_noclobber(&path) {
            Ok(_) => return Ok(()),
            Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => e.file,
            Err(e) => return Err(io(e.error)),
        };
        match find_name(dirs, namespace, name) {
            Some(holder) if holder == *uid => return Ok(()),
            Some(uid) => return Err(NameTaken::By { name: shown(), uid }),
            // It has just been given up.
            None => {}
        }
    }
    Err(io(io::ErrorKind::AlreadyExists.into()))
}

/// The pod that holds the name.
pub fn find_name(dirs: &Dirs, namespace: &str, name: &str) -> Option<PodUid> {
    std::fs::read_to_string(path(dirs, namespace, name))
        .ok()
        .map(|text| PodUid(text.trim().to_owned()))
}

/// Gives the name up, if this pod holds it.
pub fn release_name(dirs: &Dirs, namespace: &str, name: &str, uid: &PodUid) -> io::Result<()> {
    if find_name(dirs, namespace, name).as_ref() != Some(uid) {
        return Ok(());
    }
    match std::fs::remove_file(path(dirs, namespace, name)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_belongs_to_one_pod_until_it_is_released() {
        let dir = tempfile::tempdir().expect("dir");
        let dirs = Dirs {
            state: dir.path().into(),
            data: dir.path().into(),
            logs: dir.path().into(),
        };
        let (a, b) = (PodUid("a".into()), PodUid("b".into()));
        claim_name(&dirs, "default", "web", &a).expect("free");
        claim_name(&dirs, "default", "web", &a).expect("its own");
        assert!(
            matches!(claim_name(&dirs, "default", "web", &b), Err(NameTaken::By { uid, .. }) if uid == a)
        );
        release_name(&dirs, "default", "web", &b).expect("not its name");
        assert_eq!(find_name(&dirs, "default", "web"), Some(a.clone()));
        release_name(&dirs, "default", "web", &a).expect("released");
        claim_name(&dirs, "default", "web", &b).expect("free again");
    }
}
