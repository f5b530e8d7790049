//! One log file: append, rotate, prune. A batch is whole records and is written by one write(2).
//!
//! When the disk does not take it, the file is cut back to its last whole record. What then becomes of the rest says
//! [`WhenFull`]; nothing here blocks on, retries for or fails because of a full disk.

use crate::base::Mono;
use crate::manifest::Pod;
use crate::stdio::cri::Stream;
use crate::stdio::held::{HeldFile, Left};
use crate::sys;
use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom, Write};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Names tried for a rotated file before the rotation is put off: one per second from the last one on.
const ROTATED_NAMES: usize = 8;

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

/// How it goes with a log, told when it changes.
#[derive(Debug)]
pub enum LogNews {
    /// The disk does not take it.
    Refused(io::Error, WhenFull),
    /// It is written again.
    Written,
}

/// Time between two news of one log: a disk that is almost full takes a batch now and then.
const NEWS_INTERVAL: Duration = Duration::from_secs(10);

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

/// Whom a log tells.
struct Told {
    tell: Box<dyn FnMut(LogNews) + Send>,
    refused: bool,
    not_before: Mono,
}

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Told({})", self.refused)
    }
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
    told: Option<Box<Told>>,
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
            told: None,
        })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Somebody wants to hear how it goes.
    pub fn telling(mut self, tell: impl FnMut(LogNews) + Send + 'static) -> LogFile {
        self.told = Some(Box::new(Told {
            tell: Box::new(tell),
            refused: false,
            not_before: Mono::default(),
        }));
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
    pub(super) fn append(&mut self, batch: &mut Vec<u8>, at_line_end: bool) -> bool {
        if batch.is_empty() {
            return true;
        }
        let full = self.size >= self.limits.file_bytes;
        if full && (self.at_line_end || self.size >= self.limits.file_bytes.saturating_mul(2)) {
            self.rotate();
        }
        let (written, error) = write_all(&self.file, batch);
        let kept = match &error {
            None => written,
            Some(_) => batch[..written]
                .iter()
                .rposition(|b| *b == b'\n')
                .map_or(0, |end| end + 1),
        };
        self.size += kept as u64;
        if kept < written {
            // If even this fails, `open` of the next writer ends the torn record.
            let _ = self.file.set_len(self.size);
        }
        batch.drain(..kept);
        let waits = error.is_some() && self.limits.when_full == WhenFull::Block;
        if !waits {
            if let Some(error) = &error {
                self.counters.add_lost(batch.len(), error);
            }
            batch.clear();
            self.at_line_end = at_line_end;
        }
        self.tell(error);
        !waits
    }

    /// The same for the last time: what the disk does not take now is lost.
    pub(super) fn append_last(&mut self, batch: &mut Vec<u8>) {
        self.limits.when_full = WhenFull::Drop;
        self.append(batch, true);
    }

    fn tell(&mut self, error: Option<io::Error>) {
        let Some(told) = self.told.as_mut() else {
            return;
        };
        if told.refused == error.is_some() {
            return;
        }
        let now = sys::now().mono;
        if now < told.not_before {
            return;
        }
        told.refused = error.is_some();
        told.not_before = now + NEWS_INTERVAL;
        (told.tell)(match error {
            Some(error) => LogNews::Refused(error, self.limits.when_full),
            None => LogNews::Written,
        });
    }

    /// Moves the file aside and opens a new one. Whatever fails, the open file stays good for writing and it is tried again later.
    fn rotate(&mut self) {
        let moved = self.move_aside();
        if moved.is_err_and(|error| error.kind() != ErrorKind::NotFound) {
            return;
        }
        if let Ok(file) = append_to(&self.path) {
            self.size = file.metadata().map_or(0, |meta| meta.len());
            self.file = file;
        }
        // What cannot be removed now is found again by the next rotation.
        let _ = self.remove_oldest();
    }

    fn move_aside(&self) -> io::Result<()> {
        let last = rotated_files(&self.path)?.pop();
        let last = last.and_then(|path| rotation_time(&self.path, &path));
        let mut at = jiff::Timestamp::now();
        if let Some(last) = last {
            // Faster than one a second the names run ahead of the clock: they must sort and never be used twice.
            at = at.max(second_after(last));
        }
        for _ in 0..ROTATED_NAMES {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{}", at.strftime(ROTATED_FORMAT)));
            match renameat_with(CWD, &self.path, CWD, &name, RenameFlags::NOREPLACE) {
                Err(Errno::EXIST) => at = second_after(at),
                done => return Ok(done?),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    }

    fn remove_oldest(&self) -> io::Result<()> {
        let rotated = rotated_files(&self.path)?;
        let surplus = (rotated.len() + 1).saturating_sub(self.limits.files.max(1));
        for path in &rotated[..surplus.min(rotated.len())] {
            ignore_absent(std::fs::remove_file(path))?;
        }
        Ok(())
    }
}

/// `<YYYYMMDD-HHMMSS>`. Source: kubelet `timestampFormat` of the container log manager.
const ROTATED_FORMAT: &str = "%Y%m%d-%H%M%S";

/// The rotated files of the log `path`, oldest first.
pub(super) fn rotated_files(path: &Path) -> io::Result<Vec<PathBuf>> {
    let dir = path.parent().unwrap_or(Path::new("."));
    let mut found = Vec::new();
    for entry in dir.read_dir()? {
        let candidate = entry?.path();
        if rotation_time(path, &candidate).is_some() {
            found.push(candidate);
        }
    }
    found.sort();
    Ok(found)
}

/// The time in the name of a rotated file of `path`; `None` if it is something else.
fn rotation_time(path: &Path, candidate: &Path) -> Option<jiff::Timestamp> {
    let name = candidate.file_name()?.to_str()?;
    let suffix = name
        .strip_prefix(path.file_name()?.to_str()?)?
        .strip_prefix('.')?;
    let suffix = suffix.strip_suffix(".gz").unwrap_or(suffix);
    let at = jiff::civil::DateTime::strptime(ROTATED_FORMAT, suffix).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

fn second_after(at: jiff::Timestamp) -> jiff::Timestamp {
    // An error is impossible: the duration has no calendar units.
    at.saturating_add(jiff::SignedDuration::from_secs(1))
        .unwrap_or(at)
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

fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
