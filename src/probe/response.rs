//! Reads an HTTP/1.1 response piece by piece: pure, and nothing of the body is kept. Source: RFC 9112, sections 4, 6 and 7.

/// Longest head, in bytes: ordinary servers send less than 1 KiB, and it is held in memory for each probe under way.
const MAX_HEAD_BYTES: usize = 32 * 1024;
/// Interim responses that are skipped. Source: Go, net/http, which the kubelet reads with.
const MAX_INTERIM: usize = 5;
/// Bytes of a body that are waited for; the rest is not read. Source: kubelet, pkg/probe/http, `maxRespBodyLength`.
const MAX_BODY_BYTES: u64 = 10 * 1024;
/// Longest line of a chunked body, its size or a trailer, in bytes: real ones have a few.
const MAX_CHUNK_LINE_BYTES: u64 = 4 * 1024;
/// Trailer lines of a chunked body that are read: real ones have none.
const MAX_TRAILERS: u64 = 64;

/// The head of the final response.
#[derive(Debug, PartialEq, Eq)]
pub struct Head {
    /// Three digits.
    pub status: u16,
    /// `Location`, when it is not empty.
    pub location: Option<String>,
    length: Length,
}

/// What ends a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Bytes(u64),
    Chunked,
    UntilClose,
}

/// Collects the head.
#[derive(Debug, Default)]
pub struct HeadReader {
    bytes: Vec<u8>,
    /// Up to here there is no end of a head.
    searched: usize,
    interim: usize,
}

impl HeadReader {
    /// Takes what came; the head when it is complete, with the bytes of the body that came with it.
    pub fn take(&mut self, piece: &[u8]) -> Result<Option<(Head, Vec<u8>)>, String> {
        self.bytes.extend_from_slice(piece);
        while let Some(end) = self.end() {
            let rest = self.bytes.split_off(end);
            let head = std::mem::replace(&mut self.bytes, rest);
            self.searched = 0;
            let head = parse(&head)?;
            if !(100..200).contains(&head.status) || head.status == 101 {
                return Ok(Some((head, std::mem::take(&mut self.bytes))));
            }
            self.interim += 1;
            if self.interim > MAX_INTERIM {
                return Err("the server goes on sending interim responses".to_owned());
            }
        }
        if self.bytes.len() > MAX_HEAD_BYTES {
            return Err(format!(
                "the headers are longer than {MAX_HEAD_BYTES} bytes"
            ));
        }
        Ok(None)
    }

    /// What it means that the server ends the connection here.
    pub fn closed(&self) -> String {
        match self.bytes.is_empty() {
            true => "the server closed the connection without an answer".to_owned(),
            false => "the server closed the connection within the headers".to_owned(),
        }
    }

    /// Where the empty line ends. Each byte is looked at once, however small the pieces.
    fn end(&mut self) -> Option<usize> {
        let limit = self.bytes.len().min(MAX_HEAD_BYTES);
        for at in self.searched..limit {
            if self.bytes[at] == b'\n' {
                let line = &self.bytes[..at];
                let line = line.strip_suffix(b"\r").unwrap_or(line);
                if line.ends_with(b"\n") {
                    return Some(at + 1);
                }
            }
        }
        self.searched = limit.max(self.searched);
        None
    }
}

fn parse(head: &[u8]) -> Result<Head, String> {
    let text = String::from_utf8_lossy(head);
    let mut lines = text.lines();
    let status = lines.next().and_then(status);
    let status = status.ok_or_else(|| "the answer is not HTTP".to_owned())?;
    let (mut location, mut length, mut is_chunked) = (None, None, false);
    for line in lines.filter(|line| !line.is_empty()) {
        // The rest of an earlier line, as old servers wrote it.
        if line.starts_with([' ', '\t']) {
            continue;
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| "the answer has a malformed header".to_owned())?;
        let value = value.trim();
        if name.eq_ignore_ascii_case("Location") {
            location.get_or_insert_with(|| value.to_owned());
        } else if name.eq_ignore_ascii_case("Content-Length") {
            let bytes = value
                .bytes()
                .all(|b| b.is_ascii_digit())
                .then(|| value.parse());
            match (bytes, length) {
                (Some(Ok(bytes)), None) => length = Some(bytes),
                (Some(Ok(bytes)), Some(same)) if bytes == same => {}
                _ => return Err("the answer has a malformed Content-Length".to_owned()),
            }
        } else if name.eq_ignore_ascii_case("Transfer-Encoding") {
            if !value.eq_ignore_ascii_case("chunked") || is_chunked {
                return Err("the answer has an unknown Transfer-Encoding".to_owned());
            }
            is_chunked = true;
        }
    }
    let length = match (status, is_chunked, length) {
        (100..200 | 204 | 304, _, _) => Length::Bytes(0),
        (_, true, _) => Length::Chunked,
        (_, _, Some(bytes)) => Length::Bytes(bytes),
        _ => Length::UntilClose,
    };
    Ok(Head {
        status,
        location: location.filter(|location| !location.is_empty()),
        length,
    })
}

