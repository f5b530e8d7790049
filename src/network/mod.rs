//! The pod's network: the built-in bridge, CNI plugins, published ports.
//!
//! ```text
//!  Job ──▶ up / down ──▶ bridge ─▶ record (leases)   netlink   rules (nft, iptables)
//!                    ├─▶ cni    ─▶ configuration     plugins   cache (results)
//!                    └─▶ names  ─▶ those who asked to know their neighbours
//! ```
//!
//! All of it runs in short-lived processes; the supervisor only starts them. Both operations may be repeated and go on from what
//! they find; taking down works half-way, without the namespace, and after a reboot. One lease or result on disk stands for
//! everything that was made, and is written before it.

mod bridge;
mod cni;
mod error;
mod forwarding;
mod iptables;
mod kind;
mod names;
mod namespace;
mod netlink;
mod nftables;
mod owner;
mod passage;
mod ports;
mod program;
mod record;
mod remains;
mod routes;
mod rules;
mod subnet;

pub use cni::{CniNetwork, Plugin, find as find_cni};
pub use error::{NetworkError, ProgramError};
pub use kind::{Network, Published};
pub use names::{names_changed, neighbours, watch_names};
pub use namespace::Namespace;
pub use ports::{PortProblem, port_problem};
pub use remains::{Remains, clear, find as find_remains};
pub use subnet::Subnet;

use crate::base::PodUid;
use crate::manifest::Pod;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::path::Path;

/// A pod whose network is to be set up or taken down.
pub struct Job<'a> {
    /// The state directory of the installation.
    pub state: &'a Path,
    /// Its data directory, which outlives a reboot.
    pub data: &'a Path,
    /// The pod.
    pub pod: &'a Pod,
    /// Its network.
    pub network: &'a Network,
    /// Its namespace, if it is still there.
    pub namespace: Option<Namespace>,
    /// Whether there is a pod with this UID.
    pub exists: &'a dyn Fn(&PodUid) -> bool,
}

/// A network that is up.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Up {
    /// The pod's addresses, the first of `status.podIP` first.
    pub ips: Vec<IpAddr>,
    /// What does not work, though the pod can run.
    pub warnings: Vec<String>,
}

/// Whether this machine can make such a network; changes nothing.
pub fn check(state: &Path, network: &Network, pod: &Pod) -> Result<(), NetworkError> {
    match network {
        Network::None | Network::Host => Ok(()),
        Network::Namespace(path) => Namespace::at(path).map(|_| ()),
        Network::Bridge { subnets } => bridge::check(state, subnets),
        Network::Cni(network) => cni::check(network, pod),
    }
}

/// Sets the network of a sandbox up.
pub fn up(job: &Job<'_>) -> Result<Up, NetworkError> {
    let namespace = || job.namespace.as_ref().ok_or(NetworkError::NoSandbox);
    let mut up = match job.network {
        Network::None | Network::Host | Network::Namespace(_) => return Ok(Up::default()),
        Network::Bridge { subnets } => bridge::up(job, subnets, namespace()?)?,
        Network::Cni(network) => cni::up(job.data, network, job.pod, namespace()?)?,
    };
    if let Err(error) = names::publish(job.state, job.pod, &up.ips) {
        up.warnings
            .push(format!("other pods do not know the pod's name: {error}"));
    }
    Ok(up)
}

/// Whether a network that is up is as it was made, as far as somebody can say.
pub fn verify(job: &Job<'_>) -> Result<(), NetworkError> {
    match (job.network, &job.namespace) {
        (Network::Cni(_), Some(namespace)) => cni::verify(job.data, &job.pod.uid, namespace),
        _ => Ok(()),
    }
}

/// Takes it down, however much of it there is.
pub fn down(job: &Job<'_>) -> Result<(), NetworkError> {
    withdraw(job.state, &job.pod.uid)?;
    match job.network {
        Network::None | Network::Host | Network::Namespace(_) => Ok(()),
        Network::Bridge { .. } => bridge::down(job.state, &job.pod.uid),
        Network::Cni(_) => cni::down(job.data, &job.pod.uid, job.namespace.as_ref()),
    }
}

/// Nobody is to find the pod any more: done before its address can be another's.
fn withdraw(state: &Path, uid: &PodUid) -> Result<(), NetworkError> {
    names::withdraw(state, uid).map_err(error::cannot("take the pod's name back"))
}
