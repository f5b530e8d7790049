//! The built-in bridge: one for each installation, made for its first pod and removed with its last.
//!
//! Whose a bridge is stands in its hardware address, which it has from its first moment: another installation that wants the same
//! name finds it taken. Everything may be repeated, and taking down needs neither the namespace nor what set up has finished.

use crate::base::PodUid;
use crate::manifest::Pod;
use crate::network::error::{NetworkError, cannot};
use crate::network::netlink::{Link, Netlink, Pair};
use crate::network::owner::Owner;
use crate::network::record::{self, Locked, Record};
use crate::network::routes::Routes;
use crate::network::rules::{self, Rules};
use crate::network::subnet::PIECES;
use crate::network::{
    Job, Namespace, Published, Subnet, Up, forwarding, nftables, passage, withdraw,
};
use nix::sched::{CloneFlags, unshare};
use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;

/// Name of the link in the pod. Source: what every CNI runtime calls it.
const POD_LINK: &str = "eth0";
/// MTU where the machine has no default route, in bytes.
const DEFAULT_MTU: u32 = 1500;

/// Whether there can be a bridge with these ranges. Links of our kinds are tried in a namespace that goes away with the try; where
/// pods have a bridge, they can be made.
pub(super) fn check(state: &Path, wanted: &[Subnet]) -> Result<(), NetworkError> {
    if let Some(has) = record::subnets(state)? {
        return keep_range(&has, wanted);
    }
    let mut netlink = Netlink::open().map_err(cannot("open a netlink socket"))?;
    if !wanted.is_empty() {
        let links = Owner::of(state).bridges(&mut netlink)?;
        Routes::read(&mut netlink, &links)?.allow(wanted)?;
    }
    let attempt = || -> io::Result<()> {
        unshare(CloneFlags::CLONE_NEWNET)?;
        let here = std::fs::File::open("/proc/thread-self/ns/net")?;
        let mut netlink = Netlink::open()?;
        netlink.add_bridge("bridge", [0x02, 0, 0, 0, 0, 1], DEFAULT_MTU)?;
        netlink.add_pair(&Pair {
            here: "here",
            there: "there",
            namespace: here.as_fd(),
            mac: [0x02, 0, 0, 0, 0, 2],
            mtu: DEFAULT_MTU,
        })
    };
    let tried = std::thread::scope(|scope| scope.spawn(attempt).join());
    tried
        .unwrap_or(Err(io::ErrorKind::Other.into()))
        .map_err(cannot("make a bridge and a pair of links on this machine"))
}

/// A bridge that pods use keeps its ranges.
fn keep_range(has: &[Subnet], wanted: &[Subnet]) -> Result<(), NetworkError> {
    if wanted.is_empty() || wanted == has {
        return Ok(());
    }
    Err(NetworkError::OtherRange {
        has: shown(has),
        wanted: shown(wanted),
    })
}

/// Gives the pod its addresses. What is there already stays.
pub(super) fn up(
    job: &Job<'_>,
    wanted: &[Subnet],
    namespace: &Namespace,
) -> Result<Up, NetworkError> {
    let (pod, uid) = (job.pod, &job.pod.uid);
    let title = format!("{}/{}", pod.namespace, pod.name);
    let mut netlink = Netlink::open().map_err(cannot("open a netlink socket"))?;
    let mut locked = Locked::take(job.state)?;
    let owner = Owner::of(job.state);
    forget_dead(&mut netlink, &owner, &mut locked.record, job)?;
    let mut warnings = Vec::new();
    let bridge = raise(&mut netlink, &owner, &mut locked, wanted, &mut warnings)?;
    let number = locked.record.lease(uid, &title, Published::of(pod))?;
    let closed = passage::closed(&locked.record.subnets);
    locked.record.passage |= !closed.is_empty();
    // Before anything of the pod is made: whoever finds it later knows whose it is.
    locked.write()?;
    if !keep_rules(&owner, &mut locked.record, pod, &mut warnings)? {
        locked.write()?;
    }
    if let Err(error) = passage::open(&locked.record.name(), &closed) {
        warnings.push(format!(
            "pods cannot reach other machines: this one drops what it forwards: {error}"
        ));
    }
    let (subnets, mtu) = (locked.record.subnets.clone(), locked.record.mtu);
    // The lease keeps the bridge; the rest is the pod's own.
    drop(locked);
    let link = owner.link_of(uid);
    let make = format!("make link `{link}`");
    netlink.remove(&link).map_err(cannot(&make))?;
    let pair = Pair {
        here: &link,
        there: POD_LINK,
        namespace: namespace.fd(),
        mac: pod_mac(number, &subnets),
        mtu,
    };
    netlink.add_pair(&pair).map_err(cannot(&make))?;
    let attach = |netlink: &mut Netlink| -> io::Result<()> {
        let here = netlink.link(&link)?.ok_or(io::ErrorKind::NotFound)?;
        netlink.attach(here.index, bridge.index)?;
        netlink.set_alias(here.index, &format!("podshim {} {title}", owner.state))
    };
    attach(&mut netlink).map_err(cannot(format!("attach link `{link}` to the bridge")))?;
    let ips = namespace
        .run(|| configure(&subnets, number))?
        .map_err(cannot("give the pod its addresses"))?;
    Ok(Up { ips, warnings })
}