/// `HTTP/1.1 200 OK`.
fn status(line: &str) -> Option<u16> {
    let rest = line.strip_prefix("HTTP/1.")?;
    let (version, rest) = rest.split_once(' ')?;
    let rest = rest.trim_start();
    let code = rest.split(' ').next()?;
    let are_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    (version.len() == 1 && are_digits(version) && code.len() == 3 && are_digits(code))
        .then(|| code.parse().ok())
        .flatten()
}

/// Waits for the end of a body.
#[derive(Debug)]
pub struct BodyReader {
    length: Length,
    seen: u64,
    chunk: Chunk,
}

/// Where in a chunked body the next byte is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Chunk {
    /// In a line with a size; `in_size` until anything but a digit came.
    Size {
        size: u64,
        digits: u8,
        in_size: bool,
        line: u64,
    },
    /// So many bytes of data are to come.
    Data(u64),
    /// In the end of line after the data.
    End,
    /// In the lines after the last chunk.
    Trailer { line: u64, lines: u64 },
}

const NEXT_CHUNK: Chunk = Chunk::Size {
    size: 0,
    digits: 0,
    in_size: true,
    line: 0,
};

impl BodyReader {
    /// The body that follows this head.
    pub fn new(head: &Head) -> BodyReader {
        BodyReader {
            length: head.length,
            seen: 0,
            chunk: NEXT_CHUNK,
        }
    }

    /// Takes what came; whether nothing more is waited for.
    pub fn take(&mut self, piece: &[u8]) -> Result<bool, String> {
        match self.length {
            Length::Chunked => {
                for byte in piece {
                    if self.chunk_byte(*byte)? || self.seen >= MAX_BODY_BYTES {
                        return Ok(true);
                    }
                }
                return Ok(false);
            }
            Length::Bytes(_) | Length::UntilClose => {
                self.seen = self.seen.saturating_add(piece.len() as u64);
            }
        }
        let is_complete = matches!(self.length, Length::Bytes(bytes) if self.seen >= bytes);
        Ok(is_complete || self.seen >= MAX_BODY_BYTES)
    }

    /// Whether the server may end the connection here.
    pub fn closed(&self) -> Result<(), String> {
        match self.length {
            Length::UntilClose => Ok(()),
            Length::Bytes(_) | Length::Chunked => {
                Err("the server closed the connection within the body".to_owned())
            }
        }
    }

