//! Prints log files as `kubectl logs` does: the current file of one instance, records joined into lines. Blocking.
//!
//! Invariant: no record, however long or malformed, makes it hold more than [`RECORD_BYTES_MAX`]. Source: kubelet `ReadLogs`.

use crate::stdio::cri::{Record, timestamp};
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Bytes of a record that is read whole; what is longer was not written by us and is skipped as malformed.
const RECORD_BYTES_MAX: u64 = 64 * 1024;
/// Bytes read at once, both ways through a file.
const BLOCK_BYTES: usize = 64 * 1024;

/// What to print of a log.
#[derive(Clone, Debug, Default)]
pub struct LogQuery {
    /// Only the last so many records; an unterminated one at the end is not counted.
    pub tail: Option<u64>,
    /// No record older than this; applied after `tail`.
    pub since: Option<jiff::Timestamp>,
    /// The record's time and a space before each line.
    pub timestamps: bool,
    /// Bytes of output after which to stop, in mid-line if need be; prefixes do not count.
    pub limit_bytes: Option<u64>,
    /// Before each line, e.g. `[pod/web/nginx] `.
    pub prefix: Option<String>,
}

/// Prints the log file at `path` to its present end. *Errors*: of the file or of `out`; `NotFound` if there is no such log.
pub fn print(path: &Path, query: &LogQuery, out: &mut impl Write) -> io::Result<()> {
    let mut file = File::open(path)?;
    seek_to_tail(&mut file, query.tail)?;
    let mut reader = BufReader::with_capacity(BLOCK_BYTES, file);
    let mut printer = Printer::new(query);
    let mut line = Vec::new();
    while !printer.is_full() && next_line(&mut reader, &mut line)? {
        printer.record(&line, out)?;
        line.clear();
    }
    out.flush()
}

/// The end of a log as a termination message: at most `lines` records and `bytes` bytes; empty if there is no log.
/// Source: kubelet, `FallbackToLogsOnError`: 80 and 2048.
pub fn last_lines(path: &Path, lines: u64, bytes: usize) -> io::Result<String> {
    let query = LogQuery {
        tail: Some(lines),
        ..LogQuery::default()
    };
    let mut text = Vec::new();
    match print(path, &query, &mut text) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        other => other?,
    }
    let start = text.len().saturating_sub(bytes);
    Ok(String::from_utf8_lossy(&text[start..]).into_owned())
}

/// Appends the rest of the current line to `line`; false at the end of the file. A line longer than a record comes in pieces.
pub(super) fn next_line(reader: &mut impl BufRead, line: &mut Vec<u8>) -> io::Result<bool> {
    let room = RECORD_BYTES_MAX.saturating_sub(line.len() as u64).max(1);
    Ok(reader.take(room).read_until(b'\n', line)? > 0)
}

/// Whether `line` is all that will come of this record.
pub(super) fn is_complete(line: &[u8]) -> bool {
    line.ends_with(b"\n") || line.len() as u64 >= RECORD_BYTES_MAX
}

/// Moves to the start of the last `tail` terminated records, reading backwards.
pub(super) fn seek_to_tail(file: &mut File, tail: Option<u64>) -> io::Result<()> {
    let Some(tail) = tail else { return Ok(()) };
    let mut end = file.seek(SeekFrom::End(0))?;
    if tail == 0 {
        return Ok(());
    }
    let mut newlines = 0;
    let mut block = vec![0; BLOCK_BYTES];
    while end > 0 {
        let length = end.min(BLOCK_BYTES as u64);
        let block = &mut block[..usize::try_from(length).unwrap_or(BLOCK_BYTES)];
        file.seek(SeekFrom::Start(end - length))?;
        file.read_exact(block)?;
        for (at, _) in block.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            // The newline before the first wanted record is one more than there are records.
            if newlines == tail {
                file.seek(SeekFrom::Start(end - length + at as u64 + 1))?;
                return Ok(());
            }
            newlines += 1;
        }
        end -= length;
    }
    file.seek(SeekFrom::Start(0)).map(drop)
}

/// Turns records into lines of output.
pub(super) struct Printer<'a> {
    query: &'a LogQuery,
    at_line_start: bool,
    room: u64,
}

impl<'a> Printer<'a> {
    pub(super) fn new(query: &'a LogQuery) -> Printer<'a> {
        Printer {
            query,
            at_line_start: true,
            room: query.limit_bytes.unwrap_or(u64::MAX),
        }
    }

    /// Whether nothing more will be printed.
    pub(super) fn is_full(&self) -> bool {
        self.room == 0
    }

    /// Prints one line of a log file; what is no record is skipped, as the kubelet does.
    pub(super) fn record(&mut self, line: &[u8], out: &mut impl Write) -> io::Result<()> {
        let Some(record) = Record::parse(line) else {
            return Ok(());
        };
        let needs_time = self.query.since.is_some() || self.query.timestamps;
        let at = needs_time.then(|| record.at());
        if at == Some(None) {
            return Ok(());
        }
        let at = at.flatten();
        if let (Some(since), Some(at)) = (self.query.since, at)
            && at < since
        {
            return Ok(());
        }
        if self.at_line_start {
            if let Some(prefix) = self.query.prefix.as_ref().filter(|_| self.room > 0) {
                out.write_all(prefix.as_bytes())?;
            }
            if let Some(at) = at.filter(|_| self.query.timestamps) {
                self.limited(timestamp(at).as_bytes(), out)?;
                self.limited(b" ", out)?;
            }
        }
        self.limited(record.content, out)?;
        if record.ends_line {
            self.limited(b"\n", out)?;
        }
        self.at_line_start = record.ends_line;
        Ok(())
    }

    fn limited(&mut self, bytes: &[u8], out: &mut impl Write) -> io::Result<()> {
        let room = usize::try_from(self.room).unwrap_or(usize::MAX);
        let bytes = &bytes[..bytes.len().min(room)];
        self.room -= bytes.len() as u64;
        out.write_all(bytes)
    }
}
