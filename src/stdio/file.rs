//! One log file: append, rotate, prune. A batch is whole records and is written by one write(2).
//!
//! When the disk does not take it, the file is cut back to its last whole record. What then becomes of the rest says
//! [`WhenFull`]; nothing here blocks on, retries for or fails because of a full disk.

use crate::base::Bytes;
use crate::manifest::Pod;
use crate::stdio::cri::Stream;
use crate::stdio::held::{HeldFile, Left};
use crate::stdio::news::{LogNews, Teller};
use crate::stdio::rotation::{self, ignore_absent};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// How large logs may get, and what happens when they cannot be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLimits {
    /// Bytes of a file after which it is rotated; one batch more is possible, and as much again inside an endless line.
    pub file_bytes: u64,
    /// Files per instance, the current one included; older ones are removed.
    pub files: usize,
    /// What becomes of output that the disk does not take.
    pub when_full: WhenFull,
}

/// What becomes of output that the disk does not take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum WhenFull {
    /// It is dropped and counted: the container never waits.
    Drop,
    /// It stays where it is until the disk takes it: the container waits as soon as its pipe is full.
    Block,
}

impl Default for LogLimits {
    /// Source: kubelet `containerLogMaxSize`, `containerLogMaxFiles`.
    fn default() -> LogLimits {
        LogLimits {
            file_bytes: 10 * 1024 * 1024,
            files: 5,
            when_full: WhenFull::Drop,
        }
    }
}

/// What became of an instance's output; grows while it runs.
#[derive(Debug, Default)]
pub struct LogCounters {
    read: AtomicU64,
    lost: AtomicU64,
    errno: AtomicU64,
}

