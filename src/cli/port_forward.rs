//! `port-forward`: local ports that lead to ports of a pod, through its network namespace. No supervisor is asked, nothing is
//! needed in the image, and the pod needs no address.

use crate::cli::args::PortForwardArgs;
use crate::cli::exit::{Code, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::{host, pods, report};
use crate::manifest::Pod;
use crate::network::Namespace;
use crate::supervisor::{PodRecord, Process};
use crate::sys;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::{JoinSet, LocalSet};

/// Most connections at a time, each with two descriptors and two buffers of 8 KiB; more wait to be accepted.
const MAX_CONNECTIONS: usize = 400;
/// Pause after a connection could not be accepted: the reason, like too many open files, does not go away at once.
const ACCEPT_PAUSE: std::time::Duration = std::time::Duration::from_millis(100);

/// `[[ADDRESS:]LOCAL:]REMOTE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Forward {
    /// Where to listen; `None` means on loopback, both families.
    address: Option<IpAddr>,
    /// 0 means any that is free; `None` means the number of the remote one.
    local: Option<u16>,
    /// Number or name of a port of the pod.
    remote: String,
}

impl FromStr for Forward {
    type Err = String;

    fn from_str(text: &str) -> Result<Forward, String> {
        let wrong = || format!("`{text}` is not like 8080:80 or 127.0.0.1:8080:80");
        let (rest, remote) = match text.rsplit_once(':') {
            Some((rest, remote)) => (Some(rest), remote),
            None => (None, text),
        };
        if remote.is_empty() || remote == "0" {
            return Err(wrong());
        }
        let (address, local) = match rest.and_then(|rest| rest.rsplit_once(':')) {
            Some((address, local)) => {
                let address = address.trim_start_matches('[').trim_end_matches(']');
                (Some(address.parse().map_err(|_| wrong())?), Some(local))
            }
            None => (None, rest),
        };
        let local = match local {
            None => None,
            Some("") => Some(0),
            Some(number) => Some(number.parse().map_err(|_| wrong())?),
        };
        Ok(Forward {
            address,
            local,
            remote: remote.to_owned(),
        })
    }
}

pub(super) fn port_forward(settings: &Settings, args: &PortForwardArgs) -> Outcome {
    let pod = pods::find(settings, &args.pod)?;
    let name = &pod.plan.pod.name;
    let gone = || Failed::new(Code::Failed, format!("pod `{name}` does not run"));
    let pause = pods::pause(&pod).ok_or_else(gone)?;
    let namespace = Namespace::of_process(pause.pid, pause.start_time).ok_or_else(gone)?;
    let forwards: Vec<(&Forward, u16)> = args
        .ports
        .iter()
        .map(|forward| Ok((forward, remote(&pod.plan.pod, &forward.remote)?)))
        .collect::<Result<_, Failed>>()?;
    host::block_on(LocalSet::new().run_until(forward_all(&pod, pause, namespace, &forwards)))?
}

/// The number of a port that is given by number or by name.
fn remote(pod: &Pod, text: &str) -> Result<u16, Failed> {
    if let Ok(number) = text.parse() {
        return Ok(number);
    }
    let mut ports = pod.containers.iter().flat_map(|c| &c.ports);
    let port = ports.find(|port| port.name.as_deref() == Some(text));
    port.map(|port| port.container_port).ok_or_else(|| {
        let message = format!("pod `{}` has no port named `{text}`", pod.name);
        Failed::new(Code::NotFound, message)
    })
}

async fn forward_all(
    pod: &PodRecord,
    pause: Process,
    namespace: Namespace,
    forwards: &[(&Forward, u16)],
) -> Outcome {
    let ended = sys::pidfd(pause.pid).and_then(sys::watch);
    let ended = ended.map_err(cannot("watch the pod"))?;
    let (namespace, room) = (
        Rc::new(namespace),
        Arc::new(Semaphore::new(MAX_CONNECTIONS)),
    );
    // All are bound before any serves.
    let mut listeners = Vec::new();
    for (forward, remote) in forwards {
        listeners.extend(
            listen(forward, *remote)
                .await?
                .into_iter()
                .map(|l| (l, *remote)),
        );
    }
    let mut serving = JoinSet::new();
    for (listener, remote) in listeners {
        let local = listener.local_addr().map_err(cannot("listen"))?;
        report::data(format_args!("Forwarding from {local} -> {remote}"));
        let (namespace, room) = (Rc::clone(&namespace), Arc::clone(&room));
        serving.spawn_local(serve(listener, remote, namespace, room));
    }
    // The servers never end by themselves.
    let _ = ended.readable().await;
    let message = format!("pod `{}` has ended", pod.plan.pod.name);
    Err(Failed::new(Code::Failed, message))
}

