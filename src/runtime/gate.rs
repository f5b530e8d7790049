//! The start of a container without its runtime, where `start` does nothing but open the gate at which the init waits.
//!
//! youki's init listens at a socket; `youki start` connects to it, and writes into the container's state that it runs. A process of
//! youki takes 10 ms for that. Source: `Container::start` in libcontainer/src/container/container_start.rs, youki 0.7.0.
//!
//! runc's init opens a fifo, writes a byte, and becomes the container's program; `runc start` reads the byte and removes the fifo,
//! by which the container's state is told. A process of runc takes 6 ms for that. One of ours takes less than one, and like runc's
//! it goes on when the supervisor is killed meanwhile: an init that finds nobody at the other side would fail. Source:
//! `Container.exec` in libcontainer/container_linux.go, the same since runc 1.0.

use crate::runtime::small_file::read_head;
use crate::sys;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::unistd::read;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, OpenOptionsExt};
use std::os::unix::net::UnixStream;
use std::path::Path;

/// First argument of the program that opens a gate.
pub const START_VERB: &str = "__start";
/// Where youki keeps what it knows of a container, beside its socket.
const STATE: &str = "state.json";
/// Longest state in bytes: it has the container's annotations, of which Kubernetes allows 256 KiB.
const MAX_STATE_BYTES: u64 = 4 * 1024 * 1024;
/// What youki's init is told; it does not look at it.
const START: &[u8] = b"start container";

/// Lets the init of a container pass, removes the gate, and comes back when both are done. `init` is a pidfd: who has ended does not
/// come.
pub fn open_gate(gate: &Path, init: BorrowedFd<'_>) -> io::Result<()> {
    let kind = gate.symlink_metadata()?.file_type();
    if kind.is_fifo() {
        open_fifo(gate, init)
    } else if kind.is_socket() {
        knock(gate, init)?;
        write_down(&gate.with_file_name(STATE))
    } else {
        Err(io::ErrorKind::InvalidInput.into())
    }
}

/// Tells who listens. Nobody does if somebody has knocked before: a supervisor that was killed before it was written down.
fn knock(gate: &Path, init: BorrowedFd<'_>) -> io::Result<()> {
    let (_dir, path) = sys::short_path(gate)?;
    match UnixStream::connect(path) {
        Ok(mut stream) => stream.write_all(START),
        Err(_) if !sys::pidfd_is_alive(init) => Err(ended()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(()),
        Err(error) => Err(error),
    }
}

/// Writes into the state of a container that it runs, as its runtime does: it runs no command in one that it has not started.
fn write_down(path: &Path) -> io::Result<()> {
    let mut state = read_state(path)?;
    state["status"] = "running".into();
    sys::write_atomic(path, state.to_string().as_bytes(), 0o644)
}

fn read_state(path: &Path) -> io::Result<Value> {
    Ok(serde_json::from_str(&read_head(path, MAX_STATE_BYTES)?)?)
}

/// Whether the state in this directory says that the container has not been started.
pub(super) fn is_created(directory: &Path) -> bool {
    read_state(&directory.join(STATE)).is_ok_and(|state| state["status"] == "created")
}

fn ended() -> io::Error {
    io::Error::other("the container's process has ended")
}

fn open_fifo(gate: &Path, init: BorrowedFd<'_>) -> io::Result<()> {
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
        Ok(0) | Err(_) => Err(ended()),
    }
}
