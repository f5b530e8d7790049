//! What a pump has taken out of a container's pipes and not logged yet, kept beside the log file, so that a pump that was killed at
//! any moment loses nothing and doubles nothing.
//!
//! ```text
//!   pipe ──splice(2)──▶ spool ──read──▶ framer ──▶ log ──▶ header
//! ```
//! The bytes go from the pipe into this file in one call: they are in the one or in the other. The header says what was true after
//! the last batch: the size of the log, the beginnings of lines, and how much of the spool they account for. What is spooled beyond
//! belongs to a batch that was cut off: the log is cut back to the size it had, and the batch is done again.
//!
//! `.<n>.log.held`: size of the log and of the spool as u64, lengths of both beginnings as u32, little-endian, the beginnings; from
//! [`STREAM_AT`] the stream of the last bytes in the spool; from [`SPOOL_AT`] the spool.

use crate::stdio::cri::{MAX_CONTENT_BYTES, Stream};
use rustix::fs::OFlags;
use rustix::pipe::{SpliceFlags, splice};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

const HEADER_BYTES: usize = 24;
/// A framer never holds more than a record and a line end.
const MAX_HELD_BYTES: usize = MAX_CONTENT_BYTES + 2;
/// After the longest header.
const STREAM_AT: u64 = SPOOL_AT - 1;
const SPOOL_AT: u64 = 64 * 1024;
const _: () = assert!((HEADER_BYTES + 2 * MAX_HELD_BYTES) as u64 <= STREAM_AT);
/// The spool begins anew after so many bytes, so that it stays in the page cache and the disk hardly sees it.
const MAX_SPOOL_BYTES: u64 = 256 * 1024;

/// The file.
#[derive(Debug)]
pub(super) struct HeldFile {
    path: PathBuf,
    file: Option<File>,
    /// Bytes in the spool.
    spooled: u64,
    /// Whose bytes came last.
    stream: Option<Stream>,
    /// A header is there: without one, nothing may be spooled.
    is_headed: bool,
}

/// What a pump that died has left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The size of the log that all this follows.
    pub(super) log_bytes: u64,
    /// Beginnings of lines of stdout and stderr.
    pub(super) held: [Vec<u8>; 2],
    /// What was read last and perhaps not logged.
    pub(super) batch: Option<(Stream, Vec<u8>)>,
}

impl HeldFile {
    /// That of the log file `log`.
    pub(super) fn of(log: &Path) -> HeldFile {
        let name = log.file_name().unwrap_or_default().to_string_lossy();
        HeldFile {
            path: log.with_file_name(format!(".{name}.held")),
            file: None,
            spooled: 0,
            stream: None,
            is_headed: false,
        }
    }

    /// Opens it; what a pump that died has left. Without the file, the output is read without this safety.
    pub(super) fn load(&mut self) -> Left {
        self.file = self.open().ok();
        let Some(file) = &self.file else {
            return Left::default();
        };
        let left = read(file);
        self.is_headed = left.is_some();
        self.spooled = file
            .metadata()
            .map_or(0, |meta| meta.len())
            .saturating_sub(SPOOL_AT);
        left.unwrap_or_default()
    }

    /// Takes bytes of a stream out of its pipe. *Errors*: `WouldBlock` when there are none; any other when they cannot be taken
    /// like this, and are still in the pipe.
    pub(super) fn take(
        &mut self,
        stream: Stream,
        pipe: BorrowedFd<'_>,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        let file = self.file.as_ref().filter(|_| self.is_headed);
        let file = file.ok_or(io::ErrorKind::NotFound)?;
        if self.stream != Some(stream) {
            file.write_all_at(&[u8::from(stream == Stream::Stderr)], STREAM_AT)?;
            self.stream = Some(stream);
        }
        let start = SPOOL_AT + self.spooled;
        let mut end = start;
        let flags = SpliceFlags::NONBLOCK;
        let n = splice(pipe, None, file, Some(&mut end), buffer.len(), flags)?;
        self.spooled += n as u64;
        // They are ours now: what cannot be read back is lost.
        Ok(file
            .read_exact_at(&mut buffer[..n], start)
            .map_or(0, |()| n))
    }

    /// Remembers what is true now that all of the spool is logged or held. What cannot be saved is done again if the pump dies.
    pub(super) fn save(&mut self, log_bytes: u64, out: &[u8], err: &[u8]) {
        if self.file.is_none() {
            // It could not be opened, perhaps for a disk that was full.
            self.file = self.open().ok().filter(|file| file.set_len(0).is_ok());
        }
        let Some(file) = &self.file else { return };
        let length = |held: &[u8]| u32::try_from(held.len()).unwrap_or(0).to_le_bytes();
        let (size, done) = (log_bytes.to_le_bytes(), self.spooled.to_le_bytes());
        let state = [&size[..], &done, &length(out), &length(err), out, err].concat();
        self.is_headed |= file.write_all_at(&state, 0).is_ok();
        // After the header, which is true of an empty spool, too: more is done than there is. The other way round, a pump that
        // dies in between leaves a header that is not true any more and nothing to do again.
        if self.spooled > MAX_SPOOL_BYTES && file.set_len(SPOOL_AT).is_ok() {
            self.spooled = 0;
            let _ = file.write_all_at(&self.spooled.to_le_bytes(), size.len() as u64);
        }
    }

    /// Removes it: all is logged.
    pub(super) fn remove(&mut self) {
        if self.file.take().is_some() {
            // One that stays says the wrong size and goes with the attempt's logs.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn open(&self) -> io::Result<File> {
        let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits();
        OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .custom_flags(i32::try_from(flags).unwrap_or(0))
            .open(&self.path)
    }
}

fn read(file: &File) -> Option<Left> {
    let mut header = [0; HEADER_BYTES];
    file.read_exact_at(&mut header, 0).ok()?;
    let number = |bytes: &[u8]| Some(u64::from_le_bytes(bytes.try_into().ok()?));
    let length = |bytes: &[u8]| {
        let length = u32::from_le_bytes(bytes.try_into().ok()?);
        usize::try_from(length)
            .ok()
            .filter(|n| *n <= MAX_HELD_BYTES)
    };
    let (log_bytes, done) = (number(&header[..8])?, number(&header[8..16])?);
    let (mut out, mut err) = (
        vec![0; length(&header[16..20])?],
        vec![0; length(&header[20..])?],
    );
    file.read_exact_at(&mut out, HEADER_BYTES as u64).ok()?;
    file.read_exact_at(&mut err, (HEADER_BYTES + out.len()) as u64)
        .ok()?;
    Some(Left {
        log_bytes,
        held: [out, err],
        batch: read_batch(file, done),
    })
}

fn read_batch(file: &File, done: u64) -> Option<(Stream, Vec<u8>)> {
    let spooled = file.metadata().ok()?.len().checked_sub(SPOOL_AT)?;
    let left = spooled.checked_sub(done).filter(|left| *left > 0)?;
    let mut stream = [0];
    file.read_exact_at(&mut stream, STREAM_AT).ok()?;
    let stream = match stream {
        [0] => Stream::Stdout,
        _ => Stream::Stderr,
    };
    let mut batch = vec![0; usize::try_from(left.min(MAX_SPOOL_BYTES)).ok()?];
    file.read_exact_at(&mut batch, SPOOL_AT + done).ok()?;
    Some((stream, batch))
}
