//! The members of a tar stream, with their extension headers applied: PAX records (values may hold any byte), GNU long names, GNU
//! sparse maps. The `tar` crate reads the header block; its iterator is not used because it keeps extensions of any size in memory and
//! splits PAX records at newlines, which loses a `size` after a binary attribute.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};
use tar::{EntryType, GnuExtSparseHeader, GnuHeader, GnuSparseHeader, Header};

/// Bytes of a tar block.
const BLOCK: u64 = 512;
/// Bytes of all extension headers of one member: names are at most 4 KiB and attributes 64 KiB each.
const EXTENSION_BYTES: u64 = 1 << 20;
/// Bytes read at once.
const BUFFER_BYTES: usize = 128 << 10;

/// One member. Its data follows in the stream and is read by [`Entries::copy`].
pub(super) struct Entry {
    pub kind: EntryType,
    pub path: Vec<u8>,
    pub link: Vec<u8>,
    /// Permission bits, setuid and the like included.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Seconds since the epoch and nanoseconds.
    pub mtime: (i64, u32),
    /// Major and minor number.
    pub device: (u32, u32),
    /// Name → value.
    pub xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
    /// Bytes of the file.
    pub size: u64,
    /// Where its data starts in the stream.
    pub offset: u64,
    /// Offset and length in the file of each piece of data in the stream.
    pub pieces: Vec<(u64, u64)>,
}

/// Streams that can pass over bytes.
pub(super) trait Skip: Read {
    /// Passes over exactly `count` bytes, or fails.
    fn skip(&mut self, count: u64) -> io::Result<()>;
}

/// A stream that skips by reading.
pub(super) struct Streamed<R>(pub R);

impl<R: Read> Read for Streamed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<R: Read> Skip for Streamed<R> {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let skipped = io::copy(&mut self.0.by_ref().take(count), &mut io::sink())?;
        if skipped == count { Ok(()) } else { Err(cut()) }
    }
}

impl Skip for std::fs::File {
    fn skip(&mut self, count: u64) -> io::Result<()> {
        let count = i64::try_from(count).map_err(|_| bad("a tar member is too large"))?;
        self.seek(SeekFrom::Current(count)).map(drop)
    }
}

/// The members of a stream, in order.
pub(super) struct Entries<R> {
    stream: R,
    position: u64,
    /// Where the data of the last member ends; it fills its last block with what means nothing.
    end: u64,
    buffer: Vec<u8>,
}

