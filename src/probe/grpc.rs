//! One call of `grpc.health.v1.Health/Check` over plain HTTP/2, and no more of HTTP/2 than that needs: one stream, one message
//! each way, no table of headers, no flow control since neither side fills a window. Source: RFC 9113, sections 3.4, 4 and 6;
//! gRPC over HTTP2; the gRPC health checking protocol.

use super::hpack::{self, Statuses};
use super::{Prober, Problem, dial};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Longest name of a service, in bytes: the request must fit into one frame, and real names are below 100.
const MAX_SERVICE_BYTES: usize = 4 * 1024;
/// Longest frame, in bytes; the server may send none that is longer, since we do not allow it. Source: RFC 9113, section 6.5.2.
const MAX_FRAME_BYTES: usize = 16 * 1024;
/// Longest block of headers, in bytes: a status and a message for people.
const MAX_HEADERS_BYTES: usize = 32 * 1024;
/// Longest answer, in bytes: a real one has 7.
const MAX_MESSAGE_BYTES: usize = 4 * 1024;
/// Frames that are read: a real answer comes in about 6, and a server may not keep us busy with pings.
const MAX_FRAMES: usize = 64;

/// What a client says first, and settings: no table of headers (1), no pushes (2).
const PREFACE: &[u8] =
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x0c\x04\0\0\0\0\0\0\x01\0\0\0\0\0\x02\0\0\0\0";
const SETTINGS_ACK: &[u8] = b"\0\0\0\x04\x01\0\0\0\0";
/// The headers of the call as HPACK without a table; those with a colon must come first. `:method: POST`, `:scheme: http` and the
/// path, then the host (entry 1), then `content-type`, `te`, `user-agent` and the time left.
const METHOD_AND_PATH: &[u8] = b"\x83\x86\x04\x1c/grpc.health.v1.Health/Check";
const AUTHORITY: &[u8] = b"\x01";
const FIXED_HEADERS: &[u8] =
    b"\x0f\x10\x10application/grpc\x00\x02te\x08trailers\x0f\x2b\x0fkube-probe/1.37";
const TIMEOUT: &[u8] = b"\x00\x0cgrpc-timeout";

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PUSH_PROMISE: u8 = 5;
const PING: u8 = 6;
const GOAWAY: u8 = 7;
const CONTINUATION: u8 = 9;

const END_STREAM: u8 = 0x1;
const ACK: u8 = 0x1;
const END_HEADERS: u8 = 0x4;
const PADDED: u8 = 0x8;
const PRIORITY: u8 = 0x20;

/// The one stream we open.
const STREAM: u32 = 1;

/// Names of the gRPC statuses, by number.
const STATUS_NAMES: [&str; 17] = [
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
];
/// What the health service may say of a service, by number.
const HEALTH_NAMES: [&str; 4] = ["UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"];
const SERVING: u64 = 1;

/// A success is the answer `SERVING`.
pub async fn check(
    prober: &Prober<'_>,
    port: u16,
    service: &str,
    timeout: Duration,
) -> Result<(), Problem> {
    if service.len() > MAX_SERVICE_BYTES {
        return Err(Problem::Ours(format!(
            "the name of the service is longer than {MAX_SERVICE_BYTES} bytes"
        )));
    }
    let to = SocketAddr::new(prober.target.address, port);
    let mut call = Call {
        stream: dial::connect(prober, "", port).await?,
        statuses: Statuses::default(),
        headers: None,
        message: Vec::new(),
    };
    let request = request(&to.to_string(), service, timeout);
    call.send(&request).await?;
    call.run().await?;
    call.verdict()
}

