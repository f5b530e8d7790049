//! The start of a container without its runtime, where `start` does nothing but open the gate at which the init waits.
//!
//! runc's init opens a fifo, writes a byte, and becomes the container's program; `runc start` reads the byte and removes the fifo,
//! by which the container's state is told. A process of runc takes 6 ms for that. One of ours takes less than one, and like runc's
//! it goes on when the supervisor is killed meanwhile: an init that finds nobody at the other side would fail. Source:
//! `Container.exec` in libcontainer/container_linux.go, the same since runc 1.0.

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// First argument of the program that opens a gate.
pub const START_VERB: &str = "__start";

/// Lets the init of a container pass, removes the gate, and comes back when both are done. `init` is a pidfd: who has ended does not
/// come.
pub fn open_gate(gate: &Path, init: BorrowedFd<'_>) -> io::Result<()> {
    let mut options = File::options();
    let options = options.read(true).custom_flags(nix::libc::O_NONBLOCK);
    let fifo = options.open(gate)?;
    if !fifo.metadata()?.file_type().is_fifo() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut ends = [fifo.as_fd(), init].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
    poll(&mut ends, PollTimeout::NONE)?;
    // Whoever has ended since has passed: the byte is there.
    match read(&fifo, &mut [0]) {
        Ok(1..) => std::fs::remove_file(gate),
        Ok(0) | Err(_) => Err(io::Error::other("the container's process has ended")),
    }
}
