//! `--network`: which network a pod gets, and whether this machine can give it.

use crate::cli::exit::{Code, Failed};
use crate::manifest::Pod;
use crate::network::{self, CniNetwork, Network, NetworkError, Subnet};
use crate::supervisor::Plan;
use std::path::PathBuf;
use std::str::FromStr;

/// What `--network` can say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NetworkArg {
    None,
    Host,
    Bridge(Vec<Subnet>),
    Cni(Option<String>),
    Namespace(PathBuf),
}

impl FromStr for NetworkArg {
    type Err = String;

    fn from_str(text: &str) -> Result<NetworkArg, String> {
        let (kind, detail) = match text.split_once(':') {
            Some((kind, detail)) => (kind, Some(detail)),
            None => (text, None),
        };
        match (kind, detail) {
            ("none", None) => Ok(NetworkArg::None),
            ("host", None) => Ok(NetworkArg::Host),
            ("bridge", None) => Ok(NetworkArg::Bridge(Vec::new())),
            ("bridge", Some(ranges)) => ranges_of(ranges).map(NetworkArg::Bridge),
            ("cni", None) => Ok(NetworkArg::Cni(None)),
            ("cni", Some(name)) if !name.is_empty() => Ok(NetworkArg::Cni(Some(name.into()))),
            ("ns", Some(path)) if path.starts_with('/') => Ok(NetworkArg::Namespace(path.into())),
            ("ns", _) => Err("write ns:PATH with an absolute path".into()),
            _ => Err("it is none, host, bridge[:RANGE[,RANGE]], cni[:NAME] or ns:PATH".into()),
        }
    }
}

/// At most one range of each family.
fn ranges_of(text: &str) -> Result<Vec<Subnet>, String> {
    let ranges: Vec<Subnet> = text.split(',').map(str::parse).collect::<Result<_, _>>()?;
    let v6 = ranges.iter().filter(|range| range.is_v6()).count();
    match (ranges.len() - v6, v6) {
        (0 | 1, 0 | 1) => Ok(ranges),
        _ => Err("a bridge has one range of each family at most".into()),
    }
}

/// The network of a pod: its own `hostNetwork`, what was asked for, or the default.
pub(super) fn resolve(wanted: Option<&NetworkArg>, pod: &Pod) -> Result<Network, Failed> {
    if pod.host_network {
        return Ok(Network::Host);
    }
    Ok(match wanted {
        Some(NetworkArg::None) => Network::None,
        Some(NetworkArg::Host) => Network::Host,
        Some(NetworkArg::Bridge(subnets)) => Network::Bridge {
            subnets: subnets.clone(),
        },
        Some(NetworkArg::Namespace(path)) => Network::Namespace(path.clone()),
        Some(NetworkArg::Cni(name)) => {
            let wanted = name.as_deref();
            let found = find(wanted)?;
            let none = || NetworkError::NoNetwork {
                name: wanted.unwrap_or("*").to_owned(),
                dirs: vec![configurations()],
            };
            Network::Cni(Box::new(found.ok_or_else(|| impossible(none()))?))
        }
        None => match find(None)? {
            Some(network) => Network::Cni(Box::new(network)),
            None => Network::Bridge {
                subnets: Vec::new(),
            },
        },
    })
}

/// Where CNI configurations are. Source: cnitool and the runtimes.
fn configurations() -> PathBuf {
    let set = std::env::var_os("NETCONFPATH").filter(|path| !path.is_empty());
    set.map_or_else(|| PathBuf::from("/etc/cni/net.d"), PathBuf::from)
}

/// Where CNI plugins are: upstream's place, Debian's, Fedora's.
fn plugins() -> Vec<PathBuf> {
    match std::env::var_os("CNI_PATH").filter(|path| !path.is_empty()) {
        Some(path) => std::env::split_paths(&path).collect(),
        None => ["/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni"]
            .map(PathBuf::from)
            .into(),
    }
}

fn find(name: Option<&str>) -> Result<Option<CniNetwork>, Failed> {
    network::find_cni(&configurations(), name, &plugins()).map_err(impossible)
}

fn impossible(error: NetworkError) -> Failed {
    let hint = error.hint();
    let failed = Failed::new(Code::Host, error);
    if hint.is_empty() {
        failed
    } else {
        failed.hint(hint)
    }
}

/// Refuses what this machine cannot do, before anything is made.
pub(super) fn check(plans: &[Plan]) -> Result<(), Failed> {
    for plan in plans {
        if plan.pod_names && plan.network == Network::None {
            let name = &plan.pod.name;
            let message = format!("pod `{name}` has no network to reach other pods by name");
            return Err(Failed::new(Code::Usage, message)
                .hint("leave `--pod-names` out, or run with `--network bridge`"));
        }
        network::check(&plan.dirs.state, &plan.network, &plan.pod).map_err(impossible)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_network_is_named_in_full_or_refused() {
        let parse = |text: &str| text.parse::<NetworkArg>();
        assert_eq!(parse("none"), Ok(NetworkArg::None));
        assert_eq!(parse("bridge"), Ok(NetworkArg::Bridge(Vec::new())));
        let Ok(NetworkArg::Bridge(ranges)) = parse("bridge:10.9.0.0/24,fd09::/64") else {
            panic!("two ranges");
        };
        assert_eq!(ranges.len(), 2);
        assert_eq!(
            parse("ns:/run/netns/a"),
            Ok(NetworkArg::Namespace("/run/netns/a".into()))
        );
        for wrong in [
            "",
            "nat",
            "none:",
            "host:a",
            "bridge:",
            "bridge:10.9.0.0/24,10.8.0.0/24",
            "ns:a",
            "ns",
        ] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
    }
}
