//! A pod's part in a CNI network: what plugins are told of it, what they answered, and the file that keeps both.
//!
//! The file is written before the first `ADD` and after each plugin, on the disk that outlives a reboot: `DEL` always has what
//! `ADD` returned. It goes when `DEL` has succeeded.

use crate::base::{PodUid, Quantity};
use crate::manifest::Pod;
use crate::network::error::{NetworkError, cannot};
use crate::network::{CniNetwork, Published};
use crate::sys;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes: a configuration and a result, each of a mebibyte.
const MAX_BYTES: u64 = 4 * 1024 * 1024;
/// Annotations that limit traffic, in bits per second. Source: Kubernetes.
const BANDWIDTH: [(&str, &str, &str); 2] = [
    (
        "kubernetes.io/ingress-bandwidth",
        "ingressRate",
        "ingressBurst",
    ),
    (
        "kubernetes.io/egress-bandwidth",
        "egressRate",
        "egressBurst",
    ),
];
/// A burst that limits nothing. Source: the kubelet's.
const BURST: i64 = i32::MAX as i64;
/// Bounds of a bandwidth in bits per second. Source: the kubelet's, 1k to 1P.
const BANDWIDTH_BOUNDS: std::ops::RangeInclusive<i64> = 1_000..=1_000_000_000_000_000;
/// Annotation with addresses to ask for, separated by commas.
const IPS: &str = "network.podshim.io/ips";
/// Annotation with a hardware address to ask for.
const MAC: &str = "network.podshim.io/mac";

/// The pod in a network.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Attachment {
    /// The network as it was configured.
    pub network: CniNetwork,
    /// `CNI_CONTAINERID`.
    pub container_id: String,
    /// `CNI_ARGS`.
    pub args: String,
    /// What plugins with capabilities are told.
    pub capabilities: Map<String, Value>,
    /// What the last plugin returned.
    pub result: Option<Value>,
}

/// The directory of all attachments.
pub(super) fn dir(data: &Path) -> PathBuf {
    data.join("network").join("cni")
}

fn file(data: &Path, uid: &str) -> PathBuf {
    dir(data).join(format!("{uid}.json"))
}

impl Attachment {
    /// The namespace that the result speaks of is to be found at another path now: the one it had ended with the process that
    /// had opened it.
    pub fn move_to(&mut self, namespace: &str) {
        let interfaces = self.result.as_mut().and_then(|r| r.get_mut("interfaces"));
        let interfaces = interfaces.and_then(Value::as_array_mut);
        for interface in interfaces.into_iter().flatten() {
            let sandbox = interface.get_mut("sandbox");
            if let Some(path) = sandbox.filter(|path| path.as_str().is_some_and(|p| !p.is_empty()))
            {
                *path = namespace.into();
            }
        }
    }

    /// That of a pod which is not attached yet.
    pub fn new(network: &CniNetwork, pod: &Pod) -> Result<Attachment, NetworkError> {
        let uid = &pod.uid;
        // None of these can hold a `;` or `=`: they are DNS names and a checked UID.
        let args = format!(
            "IgnoreUnknown=1;K8S_POD_NAMESPACE={};K8S_POD_NAME={};K8S_POD_INFRA_CONTAINER_ID={uid};K8S_POD_UID={uid}",
            pod.namespace, pod.name
        );
        Ok(Attachment {
            network: network.clone(),
            container_id: uid.0.clone(),
            args,
            capabilities: capabilities(pod)?,
            result: None,
        })
    }

    /// That of a pod, if it has one.
    pub fn read(data: &Path, uid: &PodUid) -> Result<Option<Attachment>, NetworkError> {
        let path = file(data, &uid.0);
        let mut bytes = Vec::new();
        let read = match std::fs::File::open(&path) {
            Ok(file) => file.take(MAX_BYTES).read_to_end(&mut bytes),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => Err(e),
        };
        let parse = |_| Ok(serde_json::from_slice(&bytes)?);
        read.and_then(parse)
            .map_err(cannot(format!("read `{}`", path.display())))
    }

    /// Writes it down.
    pub fn write(&self, data: &Path) -> Result<(), NetworkError> {
        let path = file(data, &self.container_id);
        let write = || {
            sys::create_dirs(&dir(data), 0o700)?;
            sys::remove_unfinished(&dir(data));
            sys::write_atomic(&path, &serde_json::to_vec(self)?, 0o600)
        };
        write().map_err(cannot(format!("write `{}`", path.display())))
    }

