//! Bytes that many short pieces are added to: the records of a log, JSON.
//!
//! The `memcpy` of a static program takes 20 to 30 ns before it copies the first byte, and a record or a JSON document is pieces of some
//! bytes each. Here a short piece is copied by its first and its last part, of a size that the compiler knows: no call, no loop.

use std::io::{self, Write};

/// Room that the first piece makes.
const ROOM_MIN: usize = 64;

/// Bytes that grow at their end.
#[derive(Debug, Default)]
pub struct Bytes {
    /// Those that count, and room.
    bytes: Vec<u8>,
    len: usize,
}

impl Bytes {
    /// What was added.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    /// The same, given away.
    pub fn into_vec(mut self) -> Vec<u8> {
        self.bytes.truncate(self.len);
        self.bytes
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds at the end.
    #[inline]
    pub fn push(&mut self, piece: &[u8]) {
        let end = self.len + piece.len();
        if end > self.bytes.len() {
            self.grow(end);
        }
        copy(&mut self.bytes[self.len..end], piece);
        self.len = end;
    }

    /// Twice as much room: what is added piece by piece is not moved for each.
    #[cold]
    fn grow(&mut self, least: usize) {
        let room = least.max(2 * self.bytes.len()).max(ROOM_MIN);
        self.bytes.resize(room, 0);
    }

    /// Takes so many off the front.
    pub fn drop_front(&mut self, count: usize) {
        self.bytes.copy_within(count..self.len, 0);
        self.len -= count;
    }

    /// Gives back room beyond so many bytes that nothing is in.
    pub fn shrink_to(&mut self, room: usize) {
        self.bytes.truncate(room.max(self.len));
        self.bytes.shrink_to(room);
    }
}

impl Write for Bytes {
    #[inline]
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        self.push(piece);
        Ok(piece.len())
    }

    #[inline]
    fn write_all(&mut self, piece: &[u8]) -> io::Result<()> {
        self.push(piece);
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Copies a piece to where there is as much room.
#[inline]
fn copy(to: &mut [u8], from: &[u8]) {
    let short = copy_ends::<8>(to, from)
        || copy_ends::<16>(to, from)
        || copy_ends::<32>(to, from)
        || copy_ends::<64>(to, from);
    match (short, from.len()) {
        (true, _) => {}
        (false, ..8) => to.iter_mut().zip(from).for_each(|(to, from)| *to = *from),
        _ => to.copy_from_slice(from),
    }
}

/// Copies the first and the last `N` bytes if they are all there is; whether they were. They may overlap.
#[inline]
fn copy_ends<const N: usize>(to: &mut [u8], from: &[u8]) -> bool {
    if from.len() > 2 * N {
        return false;
    }
    let (Some(first), Some(last)) = (from.first_chunk::<N>(), from.last_chunk::<N>()) else {
        return false;
    };
    if let Some(to) = to.first_chunk_mut() {
        *to = *first;
    }
    if let Some(to) = to.last_chunk_mut() {
        *to = *last;
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_all_lengths_follow_one_another_and_leave_at_the_front() {
        let (mut bytes, mut want) = (Bytes::default(), Vec::new());
        for length in (0..300).chain([5_000, 3, 70_000]) {
            let piece: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            bytes.push(&piece);
            want.extend(piece);
            assert_eq!(bytes.as_slice(), want, "{length}");
        }
        bytes.shrink_to(0);
        for count in [0, 1, 40_000, want.len() - 40_001] {
            bytes.drop_front(count);
            want.drain(..count);
            assert_eq!(bytes.as_slice(), want, "{count}");
            bytes.push(b"x");
            want.push(b'x');
        }
        bytes.drop_front(4);
        bytes.shrink_to(0);
        assert!(bytes.is_empty() && bytes.bytes.capacity() == 0);
    }
}
