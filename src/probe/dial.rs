//! Connections out of the pod's network namespace.

use super::{Prober, Problem, chain, helper};
use crate::sys;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

/// Connects to `host`, or to the target's own address when it is empty. Of several addresses the first that answers counts.
pub async fn connect(prober: &Prober<'_>, host: &str, port: u16) -> Result<TcpStream, Problem> {
    let mut problem = Problem::Theirs(format!("`{host}` has no address"));
    for address in addresses(prober, host).await? {
        match connect_to(prober, SocketAddr::new(address, port)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => problem = error,
        }
    }
    Err(problem)
}

async fn addresses(prober: &Prober<'_>, host: &str) -> Result<Vec<IpAddr>, Problem> {
    if host.is_empty() {
        return Ok(vec![prober.target.address]);
    }
    match host.parse() {
        Ok(address) => Ok(vec![address]),
        // What every hosts file says; worth no process.
        Err(_) if host == "localhost" => {
            Ok(vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()])
        }
        Err(_) => helper::resolve(prober.program, host).await,
    }
}

async fn connect_to(prober: &Prober<'_>, to: SocketAddr) -> Result<TcpStream, Problem> {
    let socket = sys::tcp_socket(prober.target.netns.as_deref(), to.is_ipv6())
        .map_err(|e| Problem::Ours(chain(&e)))?;
    let refused =
        |why: &dyn std::fmt::Display| Problem::Theirs(format!("cannot connect to {to}: {why}"));
    let stream = TcpSocket::from_std_stream(socket.into())
        .connect(to)
        .await
        .map_err(|e| refused(&e))?;
    // On loopback the kernel may choose the very port that is dialled; then the socket is connected to itself, and nobody listens.
    if stream.local_addr().is_ok_and(|own| own == to) {
        return Err(refused(&"nobody listens"));
    }
    Ok(stream)
}