/// Listens where it is asked to. On loopback one family is enough: a machine may lack the other.
async fn listen(forward: &Forward, remote: u16) -> Result<Vec<TcpListener>, Failed> {
    let port = forward.local.unwrap_or(remote);
    let failed = |e: io::Error, at: SocketAddr| {
        Failed::new(Code::Conflict, cannot(format!("listen on {at}"))(e))
            .hint("choose another local port, or `:PORT` for any that is free")
    };
    if let Some(address) = forward.address {
        let at = SocketAddr::new(address, port);
        let listener = TcpListener::bind(at).await.map_err(|e| failed(e, at))?;
        return Ok(vec![listener]);
    }
    let at = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port);
    let first = TcpListener::bind(at).await.map_err(|e| failed(e, at))?;
    let port = first.local_addr().map_or(port, |at| at.port());
    let at = SocketAddr::new(Ipv6Addr::LOCALHOST.into(), port);
    let second = match TcpListener::bind(at).await {
        Ok(listener) => Some(listener),
        Err(e) if e.kind() == io::ErrorKind::AddrInUse => return Err(failed(e, at)),
        Err(_) => None,
    };
    Ok([Some(first), second].into_iter().flatten().collect())
}

async fn serve(listener: TcpListener, remote: u16, namespace: Rc<Namespace>, room: Arc<Semaphore>) {
    // It is never closed.
    while let Ok(place) = Arc::clone(&room).acquire_owned().await {
        match listener.accept().await {
            Ok((client, _)) => {
                let namespace = Rc::clone(&namespace);
                tokio::task::spawn_local(async move {
                    if let Err(error) = carry(client, remote, &namespace).await {
                        report::warn(format!("a connection to port {remote} of the pod: {error}"));
                    }
                    drop(place);
                });
            }
            Err(error) => {
                report::warn(format!("cannot accept a connection: {error}"));
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Carries bytes both ways until both sides have ended; the end of one is told to the other, which may go on.
async fn carry(mut client: TcpStream, remote: u16, namespace: &Namespace) -> io::Result<()> {
    let mut server = connect(remote, namespace).await?;
    // Whatever one side says reaches the other at once.
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    match tokio::io::copy_bidirectional(&mut client, &mut server).await {
        // That one side breaks a connection off is its own affair.
        Err(e) if e.kind() == io::ErrorKind::ConnectionReset => Ok(()),
        other => other.map(|_| ()),
    }
}

/// Connects to loopback in the pod: IPv4, or IPv6 if nobody answers there. A socket stays in the namespace that it was made in.
async fn connect(remote: u16, namespace: &Namespace) -> io::Result<TcpStream> {
    let mut refused = io::Error::from(io::ErrorKind::ConnectionRefused);
    for address in [
        IpAddr::from(Ipv4Addr::LOCALHOST),
        Ipv6Addr::LOCALHOST.into(),
    ] {
        let family = match address {
            IpAddr::V4(_) => AddressFamily::INET,
            IpAddr::V6(_) => AddressFamily::INET6,
        };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let made = namespace.run(|| socket_with(family, SocketType::STREAM, flags, None));
        let socket = made.map_err(io::Error::other)?;
        let tried = match socket {
            Ok(socket) => {
                let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
                socket.connect(SocketAddr::new(address, remote)).await
            }
            Err(e) => Err(e.into()),
        };
        match tried {
            Ok(stream) => return Ok(stream),
            // What IPv4 said is what people know.
            Err(e) if address.is_ipv4() => refused = e,
            Err(_) => {}
        }
    }
    Err(refused)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forward_is_read_from_its_end() {
        let forward = |address: Option<&str>, local, remote: &str| Forward {
            address: address.map(|a| a.parse().expect("an address")),
            local,
            remote: remote.to_owned(),
        };
        for (text, want) in [
            ("80", forward(None, None, "80")),
            ("8080:80", forward(None, Some(8080), "80")),
            (":http", forward(None, Some(0), "http")),
            (
                "0.0.0.0:8080:80",
                forward(Some("0.0.0.0"), Some(8080), "80"),
            ),
            ("[::]:8080:80", forward(Some("::"), Some(8080), "80")),
            ("::1::80", forward(Some("::1"), Some(0), "80")),
        ] {
            assert_eq!(text.parse(), Ok(want), "{text}");
        }
        for wrong in ["", "8080:", "x:80", "70000:80", "a:1:80", "8080:0"] {
            assert!(wrong.parse::<Forward>().is_err(), "{wrong}");
        }
    }
}
