//! Copies bytes as they come from one descriptor to another: what containerd's clients give for standard streams are FIFOs.
//!
//! The kernel moves pages where it can (`splice`), so a copy needs no memory of ours. Whoever does not read is waited for: the
//! container then blocks on its own output, as with a terminal nobody looks at.

use crate::sys;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::pipe::{SpliceFlags, splice};
use rustix::termios::isatty;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use tokio::io::unix::AsyncFd;

/// Bytes moved at once; a FIFO holds as many.
const MOVE_BYTES: usize = 64 * 1024;
/// Bytes of one read where the kernel cannot move them (terminals, files); kept only while it flows.
const READ_BYTES: usize = 16 * 1024;

/// Opens where output goes. A FIFO is opened for both directions: that waits for no reader, and a reader that goes away for a
/// while ends nothing. Anything else is appended to.
pub fn open_output(path: &Path) -> io::Result<OwnedFd> {
    let both = OFlags::RDWR | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, both, Mode::empty())?;
    if is_fifo(&fd)? {
        return Ok(fd);
    }
    let append = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
    Ok(rustix::fs::open(path, append, Mode::empty())?)
}

/// Opens where input comes from, and a second end of a FIFO that keeps it from ending while its writers come and go: input ends
/// when that is dropped and no other writer is left.
pub fn open_input(path: &Path) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    let read = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let fd = rustix::fs::open(path, read, Mode::empty())?;
    if !is_fifo(&fd)? {
        return Ok((fd, None));
    }
    let write = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let keep = rustix::fs::open(path, write, Mode::empty())?;
    Ok((fd, Some(keep)))
}

fn is_fifo(fd: impl AsFd) -> io::Result<bool> {
    let mode = rustix::fs::fstat(fd)?.st_mode;
    Ok(FileType::from_raw_mode(mode) == FileType::Fifo)
}

/// Copies until `from` ends or `to` cannot take more; how many bytes. *Errors*: none; what cannot be read has ended, and what
/// nobody can take is nobody's. Needs a tokio runtime with I/O.
pub async fn relay(from: OwnedFd, to: OwnedFd) -> u64 {
    let mut total = 0;
    let (Ok(from), Ok(to)) = (End::new(from), End::new(to)) else {
        return total;
    };
    let mut by_kernel = true;
    let mut buffer = Vec::new();
    loop {
        let moved = if by_kernel {
            from.splice_to(&to).await
        } else {
            from.copy_to(&to, &mut buffer).await
        };
        match moved {
            Ok(0) => return total,
            Ok(n) => total += n as u64,
            Err(Errno::INVAL) if by_kernel => by_kernel = false,
            // A terminal whose other side is closed says EIO.
            Err(_) => return total,
        }
        // Output that never pauses must not keep the loop from everything else.
        tokio::task::yield_now().await;
    }
}

/// A descriptor that may have to be waited for; files and devices other than terminals are always ready.
enum End {
    Waits(AsyncFd<OwnedFd>),
    Ready(OwnedFd),
}

impl End {
    fn new(fd: OwnedFd) -> io::Result<End> {
        rustix::io::ioctl_fionbio(&fd, true)?;
        let kind = FileType::from_raw_mode(rustix::fs::fstat(&fd)?.st_mode);
        let waits = matches!(kind, FileType::Fifo | FileType::Socket) || isatty(&fd);
        Ok(match waits {
            true => End::Waits(sys::watch(fd)?),
            false => End::Ready(fd),
        })
    }

    fn fd(&self) -> BorrowedFd<'_> {
        match self {
            End::Waits(fd) => fd.as_fd(),
            End::Ready(fd) => fd.as_fd(),
        }
    }

    async fn readable(&self) {
        if let End::Waits(fd) = self {
            while let Ok(mut ready) = fd.readable().await {
                if is_ready(self.fd(), PollFlags::IN) {
                    return;
                }
                ready.clear_ready();
            }
        }
    }

    async fn writable(&self) {
        if let End::Waits(fd) = self {
            while let Ok(mut ready) = fd.writable().await {
                if is_ready(self.fd(), PollFlags::OUT) {
                    return;
                }
                ready.clear_ready();
            }
        }
    }

    /// Waits for input, then for room, then lets the kernel move what there is.
    async fn splice_to(&self, to: &End) -> Result<usize, Errno> {
        loop {
            self.readable().await;
            to.writable().await;
            match splice(
                self.fd(),
                None,
                to.fd(),
                None,
                MOVE_BYTES,
                SpliceFlags::NONBLOCK,
            ) {
                Err(Errno::AGAIN | Errno::INTR) => tokio::task::yield_now().await,
                done => return done,
            }
        }
    }

    async fn copy_to(&self, to: &End, buffer: &mut Vec<u8>) -> Result<usize, Errno> {
        let n = loop {
            if !is_ready(self.fd(), PollFlags::IN) {
                *buffer = Vec::new();
            }
            self.readable().await;
            buffer.resize(READ_BYTES, 0);
            match rustix::io::read(self.fd(), &mut *buffer) {
                Err(Errno::AGAIN | Errno::INTR) => tokio::task::yield_now().await,
                done => break done?,
            }
        };
        let mut rest = &buffer[..n];
        while !rest.is_empty() {
            to.writable().await;
            match rustix::io::write(to.fd(), rest) {
                Ok(written) => rest = &rest[written..],
                Err(Errno::AGAIN | Errno::INTR) => tokio::task::yield_now().await,
                Err(error) => return Err(error),
            }
        }
        Ok(n)
    }
}

/// Whether it is ready now; an end or an error counts, the call itself will tell.
fn is_ready(fd: BorrowedFd<'_>, what: PollFlags) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(fd, what)];
    let now = Timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    !matches!(poll(&mut fds, Some(&now)), Ok(0))
}