/// Takes everything of the pod away, and with the last pod the bridge.
pub(super) fn down(state: &Path, uid: &PodUid) -> Result<(), NetworkError> {
    if !state.join("network").exists() {
        return Ok(());
    }
    let mut netlink = Netlink::open().map_err(cannot("open a netlink socket"))?;
    let mut locked = Locked::take(state)?;
    let owner = Owner::of(state);
    let link = owner.link_of(uid);
    netlink
        .remove(&link)
        .map_err(cannot(format!("remove link `{link}`")))?;
    let lease = locked.record.leases.remove(uid);
    if locked.record.leases.is_empty() {
        lower(&mut netlink, &owner, &locked.record)?;
    } else if lease.is_some_and(|lease| !lease.ports.is_empty()) {
        locked.record.firewall = Some(rules::apply(&rules_of(&owner, &locked.record))?);
    }
    // Last: until here a repeated call finds what is left to do.
    locked.write()
}

/// Removes a bridge and its rules, unless pods use it by now.
pub(super) fn sweep(state: &Path, name: &str) -> Result<(), NetworkError> {
    let mut netlink = Netlink::open().map_err(cannot("open a netlink socket"))?;
    let locked = Locked::take(state)?;
    if !locked.record.leases.is_empty() && locked.record.name() == name {
        return Ok(());
    }
    remove_rules(&locked.record, name)?;
    let ours = Owner::of(state).bridges(&mut netlink)?;
    if ours.iter().any(|bridge| bridge.name == name) {
        netlink
            .remove(name)
            .map_err(cannot(format!("remove bridge `{name}`")))?;
    }
    Ok(())
}

/// Gives up what belongs to pods that are gone without having been taken down.
fn forget_dead(
    netlink: &mut Netlink,
    owner: &Owner,
    record: &mut Record,
    job: &Job<'_>,
) -> Result<(), NetworkError> {
    let is_dead = |uid: &&PodUid| !(job.exists)(uid);
    let dead: Vec<PodUid> = record.leases.keys().filter(is_dead).cloned().collect();
    for uid in dead {
        withdraw(job.state, &uid)?;
        let link = owner.link_of(&uid);
        netlink
            .remove(&link)
            .map_err(cannot(format!("remove link `{link}`")))?;
        record.leases.remove(&uid);
    }
    Ok(())
}

/// Makes sure that the bridge is there and up with its addresses.
fn raise(
    netlink: &mut Netlink,
    owner: &Owner,
    locked: &mut Locked,
    wanted: &[Subnet],
    warnings: &mut Vec<String>,
) -> Result<Link, NetworkError> {
    let record = &mut locked.record;
    if record.leases.is_empty() {
        choose(netlink, owner, record, wanted)?;
    } else {
        keep_range(&record.subnets, wanted)?;
    }
    let name = record.name();
    let make = |netlink: &mut Netlink| -> io::Result<Link> {
        if netlink.link(&name)?.is_none() {
            netlink.add_bridge(&name, owner.mac(), record.mtu)?;
        }
        let bridge = netlink.link(&name)?.ok_or(io::ErrorKind::NotFound)?;
        let alias = format!("podshim {}", owner.state);
        if bridge.mac == owner.mac() && bridge.alias != alias {
            netlink.set_alias(bridge.index, &alias)?;
        }
        Ok(bridge)
    };
    let bridge = make(netlink).map_err(cannot(format!("make bridge `{name}`")))?;
    if bridge.mac != owner.mac() {
        let taken = io::Error::new(io::ErrorKind::AlreadyExists, "it belongs to somebody else");
        return Err(cannot(format!("use bridge `{name}`"))(taken));
    }
    for subnet in &record.subnets {
        netlink
            .add_address(bridge.index, subnet.gateway(), subnet.prefix())
            .map_err(cannot(format!("give bridge `{name}` its address")))?;
    }
    warnings.extend(forwarding::enable(
        &name,
        record.subnets.iter().any(Subnet::is_v6),
    ));
    Ok(bridge)
}

