//! Spoils bytes: a few changes each time, of the kinds that readers stumble over.

use crate::support::Random;

/// What parsers treat in a way of its own.
const WORDS: [&str; 40] = [
    "\0",
    "\n",
    "\r\n",
    "---\n",
    "&a ",
    "*a",
    "<<: ",
    "!!binary ",
    "!!int ",
    "{",
    "}",
    "[",
    "]",
    ":",
    ",",
    "\"",
    "'",
    "\\",
    "|\n",
    ">-\n",
    "\t",
    "null",
    "true",
    "-1",
    "18446744073709551616",
    "1e400",
    "0x",
    ".inf",
    "~",
    "../",
    "/",
    "/../../etc/passwd",
    ".wh.",
    ".wh..wh..opq",
    "sha256:",
    "\u{feff}",
    "\u{202e}",
    "\u{1f600}",
    "$(A)",
    "%s",
];

/// Numbers at the edges of their types.
const NUMBERS: [u64; 8] = [
    0,
    1,
    0x7f,
    0xff,
    0x7fff_ffff,
    0xffff_ffff,
    i64::MAX as u64,
    u64::MAX,
];

/// Longest input that is made: inputs grow by what is doubled.
const MAX_BYTES: usize = 256 * 1024;

/// A piece of something of this length: short ones are more frequent.
fn piece_of(length: usize, random: &mut Random) -> std::ops::Range<usize> {
    let from = random.index(length);
    let most = (length - from).min(1 << random.index(12));
    from..from + random.index(most + 1)
}

/// One input of `corpus` with one to six changes.
pub fn spoil(corpus: &[Vec<u8>], random: &mut Random) -> Vec<u8> {
    let mut bytes = random.of(corpus).clone();
    for _ in 0..=random.index(6) {
        change(&mut bytes, corpus, random);
    }
    bytes.truncate(MAX_BYTES);
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[Vec<u8>], random: &mut Random) {
    let at = random.index(bytes.len() + 1);
    let piece = piece_of(bytes.len(), random);
    match random.index(10) {
        0 if at < bytes.len() => bytes[at] ^= 1 << random.index(8),
        1 if at < bytes.len() => bytes[at] = random.next() as u8,
        2 => drop(bytes.drain(piece)),
        3 => {
            let piece = bytes[piece].to_vec();
            insert(bytes, at, &piece);
        }
        // Depth and length are what recursion and budgets see.
        4 => {
            let piece = bytes[piece].to_vec();
            let times = 1 << random.index(10);
            insert(bytes, at, &piece.repeat(times));
        }
        5 | 6 => insert(bytes, at, random.of(&WORDS).as_bytes()),
        7 => {
            let other = random.of(corpus);
            let piece = piece_of(other.len(), random);
            insert(bytes, at, &other[piece]);
        }
        8 => number(bytes, at, random),
        _ => bytes.truncate(at),
    }
}

fn insert(bytes: &mut Vec<u8>, at: usize, piece: &[u8]) {
    let room = MAX_BYTES.saturating_sub(bytes.len());
    let piece = piece[..piece.len().min(room)].iter().copied();
    bytes.splice(at..at, piece);
}

/// The next number in the text becomes another; where there is none, eight bytes do.
fn number(bytes: &mut [u8], at: usize, random: &mut Random) {
    let number = *random.of(&NUMBERS);
    let text = number.to_string();
    let digits = bytes[at..].iter().position(u8::is_ascii_digit);
    let (at, new) = match digits {
        Some(offset) => (at + offset, text.as_bytes().to_vec()),
        None => (at, number.to_le_bytes().to_vec()),
    };
    for (old, new) in bytes[at..].iter_mut().zip(new) {
        *old = new;
    }
}