    /// Forgets it: nothing is attached any more.
    pub fn forget(data: &Path, uid: &PodUid) -> Result<(), NetworkError> {
        let path = file(data, &uid.0);
        match std::fs::remove_file(&path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => {
                Err(cannot(format!("remove `{}`", path.display()))(e))
            }
            _ => {
                sys::remove_unfinished(&dir(data));
                // They stay for the next pod, unless this was the last.
                for parent in path.ancestors().skip(1).take(2) {
                    let _ = std::fs::remove_dir(parent);
                }
                Ok(())
            }
        }
    }
}

/// Pods that are attached.
pub(super) fn all(data: &Path) -> Vec<PodUid> {
    let entries = std::fs::read_dir(dir(data)).into_iter().flatten().flatten();
    let uid = |name: std::ffi::OsString| Some(PodUid(name.to_str()?.strip_suffix(".json")?.into()));
    entries.filter_map(|entry| uid(entry.file_name())).collect()
}

/// What the pod asks for, by capability. Source: CNI conventions, "Dynamic plugin specific fields".
pub(super) fn capabilities(pod: &Pod) -> Result<Map<String, Value>, NetworkError> {
    let mut all = Map::new();
    let ports: Vec<Value> = Published::of(pod).iter().map(mapping).collect();
    if !ports.is_empty() {
        all.insert("portMappings".into(), ports.into());
    }
    let mut bandwidth = Map::new();
    for (key, rate, burst) in BANDWIDTH {
        if let Some(text) = pod.annotations.get(key) {
            let bits = text.parse::<Quantity>().ok().map(Quantity::units);
            let bits = bits.filter(|bits| BANDWIDTH_BOUNDS.contains(bits));
            let bits = bits.ok_or_else(|| wrong(pod, key, text, "between 1k and 1P"))?;
            bandwidth.insert(rate.into(), bits.into());
            bandwidth.insert(burst.into(), BURST.into());
        }
    }
    if !bandwidth.is_empty() {
        all.insert("bandwidth".into(), bandwidth.into());
    }
    let dns = &pod.dns_config;
    if !(dns.nameservers.is_empty() && dns.searches.is_empty() && dns.options.is_empty()) {
        let option = |(name, value): &(String, Option<String>)| match value {
            Some(value) => format!("{name}:{value}"),
            None => name.clone(),
        };
        let options: Vec<String> = dns.options.iter().map(option).collect();
        let told =
            json!({"servers": dns.nameservers, "searches": dns.searches, "options": options});
        all.insert("dns".into(), told);
    }
    if let Some(text) = pod.annotations.get(IPS) {
        let ips: Vec<&str> = text.split(',').map(str::trim).collect();
        let is_ip = |ip: &&str| {
            let address = ip.split_once('/').map_or(*ip, |(address, _)| address);
            address.parse::<std::net::IpAddr>().is_ok()
        };
        if !ips.iter().all(is_ip) {
            return Err(wrong(pod, IPS, text, "addresses separated by commas"));
        }
        all.insert("ips".into(), json!(ips));
    }
    if let Some(text) = pod.annotations.get(MAC) {
        let bytes: Vec<&str> = text.split(':').collect();
        let is_byte = |b: &&str| b.len() == 2 && u8::from_str_radix(b, 16).is_ok();
        if bytes.len() != 6 || !bytes.iter().all(is_byte) {
            return Err(wrong(pod, MAC, text, "like 02:00:00:00:00:01"));
        }
        all.insert("mac".into(), text.as_str().into());
    }
    Ok(all)
}

fn wrong(pod: &Pod, key: &str, text: &str, wanted: &'static str) -> NetworkError {
    NetworkError::Annotation {
        pod: format!("{}/{}", pod.namespace, pod.name),
        key: key.to_owned(),
        text: text.to_owned(),
        wanted,
    }
}

fn mapping(port: &Published) -> Value {
    let mut mapping = json!({
        "hostPort": port.host_port,
        "containerPort": port.container_port,
        "protocol": port.word(),
    });
    if let Some(ip) = port.host_ip {
        mapping["hostIP"] = ip.to_string().into();
    }
    mapping
}
