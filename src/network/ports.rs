//! Whether the host has a port free that a pod publishes.

use crate::manifest::Protocol;
use crate::network::Published;
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, ipproto, socket_with, sockopt};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// Why a port of the host cannot be published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortProblem {
    /// A process of the host listens there: publishing would take it away.
    InUse,
    /// The host has no such address.
    NoAddress,
}

/// Asks the kernel for the port, and gives it back at once. What cannot be asked, like a protocol that this kernel lacks, is no
/// problem.
pub fn port_problem(port: &Published) -> Option<PortProblem> {
    let everywhere = [
        IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    ];
    let wanted = match port.host_ip {
        Some(ip) => vec![ip],
        None => everywhere.to_vec(),
    };
    let ask = |ip: IpAddr| match try_bind(port.protocol, SocketAddr::new(ip, port.host_port)) {
        Err(Errno::ADDRINUSE) => Some(PortProblem::InUse),
        Err(Errno::ADDRNOTAVAIL) if port.host_ip.is_some() => Some(PortProblem::NoAddress),
        _ => None,
    };
    wanted.into_iter().find_map(ask)
}

fn try_bind(protocol: Protocol, address: SocketAddr) -> rustix::io::Result<()> {
    let family = match address {
        SocketAddr::V4(_) => AddressFamily::INET,
        SocketAddr::V6(_) => AddressFamily::INET6,
    };
    let (kind, protocol) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let socket = socket_with(family, kind, SocketFlags::CLOEXEC, Some(protocol))?;
    if address.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true)?;
    }
    if kind == SocketType::STREAM {
        // Connections that have just ended are nobody's.
        sockopt::set_socket_reuseaddr(&socket, true)?;
    }
    bind(&socket, &address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_listens_on_is_in_use() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = |host_ip: Option<&str>| Published {
            protocol: Protocol::Tcp,
            host_ip: host_ip.map(|ip| ip.parse().expect("an address")),
            host_port: taken.local_addr().expect("bound").port(),
            container_port: 80,
        };
        assert_eq!(port_problem(&port(None)), Some(PortProblem::InUse));
        assert_eq!(
            port_problem(&port(Some("127.0.0.1"))),
            Some(PortProblem::InUse)
        );
        assert_eq!(port_problem(&port(Some("127.0.0.2"))), None);
        assert_eq!(
            port_problem(&port(Some("203.0.113.1"))),
            Some(PortProblem::NoAddress)
        );
        let udp = Published {
            protocol: Protocol::Udp,
            ..port(None)
        };
        assert_eq!(port_problem(&udp), None);
    }
}
