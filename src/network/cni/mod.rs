//! CNI: the network is made by other programs, one after the other. Source: CNI spec 1.1.

mod attachment;
mod configuration;
mod plugin;

pub use configuration::{CniNetwork, Plugin, find};

use crate::base::PodUid;
use crate::manifest::Pod;
use crate::network::{Namespace, NetworkError, Up};
use attachment::Attachment;
use plugin::{Command, attachment_of, call, call_network};
use serde_json::Value;
use std::path::Path;

/// Whether every plugin is there and ready, and the pod's wishes can be told them.
pub(super) fn check(network: &CniNetwork, pod: &Pod) -> Result<(), NetworkError> {
    attachment::capabilities(pod)?;
    for plugin in &network.plugins {
        network.program(plugin)?;
        if network.speaks("1.1.0") {
            call_network(network, plugin, Command::Status, None)?;
        }
    }
    Ok(())
}

/// `ADD` of each plugin, each told what the one before returned.
pub(super) fn up(
    data: &Path,
    network: &CniNetwork,
    pod: &Pod,
    namespace: &Namespace,
) -> Result<Up, NetworkError> {
    // What an earlier try has done is undone first: `ADD` is not for twice.
    down(data, &pod.uid, Some(namespace))?;
    namespace.look()?;
    let mut attachment = Attachment::new(network, pod)?;
    attachment.write(data)?;
    let path = namespace.path();
    for plugin in &network.plugins {
        attachment.result = Some(call(&attachment, plugin, Command::Add, &path)?);
        attachment.write(data)?;
    }
    let result = attachment.result.unwrap_or_default();
    let ips = plugin::ips(&result).unwrap_or_default();
    Ok(Up {
        ips,
        warnings: Vec::new(),
    })
}

/// `DEL` of each plugin, the last first, with what `ADD` returned. Every one is called, though one fails.
pub(super) fn down(
    data: &Path,
    uid: &PodUid,
    namespace: Option<&Namespace>,
) -> Result<(), NetworkError> {
    let Some(attachment) = Attachment::read(data, uid)? else {
        return Ok(());
    };
    let path = namespace.map(Namespace::path).unwrap_or_default();
    let mut failed = None;
    for plugin in attachment.network.plugins.iter().rev() {
        if let Err(error) = call(&attachment, plugin, Command::Del, &path) {
            failed.get_or_insert(error);
        }
    }
    match failed {
        Some(error) => Err(error),
        None => Attachment::forget(data, uid),
    }
}

/// `CHECK` of each plugin: whether the pod's network is as it was made.
pub(super) fn verify(data: &Path, uid: &PodUid, namespace: &Namespace) -> Result<(), NetworkError> {
    let Some(mut attachment) = Attachment::read(data, uid)? else {
        return Ok(());
    };
    attachment.move_to(&namespace.path());
    let network = &attachment.network;
    if network.disable_check || !network.speaks("0.4.0") || attachment.result.is_none() {
        return Ok(());
    }
    let path = namespace.path();
    let check = |plugin| call(&attachment, plugin, Command::Check, &path).map(|_| ());
    network.plugins.iter().try_for_each(check)
}

/// Pods that are attached to a CNI network.
pub(super) fn attached(data: &Path) -> Vec<PodUid> {
    attachment::all(data)
}

/// `DEL` for a pod that is gone, then `GC` of its network, for what its plugins may have lost count of. `valid` says which pods
/// are in use.
pub(super) fn sweep(
    data: &Path,
    uid: &PodUid,
    valid: impl Fn(&PodUid) -> bool,
) -> Result<(), NetworkError> {
    let Some(attachment) = Attachment::read(data, uid)? else {
        return Ok(());
    };
    down(data, uid, None)?;
    let network = attachment.network;
    if network.disable_gc || !network.speaks("1.1.0") {
        return Ok(());
    }
    let others = attached(data).into_iter().filter(valid);
    let others: Value = others.map(|uid| attachment_of(&uid.0)).collect();
    let collect = |plugin| call_network(&network, plugin, Command::Gc, Some(others.clone()));
    network.plugins.iter().try_for_each(collect)
}
