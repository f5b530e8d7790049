//! The files that a log was before: named by the time they were moved aside, so that their names sort, and no name is used twice.

use rustix::fs::{CWD, RenameFlags, renameat_with};
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

/// Names tried for a rotated file before the rotation is put off: one per second from the last one on.
const NAMES_TRIED: usize = 8;

/// `<YYYYMMDD-HHMMSS>`. Source: kubelet `timestampFormat` of the container log manager.
const TIME_FORMAT: &str = "%Y%m%d-%H%M%S";

/// Gives the log `path` the name of a rotated one. *Errors*: whatever the file system says; `AlreadyExists` if every name is taken.
pub(super) fn move_aside(path: &Path) -> io::Result<()> {
    let last = rotated_files(path)?.pop();
    let last = last.and_then(|file| rotation_time(path, &file));
    let mut at = jiff::Timestamp::now();
    if let Some(last) = last {
        // Faster than one a second the names run ahead of the clock: they must sort and never be used twice.
        at = at.max(second_after(last));
    }
    for _ in 0..NAMES_TRIED {
        let mut name = path.to_owned().into_os_string();
        name.push(format!(".{}", at.strftime(TIME_FORMAT)));
        match renameat_with(CWD, path, CWD, &name, RenameFlags::NOREPLACE) {
            Err(Errno::EXIST) => at = second_after(at),
            done => return Ok(done?),
        }
    }
    Err(ErrorKind::AlreadyExists.into())
}

/// Removes the oldest rotated files of `path` until there are so many `files`, the log itself included.
pub(super) fn remove_oldest(path: &Path, files: usize) -> io::Result<()> {
    let rotated = rotated_files(path)?;
    let surplus = (rotated.len() + 1).saturating_sub(files.max(1));
    for path in &rotated[..surplus.min(rotated.len())] {
        ignore_absent(std::fs::remove_file(path))?;
    }
    Ok(())
}

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
    let at = jiff::civil::DateTime::strptime(TIME_FORMAT, suffix).ok()?;
    Some(at.to_zoned(jiff::tz::TimeZone::UTC).ok()?.timestamp())
}

fn second_after(at: jiff::Timestamp) -> jiff::Timestamp {
    // An error is impossible: the duration has no calendar units.
    at.saturating_add(jiff::SignedDuration::from_secs(1))
        .unwrap_or(at)
}

/// What is gone already is removed.
pub(super) fn ignore_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
