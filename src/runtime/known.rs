//! What runtimes said of themselves, kept until their program changes: asking costs two runs of it, a tenth of a small pod's start.
//!
//! A cache: whatever cannot be read or written is asked again.

use crate::runtime::{Runtime, small_file};
use crate::sys;
use serde::{Deserialize, Serialize};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Longest file read, in bytes: a runtime takes 300.
const FILE_MAX_BYTES: u64 = 64 * 1024;

/// The file of what is known.
pub(super) struct Known {
    file: PathBuf,
    entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    program: Program,
    runtime: Runtime,
}

/// A program that has not changed, and who asked it. A change cannot hide: the kernel sets the time of the last change of status.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Program {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    changed: (i64, i64),
    asked_by: String,
}

impl Program {
    /// The program at a path, links followed; `None` if it cannot be looked at.
    pub(super) fn at(path: &Path) -> Option<Program> {
        let found = path.metadata().ok()?;
        Some(Program {
            path: path.to_owned(),
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            changed: (found.ctime(), found.ctime_nsec()),
            asked_by: env!("CARGO_PKG_VERSION").to_owned(),
        })
    }
}

impl Known {
    /// What the file has.
    pub(super) fn read(file: &Path) -> Known {
        let text = small_file::read_head(file, FILE_MAX_BYTES).unwrap_or_default();
        Known {
            file: file.to_owned(),
            entries: serde_json::from_str(&text).unwrap_or_default(),
        }
    }

    /// What this very program said.
    pub(super) fn of(&self, program: &Program) -> Option<&Runtime> {
        let entry = self.entries.iter().find(|e| e.program == *program)?;
        Some(&entry.runtime)
    }

    /// Remembers what a program said, in place of what was at its path before.
    pub(super) fn remember(mut self, program: Program, runtime: &Runtime) {
        self.entries.retain(|e| e.program.path != program.path);
        let runtime = runtime.clone();
        self.entries.push(Entry { program, runtime });
        if let Ok(text) = serde_json::to_vec(&self.entries) {
            // Without the right to write, or before the first pod made the directory, it is asked again.
            let _ = sys::write_atomic(&self.file, &text, 0o600);
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::runtime::find_known;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;

    /// A runtime that writes down each run of it.
    fn write_runtime(path: &Path, version: &str) {
        let runs = path.with_extension("runs");
        let text = format!(
            "#!/bin/sh\necho $1 >>{}\n[ $1 = features ] && echo '{{}}' || echo runc version {version}\n",
            runs.display()
        );
        std::fs::write(path, text).expect("script");
        std::fs::set_permissions(path, PermissionsExt::from_mode(0o755)).expect("mode");
    }

    #[tokio::test]
    async fn a_runtime_is_asked_once_until_its_program_changes() {
        let dir = tempfile::tempdir().expect("dir");
        let (program, known) = (dir.path().join("runc"), dir.path().join("known.json"));
        let version = async || {
            let found = find_known(program.to_str(), &known).await;
            found.expect("a runtime").version
        };
        let runs = || {
            let text = std::fs::read_to_string(program.with_extension("runs"));
            text.expect("it was run").lines().count()
        };
        write_runtime(&program, "1.1.5");
        assert_eq!(version().await, "1.1.5");
        assert_eq!(version().await, "1.1.5");
        assert_eq!(runs(), 2, "version and features, once");
        write_runtime(&program, "1.1.6");
        assert_eq!(version().await, "1.1.6");
        assert_eq!(runs(), 4);
        std::fs::write(&known, "not ours").expect("write");
        assert_eq!(version().await, "1.1.6", "a broken file is no obstacle");
    }
}