    fn chunk_byte(&mut self, byte: u8) -> Result<bool, String> {
        let malformed = || Err("the answer has a malformed chunk".to_owned());
        match &mut self.chunk {
            Chunk::Size {
                size,
                digits,
                in_size,
                line,
            } => {
                *line += 1;
                let digit = char::from(byte).to_digit(16).filter(|_| *in_size);
                match (digit, byte) {
                    // Sixteen digits fill the number.
                    (Some(digit), _) if *digits < 16 => {
                        *size = *size << 4 | u64::from(digit);
                        *digits += 1;
                    }
                    (None, b'\n') if *digits > 0 => {
                        self.chunk = match *size {
                            0 => Chunk::Trailer { line: 0, lines: 0 },
                            size => Chunk::Data(size),
                        };
                    }
                    (None, b'\r' | b';' | b' ' | b'\t') if *digits > 0 => *in_size = false,
                    (None, _) if !*in_size && *line < MAX_CHUNK_LINE_BYTES => {}
                    _ => return malformed(),
                }
            }
            Chunk::Data(left) => {
                self.seen += 1;
                *left -= 1;
                if *left == 0 {
                    self.chunk = Chunk::End;
                }
            }
            Chunk::End => match byte {
                b'\r' => {}
                b'\n' => self.chunk = NEXT_CHUNK,
                _ => return malformed(),
            },
            Chunk::Trailer { line, lines } => match byte {
                b'\n' if *line == 0 => return Ok(true),
                b'\n' if *lines < MAX_TRAILERS => {
                    self.chunk = Chunk::Trailer {
                        line: 0,
                        lines: *lines + 1,
                    };
                }
                b'\r' => {}
                _ if *line < MAX_CHUNK_LINE_BYTES => *line += 1,
                _ => return malformed(),
            },
        }
        Ok(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads a whole answer in pieces of this size: the status, and whether the body was complete before the end.
    fn read(answer: &[u8], size: usize) -> Result<(u16, bool), String> {
        let mut reader = HeadReader::default();
        let mut body: Option<(u16, BodyReader)> = None;
        for piece in answer.chunks(size) {
            let is_complete = match &mut body {
                Some((_, body)) => body.take(piece)?,
                None => match reader.take(piece)? {
                    Some((head, rest)) => {
                        let (_, body) = body.insert((head.status, BodyReader::new(&head)));
                        body.take(&rest)?
                    }
                    None => false,
                },
            };
            if let (true, Some((status, _))) = (is_complete, &body) {
                return Ok((*status, true));
            }
        }
        let (status, body) = body.ok_or_else(|| reader.closed())?;
        body.closed().map(|()| (status, false))
    }

    #[test]
    fn every_way_to_end_a_body_is_understood_in_pieces_of_any_size() {
        for (answer, want) in [
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc",
                (200, true),
            ),
            ("HTTP/1.0 404 Not Found\n\nabc", (404, false)),
            ("HTTP/1.1 204 \r\n\r\n", (204, true)),
            ("HTTP/1.1 500\r\ncontent-length:0\r\n\r\n", (500, true)),
            ("HTTP/1.1 304 x\r\nContent-Length: 9\r\n\r\n", (304, true)),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n3;x=y\r\nabc\r\nA \r\n0123456789\r\n0\r\nT: 1\r\n\r\n",
                (200, true),
            ),
            (
                "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
                (200, true),
            ),
            (
                "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nX: a\r\n b: folded\r\nContent-Length: 1\r\n\r\nz",
                (200, true),
            ),
        ] {
            for size in [1, 2, 3, 7, 4096] {
                assert_eq!(
                    read(answer.as_bytes(), size),
                    Ok(want),
                    "{size}: {answer:?}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_http_or_ends_too_early_is_an_error() {
        let interim = "HTTP/1.1 102 Processing\r\n\r\n".repeat(6);
        for answer in [
            "",
            "\0\x01\x02garbage",
            "SSH-2.0-OpenSSH\r\n\r\n",
            "HTTP/2 200\r\n\r\n",
            "HTTP/1.1 20 OK\r\n\r\n",
            "HTTP/1.1 2000 OK\r\n\r\n",
            "HTTP/1.1 +20 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n00000000000000001\r\na",
            &interim,
        ] {
            for size in [1, 5, 4096] {
                assert!(read(answer.as_bytes(), size).is_err(), "{size}: {answer:?}");
            }
        }
    }

    #[test]
    fn endless_answers_are_cut() {
        let endless = |start: &str, more: &str| format!("{start}{}", more.repeat(200_000));
        for (start, more) in [
            ("", "x"),
            ("HTTP/1.1 200 OK\r\n", "X: y\r\n"),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;",
                "x",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                "T: x\r\n",
            ),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n",
                "T",
            ),
        ] {
            for size in [1, 4096] {
                assert!(
                    read(endless(start, more).as_bytes(), size).is_err(),
                    "{start}"
                );
            }
        }
        for start in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551615\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n",
        ] {
            assert_eq!(
                read(endless(start, "x").as_bytes(), 4096),
                Ok((200, true)),
                "{start}"
            );
        }
    }

    #[test]
    fn a_location_is_told_unless_it_is_empty() {
        let location = |line: &str| {
            let text = format!("HTTP/1.1 302 Found\r\n{line}\r\n\r\n");
            let head = HeadReader::default().take(text.as_bytes()).expect("a head");
            head.expect("complete").0.location
        };
        assert_eq!(location("LOCATION:  /a "), Some("/a".to_owned()));
        assert_eq!(location("Location:"), None);
        assert_eq!(location("X: y"), None);
    }
}
