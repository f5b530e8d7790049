//! The beginnings of lines that a pump has read and cannot log yet, kept beside the log file, so that a pump that was killed
//! loses nothing of a prompt or a progress bar that waits for its newline.
//!
//! `.<n>.log.held`: size of the log as u64, lengths of both beginnings as u32, little-endian, then the beginnings. It counts only while the
//! log has that size: what was logged later contains it. Written at most once per batch, and only when there is something to say.

use crate::stdio::cri::MAX_CONTENT_BYTES;
use rustix::fs::OFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const HEADER_BYTES: usize = 16;

/// The file; made when it is first needed.
#[derive(Debug)]
pub(super) struct HeldFile {
    path: PathBuf,
    file: Option<File>,
    /// It says that something is held.
    is_set: bool,
}

impl HeldFile {
    /// That of the log file `log`.
    pub(super) fn of(log: &Path) -> HeldFile {
        let name = log.file_name().unwrap_or_default().to_string_lossy();
        HeldFile {
            path: log.with_file_name(format!(".{name}.held")),
            file: None,
            is_set: false,
        }
    }

    /// What a pump that died held of stdout and stderr when the log had `log_bytes`.
    pub(super) fn load(&mut self, log_bytes: u64) -> [Vec<u8>; 2] {
        let Ok(file) = self.open(false) else {
            return Default::default();
        };
        let held = read(&file, log_bytes).unwrap_or_default();
        self.file = Some(file);
        self.is_set = true;
        held
    }

    /// Remembers what is held now. What cannot be saved is only lost if the pump dies, too.
    pub(super) fn save(&mut self, log_bytes: u64, out: &[u8], err: &[u8]) {
        let is_empty = out.is_empty() && err.is_empty();
        if is_empty && !self.is_set {
            return;
        }
        if self.file.is_none() {
            self.file = self.open(true).ok();
        }
        let length = |held: &[u8]| u32::try_from(held.len()).unwrap_or(0).to_le_bytes();
        let size = log_bytes.to_le_bytes();
        let state = [&size[..], &length(out), &length(err), out, err].concat();
        if let Some(file) = &self.file {
            self.is_set = file.write_all_at(&state, 0).is_err() || !is_empty;
        }
    }

    /// Removes it: all is logged.
    pub(super) fn remove(&mut self) {
        if self.file.take().is_some() {
            // One that stays says the wrong size and goes with the attempt's logs.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn open(&self, create: bool) -> io::Result<File> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(create)
            .truncate(false)
            .mode(0o600)
            .custom_flags(i32::try_from(flags).unwrap_or(0))
            .open(&self.path)
    }
}

fn read(file: &File, log_bytes: u64) -> Option<[Vec<u8>; 2]> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0).ok()?;
    let size = u64::from_le_bytes(header[..8].try_into().ok()?);
    let length = |bytes: &[u8]| {
        let length = u32::from_le_bytes(bytes.try_into().ok()?);
        // A framer never holds more than a record and a line end.
        usize::try_from(length)
            .ok()
            .filter(|n| *n <= MAX_CONTENT_BYTES + 2)
    };
    let (mut out, mut err) = (
        vec![0; length(&header[8..12])?],
        vec![0; length(&header[12..])?],
    );
    file.read_exact_at(&mut out, HEADER_BYTES as u64).ok()?;
    file.read_exact_at(&mut err, (HEADER_BYTES + out.len()) as u64)
        .ok()?;
    (size == log_bytes).then_some([out, err])
}
