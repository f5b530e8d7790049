//! A stream that is read in a thread of its own, some buffers ahead of whoever needs it: one core decompresses and hashes while
//! another creates files.

use std::io::{self, Read};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};

/// Bytes of a buffer.
const BUFFER_BYTES: usize = 128 << 10;
/// Buffers that wait to be used.
const BUFFERS: usize = 4;

/// What has been read ahead.
pub(super) struct Ahead {
    full: Receiver<io::Result<Vec<u8>>>,
    used: Sender<Vec<u8>>,
    current: Vec<u8>,
    position: usize,
}

/// Gives `work` the stream, and gives it back with what came of that.
pub(super) fn ahead<R: Read + Send, T>(stream: R, work: impl FnOnce(Ahead) -> T) -> (T, R) {
    let (full, filled) = sync_channel(BUFFERS);
    let (used, empty) = channel();
    std::thread::scope(|scope| {
        let reader = scope.spawn(move || read_all(stream, &full, &empty));
        let done = work(Ahead {
            full: filled,
            used,
            current: Vec::new(),
            position: 0,
        });
        match reader.join() {
            Ok(stream) => (done, stream),
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// Reads to the end of the stream, to its first error, or until nobody wants more.
fn read_all<R: Read>(
    mut stream: R,
    full: &SyncSender<io::Result<Vec<u8>>>,
    empty: &Receiver<Vec<u8>>,
) -> R {
    loop {
        let mut buffer = empty
            .try_recv()
            .unwrap_or_else(|_| Vec::with_capacity(BUFFER_BYTES));
        buffer.clear();
        let read = (&mut stream)
            .take(BUFFER_BYTES as u64)
            .read_to_end(&mut buffer);
        let goes_on = matches!(read, Ok(1..));
        if full.send(read.map(|_| buffer)).is_err() || !goes_on {
            return stream;
        }
    }
}

impl Read for Ahead {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.position == self.current.len() {
            // The end and an error are the last that is sent.
            let Ok(next) = self.full.recv() else {
                return Ok(0);
            };
            let used = std::mem::replace(&mut self.current, next?);
            self.position = 0;
            // Nobody needs it any more when all is read.
            let _ = self.used.send(used);
        }
        let left = &self.current[self.position..];
        let count = left.len().min(into.len());
        into[..count].copy_from_slice(&left[..count]);
        self.position += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives its bytes three at a time, then an error if there is one.
    struct Slow(Vec<u8>, Option<io::ErrorKind>);

    impl Read for Slow {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            let count = self.0.len().min(into.len()).min(3);
            into[..count].copy_from_slice(&self.0[..count]);
            self.0.drain(..count);
            match self.1.take_if(|_| count == 0) {
                Some(kind) => Err(kind.into()),
                None => Ok(count),
            }
        }
    }

    #[test]
    fn all_of_a_stream_comes_in_order_and_the_stream_comes_back_read() {
        let bytes: Vec<u8> = (0..200_001_u32).map(|n| (n % 251) as u8).collect();
        let (read, rest) = ahead(Slow(bytes.clone(), None), |mut stream| {
            let mut all = Vec::new();
            stream.read_to_end(&mut all).map(|_| all)
        });
        assert!(read.expect("no error") == bytes);
        assert!(rest.0.is_empty());
    }

    #[test]
    fn an_error_comes_where_it_was() {
        let (seen, _) = ahead(
            Slow(vec![1; 10], Some(io::ErrorKind::FileTooLarge)),
            |mut stream| {
                let mut all = Vec::new();
                stream.read_to_end(&mut all).map_err(|error| error.kind())
            },
        );
        assert_eq!(seen, Err(io::ErrorKind::FileTooLarge));
    }

    #[test]
    fn who_wants_no_more_is_not_waited_for() {
        let (first, _) = ahead(io::repeat(7), |mut stream| {
            let mut one = [0];
            stream.read(&mut one).map(|_| one[0])
        });
        assert_eq!(first.expect("no error"), 7);
    }
}
