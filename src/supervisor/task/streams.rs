//! What a process's standard streams are connected to, by the names that the caller gave.
//!
//! ```text
//!  FIFO          container ──pipe──▶ copy ──▶ FIFO          the container never holds what is the caller's
//!  file://       container ──pipe──▶ copy ──▶ file
//!  binary://     container ──pipe──▶ logging program
//!  terminal      container ──pty───▶ copy ──▶ any of these
//! ```

use crate::runtime::InitIo;
use crate::stdio::{ConsoleSocket, Logger, StdioPipes, open_input, open_output, relay, resize};
use crate::supervisor::task::types::{Refusal, TaskError, TaskStdio};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Gid, Uid};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long the runtime may take to send the terminal. Source: containerd.
const CONSOLE_DEADLINE: Duration = Duration::from_secs(30);

/// What is the same for every process of a container.
#[derive(Clone, Debug)]
pub(super) struct Wiring {
    /// A directory of ours for sockets.
    pub dir: PathBuf,
    pub container: String,
    pub namespace: String,
    pub io_uid: u32,
    pub io_gid: u32,
}

/// The streams of one process, connected. Dropped, the copies end.
#[derive(Debug, Default)]
pub(super) struct Streams {
    terminal: Option<OwnedFd>,
    /// Keeps standard input open until somebody says that it is over.
    input: Option<OwnedFd>,
    /// Standard input, and where it goes, until the process is started. A client with nothing to say says so as soon as this is
    /// open, and is heard only if it has the answer to its create by then.
    later: Option<(String, OwnedFd)>,
    copies_in: Option<Copy>,
    copies_out: Vec<Copy>,
    logger: Option<Logger>,
}

#[derive(Debug)]
struct Copy(JoinHandle<u64>);

