//! The server side: one task per connection, a few at a time.

use crate::api::wire::{Call, INTERFACE, MAX_REQUEST_BYTES, Reply};
use crate::supervisor::Handle;
use serde_json::json;
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// Connections served at a time. More wait in the socket's backlog; each costs a few KiB.
const MAX_CONNECTIONS: usize = 64;
/// How long a client may take to send a request or to take a reply: local programs need microseconds.
const PATIENCE: Duration = Duration::from_secs(5);

/// Serves the control socket until the pod's loop ends (it drops the other side of `handle`).
pub async fn serve(listener: UnixListener, handle: Handle) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            // Ended connections first: they make room.
            biased;
            Some(_) = connections.join_next() => {}
            () = handle.ended() => break,
            accepted = listener.accept(), if connections.len() < MAX_CONNECTIONS => {
                match accepted {
                    Ok((stream, _)) if is_allowed(&stream) => {
                        connections.spawn(converse(stream, handle.clone()));
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

/// Root, or the user this process runs as.
fn is_allowed(stream: &UnixStream) -> bool {
    let own = nix::unistd::geteuid().as_raw();
    stream
        .peer_cred()
        .is_ok_and(|peer| peer.uid() == 0 || peer.uid() == own)
}

async fn converse(mut stream: UnixStream, handle: Handle) -> io::Result<()> {
    let mut pending = Vec::new();
    while let Some(request) = timeout(PATIENCE, read_request(&mut stream, &mut pending)).await?? {
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
    Ok(())
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
