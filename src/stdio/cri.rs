//! The CRI log record: `<time> <stream> <tag> <content>\n`, out of raw output and back. Pure.
//!
//! Invariants: the contents of a stream's records, joined (`F` with a newline, `P` without), are its bytes with `\r\n` become
//! `\n`; no content is longer than [`MAX_CONTENT_BYTES`]; at most that much (and two bytes) of a line is ever held back.
//! Source: Kubernetes CRI logging; where it leaves a choice, containerd's.

use crate::base::Bytes;

/// Bytes of one record's content. Source: containerd `max_container_log_line_size`, kubelet's reader.
pub const MAX_CONTENT_BYTES: usize = 16 * 1024;

/// Which output of the container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Standard output; everything, if the container has a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

impl Stream {
    fn name(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// A time as records carry it: RFC 3339, UTC, nine fraction digits.
pub fn timestamp(at: jiff::Timestamp) -> String {
    format!("{at:.9}")
}

/// Cuts the output of one stream into records.
#[derive(Debug)]
pub struct Framer {
    stream: Stream,
    /// What is known of the line that has not ended.
    held: Vec<u8>,
    /// A `P` record of the current line is out.
    inside_line: bool,
}

impl Framer {
    /// One that goes on where another ended that had `held`: nothing, at the start of a line.
    pub fn resume(stream: Stream, held: Vec<u8>) -> Framer {
        Framer {
            stream,
            held,
            inside_line: false,
        }
    }

    /// Whose output it is.
    pub fn stream(&self) -> Stream {
        self.stream
    }

    /// What is read and not in a record yet.
    pub fn held(&self) -> &[u8] {
        &self.held
    }

    /// Whether the last record belongs to a line that goes on: not the place to change files.
    pub fn is_inside_line(&self) -> bool {
        self.inside_line
    }

    /// Appends to `out` every record that `bytes`, read at `time`, completes.
    pub fn feed(&mut self, mut bytes: &[u8], time: &str, out: &mut Bytes) {
        let full = format!("{time} {} F ", self.stream.name());
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let (line, rest) = bytes.split_at(end + 1);
            bytes = rest;
            if self.held.is_empty() && line.len() <= MAX_CONTENT_BYTES {
                record(full.as_bytes(), without_newline(line), out);
                self.inside_line = false;
            } else {
                self.held.extend_from_slice(line);
                self.end_line(time, out);
            }
        }
        self.held.extend_from_slice(bytes);
        // One byte more than a full record may be the `\r` of a `\r\n`, which does not count.
        self.emit_chunks(MAX_CONTENT_BYTES + 2, time, out);
    }

    /// Writes what is held of an unfinished line as `P`: the stream has ended, or somebody else goes on with it.
    pub fn finish(&mut self, time: &str, out: &mut Bytes) {
        self.emit_chunks(MAX_CONTENT_BYTES + 1, time, out);
        if !self.held.is_empty() {
            self.partial(0..self.held.len(), time, out);
            self.held = Vec::new();
        }
    }

    /// `held` is a whole line.
    fn end_line(&mut self, time: &str, out: &mut Bytes) {
        let content = without_newline(&self.held).len();
        self.held.truncate(content);
        self.emit_chunks(MAX_CONTENT_BYTES + 1, time, out);
        let full = format!("{time} {} F ", self.stream.name());
        record(full.as_bytes(), &self.held, out);
        self.held.clear();
        self.inside_line = false;
    }

    /// Emits full `P` records as long as at least `more_than_full` bytes are held.
    fn emit_chunks(&mut self, more_than_full: usize, time: &str, out: &mut Bytes) {
        let mut start = 0;
        while self.held.len() - start >= more_than_full {
            self.partial(start..start + MAX_CONTENT_BYTES, time, out);
            start += MAX_CONTENT_BYTES;
        }
        self.held.drain(..start);
    }

    fn partial(&mut self, range: std::ops::Range<usize>, time: &str, out: &mut Bytes) {
        let head = format!("{time} {} P ", self.stream.name());
        record(head.as_bytes(), &self.held[range], out);
        self.inside_line = true;
    }
}

fn without_newline(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.strip_suffix(b"\r").unwrap_or(line)
}

fn record(head: &[u8], content: &[u8], out: &mut Bytes) {
    out.push(head);
    out.push(content);
    out.push(b"\n");
}

/// One record, read back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    /// Its time as written.
    pub time: &'a str,
    /// Which stream.
    pub stream: Stream,
    /// Tag `F`: the line ends here.
    pub ends_line: bool,
    /// Its content without newline.
    pub content: &'a [u8],
}

