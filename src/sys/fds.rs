//! Messages with file descriptors over a `SOCK_SEQPACKET` pair: one send is one receive, whole or not at all. Paths of sockets.

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{
    AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType, recvmsg,
    sendmsg, socketpair,
};
use std::fs::File;
use std::io::{self, IoSlice, IoSliceMut, PipeReader};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::{Path, PathBuf};
use tokio::io::unix::AsyncFd;

/// Most descriptors one message carries: the three of a container's output, and one to spare.
pub const MAX_FDS_PER_MESSAGE: usize = 4;

/// Two connected sockets that keep message borders; closed on exec.
pub fn connected_pair() -> nix::Result<(OwnedFd, OwnedFd)> {
    socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )
}

/// Sends one message. `EAGAIN` when `nonblocking` and the peer does not read.
pub fn send(
    socket: BorrowedFd<'_>,
    bytes: &[u8],
    fds: &[BorrowedFd<'_>],
    nonblocking: bool,
) -> nix::Result<()> {
    let raw: Vec<RawFd> = fds.iter().map(AsRawFd::as_raw_fd).collect();
    let rights = [ControlMessage::ScmRights(&raw)];
    let control = if raw.is_empty() { &[][..] } else { &rights[..] };
    let mut flags = MsgFlags::MSG_NOSIGNAL;
    flags.set(MsgFlags::MSG_DONTWAIT, nonblocking);
    sendmsg::<()>(
        socket.as_raw_fd(),
        &[IoSlice::new(bytes)],
        control,
        flags,
        None,
    )
    .map(|_| ())
}

/// Receives one message into `buffer`: its length, zero when the peer is gone, and its descriptors (closed on exec). A message
/// that did not fit is an error (`EMSGSIZE`), and so are more descriptors than [`MAX_FDS_PER_MESSAGE`].
pub fn receive(
    socket: BorrowedFd<'_>,
    buffer: &mut [u8],
    nonblocking: bool,
) -> nix::Result<(usize, Vec<OwnedFd>)> {
    let mut space = nix::cmsg_space!([RawFd; MAX_FDS_PER_MESSAGE]);
    let mut flags = MsgFlags::MSG_CMSG_CLOEXEC;
    flags.set(MsgFlags::MSG_DONTWAIT, nonblocking);
    let mut slices = [IoSliceMut::new(buffer)];
    let message = recvmsg::<()>(socket.as_raw_fd(), &mut slices, Some(&mut space), flags)?;
    let mut fds = Vec::new();
    for control in message.cmsgs()? {
        if let ControlMessageOwned::ScmRights(raw) = control {
            // SAFETY: the kernel has just made these descriptors for us and nobody else knows them.
            fds.extend(
                raw.into_iter()
                    .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
            );
        }
    }
    if message
        .flags
        .intersects(MsgFlags::MSG_TRUNC | MsgFlags::MSG_CTRUNC)
    {
        return Err(Errno::EMSGSIZE);
    }
    Ok((message.bytes, fds))
}

/// A path to a socket that fits into `sun_path` (108 bytes) however long the directory is. The file must stay open while it is used.
pub fn short_path(socket: &Path) -> io::Result<(File, PathBuf)> {
    let (Some(parent), Some(name)) = (socket.parent(), socket.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    let dir = File::open(parent)?;
    let path = Path::new("/proc/self/fd")
        .join(dir.as_raw_fd().to_string())
        .join(name);
    Ok((dir, path))
}

/// Registers a descriptor with the event loop.
pub fn watch(fd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` gives the same open descriptor for as long as it lives, and `AsyncFd` owns it.
    unsafe { AsyncFd::register(fd) }.map_err(io::Error::from)
}

/// Whether nobody can write into a pipe any more.
pub fn has_hung_up(pipe: &PipeReader) -> bool {
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok_and(|n| n > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn a_message_arrives_whole_with_its_descriptor() {
        let (a, b) = connected_pair().expect("pair");
        let mut file = tempfile::tempfile().expect("file");
        file.write_all(b"inside").expect("write");
        send(a.as_fd(), b"key", &[file.as_fd()], false).expect("send");
        let mut buffer = [0; 16];
        let (n, fds) = receive(b.as_fd(), &mut buffer, true).expect("receive");
        assert_eq!((&buffer[..n], fds.len()), (&b"key"[..], 1));
        let mut same = std::fs::File::from(fds.into_iter().next().expect("one"));
        let mut text = String::new();
        same.rewind().expect("rewind");
        same.read_to_string(&mut text).expect("read");
        assert_eq!(text, "inside");
        drop(a);
        assert_eq!(receive(b.as_fd(), &mut buffer, true).expect("end").0, 0);
    }

    #[test]
    fn a_pipe_hangs_up_with_its_last_writer() {
        let (end, writer) = std::io::pipe().expect("a pipe");
        let second = writer.try_clone().expect("a copy");
        drop(writer);
        assert!(!has_hung_up(&end));
        drop(second);
        assert!(has_hung_up(&end));
    }

    #[test]
    fn a_message_that_does_not_fit_is_refused_and_leaks_nothing() {
        let (a, b) = connected_pair().expect("pair");
        send(a.as_fd(), &[1; 64], &[], false).expect("send");
        assert_eq!(
            receive(b.as_fd(), &mut [0; 8], true).map(|_| ()),
            Err(Errno::EMSGSIZE)
        );
    }
}
