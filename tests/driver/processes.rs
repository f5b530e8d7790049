//! Processes and what they write.

use crate::PATIENCE;
use podshim::base::{Exit, Signal};
use podshim::runtime::InitIo;
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use std::fs;
use std::io::{IoSliceMut, PipeReader, Read};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixListener;
use std::path::Path;
use tokio::time::timeout;

/// Empty input, and one pipe for both outputs.
pub(crate) fn stdio() -> (InitIo, PipeReader) {
    let (output, end) = std::io::pipe().expect("pipe");
    let stdin = fs::File::open("/dev/null").expect("/dev/null");
    let pipes = InitIo::Pipes {
        stdin: stdin.into(),
        stdout: end.try_clone().expect("second end").into(),
        stderr: end.into(),
    };
    (pipes, output)
}

/// Everything until the last holder of the pipe is gone.
pub(crate) async fn drained(mut output: PipeReader) -> String {
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).expect("text");
        text
    });
    timeout(PATIENCE, reading)
        .await
        .expect("every holder of the pipe is gone")
        .expect("read")
}

pub(crate) fn is_process(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

pub(crate) fn pidfd(pid: u32) -> OwnedFd {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).expect("the process exists")
}

/// The file that the first to connect sends.
pub(crate) fn receive_fd(listener: &UnixListener) -> OwnedFd {
    let (stream, _) = listener.accept().expect("somebody connects");
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut name = [0; 4096];
    let mut name = [IoSliceMut::new(&mut name)];
    recvmsg(&stream, &mut name, &mut ancillary, RecvFlags::empty()).expect("a message");
    let received = ancillary.drain().find_map(|message| match message {
        RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
        _ => None,
    });
    received.expect("a file")
}

/// Waits for a container's init, which is our child: this process is a subreaper.
pub(crate) async fn exit_of(pidfd: OwnedFd) -> Exit {
    let waiting = tokio::task::spawn_blocking(move || {
        let mut polled = [PollFd::new(&pidfd, PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).expect("a time");
        let ended = rustix::event::poll(&mut polled, Some(&patience));
        assert_eq!(ended, Ok(1), "the process ends");
        rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)
    });
    let status = waiting.await.expect("joined");
    let status = status.expect("our child").expect("it ended");
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(u8::try_from(code).expect("0-255")),
        (_, Some(signal)) => Exit::Signal(Signal::from_number(signal).expect("a signal")),
        _ => Exit::Unknown,
    }
}
