//! The server side: one task per connection, a few at a time.

use crate::api::wire::{
    Call, INTERFACE, MAX_REQUEST_BYTES, Reply, STDERR, STDIN, STDOUT, TERMINAL,
};
use crate::supervisor::{Attached, Handle};
use crate::sys;
use serde_json::json;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::timeout;

/// Connections served at a time; each costs a few KiB. For one more, the one that has been silent longest is closed: so many that
/// say nothing keep nobody out.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take to send a request or to take a reply: local programs need microseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves the control socket until the pod's loop ends (it drops the other side of `handle`).
pub async fn serve(listener: UnixListener, handle: Handle) {
    let mut connections = JoinSet::new();
    let mut open: VecDeque<Open> = VecDeque::new();
    loop {
        tokio::select! {
            // Ended connections first: they make room.
            biased;
            Some(_) = connections.join_next() => {}
            () = handle.ended() => break,
            accepted = listener.accept() => {
                match accepted {
                    Ok((stream, _)) if is_allowed(&stream) && make_room(&mut open) => {
                        let is_served = Arc::default();
                        let talk = converse(stream, handle.clone(), Arc::clone(&is_served));
                        let task = connections.spawn(talk);
                        open.push_back(Open { task, is_served });
                    }
                    Ok(_) => {}
                    // Out of descriptors, say: wait instead of spinning.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                }
            }
        }
    }
    // Those who watch get the last view; nobody keeps the pod from ending.
    let _ = timeout(PATIENCE, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

/// A connection.
struct Open {
    task: AbortHandle,
    /// A request of its is being answered, or it watches.
    is_served: Arc<AtomicBool>,
}

/// Whether there is room for one more connection, if need be by closing one that is silent.
fn make_room(open: &mut VecDeque<Open>) -> bool {
    open.retain(|one| !one.task.is_finished());
    if open.len() < MAX_CONNECTIONS {
        return true;
    }
    let silent = open
        .iter()
        .position(|one| !one.is_served.load(Ordering::Relaxed));
    let closed = silent.and_then(|index| open.remove(index));
    closed.is_some_and(|one| {
        one.task.abort();
        true
    })
}

/// Root, or the user this process runs as.
fn is_allowed(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

async fn converse(
    mut stream: UnixStream,
    handle: Handle,
    is_served: Arc<AtomicBool>,
) -> io::Result<()> {
    let mut pending = Vec::new();
    loop {
        is_served.store(false, Ordering::Relaxed);
        let read = timeout(PATIENCE, read_request(&mut stream, &mut pending));
        let Some(request) = read.await?? else {
            return Ok(());
        };
        is_served.store(true, Ordering::Relaxed);
        match Call::parse(&request) {
            Err(reply) => send(&mut stream, &reply).await?,
            Ok(Call::Watch { more }) => watch(&mut stream, &handle, more).await?,
            Ok(Call::Request(request)) => {
                let reply = match handle.request(request).await {
                    Some(Ok(())) => Reply::ok(json!({})),
                    Some(Err(refusal)) => Reply::refused(&refusal),
                    None => return Ok(()),
                };
                send(&mut stream, &reply).await?;
            }
            Ok(Call::Attach { container, input }) => match handle.attach(container, input).await {
                Some(Ok(attached)) => hand_over(&stream, attached).await?,
                Some(Err(refusal)) => send(&mut stream, &Reply::refused(&refusal)).await?,
                None => return Ok(()),
            },
            Ok(Call::Replace { program }) => {
                let reply = match open_program(&program) {
                    Err(_) => Reply::invalid("program"),
                    Ok(program) => match handle.replace(program.into()).await {
                        Some(true) => Reply::ok(json!({})),
                        Some(false) => Reply::irreplaceable(),
                        None => return Ok(()),
                    },
                };
                send(&mut stream, &reply).await?;
            }
            Ok(Call::Info) => {
                let parameters = json!({
                    "vendor": "podshim", "product": "podshim", "version": env!("CARGO_PKG_VERSION"), "url": "",
                    "interfaces": ["org.varlink.service", "io.podshim.Pod"],
                });
                send(&mut stream, &Reply::ok(parameters)).await?;
            }
            Ok(Call::Describe) => {
                send(&mut stream, &Reply::ok(json!({ "description": INTERFACE }))).await?
            }
        }
    }
}

/// Opens a regular file; anything else might keep us waiting.
fn open_program(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.read(true).custom_flags(nix::libc::O_NONBLOCK);
    let file = options.open(path)?;
    match file.metadata()?.is_file() {
        true => Ok(file),
        false => Err(io::ErrorKind::InvalidInput.into()),
    }
}

/// The bytes up to the next NUL; `None` when the client has left.
async fn read_request(
    stream: &mut UnixStream,
    pending: &mut Vec<u8>,
) -> io::Result<Option<Vec<u8>>> {
    let mut buffer = [0; 1024];
    loop {
        if let Some(end) = pending.iter().position(|byte| *byte == 0) {
            let rest = pending.split_off(end + 1);
            pending.pop();
            return Ok(Some(std::mem::replace(pending, rest)));
        }
        if pending.len() > MAX_REQUEST_BYTES {
            return Err(io::ErrorKind::InvalidData.into());
        }
        match stream.read(&mut buffer).await? {
            0 => return Ok(None),
            n => pending.extend_from_slice(&buffer[..n]),
        }
    }
}

async fn send(stream: &mut UnixStream, reply: &Reply) -> io::Result<()> {
    timeout(PATIENCE, stream.write_all(&reply.to_bytes())).await?
}

/// Sends what a client is attached with, and the descriptors in the same message.
async fn hand_over(stream: &UnixStream, attached: Attached) -> io::Result<()> {
    let (mut streams, mut fds) = (Vec::new(), Vec::new());
    if let Some(output) = &attached.output {
        streams.extend([STDOUT, STDERR]);
        fds.extend([output.stdout.as_fd(), output.stderr.as_fd()]);
    }
    if let Some(input) = &attached.input {
        streams.push(if attached.is_terminal {
            TERMINAL
        } else {
            STDIN
        });
        fds.push(input.as_fd());
    }
    let reply = Reply::ok(json!({ "instance": attached.instance, "streams": streams }));
    let bytes = reply.to_bytes();
    let send = || Ok(sys::send(stream.as_fd(), &bytes, &fds, true)?);
    timeout(PATIENCE, stream.async_io(Interest::WRITABLE, send)).await?
}

/// Sends the view, and with `more` each later one; the last of a settled pod ends it.
async fn watch(stream: &mut UnixStream, handle: &Handle, more: bool) -> io::Result<()> {
    let mut views = handle.views();
    loop {
        let view = views.borrow_and_update().clone();
        let continues = more && !view.settled;
        send(stream, &Reply::view(&view, continues)).await?;
        if !continues {
            return Ok(());
        }
        let mut byte = [0];
        tokio::select! {
            changed = views.changed() => if changed.is_err() { return Ok(()) },
            // A client that leaves is noticed at once; what it says meanwhile is not a request.
            read = stream.read(&mut byte) => if read? == 0 { return Err(io::ErrorKind::BrokenPipe.into()) },
        }
    }
}
