//! The firewall rules of a bridge: masquerading for what leaves it, and the published ports of its pods.
//!
//! They are one table of their own, `podshim<n>` like the bridge, made anew as a whole from the record in one transaction: no
//! rule can be forgotten or come twice. Where there is no nftables, the same as chains of iptables ([`super::iptables`]).

use crate::network::error::NetworkError;
use crate::network::iptables;
use crate::network::nftables::table_exists;
use crate::network::owner::BRIDGE;
use crate::network::program::Program;
use crate::network::{Published, Subnet};
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

/// How long the program may take: it does so within milliseconds, or waits for another that changes rules.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);

/// What the rules are made of.
pub(super) struct Rules<'a> {
    /// The bridge, and the table.
    pub name: String,
    pub subnets: &'a [Subnet],
    /// Whose it is, for people.
    pub owner: &'a str,
    /// Address of a pod, and what it publishes.
    pub ports: Vec<(IpAddr, Published)>,
}

/// Who keeps the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Firewall {
    /// The program `nft`.
    Nftables,
    /// The programs `iptables` and `ip6tables`.
    Iptables,
}

/// The first of these programs that is installed.
pub(super) fn find(name: &str) -> Option<PathBuf> {
    let places = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    which::which_in(name, Some(places), "/").ok()
}

/// Puts these rules in place of those that are there; who keeps them. *Errors*: nobody can.
pub(super) fn apply(rules: &Rules<'_>) -> Result<Firewall, NetworkError> {
    let mut refused = None;
    if find("nft").is_some() {
        match nft(&script(rules)) {
            Ok(()) => return Ok(Firewall::Nftables),
            Err(error) => refused = Some(error),
        }
    }
    match (iptables::apply(rules), refused) {
        (Ok(()), _) => Ok(Firewall::Iptables),
        (Err(NetworkError::NoFirewall), Some(refused)) => Err(refused),
        (Err(error), _) => Err(error),
    }
}

/// Removes the rules of a bridge; none there is no error.
pub(super) fn remove(
    firewall: Option<Firewall>,
    name: &str,
    subnets: &[Subnet],
) -> Result<(), NetworkError> {
    if table_exists(name) {
        nft(&format!("delete table inet {name}\n"))?;
    }
    // Also where nobody knows who kept them: whoever put them there was killed before it could say so.
    if firewall != Some(Firewall::Nftables) {
        iptables::remove(name, subnets)?;
    }
    Ok(())
}

fn nft(script: &str) -> Result<(), NetworkError> {
    let path = find("nft").ok_or(NetworkError::NoFirewall)?;
    Program {
        path: &path,
        args: &["-f", "-"],
        env: &[],
        input: script.as_bytes(),
        deadline: DEADLINE,
    }
    .succeed()?;
    Ok(())
}

/// The whole table as `nft -f` reads it.
fn script(rules: &Rules<'_>) -> String {
    let name = &rules.name;
    let mut ports = String::new();
    for (pod, published) in &rules.ports {
        let _ = writeln!(ports, "    {}", port_rule(*pod, published));
    }
    let mut leaving = String::new();
    for subnet in rules.subnets {
        let ip = if subnet.is_v6() { "ip6" } else { "ip" };
        let multicast = if subnet.is_v6() {
            "ff00::/8"
        } else {
            "224.0.0.0/4"
        };
        let _ = writeln!(
            leaving,
            "    {ip} saddr {subnet} oifname \"{name}\" ct status dnat masquerade\n    \
             {ip} saddr {subnet} {ip} daddr != {{ {subnet}, {multicast} }} oifname != \"{name}\" masquerade"
        );
    }
    // Declared first, so that there is something to delete.
    format!(
        "table inet {name} {{ }}\ndelete table inet {name}\ntable inet {name} {{\n  \
         chain ports {{\n{ports}  }}\n  \
         chain prerouting {{\n    type nat hook prerouting priority -100;\n    fib daddr type local jump ports\n  }}\n  \
         chain output {{\n    type nat hook output priority -100;\n    ip6 daddr ::1 return\n    fib daddr type local jump ports\n  }}\n  \
         chain postrouting {{\n    type nat hook postrouting priority 100;\n    \
         ip saddr 127.0.0.0/8 oifname \"{name}\" masquerade\n{leaving}  }}\n  \
         chain guard {{\n    type filter hook prerouting priority -300;\n    \
         iifname \"{name}\" ip daddr 127.0.0.0/8 drop comment \"{}\"\n  }}\n}}\n",
        comment(rules.owner)
    )
}

/// Words that are safe between quotes and within the 128 bytes of a comment.
pub(super) fn comment(owner: &str) -> String {
    let safe = |c: &char| c.is_ascii_alphanumeric() || "/._-".contains(*c);
    owner.chars().filter(safe).take(100).collect()
}

fn port_rule(pod: IpAddr, published: &Published) -> String {
    let protocol = published.word();
    let (ip, family, to) = match pod {
        IpAddr::V4(to) => ("ip", "ipv4", to.to_string()),
        IpAddr::V6(to) => ("ip6", "ipv6", format!("[{to}]")),
    };
    let on = match published.address() {
        Some(on) => format!("{ip} daddr {on} "),
        None => String::new(),
    };
    format!(
        "meta nfproto {family} {on}{protocol} dport {} dnat {ip} to {to}:{}",
        published.host_port, published.container_port
    )
}

/// Tables that carry the mark of this owner; none where `nft` cannot say.
pub(super) fn tables_of(owner: &str) -> Vec<String> {
    let Some(path) = find("nft") else {
        return Vec::new();
    };
    let run = |args: &[&str]| {
        let program = Program {
            path: &path,
            args,
            env: &[],
            input: b"",
            deadline: DEADLINE,
        };
        let printed = program.succeed().unwrap_or_default();
        String::from_utf8_lossy(&printed).into_owned()
    };
    let mark = format!("comment \"{}\"", comment(owner));
    let tables = run(&["list", "tables", "inet"]);
    let names = tables
        .lines()
        .filter_map(|line| line.strip_prefix("table inet "));
    let ours = names.filter(|name| {
        name.starts_with(BRIDGE) && run(&["list", "chain", "inet", name, "guard"]).contains(&mark)
    });
    ours.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Protocol;

    #[test]
    fn each_published_port_is_one_rule_of_its_family() {
        let published = |protocol, host_ip: Option<&str>| Published {
            protocol,
            host_ip: host_ip.map(|ip| ip.parse().expect("an address")),
            host_port: 8080,
            container_port: 80,
        };
        let pod: IpAddr = "10.64.0.2".parse().expect("an address");
        assert_eq!(
            port_rule(pod, &published(Protocol::Tcp, None)),
            "meta nfproto ipv4 tcp dport 8080 dnat ip to 10.64.0.2:80"
        );
        assert_eq!(
            port_rule(pod, &published(Protocol::Udp, Some("127.0.0.1"))),
            "meta nfproto ipv4 ip daddr 127.0.0.1 udp dport 8080 dnat ip to 10.64.0.2:80"
        );
        let pod: IpAddr = "fd00::2".parse().expect("an address");
        assert_eq!(
            port_rule(pod, &published(Protocol::Sctp, Some("::"))),
            "meta nfproto ipv6 sctp dport 8080 dnat ip6 to [fd00::2]:80"
        );
    }

    #[test]
    fn a_comment_holds_nothing_that_could_end_it() {
        assert_eq!(comment("/run/a \"b\"; drop"), "/run/abdrop");
    }
}
