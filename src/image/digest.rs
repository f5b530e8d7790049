//! SHA-256 digests, as names and as they are computed while reading.

use sha2::Digest as _;
use std::fmt;
use std::io::{self, Read};
use std::str::FromStr;

/// `sha256:` and 64 lower-case hexadecimal digits. The digits are safe as a file name.
#[derive(
    Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
)]
#[serde(try_from = "String", into = "String")]
pub struct Digest {
    text: String,
}

const PREFIX: &str = "sha256:";

impl Digest {
    /// The digest of some bytes.
    pub fn of(bytes: &[u8]) -> Digest {
        Digest::from_hash(sha2::Sha256::digest(bytes).as_slice())
    }

    /// Its 64 digits.
    pub fn hex(&self) -> &str {
        &self.text[PREFIX.len()..]
    }

    fn from_hash(hash: &[u8]) -> Digest {
        let mut text = String::with_capacity(PREFIX.len() + 64);
        text.push_str(PREFIX);
        for byte in hash {
            text.push(char::from_digit(u32::from(byte >> 4), 16).unwrap_or('0'));
            text.push(char::from_digit(u32::from(byte & 15), 16).unwrap_or('0'));
        }
        Digest { text }
    }
}

impl FromStr for Digest {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Digest, &'static str> {
        let fits = text.strip_prefix(PREFIX).is_some_and(|hex| {
            hex.len() == 64
                && hex
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        });
        if fits {
            Ok(Digest {
                text: text.to_owned(),
            })
        } else {
            Err("must be sha256: and 64 lower-case hexadecimal digits")
        }
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;
    fn try_from(text: String) -> Result<Digest, &'static str> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.text
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The digest of bytes that come one after the other.
#[derive(Clone, Default)]
pub(super) struct Hasher(sha2::Sha256);

impl Hasher {
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of everything that was added.
    pub fn digest(self) -> Digest {
        Digest::from_hash(self.0.finalize().as_slice())
    }
}

/// Hashes what is read through it.
pub(super) struct Hashing<R> {
    stream: R,
    hasher: Hasher,
}

impl<R: Read> Hashing<R> {
    pub fn new(stream: R) -> Hashing<R> {
        Hashing {
            stream,
            hasher: Hasher::default(),
        }
    }

    /// The digest of everything that was read.
    pub fn digest(self) -> Digest {
        self.hasher.digest()
    }
}

impl<R: Read> Read for Hashing<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.stream.read(buffer)?;
        self.hasher.update(&buffer[..count]);
        Ok(count)
    }
}