/// What extension headers said about the member after them.
#[derive(Default)]
struct Extensions {
    bytes: u64,
    path: Option<Vec<u8>>,
    link: Option<Vec<u8>>,
    pax: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl<R: Skip> Entries<R> {
    pub fn new(stream: R) -> Entries<R> {
        Entries {
            stream,
            position: 0,
            end: 0,
            buffer: vec![0; BUFFER_BYTES],
        }
    }

    /// The next member, or `None` at the end marker or the end of the stream.
    pub fn next(&mut self) -> io::Result<Option<Entry>> {
        let mut extensions = Extensions::default();
        loop {
            self.pass_to(self.end)?;
            if !self.pass_filling()? {
                return Ok(None);
            }
            let Some(header) = self.header()? else {
                return Ok(None);
            };
            let kind = header.entry_type();
            let stored = number(&header.as_old().size, || header.entry_size())?;
            match kind {
                EntryType::GNULongName => {
                    extensions.path = Some(name(self.extension(&mut extensions, stored)?));
                }
                EntryType::GNULongLink => {
                    extensions.link = Some(name(self.extension(&mut extensions, stored)?));
                }
                EntryType::XHeader => {
                    let records = self.extension(&mut extensions, stored)?;
                    extensions.pax =
                        pax_records(&records).ok_or_else(|| bad("malformed PAX record"))?;
                }
                EntryType::XGlobalHeader => {
                    self.extension(&mut extensions, stored)?;
                }
                _ => return self.member(&header, stored, extensions).map(Some),
            }
        }
    }

    /// Calls `piece` with each piece of the member's data and its offset in the file.
    pub fn copy(
        &mut self,
        entry: &Entry,
        mut piece: impl FnMut(&[u8], u64) -> io::Result<()>,
    ) -> io::Result<()> {
        for (mut offset, mut left) in entry.pieces.iter().copied() {
            while left > 0 {
                let most = usize::try_from(left).map_or(BUFFER_BYTES, |l| l.min(BUFFER_BYTES));
                let count = self.stream.read(&mut self.buffer[..most])?;
                if count == 0 {
                    return Err(cut());
                }
                piece(&self.buffer[..count], offset)?;
                let count = count as u64;
                self.position += count;
                offset += count;
                left -= count;
            }
        }
        Ok(())
    }

    /// Reads what follows the last member, so that everything in the stream was seen.
    pub fn finish(mut self) -> io::Result<()> {
        io::copy(&mut self.stream, &mut io::sink()).map(drop)
    }

    fn pass_to(&mut self, position: u64) -> io::Result<()> {
        let count = position
            .checked_sub(self.position)
            .ok_or_else(|| bad("a tar member overlaps another"))?;
        self.stream.skip(count)?;
        self.position = position;
        Ok(())
    }

    /// Passes over what fills the last block; `false` if the stream ended there. Source: Go's `archive/tar`, so that everybody reads
    /// what `umoci insert` writes.
    fn pass_filling(&mut self) -> io::Result<bool> {
        let filling = self.end.next_multiple_of(BLOCK) - self.end;
        let passed = io::copy(&mut self.stream.by_ref().take(filling), &mut io::sink())?;
        self.position += passed;
        Ok(passed == filling)
    }

    /// Reads one block; `false` if the stream ended before it.
    fn block(&mut self, block: &mut [u8]) -> io::Result<bool> {
        let mut filled = 0;
        while filled < block.len() {
            match self.stream.read(&mut block[filled..])? {
                0 if filled == 0 => return Ok(false),
                0 => return Err(cut()),
                count => filled += count,
            }
        }
        self.position += BLOCK;
        self.end = self.position;
        Ok(true)
    }

    fn header(&mut self) -> io::Result<Option<Header>> {
        let mut header = Header::new_old();
        if !self.block(header.as_mut_bytes())? || header.as_bytes().iter().all(|b| *b == 0) {
            return Ok(None);
        }
        let bytes = header.as_bytes();
        let sum = bytes[..148].iter().chain(&bytes[156..]);
        if sum.map(|b| u32::from(*b)).sum::<u32>() + 8 * 32 != header.cksum()? {
            return Err(bad("the checksum of a tar header is wrong"));
        }
        Ok(Some(header))
    }

    fn extension(&mut self, extensions: &mut Extensions, size: u64) -> io::Result<Vec<u8>> {
        extensions.bytes = extensions.bytes.saturating_add(BLOCK).saturating_add(size);
        if extensions.bytes > EXTENSION_BYTES {
            return Err(bad(
                "the extension headers of a member are larger than 1 MiB",
            ));
        }
        let mut bytes = Vec::new();
        self.stream.by_ref().take(size).read_to_end(&mut bytes)?;
        if bytes.len() as u64 != size {
            return Err(cut());
        }
        self.position += size;
        self.end = self.position;
        Ok(bytes)
    }

    fn member(
        &mut self,
        header: &Header,
        stored: u64,
        mut extensions: Extensions,
    ) -> io::Result<Entry> {
        let mut kind = header.entry_type();
        let pax = &mut extensions.pax;
        if pax.keys().any(|key| key.starts_with(b"GNU.sparse.")) {
            return Err(bad("sparse files in PAX form are not supported"));
        }
        let old = header.as_old();
        let uid = pax_number(pax, b"uid", || number(&old.uid, || header.uid()))?;
        let gid = pax_number(pax, b"gid", || number(&old.gid, || header.gid()))?;
        let id = |id: u64| u32::try_from(id).ok().filter(|id| *id != u32::MAX);
        // Links, devices and directories have no data whatever their size says, as in Go's reader, which wrote most layers.
        let stored = match kind {
            EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse => {
                pax_number(pax, b"size", || Ok(stored))?
            }
            _ => 0,
        };
        let path = pax.remove(b"path".as_slice());
        let path = extensions.path.or(path);
        let path = path.unwrap_or_else(|| header.path_bytes().into_owned());
        let link = pax.remove(b"linkpath".as_slice());
        let link = extensions
            .link
            .or(link)
            .or_else(|| header.link_name_bytes().map(|l| l.into_owned()));
        if kind == EntryType::Regular && path.ends_with(b"/") {
            kind = EntryType::Directory;
        }
        let mtime = match pax.get(b"mtime".as_slice()) {
            Some(text) => pax_time(text).ok_or_else(|| bad("malformed PAX time"))?,
            None => (number(&old.mtime, || header.mtime())?.cast_signed(), 0),
        };
        let (size, pieces) = match header.as_gnu().filter(|_| kind == EntryType::GNUSparse) {
            Some(gnu) => self.sparse(gnu, stored, extensions.bytes)?,
            None => (stored, vec![(0, stored)]),
        };
        let offset = self.position;
        self.end = offset
            .checked_add(stored)
            .filter(|end| end.checked_next_multiple_of(BLOCK).is_some())
            .ok_or_else(|| bad("a tar member is too large"))?;
        let xattrs = extensions
            .pax
            .into_iter()
            .filter_map(|(key, value)| Some((key.strip_prefix(b"SCHILY.xattr.")?.to_vec(), value)));
        let device = |part: io::Result<Option<u32>>| part.ok().flatten().unwrap_or(0);
        Ok(Entry {
            kind,
            path,
            link: link.unwrap_or_default(),
            mode: u32::try_from(number(&old.mode, || header.mode().map(u64::from))? & 0o7777)
                .unwrap_or(0),
            uid: id(uid).ok_or_else(|| bad("an owner does not fit in 32 bits"))?,
            gid: id(gid).ok_or_else(|| bad("a group does not fit in 32 bits"))?,
            mtime,
            device: (device(header.device_major()), device(header.device_minor())),
            xattrs: xattrs.collect(),
            size,
            offset,
            pieces,
        })
    }

    /// The size of a sparse file and its pieces. The map goes on after the header; `bytes` of extension headers were read before.
    fn sparse(
        &mut self,
        gnu: &GnuHeader,
        stored: u64,
        mut bytes: u64,
    ) -> io::Result<(u64, Vec<(u64, u64)>)> {
        let mut map = Vec::new();
        let mut add = |slots: &[GnuSparseHeader]| -> io::Result<()> {
            for slot in slots.iter().filter(|slot| !slot.is_empty()) {
                map.push((slot.offset()?, slot.length()?));
            }
            Ok(())
        };
        add(&gnu.sparse)?;
        let mut extended = gnu.is_extended();
        while extended {
            bytes += BLOCK;
            if bytes > EXTENSION_BYTES {
                return Err(bad("the sparse map of a member is larger than 1 MiB"));
            }
            let mut more = GnuExtSparseHeader::new();
            if !self.block(more.as_mut_bytes())? {
                return Err(cut());
            }
            add(&more.sparse)?;
            extended = more.is_extended();
        }
        let size = gnu.real_size()?;
        check_map(&map, stored, size)?;
        Ok((size, map))
    }
}

/// A sparse map names ordered pieces within the file that together are what is stored.
fn check_map(map: &[(u64, u64)], stored: u64, size: u64) -> io::Result<()> {
    let mut end = 0;
    let mut sum = 0_u64;
    for (offset, length) in map {
        if *offset < end {
            return Err(bad("the pieces of a sparse file overlap"));
        }
        end = offset.checked_add(*length).unwrap_or(u64::MAX);
        sum = sum.saturating_add(*length);
    }
    if end > size || sum != stored {
        return Err(bad("the pieces of a sparse file are not its size"));
    }
    Ok(())
}

/// A number field of a header; blank means zero.
fn number(field: &[u8], parsed: impl FnOnce() -> io::Result<u64>) -> io::Result<u64> {
    if field.iter().all(|b| matches!(b, 0 | b' ')) {
        return Ok(0);
    }
    parsed()
}

fn pax_number(
    pax: &BTreeMap<Vec<u8>, Vec<u8>>,
    key: &[u8],
    otherwise: impl FnOnce() -> io::Result<u64>,
) -> io::Result<u64> {
    match pax.get(key) {
        None => otherwise(),
        Some(text) => str::from_utf8(text)
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| bad("malformed PAX number")),
    }
}