/// All that we say unasked.
fn request(authority: &str, service: &str, timeout: Duration) -> Vec<u8> {
    let milliseconds = timeout.as_millis().clamp(1, 99_999_999);
    let mut headers = Vec::new();
    for (before, value) in [
        ([METHOD_AND_PATH, AUTHORITY], authority.to_owned()),
        ([FIXED_HEADERS, TIMEOUT], format!("{milliseconds}m")),
    ] {
        headers.extend_from_slice(&before.concat());
        // Both are far below the 126 bytes that one byte of length can say.
        headers.push(value.len().min(126) as u8);
        headers.extend_from_slice(value.as_bytes());
    }
    // HealthCheckRequest { string service = 1; }
    let mut message = Vec::new();
    if !service.is_empty() {
        message.push(0x0a);
        varint(service.len(), &mut message);
        message.extend_from_slice(service.as_bytes());
    }
    let mut data = vec![0];
    data.extend_from_slice(
        &u32::try_from(message.len())
            .unwrap_or(u32::MAX)
            .to_be_bytes(),
    );
    data.extend_from_slice(&message);
    let mut all = PREFACE.to_vec();
    frame(HEADERS, END_HEADERS, STREAM, &headers, &mut all);
    frame(DATA, END_STREAM, STREAM, &data, &mut all);
    all
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8], out: &mut Vec<u8>) {
    let length = u32::try_from(payload.len())
        .unwrap_or(u32::MAX)
        .to_be_bytes();
    out.extend_from_slice(&length[1..]);
    out.extend_from_slice(&[kind, flags]);
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// A number as protobuf writes it.
fn varint(mut number: usize, out: &mut Vec<u8>) {
    while number > 0x7f {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// The call under way.
struct Call {
    stream: TcpStream,
    statuses: Statuses,
    /// A block of headers that goes on in the next frame, and the flags of its first one.
    headers: Option<(Vec<u8>, u8)>,
    message: Vec<u8>,
}

/// What the server sent.
struct Frame {
    kind: u8,
    flags: u8,
    stream: u32,
    payload: Vec<u8>,
}

impl Call {
    async fn send(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let sent = self.stream.write_all(bytes).await;
        sent.map_err(|e| Problem::Theirs(format!("cannot send the request: {e}")))
    }

    async fn fill(&mut self, buffer: &mut [u8]) -> Result<(), Problem> {
        let read = self.stream.read_exact(buffer).await;
        read.map(drop).map_err(|error| {
            Problem::Theirs(match error.kind() {
                std::io::ErrorKind::UnexpectedEof => {
                    "the server closed the connection without an answer".to_owned()
                }
                _ => format!("cannot read the answer: {error}"),
            })
        })
    }

    /// Reads frames until the server has ended the stream.
    async fn run(&mut self) -> Result<(), Problem> {
        for count in 0..MAX_FRAMES {
            let frame = self.frame().await?;
            if count == 0 && (frame.kind, frame.flags & ACK) != (SETTINGS, 0) {
                return Err(theirs("the answer is not HTTP/2"));
            }
            if self.take(frame).await? {
                return Ok(());
            }
        }
        Err(theirs("the server goes on talking without an answer"))
    }

    async fn frame(&mut self) -> Result<Frame, Problem> {
        let mut head = [0; 9];
        self.fill(&mut head).await?;
        let [a, b, c, kind, flags, stream @ ..] = head;
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        if length > MAX_FRAME_BYTES {
            return Err(theirs("the answer is not HTTP/2"));
        }
        let mut payload = vec![0; length];
        self.fill(&mut payload).await?;
        Ok(Frame {
            kind,
            flags,
            // The first bit has no meaning.
            stream: u32::from_be_bytes(stream) & (u32::MAX >> 1),
            payload,
        })
    }

    /// Whether this was the end of the stream.
    async fn take(&mut self, frame: Frame) -> Result<bool, Problem> {
        if self.headers.is_some() && frame.kind != CONTINUATION {
            return Err(malformed());
        }
        let Frame {
            kind,
            flags,
            stream,
            payload,
        } = frame;
        match (kind, stream) {
            (SETTINGS, 0) if flags & ACK == 0 => self.send(SETTINGS_ACK).await?,
            (PING, 0) if flags & ACK == 0 && payload.len() == 8 => {
                let mut answer = Vec::new();
                self::frame(PING, ACK, 0, &payload, &mut answer);
                self.send(&answer).await?;
            }
            (GOAWAY, 0) => {
                let last = payload.first_chunk().map(|last| u32::from_be_bytes(*last));
                // One that leaves in good order finishes what it has begun.
                if last.is_none_or(|last| last & (u32::MAX >> 1) < STREAM) {
                    return Err(theirs("the server does not take the call"));
                }
            }
            (RESET, STREAM) => {
                let code = payload.first_chunk().map(|code| u32::from_be_bytes(*code));
                let code = code.ok_or_else(malformed)?;
                return Err(Problem::Theirs(format!(
                    "the server cut the call with HTTP/2 error {code}"
                )));
            }
            (DATA, STREAM) => {
                let payload = unpadded(&payload, flags).ok_or_else(malformed)?;
                if self.message.len() + payload.len() > MAX_MESSAGE_BYTES {
                    return Err(theirs("the answer is too long for a health check"));
                }
                self.message.extend_from_slice(payload);
                return Ok(flags & END_STREAM != 0);
            }
            (HEADERS, STREAM) => {
                let mut block = unpadded(&payload, flags).ok_or_else(malformed)?;
                if flags & PRIORITY != 0 {
                    block = block.get(5..).ok_or_else(malformed)?;
                }
                return self.block(block.to_vec(), flags, flags);
            }
            (CONTINUATION, STREAM) => {
                let (mut block, first) = self.headers.take().ok_or_else(malformed)?;
                block.extend_from_slice(&payload);
                return self.block(block, first, flags);
            }
            (DATA | HEADERS | CONTINUATION | PUSH_PROMISE, _) => return Err(malformed()),
            _ => {}
        }
        Ok(false)
    }

    /// Headers as far as they have come: `first` are the flags of the frame they began in, `last` those of the latest.
    fn block(&mut self, block: Vec<u8>, first: u8, last: u8) -> Result<bool, Problem> {
        if block.len() > MAX_HEADERS_BYTES {
            return Err(theirs("the headers of the answer are too long"));
        }
        if last & END_HEADERS == 0 {
            self.headers = Some((block, first));
            return Ok(false);
        }
        hpack::read(&block, &mut self.statuses).ok_or_else(malformed)?;
        Ok(first & END_STREAM != 0)
    }

    fn verdict(&self) -> Result<(), Problem> {
        match (self.statuses.http, self.statuses.grpc) {
            (Some(200), Some(0)) => {}
            (_, Some(code)) if code != 0 => {
                let name = STATUS_NAMES.get(code as usize).unwrap_or(&"UNKNOWN");
                let hint = match *name {
                    "UNIMPLEMENTED" => ": the server has no grpc.health.v1.Health",
                    "NOT_FOUND" => ": the server does not know this service",
                    _ => "",
                };
                return Err(Problem::Theirs(format!(
                    "the health check ended with {name}{hint}"
                )));
            }
            (Some(status), _) if status != 200 => {
                return Err(Problem::Theirs(format!(
                    "the server answered with HTTP status {status}"
                )));
            }
            _ => return Err(theirs("the answer is not gRPC")),
        }
        match health(&self.message) {
            Some(SERVING) => Ok(()),
            Some(other) => {
                let known = usize::try_from(other)
                    .ok()
                    .and_then(|at| HEALTH_NAMES.get(at));
                let name = known.unwrap_or(&"of a kind that is not known");
                Err(Problem::Theirs(format!("the service is {name}")))
            }
            None => Err(malformed()),
        }
    }
}

fn theirs(text: &str) -> Problem {
    Problem::Theirs(text.to_owned())
}

fn malformed() -> Problem {
    theirs("the answer is malformed")
}

/// A payload without its padding. Source: RFC 9113, section 6.1.
fn unpadded(payload: &[u8], flags: u8) -> Option<&[u8]> {
    if flags & PADDED == 0 {
        return Some(payload);
    }
    let (padding, rest) = payload.split_first()?;
    rest.get(..rest.len().checked_sub(usize::from(*padding))?)
}

/// `HealthCheckResponse { ServingStatus status = 1; }` in its gRPC envelope; an absent status is 0.
fn health(message: &[u8]) -> Option<u64> {
    let (envelope, message) = message.split_at_checked(5)?;
    let [0, a, b, c, d] = *envelope else {
        return None;
    };
    if u32::from_be_bytes([a, b, c, d]) as usize != message.len() {
        return None;
    }
    let (mut rest, mut status) = (message, 0);
    while !rest.is_empty() {
        match read_varint(&mut rest)? {
            // Field 1, a number.
            0x08 => status = read_varint(&mut rest)?,
            tag => {
                // Fields of later versions: a number, eight bytes, a text, four bytes.
                let skip = match tag & 7 {
                    0 => read_varint(&mut rest).map(|_| 0)?,
                    1 => 8,
                    2 => usize::try_from(read_varint(&mut rest)?).ok()?,
                    5 => 4,
                    _ => return None,
                };
                rest = rest.get(skip..)?;
            }
        }
    }
    Some(status)
}

fn read_varint(rest: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..70).step_by(7) {
        let (byte, tail) = rest.split_first()?;
        *rest = tail;
        value |= u64::from(byte & 0x7f).checked_shl(shift)?;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_with_fields_of_later_versions() {
        let envelope = |message: &[u8]| {
            let length = u8::try_from(message.len()).expect("short");
            [&[0, 0, 0, 0, length], message].concat()
        };
        for (message, want) in [
            (&[0x08, 0x01][..], Some(1)),
            (&[], Some(0)),
            (&[0x12, 0x02, b'x', b'y', 0x08, 0x02], Some(2)),
            (
                &[
                    0x18, 0x80, 0x01, 0x25, 1, 2, 3, 4, 0x29, 1, 2, 3, 4, 5, 6, 7, 8,
                ],
                Some(0),
            ),
            (&[0x08], None),
            (&[0x12, 0x05, b'x'], None),
            (&[0x0b], None),
            (
                &[
                    0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
                ],
                None,
            ),
        ] {
            assert_eq!(health(&envelope(message)), want, "{message:?}");
        }
        assert_eq!(health(&[1, 0, 0, 0, 2, 8, 1]), None, "compressed");
        assert_eq!(health(&[0, 0, 0, 0, 3, 8, 1]), None, "cut");
        assert_eq!(health(&[0, 0]), None);
    }

    #[test]
    fn padding_is_taken_off() {
        assert_eq!(unpadded(&[2, 7, 0, 0], PADDED), Some(&[7][..]));
        assert_eq!(unpadded(&[2, 7, 0, 0], 0), Some(&[2, 7, 0, 0][..]));
        assert_eq!(unpadded(&[3, 0, 0], PADDED), None);
        assert_eq!(unpadded(&[], PADDED), None);
    }

    #[test]
    fn a_long_name_of_a_service_is_written_as_protobuf_wants_it() {
        let request = request("a:1", &"s".repeat(300), Duration::from_secs(1));
        let data = &request[request.len() - 300 - 3 - 5..];
        assert_eq!(data[..8], [0, 0, 0, 1, 47, 0x0a, 0xac, 0x02]);
    }
}