impl Copy {
    fn start(from: OwnedFd, to: OwnedFd) -> Copy {
        Copy(tokio::spawn(relay(from, to)))
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Where output goes.
enum Sink {
    Null,
    Path(PathBuf),
    File(PathBuf),
    Program(PathBuf, Vec<String>),
}

/// What is given to the runtime, and what is made of it.
pub(super) struct Lent {
    pub io: InitIo,
    pub console: Option<PathBuf>,
    rest: Rest,
}

struct Rest {
    streams: Streams,
    /// Name of the standard input.
    input: String,
    /// Our end of the process's standard input.
    stdin: Option<OwnedFd>,
    console: Option<(ConsoleSocket, OwnedFd)>,
}

type Result<T> = std::result::Result<T, TaskError>;

fn failed(what: &str, path: &Path) -> impl Fn(std::io::Error) -> TaskError {
    let what = format!("cannot {what} `{}`", path.display());
    move |error| TaskError::new(Refusal::Failed, format!("{what}: {error}"))
}

impl Wiring {
    /// Connects the streams of a process that is about to be made.
    pub async fn lend(&self, stdio: &TaskStdio) -> Result<Lent> {
        let mut streams = Streams::default();
        let program = match parse(&stdio.stdout)? {
            Sink::Program(path, args) => {
                let started = Logger::start(&path, &args, &self.container, &self.namespace);
                let (logger, ends) = started.await.map_err(|e| TaskError::failed(&e))?;
                streams.logger = Some(logger);
                Some(ends)
            }
            _ => None,
        };
        if stdio.terminal {
            let output = match program {
                Some(ends) => ends.stdout,
                None => open_sink(&stdio.stdout)?,
            };
            let socket = ConsoleSocket::bind(&self.socket()).map_err(|e| TaskError::failed(&e))?;
            let path = socket.path().to_owned();
            return Ok(Lent {
                io: InitIo::Console {
                    socket: path.clone(),
                },
                console: Some(path),
                rest: Rest {
                    streams,
                    input: stdio.stdin.clone(),
                    stdin: None,
                    console: Some((socket, output)),
                },
            });
        }
        let pipes =
            StdioPipes::new(!stdio.stdin.is_empty()).map_err(failed("make", Path::new("pipes")))?;
        let (ours, theirs) = (pipes.ours, pipes.container);
        for fd in [&theirs.stdout, &theirs.stderr]
            .into_iter()
            .chain(&theirs.stdin)
        {
            if (self.io_uid, self.io_gid) != (0, 0) {
                let (uid, gid) = (Uid::from_raw(self.io_uid), Gid::from_raw(self.io_gid));
                rustix::fs::fchown(fd, Some(uid), Some(gid))
                    .map_err(|e| failed("change the owner of", Path::new("pipes"))(e.into()))?;
            }
        }
        let (mut stdout, mut stderr) = (theirs.stdout, theirs.stderr);
        if let Some(ends) = program {
            (stdout, stderr) = (ends.stdout, ends.stderr);
        } else {
            for (name, from, to) in [
                (&stdio.stdout, ours.stdout, &mut stdout),
                (&stdio.stderr, ours.stderr, &mut stderr),
            ] {
                if name.is_empty() {
                    *to = null()?;
                } else {
                    streams.copies_out.push(Copy::start(from, open_sink(name)?));
                }
            }
        }
        let stdin = match theirs.stdin {
            Some(fd) => fd,
            None => null()?,
        };
        Ok(Lent {
            io: InitIo::Pipes {
                stdin,
                stdout,
                stderr,
            },
            console: None,
            rest: Rest {
                streams,
                input: stdio.stdin.clone(),
                stdin: ours.stdin,
                console: None,
            },
        })
    }

    fn socket(&self) -> PathBuf {
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        self.dir.join(format!("console-{number}.sock"))
    }
}

impl Lent {
    /// What goes to the runtime, and what stays.
    pub fn split(self) -> (InitIo, Connected) {
        (self.io, Connected(self.rest))
    }
}

/// Streams whose process is being made.
pub(super) struct Connected(Rest);

impl Connected {
    /// The runtime has made the process: takes the terminal it sent.
    pub async fn finish(self) -> Result<Streams> {
        let Rest {
            mut streams,
            input,
            stdin,
            console,
        } = self.0;
        let mut to = stdin;
        if let Some((socket, output)) = console {
            let received = socket.receive(CONSOLE_DEADLINE).await;
            let terminal = received.map_err(|e| TaskError::failed(&e))?;
            let copy = || terminal.as_fd().try_clone_to_owned();
            let lost = failed("copy the descriptor of", Path::new("terminal"));
            let from = copy().map_err(&lost)?;
            streams.copies_out.push(Copy::start(from, output));
            to = Some(copy().map_err(&lost)?);
            streams.terminal = Some(terminal);
        }
        streams.later = to.filter(|_| !input.is_empty()).map(|to| (input, to));
        Ok(streams)
    }
}

impl Streams {
    /// Lets standard input flow.
    pub fn open_input(&mut self) -> Result<()> {
        if let Some((name, to)) = self.later.take() {
            let path = Path::new(&name);
            let (from, keep) = open_input(path).map_err(failed("open", path))?;
            self.input = keep;
            self.copies_in = Some(Copy::start(from, to));
        }
        Ok(())
    }

    /// Sets the size of the terminal, if there is one.
    pub fn resize(&self, rows: u16, columns: u16) -> std::io::Result<()> {
        match &self.terminal {
            Some(terminal) => resize(terminal.as_fd(), rows, columns),
            None => Ok(()),
        }
    }

    /// Standard input may end now.
    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Waits until all output is where it belongs, at most this long: a child may hold it open for ever.
    pub async fn drain(mut self, deadline: Duration) {
        self.input = None;
        self.copies_in = None;
        self.terminal = None;
        let copies = &mut self.copies_out;
        let all = async {
            for copy in copies.iter_mut() {
                // Cancelled or done: there is nothing more to come.
                let _ = (&mut copy.0).await;
            }
        };
        let _expired = tokio::time::timeout(deadline, all).await;
        self.copies_out.clear();
        if let Some(logger) = self.logger.take() {
            logger.end().await;
        }
    }
}

fn null() -> Result<OwnedFd> {
    let path = Path::new("/dev/null");
    rustix::fs::open(path, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .map_err(|e| failed("open", path)(e.into()))
}

fn open_sink(name: &str) -> Result<OwnedFd> {
    match parse(name)? {
        Sink::Null => null(),
        Sink::Path(path) => open_output(&path).map_err(failed("open", &path)),
        Sink::File(path) => {
            if let Some(parent) = path.parent() {
                crate::sys::create_dirs(parent, 0o755).map_err(failed("make", parent))?;
            }
            let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE | OFlags::CLOEXEC;
            let mode = Mode::from_raw_mode(0o644);
            rustix::fs::open(&path, flags, mode).map_err(|e| failed("open", &path)(e.into()))
        }
        Sink::Program(path, _) => Err(TaskError::new(
            Refusal::Invalid,
            format!("cannot log standard error alone to `{}`", path.display()),
        )),
    }
}

/// What a stream's name means. Source: containerd, logging URIs.
fn parse(name: &str) -> Result<Sink> {
    let Some((scheme, rest)) = name.split_once("://") else {
        return Ok(match name {
            "" => Sink::Null,
            path => Sink::Path(path.into()),
        });
    };
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = PathBuf::from(decode(path));
    match scheme {
        _ if !path.is_absolute() => Err(TaskError::new(
            Refusal::Invalid,
            format!("cannot use `{name}` for output: its path is not absolute"),
        )),
        "fifo" => Ok(Sink::Path(path)),
        "file" => Ok(Sink::File(path)),
        "binary" => {
            let words = query.split('&').filter(|word| !word.is_empty());
            let args = words.flat_map(|word| {
                let (key, value) = word.split_once('=').unwrap_or((word, ""));
                [decode(key), decode(value)]
            });
            Ok(Sink::Program(
                path,
                args.filter(|a| !a.is_empty()).collect(),
            ))
        }
        _ => Err(TaskError::new(
            Refusal::Invalid,
            format!("cannot use `{name}` for output: podshim knows FIFOs, file:// and binary://"),
        )),
    }
}

/// Undoes percent-encoding; what is none stays.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, more)) = rest.split_first() {
        let code = (*first == b'%')
            .then(|| std::str::from_utf8(more.get(..2)?).ok())
            .flatten()
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(code.unwrap_or(*first));
        rest = if code.is_some() { &more[2..] } else { more };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_streams_are_understood() {
        assert!(matches!(parse(""), Ok(Sink::Null)));
        assert!(matches!(parse("/run/fifo"), Ok(Sink::Path(p)) if p == Path::new("/run/fifo")));
        assert!(matches!(parse("file:///l%20g"), Ok(Sink::File(p)) if p == Path::new("/l g")));
        let Ok(Sink::Program(path, args)) = parse("binary:///usr/bin/l?-k=v%26&x") else {
            panic!("a program");
        };
        assert_eq!(path, Path::new("/usr/bin/l"));
        assert_eq!(args, ["-k", "v&", "x"]);
        for bad in ["http://x/y", "file://relative", "binary://l"] {
            let refused = parse(bad).map(|_| ()).expect_err(bad);
            assert_eq!(refused.refusal, Refusal::Invalid, "{bad}");
        }
    }
}
