//! Those who watch an instance's output as it comes, beside its log: terminals of people, scripts that answer prompts.
//!
//! ```text
//!  pump ──write──▶ pipe ──▶ one watcher
//!       ──write──▶ pipe ──▶ another
//! ```
//! Nobody waits for them: one that has not read for so long that its pipe is full is let go, and sees the end of its pipe. The log
//! has everything.

use crate::stdio::cri::Stream;
use crate::stdio::pipe::large_pipe;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::io::{ioctl_fionbio, write};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The pump's side of one watcher.
#[derive(Debug)]
pub struct Tap {
    stdout: OwnedFd,
    stderr: OwnedFd,
}

/// The watcher's side: standard output and standard error, which end when the output does or the watcher is let go.
#[derive(Debug)]
pub struct Tapped {
    /// All of it, if the instance has a terminal.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
}

impl Tap {
    /// Both sides. *Errors*: when descriptors run out.
    pub fn new() -> io::Result<(Tap, Tapped)> {
        let ((out, stdout), (err, stderr)) = (pipe()?, pipe()?);
        let theirs = Tapped {
            stdout: out,
            stderr: err,
        };
        Ok((Tap { stdout, stderr }, theirs))
    }

    /// Whether it has taken all of it. No piece is larger than an empty pipe.
    fn take(&self, stream: Stream, bytes: &[u8]) -> bool {
        let pipe = match stream {
            Stream::Stdout => &self.stdout,
            Stream::Stderr => &self.stderr,
        };
        bytes.is_empty() || write(pipe, bytes).is_ok_and(|taken| taken == bytes.len())
    }

    fn is_watched(&self) -> bool {
        // A pipe that nobody reads any more has an error, asked for or not.
        let mut pipe = [PollFd::new(self.stdout.as_fd(), PollFlags::empty())];
        poll(&mut pipe, PollTimeout::ZERO).is_ok_and(|ready| ready == 0)
    }
}

/// Its reading end may wait, its writing end never does.
fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = large_pipe()?;
    ioctl_fionbio(&write, true)?;
    Ok((read, write))
}

/// All watchers of one instance.
#[derive(Debug, Default)]
pub(super) struct Taps(Vec<Tap>);

impl Taps {
    /// One more, which first gets the lines that have begun: a prompt, most often. Those who have left make room.
    pub fn add(&mut self, tap: Tap, begun: [&[u8]; 2]) {
        self.0.retain(Tap::is_watched);
        let [out, err] = begun;
        if tap.take(Stream::Stdout, out) && tap.take(Stream::Stderr, err) {
            self.0.push(tap);
        }
    }

    /// What was just read; whoever does not take it is let go.
    pub fn tell(&mut self, stream: Stream, bytes: &[u8]) {
        self.0.retain(|tap| tap.take(stream, bytes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;

    #[test]
    fn each_has_all_from_the_line_that_has_begun() {
        let mut taps = Taps::default();
        let (tap, one) = Tap::new().expect("pipes");
        taps.add(tap, [b"$ ", b""]);
        taps.tell(Stream::Stdout, b"ls\n");
        let (tap, other) = Tap::new().expect("pipes");
        taps.add(tap, [b"", b"wa"]);
        taps.tell(Stream::Stderr, b"rning\n");
        drop(taps);
        let read = |fd: OwnedFd| io::read_to_string(File::from(fd)).expect("text");
        assert_eq!(
            (read(one.stdout), read(one.stderr)),
            ("$ ls\n".into(), "rning\n".into())
        );
        assert_eq!(
            (read(other.stdout), read(other.stderr)),
            (String::new(), "warning\n".into())
        );
    }

    #[test]
    fn who_does_not_read_and_who_has_left_are_let_go() {
        let mut taps = Taps::default();
        let (tap, slow) = Tap::new().expect("pipes");
        taps.add(tap, [b"", b""]);
        let (tap, gone) = Tap::new().expect("pipes");
        taps.add(tap, [b"", b""]);
        drop(gone);
        let (tap, quick) = Tap::new().expect("pipes");
        taps.add(tap, [b"", b""]);
        assert_eq!(taps.0.len(), 2, "one has left");
        let piece = vec![b'x'; 64 * 1024];
        let mut quick = File::from(quick.stdout);
        for _ in 0..64 {
            taps.tell(Stream::Stdout, &piece);
            quick
                .read_exact(&mut vec![0; piece.len()])
                .expect("all of it");
        }
        assert_eq!(taps.0.len(), 1, "one did not read");
        let read = io::copy(&mut File::from(slow.stdout), &mut io::sink()).expect("the end");
        assert!(read >= piece.len() as u64, "{read}");
    }
}
