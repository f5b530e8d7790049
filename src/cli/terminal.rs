//! A terminal in a container, shown on ours: raw mode, its size, what is typed and what is printed.

use crate::cli::exit::{Code, Failed, cannot};
use crate::cli::wait_child::Wait;
use crate::stdio::{self, ConsoleError, ConsoleSocket};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rustix::termios::{OptionalActions, Termios, tcgetattr, tcgetwinsize, tcsetattr};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

/// How long the runtime may take to send the terminal: as long as a create.
const DEADLINE: Duration = Duration::from_secs(60);
/// Ctrl-P Ctrl-Q. Source: docker and podman, `--detach-keys`.
const DETACH_KEYS: [u8; 2] = [0x10, 0x11];
/// Bytes copied at once.
const BLOCK_BYTES: usize = 16 * 1024;

/// A terminal that the runtime will send.
pub(super) struct Terminal {
    path: PathBuf,
    /// Takes it the moment it is sent and gives it its size, for runtimes that do not know `consoleSize`. With such a one a
    /// command may look before it is there; it then hears of it by SIGWINCH.
    taker: JoinHandle<Result<File, ConsoleError>>,
}

/// A terminal of a container that is being shown.
pub(super) struct Screen {
    master: File,
    printer: JoinHandle<bool>,
    raw: Option<Raw>,
}

/// Our terminal, raw as long as this lives.
pub(super) struct Raw(Termios);

impl Terminal {
    /// Listens in a directory that only we can enter. There is a [`Wait`] already: the thread that listens would otherwise take
    /// the signal that tells of a child's end, and nobody would hear of it.
    pub fn new(place: &Path, _signals_are_held: &Wait) -> Result<Terminal, Failed> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build();
        let runtime = runtime.map_err(cannot("start the event loop"))?;
        let socket = {
            let _entered = runtime.enter();
            ConsoleSocket::bind(&place.join("console"))?
        };
        let path = socket.path().to_owned();
        let taker = std::thread::spawn(move || {
            let master = File::from(runtime.block_on(socket.receive(DEADLINE))?);
            fit(&master);
            Ok(master)
        });
        Ok(Terminal { path, taker })
    }

    /// What to give the runtime.
    pub fn socket(&self) -> &Path {
        &self.path
    }

    /// Takes the terminal and connects it with our standard streams. Ours, if it is one, is raw from now on.
    pub fn show(self, with_input: bool) -> Result<Screen, Failed> {
        let taken = self.taker.join();
        let master = taken.map_err(|_| Failed::new(Code::Own, "the terminal did not come"))??;
        let clone = || master.try_clone().map_err(cannot("share the terminal"));
        let (reader, writer) = (clone()?, clone()?);
        let printer = std::thread::spawn(move || copy(reader, io::stdout()));
        let raw = if with_input { Raw::new() } else { None };
        if with_input {
            // It waits for what is typed until this process ends.
            std::thread::spawn(move || copy(io::stdin(), writer));
        }
        Ok(Screen {
            master,
            printer,
            raw,
        })
    }
}

/// Rows and columns of our terminal; what terminals had before there were windows if we have none.
pub(super) fn size() -> (u16, u16) {
    let size = tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin()));
    size.map_or((24, 80), |size| (size.ws_row, size.ws_col))
}

/// Gives a container's terminal the size of ours.
pub(super) fn fit(master: &File) {
    let (rows, columns) = size();
    // A terminal that cannot be resized is still one.
    let _ = stdio::resize(master.as_fd(), rows, columns);
}

impl Screen {
    /// Gives the container's terminal the size of ours.
    pub fn fit(&self) {
        fit(&self.master);
    }

    /// Shows what is left and makes our terminal as it was.
    pub fn close(self) {
        drop(self.master);
        let _ = self.printer.join();
        drop(self.raw);
    }
}

impl Raw {
    /// `None` if our standard input is no terminal.
    pub fn new() -> Option<Raw> {
        let cooked = tcgetattr(io::stdin()).ok()?;
        let mut raw = cooked.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Flush, &raw).ok()?;
        Some(Raw(cooked))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Flush, &self.0);
    }
}

/// Copies until the end, or until either side fails: a terminal whose last user is gone fails to read. Whether all was taken.
pub(super) fn copy(mut from: impl Read, mut to: impl Write) -> bool {
    let mut block = vec![0; BLOCK_BYTES];
    while let Ok(n @ 1..) = from.read(&mut block) {
        if to.write_all(&block[..n]).and_then(|()| to.flush()).is_err() {
            return false;
        }
    }
    true
}

/// Copies our input; whether the keys to leave were typed. Its end is the end of the container's, too, if that was given to us.
pub(super) fn type_into(mut to: Input, may_leave: bool) -> bool {
    if !may_leave {
        copy(io::stdin(), to);
        return false;
    }
    let (mut byte, mut typed) = ([0], 0);
    while let Ok(1) = io::stdin().read(&mut byte) {
        if byte[0] == DETACH_KEYS[typed] {
            typed += 1;
            if typed == DETACH_KEYS.len() {
                return true;
            }
            continue;
        }
        let held = &DETACH_KEYS[..std::mem::take(&mut typed)];
        if to
            .write_all(held)
            .and_then(|()| to.write_all(&byte))
            .is_err()
        {
            break;
        }
    }
    false
}

/// The container's end of what we read. Writing to its terminal does not wait by itself, for the supervisor's sake.
pub(super) struct Input(pub OwnedFd);

impl Write for Input {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        loop {
            match nix::unistd::write(&self.0, bytes) {
                Err(nix::Error::EAGAIN) => {
                    let mut ready = [PollFd::new(self.0.as_fd(), PollFlags::POLLOUT)];
                    poll(&mut ready, PollTimeout::NONE)?;
                }
                done => return Ok(done?),
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
