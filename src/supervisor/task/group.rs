//! The directory of one shim: what must be known when the shim is dead. One file per container, and a lock on the directory
//! itself for those who begin or end a shim.

use crate::runtime::{ContainerCgroup, Driver, Runtime};
use crate::supervisor::task::types::Ended;
use crate::sys;
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// What a container's file ends in.
const SUFFIX: &str = ".json";
/// How often a directory may be removed by the end of one shim while the next begins.
const MAX_REMOVALS: u32 = 1000;

/// The directory of one shim.
#[derive(Clone, Debug)]
pub struct Group {
    /// Where.
    pub dir: PathBuf,
}

/// What is known of one container.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskRecord {
    /// Its id.
    pub id: String,
    /// Its bundle.
    pub bundle: PathBuf,
    /// Its init.
    pub pid: u32,
    /// When that started, in clock ticks since boot: with `pid`, an identity.
    pub started: Option<u64>,
    /// The program that runs it.
    pub runtime: Runtime,
    /// Where that keeps its state.
    pub root: PathBuf,
    /// Whether its cgroup was made through systemd.
    pub systemd_cgroup: bool,
    /// Its cgroup below the mounts.
    pub cgroup: Option<PathBuf>,
    /// How it ended.
    pub ended: Option<Ended>,
}

impl TaskRecord {
    /// Who runs it.
    pub fn driver(&self) -> Driver {
        Driver {
            systemd_cgroup: self.systemd_cgroup,
            ..Driver::new(self.runtime.clone(), self.root.clone())
        }
    }

    /// Its cgroup, if it had one of its own.
    pub fn container_cgroup(&self) -> Option<ContainerCgroup> {
        ContainerCgroup::at(self.cgroup.as_deref()?)
    }
}

impl Group {
    /// Makes the directory if it is absent, and locks it until the result is dropped. It waits for whoever holds it.
    pub fn lock(&self) -> io::Result<File> {
        let mut removals = 0;
        loop {
            let made = sys::create_dirs(&self.dir, 0o700);
            let file = match made.and_then(|()| File::open(&self.dir)) {
                // Both mean that somebody removed it at this moment.
                Err(error)
                    if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::AlreadyExists)
                        && removals < MAX_REMOVALS =>
                {
                    removals += 1;
                    continue;
                }
                opened => opened?,
            };
            file.lock()?;
            // Whoever held it may have removed it.
            let now = self.dir.symlink_metadata();
            if now.is_ok_and(|now| file.metadata().is_ok_and(|own| own.ino() == now.ino())) {
                return Ok(file);
            }
        }
    }

    /// Locks the directory; `None` if there is none, which it leaves so.
    pub fn lock_existing(&self) -> io::Result<Option<File>> {
        let file = match File::open(&self.dir) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened?,
        };
        file.lock()?;
        Ok(Some(file))
    }

    fn file(&self, id: &str) -> PathBuf {
        self.dir.join(format!("{id}{SUFFIX}"))
    }

    /// Writes down a container. Its id is a plain name.
    pub fn write(&self, record: &TaskRecord) -> io::Result<()> {
        let text = serde_json::to_vec(record)?;
        sys::write_atomic(&self.file(&record.id), &text, 0o600)
    }

    /// What is written of a container.
    pub fn read(&self, id: &str) -> Option<TaskRecord> {
        read(&self.file(id))
    }

    /// All containers that are written down.
    pub fn all(&self) -> Vec<TaskRecord> {
        let entries = std::fs::read_dir(&self.dir).into_iter().flatten().flatten();
        let files = entries.map(|entry| entry.path());
        files
            .filter(|path| path.extension().is_some_and(|e| e == "json"))
            .filter_map(|path| read(&path))
            .collect()
    }

    /// Forgets a container.
    pub fn forget(&self, id: &str) {
        // Absent is what is wanted.
        let _ = std::fs::remove_file(self.file(id));
    }

    /// Removes the directory with all that a dead shim left in it.
    pub fn remove(&self) {
        if let Err(error) = std::fs::remove_dir_all(&self.dir)
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(dir = %self.dir.display(), %error, "cannot remove the directory of the shim");
        }
    }
}

fn read(path: &Path) -> Option<TaskRecord> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_group_is_locked_while_others_remove_it() {
        let dir = tempfile::tempdir().expect("dir");
        let group = Group {
            dir: dir.path().join("group"),
        };
        let come_and_go = || {
            for _ in 0..2000 {
                let lock = group.lock().expect("locked");
                group.remove();
                drop(lock);
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(come_and_go);
            }
        });
    }
}
