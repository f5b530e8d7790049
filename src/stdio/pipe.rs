//! What a container's standard streams are connected to: pipes, or a terminal that the runtime sends over a socket.

use rustix::fs::{Mode, OFlags};
use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags};
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::termios::{Winsize, isatty, tcsetwinsize};
use std::io::{self, ErrorKind, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::io::Interest;
use tokio::net::{UnixListener, UnixStream};

/// Bytes a pipe holds while nobody reads: what may be written during a restart of the supervisor without waiting. It is the most
/// that an unprivileged user may ask for. Source: `/proc/sys/fs/pipe-max-size`.
const PIPE_BYTES: usize = 1024 * 1024;
/// Bytes of a socket's path with its final zero. Source: unix(7).
const SOCKET_PATH_BYTES: usize = 108;
/// Bytes of the text that comes with the terminal; runc sends the name of the terminal.
const CONSOLE_TEXT_BYTES: usize = 4096;

/// One side of the standard streams.
#[derive(Debug)]
pub struct StdioEnds {
    /// Of the container: always there. Of ours: only if it keeps its standard input open.
    pub stdin: Option<OwnedFd>,
    /// Standard output.
    pub stdout: OwnedFd,
    /// Standard error.
    pub stderr: OwnedFd,
}

/// The standard streams of a container without a terminal; every descriptor is close-on-exec.
#[derive(Debug)]
pub struct StdioPipes {
    /// Reads its output, writes its input.
    pub ours: StdioEnds,
    /// Given to the runtime as its own and closed by us afterwards, or the end of the output never comes.
    pub container: StdioEnds,
}

impl StdioPipes {
    /// Makes them. Without `open_stdin` the standard input is `/dev/null`. *Errors*: when descriptors run out.
    pub fn new(open_stdin: bool) -> io::Result<StdioPipes> {
        let (stdout, container_stdout) = output_pipe()?;
        let (stderr, container_stderr) = output_pipe()?;
        let (container_stdin, stdin) = if open_stdin {
            let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
            (read, Some(write))
        } else {
            let null = OFlags::RDONLY | OFlags::CLOEXEC;
            (rustix::fs::open("/dev/null", null, Mode::empty())?, None)
        };
        Ok(StdioPipes {
            ours: StdioEnds {
                stdin,
                stdout,
                stderr,
            },
            container: StdioEnds {
                stdin: Some(container_stdin),
                stdout: container_stdout,
                stderr: container_stderr,
            },
        })
    }
}

/// The reading and the writing end of a pipe that holds [`PIPE_BYTES`].
pub(super) fn large_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = pipe_with(PipeFlags::CLOEXEC)?;
    // Refused when the user has many large pipes already; the default size works, too.
    let _ = fcntl_setpipe_size(&read, PIPE_BYTES);
    Ok((read, write))
}

fn output_pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    let (read, write) = large_pipe()?;
    // The container's end can read as well, as a terminal's can: while nobody of ours lives it still has a reader, so that a
    // container that writes waits instead of dying of SIGPIPE, and nothing it wrote is lost.
    let path = format!("/proc/self/fd/{}", write.as_raw_fd());
    let both = rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty());
    Ok((read, both.unwrap_or(write)))
}

/// Sets the size of a terminal, in characters.
pub fn resize(terminal: BorrowedFd<'_>, rows: u16, columns: u16) -> io::Result<()> {
    let size = Winsize {
        ws_row: rows,
        ws_col: columns,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(tcsetwinsize(terminal, size)?)
}

/// Why no terminal came from the runtime.
#[derive(Debug, thiserror::Error)]
pub enum ConsoleError {
    /// The socket cannot be made.
    #[error("cannot bind console socket `{path}`")]
    Bind {
        /// Where.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The runtime did not connect and send in time.
    #[error("cannot receive the terminal within {0:?}")]
    Late(Duration),
    /// The connection failed.
    #[error("cannot receive the terminal")]
    Receive(#[source] io::Error),
    /// What came is not exactly one terminal.
    #[error("cannot use what the runtime sent as a terminal")]
    NotATerminal,
}

/// Where the runtime sends the terminal of one container. The file is removed when this is dropped.
/// Source: OCI runtime command line, `--console-socket`.
#[derive(Debug)]
pub struct ConsoleSocket {
    listener: UnixListener,
    file: PathBuf,
    path: PathBuf,
    /// Keeps `path` valid when it goes through our descriptor.
    _dir: OwnedFd,
}

impl ConsoleSocket {
    /// Binds the socket `file`, which must not exist, in a directory that only we can enter. Needs a tokio runtime with I/O.
    pub fn bind(file: &Path) -> Result<ConsoleSocket, ConsoleError> {
        let failed = |source: io::Error| ConsoleError::Bind {
            path: file.to_owned(),
            source,
        };
        let (Some(parent), Some(name)) = (file.parent(), file.file_name()) else {
            return Err(failed(ErrorKind::InvalidInput.into()));
        };
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = rustix::fs::open(parent, flags, Mode::empty()).map_err(|e| failed(e.into()))?;
        let path = if file.as_os_str().len() < SOCKET_PATH_BYTES {
            file.to_owned()
        } else {
            // The runtime must reach it, too: by our pid, not by `self`.
            let process = std::process::id();
            PathBuf::from(format!("/proc/{process}/fd/{}", dir.as_raw_fd())).join(name)
        };
        let listener = UnixListener::bind(&path).map_err(failed)?;
        Ok(ConsoleSocket {
            listener,
            file: file.to_owned(),
            path,
            _dir: dir,
        })
    }

    /// What to give the runtime as `--console-socket`: short enough for any socket call.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Waits for the terminal: its controlling side, close-on-exec.
    pub async fn receive(self, deadline: Duration) -> Result<OwnedFd, ConsoleError> {
        let exchange = async {
            let (stream, _) = self.listener.accept().await?;
            stream
                .async_io(Interest::READABLE, || receive_fds(&stream))
                .await
        };
        let mut fds = tokio::time::timeout(deadline, exchange)
            .await
            .map_err(|_| ConsoleError::Late(deadline))?
            .map_err(ConsoleError::Receive)?;
        match (fds.pop(), fds.is_empty()) {
            (Some(fd), true) if isatty(&fd) => Ok(fd),
            _ => Err(ConsoleError::NotATerminal),
        }
    }
}

impl Drop for ConsoleSocket {
    fn drop(&mut self) {
        // Absent or not, nobody can use it any more; its directory goes with the instance.
        let _ = std::fs::remove_file(&self.file);
    }
}

fn receive_fds(stream: &UnixStream) -> io::Result<Vec<OwnedFd>> {
    let mut text = [0; CONSOLE_TEXT_BYTES];
    // Room for two, so that a second one is noticed.
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(2))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    rustix::net::recvmsg(
        stream.as_fd(),
        &mut [IoSliceMut::new(&mut text)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    let mut fds = Vec::new();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(received) = message {
            fds.extend(received);
        }
    }
    Ok(fds)
}
