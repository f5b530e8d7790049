//! Records on their way into a log file: bytes that many short pieces are added to.
//!
//! Each record is two pieces of some tens of bytes, and the `memcpy` of a static program takes 20 to 30 ns before it copies the first
//! byte. Here a short piece is copied by its first and its last part, of a size that the compiler knows: no call, no loop.

/// Bytes that grow at their end.
#[derive(Debug, Default)]
pub struct Batch {
    /// Those that count, and room.
    bytes: Vec<u8>,
    len: usize,
}

impl Batch {
    /// What was added.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
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
        self.bytes.resize(least.max(2 * self.bytes.len()), 0);
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
        let (mut batch, mut want) = (Batch::default(), Vec::new());
        for length in (0..300).chain([5_000, 3, 70_000]) {
            let piece: Vec<u8> = (0..length).map(|n| (n % 251) as u8).collect();
            batch.push(&piece);
            want.extend(piece);
            assert_eq!(batch.bytes(), want, "{length}");
        }
        batch.shrink_to(0);
        for count in [0, 1, 40_000, want.len() - 40_001] {
            batch.drop_front(count);
            want.drain(..count);
            assert_eq!(batch.bytes(), want, "{count}");
            batch.push(b"x");
            want.push(b'x');
        }
        batch.drop_front(4);
        batch.shrink_to(0);
        assert!(batch.is_empty() && batch.bytes.capacity() == 0);
    }
}
