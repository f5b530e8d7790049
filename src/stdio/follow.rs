//! Follows the logs of running instances, lines in the order of their arrival, across rotations. Blocking.
//!
//! Invariants: an instance is followed to the end of its log and never into the next one; a rotated file is read to its end
//! before the file that came after it is opened, so nothing is skipped that rotation has not removed.

use crate::stdio::read::{LogQuery, Printer, is_complete, next_line, seek_to_tail};
use crate::stdio::rotation::rotated_files;
use crate::sys::Changes;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind, PipeReader, Write};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Time between two looks when nothing changes: how late an end is noticed of which no file tells.
const QUIET: Duration = Duration::from_secs(1);
/// The same where the kernel does not tell of changes.
const DEAF: Duration = Duration::from_millis(200);
/// Records printed of one source before the others have their turn.
const RECORDS_PER_TURN: usize = 1024;

/// One log to follow.
#[derive(Clone, Debug)]
pub struct LogSource {
    /// Its current file; it may not exist yet.
    pub path: PathBuf,
    /// What to print of it.
    pub query: LogQuery,
}

/// What tells of the end of an instance.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// A file that is put into this directory.
    ByFileIn(&'a Path),
    /// The end of this pipe.
    ByEndOf(&'a PipeReader),
}

/// Prints what is there and then what comes, until `is_finished` has said of every source (by its index) that its instance ended
/// and its log is read to the end; it is asked when something was written, or when an end was `told`. *Errors*: of the files or of `out`.
pub fn follow(
    sources: &[LogSource],
    told: Told<'_>,
    out: &mut impl Write,
    mut is_finished: impl FnMut(usize) -> bool,
) -> io::Result<()> {
    let mut changes = Changes::default();
    let mut followers: Vec<_> = sources.iter().map(Follower::new).collect();
    let mut done = vec![false; sources.len()];
    loop {
        let mut any_more = false;
        if let Told::ByFileIn(dir) = told {
            changes.of_files(dir);
        }
        for dir in sources.iter().filter_map(|source| source.path.parent()) {
            changes.of_content(dir);
            changes.of_entries(dir);
        }
        for (index, follower) in followers.iter_mut().enumerate() {
            if !done[index] {
                // Asked before the end is seen: what was written until then is printed.
                let finished = is_finished(index);
                let more = follower.print_some(out)?;
                done[index] = follower.printer.is_full() || (finished && !more);
                any_more |= more;
            }
        }
        if done.iter().all(|done| *done) {
            return out.flush();
        }
        if !any_more {
            out.flush()?;
            match told {
                Told::ByFileIn(_) => changes.wait(QUIET, DEAF),
                Told::ByEndOf(pipe) => changes.wait_or(pipe, QUIET, DEAF),
            };
        }
    }
}

struct Follower<'a> {
    source: &'a LogSource,
    printer: Printer<'a>,
    reader: Option<BufReader<File>>,
    /// The beginning of a record whose end is not written yet.
    line: Vec<u8>,
}

impl<'a> Follower<'a> {
    fn new(source: &'a LogSource) -> Follower<'a> {
        Follower {
            source,
            printer: Printer::new(&source.query),
            reader: None,
            line: Vec::new(),
        }
    }

    /// Prints up to a turn's worth of records; whether there may be more at once.
    fn print_some(&mut self, out: &mut impl Write) -> io::Result<bool> {
        if self.reader.is_none() {
            let Some(mut file) = open_if_there(&self.source.path)? else {
                return Ok(false);
            };
            seek_to_tail(&mut file, self.source.query.tail)?;
            self.reader = Some(BufReader::new(file));
        }
        if self.print_to_end(out)? {
            return Ok(true);
        }
        let Some(next) = self.rotated_to()? else {
            return Ok(false);
        };
        // The name has moved on, so nothing more comes into this file; but it may have since we saw its end.
        while self.print_to_end(out)? {}
        self.line.clear();
        self.reader = open_if_there(&next)?.map(BufReader::new);
        Ok(true)
    }

    /// Whether it stopped before the end, for the others' sake.
    fn print_to_end(&mut self, out: &mut impl Write) -> io::Result<bool> {
        let Some(reader) = &mut self.reader else {
            return Ok(false);
        };
        for _ in 0..RECORDS_PER_TURN {
            if self.printer.is_full() || !next_line(reader, &mut self.line)? {
                return Ok(false);
            }
            if is_complete(&self.line) {
                self.printer.record(&self.line, out)?;
                self.line.clear();
            }
        }
        Ok(true)
    }

    /// The file that came after the open one, once there is one.
    fn rotated_to(&self) -> io::Result<Option<PathBuf>> {
        let Some(reader) = &self.reader else {
            return Ok(None);
        };
        let ours = reader.get_ref().metadata()?;
        let is_ours = |path: &PathBuf| {
            path.metadata()
                .is_ok_and(|meta| (meta.dev(), meta.ino()) == (ours.dev(), ours.ino()))
        };
        let current = &self.source.path;
        if !current.exists() || is_ours(current) {
            return Ok(None);
        }
        let mut files = match rotated_files(current) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            files => files?,
        };
        files.push(current.clone());
        // If ours is gone already, all that are left came after it.
        let next = files.iter().position(is_ours).map_or(0, |at| at + 1);
        Ok(files.into_iter().nth(next))
    }
}

fn open_if_there(path: &Path) -> io::Result<Option<File>> {
    match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other.map(Some),
    }
}