/// A long name ends at its first NUL.
fn name(mut bytes: Vec<u8>) -> Vec<u8> {
    if let Some(end) = bytes.iter().position(|b| *b == 0) {
        bytes.truncate(end);
    }
    bytes
}

/// `<length> <key>=<value>\n` …, where the length counts the whole record. Source: POSIX `pax`, extended header.
fn pax_records(mut bytes: &[u8]) -> Option<BTreeMap<Vec<u8>, Vec<u8>>> {
    let mut records = BTreeMap::new();
    while !bytes.is_empty() {
        let space = bytes.iter().position(|b| *b == b' ')?;
        let length: usize = str::from_utf8(&bytes[..space]).ok()?.parse().ok()?;
        let record = bytes.get(space + 1..length)?.strip_suffix(b"\n")?;
        let equals = record.iter().position(|b| *b == b'=')?;
        records.insert(record[..equals].to_vec(), record[equals + 1..].to_vec());
        bytes = &bytes[length..];
    }
    Some(records)
}

/// Seconds with an optional fraction, which counts upwards also before 1970.
fn pax_time(text: &[u8]) -> Option<(i64, u32)> {
    let text = str::from_utf8(text).ok()?;
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let seconds: i64 = whole.parse().ok()?;
    if !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let nanos: u32 = format!("{fraction:0<9.9}").parse().ok()?;
    match (whole.starts_with('-'), nanos) {
        (true, 1..) => Some((seconds.checked_sub(1)?, 1_000_000_000 - nanos)),
        _ => Some((seconds, nanos)),
    }
}

fn bad(problem: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, problem)
}

fn cut() -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, "the tar stream is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pax_values_may_hold_newlines_and_equals_signs() {
        let records = pax_records(b"13 a=1\n20 b\n\n11 size=99\n").expect("records");
        assert_eq!(records.len(), 2);
        assert_eq!(records[b"a".as_slice()], b"1\n20 b\n");
        assert_eq!(records[b"size".as_slice()], b"99");
        for bad in [
            "5 a=1",
            "999 a=1\n",
            "x a=1\n",
            "0 a=1\n",
            "6 a 1\n",
            "2 \n",
            "6 a=1\n ",
        ] {
            assert!(pax_records(bad.as_bytes()).is_none(), "{bad}");
        }
    }

    #[test]
    fn times_keep_nanoseconds_on_both_sides_of_the_epoch() {
        assert_eq!(pax_time(b"12.5"), Some((12, 500_000_000)));
        assert_eq!(pax_time(b"12.0000000019"), Some((12, 1)));
        assert_eq!(pax_time(b"-1.25"), Some((-2, 750_000_000)));
        assert_eq!(pax_time(b"1.x"), None);
    }
}
