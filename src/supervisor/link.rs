//! What keeper and supervisor say to each other, over one `SOCK_SEQPACKET` pair: a letter, a key or record, descriptors.

use crate::base::InstanceId;
use crate::store::{EXIT_RECORD_BYTES, ExitRecord};
use crate::sys;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Version of what is said here, and third argument of a supervisor: a keeper may be older than the supervisor that it starts. One
/// that knows only other versions must not follow, see [`crate::supervisor::Snapshot::link`].
pub const LINK: &str = "1";

/// Longest message in bytes: a letter and an instance id (a name of 63 bytes, a dash, a number).
pub const MAX_MESSAGE_BYTES: usize = 128;

/// A file in the pod's directory that says: containers share mounts with the host, so its mount namespace must be kept. No instance has
/// such an id, and it is held under this one.
pub const HOST_MOUNTS: &str = "host-mounts";

/// One message.
#[derive(Debug)]
pub enum Message {
    /// Supervisor → keeper: keep these descriptors; keeper → new supervisor: you had these.
    Hold(InstanceId, Vec<OwnedFd>),
    /// Supervisor → keeper: close what is held for this instance.
    Drop(InstanceId),
    /// Supervisor → keeper: start supervisors from this program from now on.
    Program(OwnedFd),
    /// Keeper → supervisor: the listening control socket.
    Listener(OwnedFd),
    /// Keeper → supervisor: that was all; begin.
    Go,
    /// Keeper → supervisor: the exit record has grown.
    Exits,
    /// Keeper → supervisor: a process ended and the record of it could not be written.
    Unwritten(ExitRecord),
    /// Keeper → supervisor: somebody asked the keeper to end.
    Terminate,
}

/// Reads one message; `None` when the other side is gone or none is waiting (`EAGAIN`).
pub fn receive(socket: BorrowedFd<'_>, nonblocking: bool) -> nix::Result<Option<Message>> {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let (length, mut fds) = sys::receive(socket, &mut buffer, nonblocking)?;
    let Some((letter, rest)) = buffer[..length].split_first() else {
        return Ok(None);
    };
    let key = || {
        std::str::from_utf8(rest)
            .map(|key| InstanceId(key.to_owned()))
            .map_err(|_| nix::Error::EBADMSG)
    };
    Ok(Some(match letter {
        b'H' => Message::Hold(key()?, fds),
        b'D' => Message::Drop(key()?),
        b'L' => Message::Listener(fds.pop().ok_or(nix::Error::EBADMSG)?),
        b'P' => Message::Program(fds.pop().ok_or(nix::Error::EBADMSG)?),
        b'G' => Message::Go,
        b'E' => Message::Exits,
        b'X' => Message::Unwritten(ExitRecord::from_bytes(rest).ok_or(nix::Error::EBADMSG)?),
        b'T' => Message::Terminate,
        _ => return Err(nix::Error::EBADMSG),
    }))
}

/// Sends a message that is a letter and a key, with descriptors.
pub fn send(
    socket: BorrowedFd<'_>,
    letter: u8,
    key: &str,
    fds: &[BorrowedFd<'_>],
) -> nix::Result<()> {
    let mut buffer = [0; MAX_MESSAGE_BYTES];
    let target = buffer.get_mut(1..=key.len()).ok_or(nix::Error::EMSGSIZE)?;
    target.copy_from_slice(key.as_bytes());
    buffer[0] = letter;
    sys::send(socket, &buffer[..=key.len()], fds, true)
}

/// Tells of an exit. One that is on disk needs no more than a nudge: a nudge that is lost because many wait changes nothing.
pub fn send_exit(socket: BorrowedFd<'_>, record: ExitRecord, written: bool) -> nix::Result<()> {
    if written {
        return sys::send(socket, b"E", &[], true);
    }
    let mut buffer = [b'X'; 1 + EXIT_RECORD_BYTES];
    buffer[1..].copy_from_slice(&record.to_bytes());
    sys::send(socket, &buffer, &[], true)
}
