//! Which network a pod has, as its plan says, and what it publishes.

use crate::manifest::{Pod, Protocol};
use crate::network::{CniNetwork, Subnet};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::PathBuf;

/// The network of a sandbox, resolved before the pod starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Network {
    /// A namespace of its own with loopback only.
    None,
    /// The host's.
    Host,
    /// The built-in bridge.
    Bridge {
        /// Its address ranges, at most one of each family; empty: chosen where they are free.
        subnets: Vec<Subnet>,
    },
    /// A network of the CNI configuration.
    Cni(Box<CniNetwork>),
    /// A namespace that somebody else made and keeps.
    Namespace(PathBuf),
}

impl Network {
    /// Whether a short-lived process has to set it up and take it down.
    pub fn is_made(&self) -> bool {
        matches!(self, Network::Bridge { .. } | Network::Cni(_))
    }
}

/// One port of a pod that the host answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Its protocol.
    pub protocol: Protocol,
    /// The address of the host that answers; `None` means every one.
    pub host_ip: Option<IpAddr>,
    /// On the host.
    pub host_port: u16,
    /// In the pod.
    pub container_port: u16,
}

impl Published {
    /// Every published port of a pod, each once.
    pub fn of(pod: &Pod) -> Vec<Published> {
        let mut all = Vec::new();
        for port in pod.containers.iter().flat_map(|c| &c.ports) {
            let Some(host_port) = port.host_port else {
                continue;
            };
            let published = Published {
                protocol: port.protocol,
                // The manifest layer has checked that it is an address.
                host_ip: port.host_ip.parse().ok(),
                host_port,
                container_port: port.container_port,
            };
            if !all.contains(&published) {
                all.push(published);
            }
        }
        all
    }

    /// The one address that answers; `None` if all of a family do.
    pub(super) fn address(&self) -> Option<IpAddr> {
        self.host_ip.filter(|ip| !ip.is_unspecified())
    }

    /// Whether a pod's address of this family is meant.
    pub(super) fn is_for(&self, pod: IpAddr) -> bool {
        self.host_ip.is_none_or(|ip| ip.is_ipv6() == pod.is_ipv6())
    }

    /// Its protocol as firewalls and plugins write it.
    pub(super) fn word(&self) -> &'static str {
        match self.protocol {
            Protocol::Tcp => "tcp",
            Protocol::Udp => "udp",
            Protocol::Sctp => "sctp",
        }
    }

    /// Whether both cannot be published at the same time.
    pub fn clashes(&self, other: &Published) -> bool {
        let same = |a: Option<IpAddr>, b: Option<IpAddr>| match (a, b) {
            (Some(a), Some(b)) => {
                a == b || a.is_ipv6() == b.is_ipv6() && (a.is_unspecified() || b.is_unspecified())
            }
            (None, _) | (_, None) => true,
        };
        self.protocol == other.protocol
            && self.host_port == other.host_port
            && same(self.host_ip, other.host_ip)
    }
}

impl std::fmt::Display for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let protocol = self.word().to_uppercase();
        match self.host_ip {
            None => write!(f, "{}/{protocol}", self.host_port),
            Some(IpAddr::V4(ip)) => write!(f, "{ip}:{}/{protocol}", self.host_port),
            Some(IpAddr::V6(ip)) => write!(f, "[{ip}]:{}/{protocol}", self.host_port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(ip: &str) -> Published {
        Published {
            protocol: Protocol::Tcp,
            host_ip: ip.parse().ok(),
            host_port: 80,
            container_port: 8080,
        }
    }

    #[test]
    fn ports_clash_when_one_address_would_have_to_answer_both() {
        for (a, b, clash) in [
            ("", "", true),
            ("", "127.0.0.1", true),
            ("", "::1", true),
            ("0.0.0.0", "127.0.0.1", true),
            ("0.0.0.0", "::1", false),
            ("::", "::1", true),
            ("127.0.0.1", "127.0.0.2", false),
            ("127.0.0.1", "127.0.0.1", true),
        ] {
            assert_eq!(port(a).clashes(&port(b)), clash, "{a} and {b}");
            assert_eq!(port(b).clashes(&port(a)), clash, "{b} and {a}");
        }
        let udp = Published {
            protocol: Protocol::Udp,
            ..port("")
        };
        assert!(!udp.clashes(&port("")));
        assert_eq!(port("").to_string(), "80/TCP");
        assert_eq!(port("::1").to_string(), "[::1]:80/TCP");
    }
}
