//! A bounded part of what comes through a pipe.

use std::io;
use tokio::net::unix::pipe::Receiver;

/// Read at once, in bytes.
const CHUNK_BYTES: usize = 4096;
/// Reads after the writer's end: a pipe holds 64 KiB, and somebody may still be writing.
const DRAIN_READS: usize = 16;

/// Which end of a long output is kept.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Keep {
    Head,
    Tail,
}

/// The read end of a pipe, and a bounded part of what came through it.
pub(super) struct Capture {
    pipe: Receiver,
    limit: usize,
    keep: Keep,
    kept: Vec<u8>,
    pub(super) open: bool,
}

impl Capture {
    pub(super) fn new(pipe: Receiver, limit: usize, keep: Keep) -> Capture {
        Capture {
            pipe,
            limit,
            keep,
            kept: Vec::new(),
            open: true,
        }
    }

    pub(super) async fn read(&mut self) {
        match self.pipe.readable().await {
            Ok(()) => {
                self.read_now();
            }
            Err(_) => self.open = false,
        }
    }

    /// Takes what is there; says whether there may be more.
    fn read_now(&mut self) -> bool {
        let mut chunk = [0; CHUNK_BYTES];
        match self.pipe.try_read(&mut chunk) {
            Ok(0) => self.open = false,
            Ok(n) => {
                self.take(&chunk[..n]);
                return true;
            }
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Err(_) => self.open = false,
        }
        false
    }

    fn take(&mut self, bytes: &[u8]) {
        match self.keep {
            Keep::Head => {
                let room = self.limit.saturating_sub(self.kept.len());
                self.kept.extend_from_slice(&bytes[..bytes.len().min(room)]);
            }
            Keep::Tail => {
                self.kept.extend_from_slice(bytes);
                let excess = self.kept.len().saturating_sub(self.limit);
                self.kept.drain(..excess);
            }
        }
    }

    /// What is kept, with what is still in the pipe; a writer that lives on is not waited for, nor read for ever.
    pub(super) fn rest(mut self) -> Vec<u8> {
        let mut budget = DRAIN_READS;
        while self.open && budget > 0 && self.read_now() {
            budget -= 1;
        }
        self.kept
    }
}