/// Chooses number, ranges and MTU of a bridge that has no pods.
fn choose(
    netlink: &mut Netlink,
    owner: &Owner,
    record: &mut Record,
    wanted: &[Subnet],
) -> Result<(), NetworkError> {
    // Those that are left over from a set-up that was cut short.
    let ours = owner.bridges(netlink)?;
    for link in &ours {
        netlink
            .remove(&link.name)
            .map_err(cannot(format!("remove bridge `{}`", link.name)))?;
    }
    let routes = Routes::read(netlink, &ours)?;
    routes.allow(wanted)?;
    let links = netlink.links().map_err(cannot("list the links"))?;
    let uplink = links.iter().find(|link| Some(link.index) == routes.uplink);
    record.mtu = uplink.map_or(DEFAULT_MTU, |link| link.mtu);
    let first = owner.first_number();
    for number in (0..PIECES).map(|step| (first + step) % PIECES) {
        record.number = number;
        record.subnets = match wanted {
            [] => default_subnets(owner, number),
            wanted => wanted.to_vec(),
        };
        if routes.allow(&record.subnets).is_err() {
            continue;
        }
        let name = record.name();
        match netlink.add_bridge(&name, owner.mac(), record.mtu) {
            Ok(()) => return Ok(()),
            Err(e) if e.raw_os_error() == Some(nix::libc::EEXIST) => {}
            Err(e) => return Err(cannot(format!("make bridge `{name}`"))(e)),
        }
    }
    Err(NetworkError::NoRange)
}

fn default_subnets(owner: &Owner, number: u16) -> Vec<Subnet> {
    let mut subnets = vec![Subnet::piece(number)];
    if forwarding::has_v6() {
        let [_, _, _, _, _, _, _, random @ ..] = owner.hash;
        let random = [random[0], random[1], random[2], random[3], random[4]];
        subnets.push(Subnet::local_v6(random, number));
    }
    subnets
}

/// Makes the rules if they lack something; whether the record stayed as it was.
fn keep_rules(
    owner: &Owner,
    record: &mut Record,
    pod: &Pod,
    warnings: &mut Vec<String>,
) -> Result<bool, NetworkError> {
    let publishes = Published::of(pod).into_iter().next();
    let is_there = match record.firewall {
        Some(rules::Firewall::Nftables) => nftables::table_exists(&record.name()),
        Some(rules::Firewall::Iptables) => true,
        None => false,
    };
    if is_there && publishes.is_none() {
        return Ok(true);
    }
    match (rules::apply(&rules_of(owner, record)), publishes) {
        (Ok(firewall), _) => {
            record.firewall = Some(firewall);
            Ok(false)
        }
        (Err(error), Some(_)) => Err(error),
        // Without masquerading pods still reach one another and this machine.
        (Err(error), None) => {
            warnings.push(format!("pods cannot reach other machines: {error}"));
            Ok(true)
        }
    }
}

fn rules_of<'a>(owner: &'a Owner, record: &'a Record) -> Rules<'a> {
    Rules {
        name: record.name(),
        subnets: &record.subnets,
        owner: &owner.state,
        ports: record.ports(),
    }
}

/// Removes bridge and rules.
fn lower(netlink: &mut Netlink, owner: &Owner, record: &Record) -> Result<(), NetworkError> {
    // Where the record was lost, the bridge still knows whose it is.
    let mut names: Vec<String> = owner
        .bridges(netlink)?
        .into_iter()
        .map(|link| link.name)
        .collect();
    if !record.subnets.is_empty() && !names.contains(&record.name()) {
        remove_rules(record, &record.name())?;
    }
    names.sort();
    for name in &names {
        remove_rules(record, name)?;
        netlink
            .remove(name)
            .map_err(cannot(format!("remove bridge `{name}`")))?;
    }
    Ok(())
}

fn remove_rules(record: &Record, name: &str) -> Result<(), NetworkError> {
    if record.passage {
        passage::close(name, &record.subnets)?;
    }
    rules::remove(record.firewall, name, &record.subnets)
}

/// The hardware address of a pod follows from its address: whoever reuses that is known by the old neighbours.
fn pod_mac(number: u32, subnets: &[Subnet]) -> [u8; 6] {
    let v4 = subnets
        .iter()
        .find(|subnet| !subnet.is_v6())
        .map(|subnet| subnet.address(number));
    let [a, b, c, d] = match v4 {
        Some(IpAddr::V4(ip)) => ip.octets(),
        _ => number.to_be_bytes(),
    };
    [0x0a, 0x58, a, b, c, d]
}

/// In the pod's namespace: loopback, addresses, default routes.
fn configure(subnets: &[Subnet], number: u32) -> io::Result<Vec<IpAddr>> {
    let mut netlink = Netlink::open()?;
    let lo = netlink.link("lo")?.ok_or(io::ErrorKind::NotFound)?;
    netlink.raise(lo.index)?;
    let link = netlink.link(POD_LINK)?.ok_or(io::ErrorKind::NotFound)?;
    netlink.raise(link.index)?;
    let mut ips = Vec::new();
    for subnet in subnets {
        if subnet.is_v6() && !forwarding::has_v6() {
            continue;
        }
        let address = subnet.address(number);
        netlink.add_address(link.index, address, subnet.prefix())?;
        netlink.add_default_route(link.index, subnet.gateway())?;
        ips.push(address);
    }
    Ok(ips)
}

fn shown(subnets: &[Subnet]) -> String {
    let texts: Vec<String> = subnets.iter().map(Subnet::to_string).collect();
    texts.join(",")
}
