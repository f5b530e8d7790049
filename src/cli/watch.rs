//! Watching pods by their directories: the turn of `get --watch` and `events --follow` is to name the pods, to
//! look at them and to wait until one of them has changed. No process is asked.

use crate::cli::follow;
use crate::cli::settings::Settings;
use crate::store::{EVENTS, PodDir};
use crate::sys::Changes;
use std::time::{Duration, Instant};

/// Time between two looks when nothing changes: for what no file tells, such as the age of a pod.
const QUIET: Duration = Duration::from_secs(1);
/// The same where the kernel does not tell of changes: often enough for a person, cheap enough for hundreds of pods.
const DEAF: Duration = Duration::from_millis(200);

/// What is watched.
pub(super) struct Watch {
    changes: Changes,
    /// When the look of this turn began.
    began: Instant,
    /// It began because something had changed.
    changed: bool,
}

impl Watch {
    pub fn new() -> Watch {
        Watch {
            changes: Changes::default(),
            began: follow::now(),
            changed: false,
        }
    }

    /// Names all pods, and those that come.
    pub fn all(&mut self, settings: &Settings) {
        let dir = settings.dirs.state.join("pods");
        self.changes.of_entries(&dir);
        for entry in dir.read_dir().into_iter().flatten().flatten() {
            self.pod(&PodDir::new(&entry.path(), &settings.dirs.data));
        }
    }

    /// Names one pod: its snapshot, its events, its end.
    pub fn pod(&mut self, dir: &PodDir) {
        self.changes.of_files(&dir.state);
        self.changes.of_content(&dir.file(EVENTS));
    }

    /// Waits for a change; begins the next turn.
    pub fn wait(&mut self) {
        if self.changed {
            // Pods that change all the time get half a processor at the most.
            std::thread::sleep(self.began.elapsed().min(DEAF));
        }
        self.changed = self.changes.wait(QUIET, DEAF);
        self.began = follow::now();
    }
}
