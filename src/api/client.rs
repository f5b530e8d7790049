//! The client side, for short-lived commands: blocking.

use crate::api::wire::{Call, MAX_REPLY_BYTES, Reply, STDERR, STDIN, STDOUT, TERMINAL};
use crate::base::InstanceId;
use crate::pod::{PodView, Refusal, Request};
use crate::store::{CONTROL_SOCKET, PodDir};
use crate::sys;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A pod could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Its socket does not answer.
    #[error("cannot talk to the supervisor at `{}`", path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It said no.
    #[error("the pod refused")]
    Refused(Refusal),
    /// It answered something else.
    #[error("cannot understand the supervisor's answer `{0}`")]
    Reply(String),
}

/// What a client is attached with.
#[derive(Debug)]
pub struct Streams {
    /// Of this attempt to run the container.
    pub instance: InstanceId,
    /// Output from now on; `None` if there will be none.
    pub stdout: Option<OwnedFd>,
    /// The same of standard error.
    pub stderr: Option<OwnedFd>,
    /// The end that writes its input.
    pub stdin: Option<OwnedFd>,
    /// The controlling side of its terminal.
    pub terminal: Option<OwnedFd>,
}

/// The answer, and which descriptors come with it.
#[derive(Deserialize)]
struct Told {
    instance: InstanceId,
    streams: Vec<String>,
}

/// A connection to the supervisor of one pod.
#[derive(Debug)]
pub struct Client {
    path: PathBuf,
    stream: UnixStream,
    pending: Vec<u8>,
}

/// Makes the listening control socket of a pod, 0600, in place of one that an earlier keeper left. There is always one from now
/// until the pod is over.
pub fn listen(dir: &PodDir) -> io::Result<UnixListener> {
    let socket = dir.file("control.sock.new");
    let (_dir, path) = sys::short_path(&socket)?;
    match std::fs::remove_file(&socket) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let listener = UnixListener::bind(path)?;
    std::fs::set_permissions(&socket, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    std::fs::rename(&socket, dir.file(CONTROL_SOCKET))?;
    Ok(listener)
}

impl Client {
    /// Connects to the supervisor of a pod.
    pub fn connect(dir: &PodDir) -> Result<Client, ClientError> {
        let path = dir.file(CONTROL_SOCKET);
        let connect = || {
            let (_dir, short) = sys::short_path(&path)?;
            UnixStream::connect(short)
        };
        let stream = connect().map_err(|source| ClientError::Io {
            path: path.clone(),
            source,
        })?;
        Ok(Client {
            path,
            stream,
            pending: Vec::new(),
        })
    }

    /// Gives up on an answer after this long; `None` waits for ever.
    pub fn set_timeout(&self, timeout: Option<Duration>) -> Result<(), ClientError> {
        self.stream
            .set_read_timeout(timeout)
            .map_err(|e| self.io(e))
    }

    /// Asks the machine for something; returns when it was accepted.
    pub fn request(&mut self, request: Request) -> Result<(), ClientError> {
        self.send(&Call::Request(request))?;
        self.answer().map(drop)
    }

    /// Lets a supervisor of this program go on with the pod; returns when it was accepted.
    pub fn replace(&mut self, program: &Path) -> Result<(), ClientError> {
        self.send(&Call::Replace {
            program: program.to_owned(),
        })?;
        self.answer().map(drop)
    }

    /// The streams of a running container, and the writing end of its input if that is asked for.
    pub fn attach(&mut self, container: &str, input: bool) -> Result<Streams, ClientError> {
        self.send(&Call::Attach {
            container: container.to_owned(),
            input,
        })?;
        let mut buffer = [0; 8192];
        let received = sys::receive(self.stream.as_fd(), &mut buffer, false);
        let (length, fds) = received.map_err(|e| self.io(e.into()))?;
        self.pending.extend_from_slice(&buffer[..length]);
        let told = serde_json::from_value::<Told>(self.answer()?);
        let told = told.map_err(|e| ClientError::Reply(e.to_string()))?;
        let mut named: BTreeMap<String, OwnedFd> = told.streams.into_iter().zip(fds).collect();
        Ok(Streams {
            instance: told.instance,
            stdout: named.remove(STDOUT),
            stderr: named.remove(STDERR),
            stdin: named.remove(STDIN),
            terminal: named.remove(TERMINAL),
        })
    }

    /// Begins to watch; [`Client::next_view`] then gives the view now and each later one.
    pub fn watch(&mut self) -> Result<(), ClientError> {
        self.send(&Call::Watch { more: true })
    }

    /// The next view; `None` when the supervisor has left.
    pub fn next_view(&mut self) -> Result<Option<PodView>, ClientError> {
        let Some(mut parameters) = self.receive()? else {
            return Ok(None);
        };
        let view = parameters
            .get_mut("view")
            .map(serde_json::Value::take)
            .unwrap_or_default();
        serde_json::from_value(view)
            .map(Some)
            .map_err(|e| ClientError::Reply(e.to_string()))
    }

    fn io(&self, source: io::Error) -> ClientError {
        ClientError::Io {
            path: self.path.clone(),
            source,
        }
    }

    fn send(&mut self, call: &Call) -> Result<(), ClientError> {
        self.stream
            .write_all(&call.to_bytes())
            .map_err(|e| self.io(e))
    }

    /// What is received, of a supervisor that may not leave without an answer.
    fn answer(&mut self) -> Result<serde_json::Value, ClientError> {
        self.receive()?
            .ok_or_else(|| self.io(io::ErrorKind::UnexpectedEof.into()))
    }

    fn receive(&mut self) -> Result<Option<serde_json::Value>, ClientError> {
        let mut buffer = [0; 8192];
        let end = loop {
            if let Some(end) = self.pending.iter().position(|byte| *byte == 0) {
                break end;
            }
            if self.pending.len() > MAX_REPLY_BYTES {
                return Err(ClientError::Reply("too long".into()));
            }
            match self.stream.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(n) => self.pending.extend_from_slice(&buffer[..n]),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) if e.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(e) => return Err(self.io(e)),
            }
        };
        let message: Vec<u8> = self.pending.drain(..=end).collect();
        let mut reply: Reply = serde_json::from_slice(&message[..end])
            .map_err(|e| ClientError::Reply(e.to_string()))?;
        match (
            &reply.error,
            reply
                .parameters
                .get_mut("refusal")
                .map(serde_json::Value::take),
        ) {
            (None, _) => Ok(Some(reply.parameters)),
            (Some(error), None) => Err(ClientError::Reply(error.clone())),
            (Some(error), Some(refusal)) => Err(match serde_json::from_value(refusal) {
                Ok(refusal) => ClientError::Refused(refusal),
                Err(_) => ClientError::Reply(error.clone()),
            }),
        }
    }
}
