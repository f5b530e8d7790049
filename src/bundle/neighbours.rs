//! Names of other pods in a pod's `/etc/hosts`, for a pod that asks for them.
//!
//! A name that the file already has wins, whoever offers it again: the pod's own, those of hostAliases, `localhost`. A pod can
//! offer one plain word, its name, and what lies below its namespace's own domain: no other name of the world can be taken over.

use crate::bundle::hostname::{self, CLUSTER_DOMAIN};
use crate::manifest::{Pod, pod_name};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

/// Most bytes that the names of others add to the file: a thousand pods with two addresses and names of usual length.
const MAX_BYTES: usize = 256 * 1024;

/// Another pod of the namespace, as it is known on this machine.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Neighbour {
    /// Its name.
    pub name: String,
    /// `<host>.<subdomain>.<namespace>.svc.cluster.local`, if it has a subdomain.
    pub fqdn: Option<String>,
    /// Its addresses.
    pub ips: Vec<IpAddr>,
}

/// The full name of a pod that has a subdomain.
pub fn fqdn(pod: &Pod) -> Option<String> {
    let domain = hostname::domain(pod)?;
    Some(format!("{}.{domain}", hostname::short(pod)))
}

/// What the names of others add to a hosts file that has this text: nothing, or a block of its own, sorted by name.
pub(super) fn block(text: &str, namespace: &str, neighbours: &[Neighbour]) -> String {
    let taken: BTreeSet<String> = names_in(text).map(str::to_ascii_lowercase).collect();
    let mut sorted: Vec<&Neighbour> = neighbours.iter().collect();
    sorted.sort();
    let mut lines = String::new();
    for neighbour in sorted {
        let mut names = names_of(neighbour, namespace);
        names.retain(|name| !taken.contains(*name));
        if names.is_empty() {
            continue;
        }
        let before = lines.len();
        for ip in neighbour.ips.iter().filter(|ip| is_of_a_pod(**ip)) {
            let _ = writeln!(lines, "{ip}\t{}", names.join("\t"));
        }
        if lines.len() > MAX_BYTES {
            lines.truncate(before);
            break;
        }
    }
    match lines.is_empty() {
        true => lines,
        false => {
            format!("\n# Entries added by podshim: pods of namespace {namespace}.\n{lines}")
        }
    }
}

/// The names of a neighbour that may stand in the file.
fn names_of<'a>(neighbour: &'a Neighbour, namespace: &str) -> Vec<&'a str> {
    let below = format!(".{namespace}.svc.{CLUSTER_DOMAIN}");
    let fqdn = neighbour.fqdn.as_deref();
    let fqdn = fqdn.filter(|name| pod_name(name).is_ok() && name.ends_with(&below));
    let name = Some(&*neighbour.name);
    // With a dot it would look like a name of the world outside.
    let name = name.filter(|name| pod_name(name).is_ok() && !name.contains('.'));
    fqdn.into_iter().chain(name).collect()
}

fn is_of_a_pod(ip: IpAddr) -> bool {
    !(ip.is_loopback() || ip.is_unspecified() || ip.is_multicast())
}

/// The names of a hosts file. Source: hosts(5).
fn names_in(text: &str) -> impl Iterator<Item = &str> {
    let lines = text
        .lines()
        .map(|line| line.split('#').next().unwrap_or_default());
    lines.flat_map(|line| line.split_whitespace().skip(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn neighbour(name: &str, fqdn: Option<&str>, ip: &str) -> Neighbour {
        Neighbour {
            name: name.to_owned(),
            fqdn: fqdn.map(str::to_owned),
            ips: vec![ip.parse().expect("an address")],
        }
    }

    #[test]
    fn a_name_that_the_file_has_or_that_is_none_of_a_pod_is_left_out() {
        let text = "127.0.0.1\tlocalhost # spare\n10.0.0.2\tself\n\n10.1.1.1 Alias other\n";
        let all = |neighbours: &[Neighbour]| block(text, "default", neighbours);
        let bad_ips = ["127.0.0.1", "0.0.0.0", "::", "::1", "224.0.0.1", "ff02::1"];
        let bad_names = [
            "localhost",
            "self",
            "alias",
            "other",
            "",
            "UP",
            "-x",
            "a b",
            "a\tb",
            "a\n10.6.6.6\tb",
            "a#b",
            "www.example.com",
            "ü",
        ];
        for ip in bad_ips {
            assert_eq!(all(&[neighbour("web", None, ip)]), "", "{ip}");
        }
        for name in bad_names {
            assert_eq!(all(&[neighbour(name, None, "10.0.0.3")]), "", "{name:?}");
        }
        for fqdn in [
            "www.example.com",
            "h.s.other.svc.cluster.local",
            "default.svc.cluster.local",
            ".default.svc.cluster.local",
            "h\n.default.svc.cluster.local",
        ] {
            let one = neighbour("a.b", Some(fqdn), "10.0.0.3");
            assert_eq!(all(&[one]), "", "{fqdn:?}");
        }
        let spare = all(&[neighbour("spare", None, "10.0.0.3")]);
        assert!(
            spare.ends_with(".\n10.0.0.3\tspare\n"),
            "a comment takes no name: {spare}"
        );
    }

    #[test]
    fn however_many_there_are_the_block_stays_small() {
        let many: Vec<_> = (0..100_000)
            .map(|n| neighbour(&format!("pod-{n}"), None, "10.0.0.3"))
            .collect();
        let text = block("", "default", &many);
        assert!(text.len() <= MAX_BYTES + 100 && text.len() > MAX_BYTES / 2);
        assert!(text.ends_with('\n'));
    }
}
