//! What is written of a pod while it lives: its snapshot and its events. A disk that takes nothing does not stop the pod: what
//! could not be written is written as soon as it can be.

use crate::base::Mono;
use crate::pod::Event;
use crate::store::{EVENTS, PodDir, append_event};
use crate::supervisor::{SNAPSHOT, SNAPSHOT_BEFORE, SupervisorError};
use crate::sys;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

/// Until what could not be written is tried again: soon enough for a person who has made room.
const RETRY: Duration = Duration::from_secs(1);
/// Events kept for a disk that takes none, some 200 bytes each; of more, the oldest are lost.
const MAX_EVENTS: usize = 256;

/// The two files and what they lack.
pub(super) struct Record {
    snapshot: PathBuf,
    before: PathBuf,
    /// The snapshot as last written.
    written: Vec<u8>,
    log: File,
    /// Events that are not written yet, oldest first.
    events: VecDeque<Event>,
    /// When to try again what failed.
    pub again_at: Option<Mono>,
}

impl Record {
    pub fn open(dir: &PodDir) -> Result<Record, SupervisorError> {
        let path = dir.file(EVENTS);
        let log = File::options().append(true).create(true).open(&path);
        let log = log.map_err(|source| SupervisorError::Read { path, source })?;
        Ok(Record {
            snapshot: dir.file(SNAPSHOT),
            before: dir.file(SNAPSHOT_BEFORE),
            written: Vec::new(),
            log,
            events: VecDeque::new(),
            again_at: None,
        })
    }

    /// Writes a snapshot that differs from the last one, and the events that wait.
    pub fn write(&mut self, snapshot: Vec<u8>) -> io::Result<()> {
        let was_complete = self.again_at.take().is_none();
        let written = self.write_snapshot(snapshot).and(self.write_events());
        if let Err(error) = &written {
            self.again_at = Some(sys::now().mono + RETRY);
            if was_complete {
                tracing::error!(%error, "cannot write down what happens to the pod; it goes on");
            }
        }
        written
    }

    /// Something else has failed that will work as soon as this does.
    pub fn try_again(&mut self) {
        self.again_at.get_or_insert(sys::now().mono + RETRY);
    }

    /// Appends an event after those that wait.
    pub fn announce(&mut self, event: Event) {
        if self.events.len() == MAX_EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(event);
        if self.write_events().is_err() {
            self.try_again();
        }
    }

    fn write_snapshot(&mut self, snapshot: Vec<u8>) -> io::Result<()> {
        if self.written != snapshot {
            sys::write_atomic_keeping(&self.snapshot, &self.before, &snapshot, 0o600)?;
            self.written = snapshot;
        }
        Ok(())
    }

    fn write_events(&mut self) -> io::Result<()> {
        while let Some(event) = self.events.front() {
            append_event(&self.log, event)?;
            self.events.pop_front();
        }
        Ok(())
    }
}