impl Record<'_> {
    /// Reads a line of a log file, with or without its newline; `None` if it is no record. Of several tags the first counts.
    pub fn parse(line: &[u8]) -> Option<Record<'_>> {
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let mut fields = line.splitn(4, |b| *b == b' ');
        let time = std::str::from_utf8(fields.next()?).ok()?;
        let stream = match fields.next()? {
            b"stdout" => Stream::Stdout,
            b"stderr" => Stream::Stderr,
            _ => return None,
        };
        let ends_line = match fields.next()?.split(|b| *b == b':').next()? {
            b"F" => true,
            b"P" => false,
            _ => return None,
        };
        Some(Record {
            time,
            stream,
            ends_line,
            content: fields.next()?,
        })
    }

    /// When it was read from the container; `None` if the text is no time.
    pub fn at(&self) -> Option<jiff::Timestamp> {
        self.time.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: &str = "2026-01-02T15:04:05.000000000Z";

    /// (tag, content) of each record that these reads and then the end of the stream give.
    fn frame(reads: &[&[u8]]) -> Vec<(char, Vec<u8>)> {
        let mut framer = Framer::resume(Stream::Stdout, Vec::new());
        let mut out = Bytes::default();
        for read in reads {
            framer.feed(read, T, &mut out);
        }
        framer.finish(T, &mut out);
        let records = out.as_slice().split_inclusive(|b| *b == b'\n').map(|line| {
            let record = Record::parse(line).expect("a record");
            assert_eq!(record.time, T);
            let tag = if record.ends_line { 'F' } else { 'P' };
            (tag, record.content.to_vec())
        });
        records.collect()
    }

    #[test]
    fn a_record_is_written_byte_for_byte() {
        let mut out = Bytes::default();
        Framer::resume(Stream::Stderr, Vec::new()).feed(b"a\n\nb\r\n\xff\0\n", T, &mut out);
        let want = format!("{T} stderr F a\n{T} stderr F \n{T} stderr F b\n{T} stderr F \u{1}\0\n")
            .into_bytes();
        let want: Vec<u8> = want
            .iter()
            .map(|b| if *b == 1 { 0xff } else { *b })
            .collect();
        assert_eq!(out.as_slice(), want);
    }

    #[test]
    fn a_line_is_cut_only_where_it_exceeds_a_record() {
        let x = |n: usize| vec![b'x'; n];
        let max = MAX_CONTENT_BYTES;
        for (length, ending, want) in [
            (max, "\n", vec![('F', max)]),
            (max, "\r\n", vec![('F', max)]),
            (max, "", vec![('P', max)]),
            (max + 1, "\n", vec![('P', max), ('F', 1)]),
            (max + 1, "\r\n", vec![('P', max), ('F', 1)]),
            (2 * max, "\n", vec![('P', max), ('F', max)]),
            (2 * max, "\r\n", vec![('P', max), ('F', max)]),
            (40_000, "\n", vec![('P', max), ('P', max), ('F', 7232)]),
            (40_000, "", vec![('P', max), ('P', max), ('P', 7232)]),
        ] {
            let input = [x(length), ending.as_bytes().to_vec()].concat();
            for size in [1, 7, max, max + 1, input.len()] {
                let reads: Vec<&[u8]> = input.chunks(size).collect();
                let got: Vec<_> = frame(&reads).iter().map(|(t, c)| (*t, c.len())).collect();
                assert_eq!(got, want, "{length} {ending:?} read by {size}");
            }
        }
    }

    #[test]
    fn nothing_is_said_of_an_empty_stream() {
        assert_eq!(frame(&[b""]), []);
    }

    #[test]
    fn what_is_no_record_is_not_taken_for_one() {
        for bad in [
            "",
            "x",
            "t stdout F",
            "t stdin F a",
            "t stdout X a",
            "t  stdout F a",
        ] {
            assert_eq!(Record::parse(bad.as_bytes()), None, "{bad}");
        }
        let tags = Record::parse(b"t stdout P:x:y a b\n").expect("a record");
        assert_eq!((tags.ends_line, tags.content), (false, &b"a b"[..]));
    }

    proptest! {
        #[test]
        fn records_joined_are_the_output(
            parts in prop::collection::vec((prop::collection::vec(any::<u8>(), 0..20), 0..3_usize, 0..40_000_usize), 0..12),
            cuts in prop::collection::vec(1..60_000_usize, 1..20),
        ) {
            let mut input = Vec::new();
            for (bytes, newlines, run) in parts {
                input.extend(bytes);
                input.extend(std::iter::repeat_n(b'r', run));
                input.extend(std::iter::repeat_n(b'\n', newlines));
            }
            let (mut reads, mut rest) = (Vec::new(), &input[..]);
            for cut in cuts.iter().cycle() {
                if rest.is_empty() { break }
                let (read, after) = rest.split_at((*cut).min(rest.len()));
                reads.push(read);
                rest = after;
            }
            let mut joined = Vec::new();
            for (tag, content) in frame(&reads) {
                prop_assert!(content.len() <= MAX_CONTENT_BYTES);
                joined.extend(content);
                if tag == 'F' { joined.push(b'\n') }
            }
            let mut want = Vec::new();
            for line in input.split_inclusive(|b| *b == b'\n') {
                want.extend(without_newline(line));
                if line.ends_with(b"\n") { want.push(b'\n') } else if line.ends_with(b"\r") { want.push(b'\r') }
            }
            prop_assert_eq!(joined, want);
        }
    }
}
