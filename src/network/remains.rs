//! What is left of the networks of pods that are gone: found by looking, each with the way to take it away.

use crate::base::PodUid;
use crate::network::error::{NetworkError, cannot};
use crate::network::netlink::Netlink;
use crate::network::owner::Owner;
use crate::network::record::Locked;
use crate::network::{bridge, cni, names, rules, withdraw};
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

/// Something of the network that belongs to no pod.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Remains {
    /// An address of the bridge.
    Lease(PodUid),
    /// A bridge without pods.
    Bridge(String),
    /// One end of a pod's link.
    Link(String),
    /// Firewall rules without a bridge.
    Rules(String),
    /// A pod in a CNI network.
    Attachment(PodUid),
    /// What a pod is called.
    Name(PodUid),
}

impl fmt::Display for Remains {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remains::Lease(uid) => write!(f, "the address of pod {uid}, which does not exist"),
            Remains::Bridge(name) => write!(f, "bridge {name} has no pods"),
            Remains::Link(name) => write!(f, "link {name} is of no pod"),
            Remains::Rules(name) => write!(f, "firewall table {name} has no bridge"),
            Remains::Attachment(uid) => {
                write!(f, "the CNI network of pod {uid}, which does not exist")
            }
            Remains::Name(uid) => write!(f, "the name of pod {uid}, which does not exist"),
        }
    }
}

/// Everything that is left. `exists` says whether there is a pod; it is asked after the network was looked at, so that a pod that is
/// just being made is seen.
pub fn find(
    state: &Path,
    data: &Path,
    exists: impl Fn(&PodUid) -> bool,
) -> Result<Vec<Remains>, NetworkError> {
    let mut found = BTreeSet::new();
    let attached = cni::attached(data).into_iter();
    found.extend(attached.filter(|uid| !exists(uid)).map(Remains::Attachment));
    if !state.exists() {
        return Ok(found.into_iter().collect());
    }
    let named = names::named(state).into_iter();
    found.extend(named.filter(|uid| !exists(uid)).map(Remains::Name));
    // Under the lock nothing is half-made but what belongs to a lease.
    let locked = Locked::take(state)?;
    let owner = Owner::of(state);
    let mut netlink = Netlink::open().map_err(cannot("open a netlink socket"))?;
    let links = netlink.links().map_err(cannot("list the links"))?;
    let leases = &locked.record.leases;
    let dead = leases.keys().filter(|uid| !exists(uid));
    found.extend(dead.cloned().map(Remains::Lease));
    let known: BTreeSet<String> = leases.keys().map(|uid| owner.link_of(uid)).collect();
    let mark = format!("podshim {} ", owner.state);
    for link in &links {
        if link.alias.starts_with(&mark) && !known.contains(&link.name) {
            found.insert(Remains::Link(link.name.clone()));
        }
    }
    let bridges = owner.bridges(&mut netlink)?;
    for bridge in &bridges {
        if leases.is_empty() || bridge.name != locked.record.name() {
            found.insert(Remains::Bridge(bridge.name.clone()));
        }
    }
    for table in rules::tables_of(&owner.state) {
        if bridges.iter().all(|bridge| bridge.name != table) {
            found.insert(Remains::Rules(table));
        }
    }
    Ok(found.into_iter().collect())
}

/// Takes it away, unless a pod has it by now.
pub fn clear(
    state: &Path,
    data: &Path,
    remains: &Remains,
    exists: impl Fn(&PodUid) -> bool,
) -> Result<(), NetworkError> {
    match remains {
        Remains::Lease(uid) | Remains::Attachment(uid) | Remains::Name(uid) if exists(uid) => {
            Ok(())
        }
        Remains::Name(uid) => withdraw(state, uid),
        Remains::Lease(uid) => bridge::down(state, uid),
        Remains::Attachment(uid) => cni::sweep(data, uid, exists),
        Remains::Link(name) => {
            let mut netlink = Netlink::open().map_err(cannot("open a netlink socket"))?;
            netlink
                .remove(name)
                .map_err(cannot(format!("remove link `{name}`")))
        }
        Remains::Bridge(name) | Remains::Rules(name) => bridge::sweep(state, name),
    }
}