impl LogCounters {
    /// Bytes read from the container.
    pub fn read_bytes(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// Bytes of records that could not be written.
    pub fn lost_bytes(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Why records were lost, the last time.
    pub fn last_error(&self) -> Option<io::Error> {
        let errno = i32::try_from(self.errno.load(Ordering::Relaxed)).unwrap_or(0);
        (errno != 0).then(|| io::Error::from_raw_os_error(errno))
    }

    pub(super) fn add_read(&self, bytes: usize) {
        self.read.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    fn add_lost(&self, bytes: usize, error: &io::Error) {
        self.lost.fetch_add(bytes as u64, Ordering::Relaxed);
        let errno = error.raw_os_error().unwrap_or(Errno::IO.raw_os_error());
        self.errno
            .store(u64::from(errno.unsigned_abs()), Ordering::Relaxed);
    }
}

/// `<logs>/<namespace>_<name>_<uid>`: all logs of a pod. Source: kubelet `BuildPodLogsDirectory`.
pub fn pod_log_dir(logs: &Path, pod: &Pod) -> PathBuf {
    logs.join(format!("{}_{}_{}", pod.namespace, pod.name, pod.uid))
}

/// `<logs>/<namespace>_<name>_<uid>/<container>/<attempt>.log`.
pub fn container_log(logs: &Path, pod: &Pod, container: &str, attempt: u32) -> PathBuf {
    pod_log_dir(logs, pod)
        .join(container)
        .join(format!("{attempt}.log"))
}

/// Removes the logs of every attempt before the previous one from a container's log directory.
pub fn prune_attempts(container_dir: &Path, current: u32) -> io::Result<()> {
    for entry in container_dir.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        let number = name
            .to_str()
            .and_then(|n| n.split_once(".log"))
            .map(|n| n.0);
        let attempt = number.and_then(|n| n.trim_start_matches('.').parse::<u32>().ok());
        if attempt.is_some_and(|n| n.saturating_add(1) < current) {
            ignore_absent(std::fs::remove_file(entry.path()))?;
        }
    }
    Ok(())
}

/// The log file of one instance, open for appending.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: File,
    size: u64,
    limits: LogLimits,
    /// The last record ends a line, of both streams.
    at_line_end: bool,
    held: HeldFile,
    counters: Arc<LogCounters>,
    teller: Option<Box<Teller>>,
}

impl LogFile {
    /// Opens `path` (mode 0640) for appending, with its directories (0755). A record that was torn when a writer died is ended, so that
    /// the next one stands alone. *Errors*: whatever the file system says.
    pub fn open(path: PathBuf, limits: LogLimits) -> io::Result<LogFile> {
        if let Some(dir) = path.parent() {
            DirBuilder::new().recursive(true).mode(0o755).create(dir)?;
        }
        let mut file = append_to(&path)?;
        let mut size = file.metadata()?.len();
        if size > 0 {
            let mut last = [0];
            file.seek(SeekFrom::End(-1))?;
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                size += file.write(b"\n")? as u64;
            }
        }
        let held = HeldFile::of(&path);
        Ok(LogFile {
            path,
            file,
            size,
            limits,
            at_line_end: true,
            held,
            counters: Arc::default(),
            teller: None,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Somebody wants to hear how it goes.
    pub fn telling(mut self, tell: impl FnMut(LogNews) + Send + 'static) -> LogFile {
        self.teller = Some(Box::new(Teller::new(tell)));
        self
    }

    /// What becomes of the output, also while it is pumped.
    pub fn counters(&self) -> Arc<LogCounters> {
        Arc::clone(&self.counters)
    }

    /// What a pump of this log that died had read and not logged. A batch that it may have logged is taken out of the log again.
    pub(super) fn load_held(&mut self) -> Left {
        let mut left = self.held.load();
        if left.log_bytes == self.size {
            return left;
        }
        if left.batch.is_none() {
            // The log was written to by another, which ended the lines.
            left.held = Default::default();
            return left;
        }
        // Shorter than it was: the log was rotated for this very batch.
        let kept = if self.size > left.log_bytes {
            left.log_bytes
        } else {
            0
        };
        if self.file.set_len(kept).is_ok() {
            self.size = kept;
        }
        left
    }

    /// Takes bytes of a stream out of its pipe, so that they outlive this process. *Errors*: `WouldBlock` when there are none,
    /// `StorageFull` when they have to wait for the disk.
    pub(super) fn take(
        &mut self,
        stream: Stream,
        pipe: BorrowedFd<'_>,
        buffer: &mut [u8],
    ) -> io::Result<usize> {
        match self.held.take(stream, pipe, buffer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => Err(error),
            // `InvalidInput`: a terminal, of which nothing can be moved like this.
            Err(error)
                if self.limits.when_full == WhenFull::Block
                    && error.kind() != ErrorKind::InvalidInput =>
            {
                self.tell(Some(error));
                Err(ErrorKind::StorageFull.into())
            }
            // Read without that safety.
            Err(_) => Ok(rustix::io::read(pipe, buffer)?),
            taken => taken,
        }
    }

    /// Remembers what is read of stdout and stderr and not logged.
    pub(super) fn save_held(&mut self, out: &[u8], err: &[u8]) {
        self.held.save(self.size, out, err);
    }

    /// Forgets it: all is logged.
    pub(super) fn remove_held(&mut self) {
        self.held.remove();
    }

    /// Appends a batch of whole records; `at_line_end` says whether its last record of each stream ends a line. What has to wait
    /// for the disk stays in the batch; whether nothing does.
    pub(super) fn append(&mut self, batch: &mut Bytes, at_line_end: bool) -> bool {
        if batch.is_empty() {
            return true;
        }
        let full = self.size >= self.limits.file_bytes;
        if full && (self.at_line_end || self.size >= self.limits.file_bytes.saturating_mul(2)) {
            self.rotate();
        }
        let (written, error) = write_all(&self.file, batch.as_slice());
        let kept = match &error {
            None => written,
            Some(_) => batch.as_slice()[..written]
                .iter()
                .rposition(|b| *b == b'\n')
                .map_or(0, |end| end + 1),
        };
        self.size += kept as u64;
        if kept < written {
            // If even this fails, `open` of the next writer ends the torn record.
            let _ = self.file.set_len(self.size);
        }
        batch.drop_front(kept);
        let waits = error.is_some() && self.limits.when_full == WhenFull::Block;
        if !waits {
            if let Some(error) = &error {
                self.counters.add_lost(batch.as_slice().len(), error);
            }
            batch.drop_front(batch.as_slice().len());
            self.at_line_end = at_line_end;
        }
        self.tell(error);
        !waits
    }

    /// The same for the last time: what the disk does not take now is lost.
    pub(super) fn append_last(&mut self, batch: &mut Bytes) {
        self.limits.when_full = WhenFull::Drop;
        self.append(batch, true);
    }

    fn tell(&mut self, error: Option<io::Error>) {
        if let Some(teller) = self.teller.as_mut() {
            teller.tell(error, self.limits.when_full);
        }
    }

    /// Moves the file aside and opens a new one. Whatever fails, the open file stays good for writing and it is tried again later.
    fn rotate(&mut self) {
        let moved = rotation::move_aside(&self.path);
        if moved.is_err_and(|error| error.kind() != ErrorKind::NotFound) {
            return;
        }
        if let Ok(file) = append_to(&self.path) {
            self.size = file.metadata().map_or(0, |meta| meta.len());
            self.file = file;
        }
        // What cannot be removed now is found again by the next rotation.
        let _ = rotation::remove_oldest(&self.path, self.limits.files);
    }
}

/// Opens for appending; never through a symbolic link, which a container with the log directory mounted could plant.
fn append_to(path: &Path) -> io::Result<File> {
    let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o640)
        .custom_flags(i32::try_from(flags.bits()).unwrap_or(0))
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(ErrorKind::InvalidInput.into());
    }
    file.set_permissions(Permissions::from_mode(0o640))?;
    Ok(file)
}

/// One write(2), more only if the kernel took less; what was written and why not all.
fn write_all(mut file: &File, batch: &[u8]) -> (usize, Option<io::Error>) {
    let mut written = 0;
    while written < batch.len() {
        match file.write(&batch[written..]) {
            Ok(0) => return (written, Some(ErrorKind::WriteZero.into())),
            Ok(n) => written += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return (written, Some(error)),
        }
    }
    (written, None)
}
