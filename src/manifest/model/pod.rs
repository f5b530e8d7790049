//! The pod itself.

use crate::base::{PodUid, Quantity};
use crate::manifest::{Container, PodSecurity, Propagation, Resources, Role, Volume, VolumeSource};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A pod as it shall run. Source: Kubernetes `core/v1` Pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pod {
    /// `metadata.name`; a `generateName` has been completed by the caller.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `metadata.uid`.
    pub uid: PodUid,
    /// `metadata.labels`.
    pub labels: BTreeMap<String, String>,
    /// `metadata.annotations`.
    pub annotations: BTreeMap<String, String>,
    /// When ended app containers start again.
    pub restart_policy: RestartPolicy,
    /// Seconds between the stop signal and SIGKILL; a negative value of the manifest has become 1.
    pub termination_grace_period_seconds: u64,
    /// Seconds after the start of the pod when it fails with `DeadlineExceeded`.
    pub active_deadline_seconds: Option<u64>,
    /// Use the host's network and UTS namespace.
    pub host_network: bool,
    /// Use the host's PID namespace.
    pub host_pid: bool,
    /// Use the host's IPC namespace.
    pub host_ipc: bool,
    /// One PID namespace for the pod, with pause as PID 1.
    pub share_process_namespace: bool,
    /// `spec.hostname`.
    pub hostname: Option<String>,
    /// `spec.hostnameOverride`.
    pub hostname_override: Option<String>,
    /// `spec.subdomain`.
    pub subdomain: Option<String>,
    /// `spec.setHostnameAsFQDN`.
    pub set_hostname_as_fqdn: bool,
    /// `spec.dnsPolicy`.
    pub dns_policy: DnsPolicy,
    /// `spec.dnsConfig`.
    pub dns_config: DnsConfig,
    /// `spec.hostAliases`.
    pub host_aliases: Vec<HostAlias>,
    /// `spec.securityContext`.
    pub security: PodSecurity,
    /// `spec.resources`, pod level.
    pub resources: Option<Resources>,
    /// `spec.overhead`.
    pub overhead: BTreeMap<String, Quantity>,
    /// `spec.nodeName`, if the manifest says one.
    pub node_name: Option<String>,
    /// `spec.serviceAccountName`, default `default`.
    pub service_account: String,
    /// `spec.runtimeClassName`.
    pub runtime_class: Option<String>,
    /// Names of the Secrets of `spec.imagePullSecrets`, in their order.
    #[serde(default)]
    pub image_pull_secrets: Vec<String>,
    /// `spec.volumes`; names are unique.
    pub volumes: Vec<Volume>,
    /// Init containers and sidecars in their order, then app containers in theirs; names are unique. Never without an app container.
    pub containers: Vec<Container>,
    /// The defaulted `core/v1` object, without `status`: what `get -o json` shows.
    pub object: serde_json::Value,
}

/// When a container that ended starts again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartPolicy {
    /// Whatever its exit code.
    Always,
    /// When it failed.
    OnFailure,
    /// Never.
    Never,
}

/// `dnsPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DnsPolicy {
    /// The host's resolver.
    Default,
    /// The cluster's; podshim has none, so the host's.
    ClusterFirst,
    /// The same also with the host's network.
    ClusterFirstWithHostNet,
    /// Only what `dnsConfig` says.
    None,
}

/// `dnsConfig`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DnsConfig {
    /// Addresses.
    pub nameservers: Vec<String>,
    /// Domains.
    pub searches: Vec<String>,
    /// Names and values.
    pub options: Vec<(String, Option<String>)>,
}

/// One of `hostAliases`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HostAlias {
    /// Address.
    pub ip: String,
    /// Names.
    pub hostnames: Vec<String>,
}

impl Pod {
    /// The container of this name.
    pub fn container(&self, name: &str) -> Option<&Container> {
        self.containers.iter().find(|c| c.name == name)
    }

    /// Containers of one role, in order.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = &Container> {
        self.containers.iter().filter(move |c| c.role == role)
    }

    /// The volumes whose mounts some container shares.
    pub fn shared_volumes(&self) -> impl Iterator<Item = &Volume> {
        let is_shared = |volume: &&Volume| {
            let mut mounts = self.containers.iter().flat_map(|c| &c.mounts);
            mounts.any(|m| m.volume == volume.name && m.propagation == Propagation::Bidirectional)
        };
        self.volumes.iter().filter(is_shared)
    }

    /// The volumes that a container mounts and that are images.
    pub fn image_volumes<'a>(
        &'a self,
        container: &'a Container,
    ) -> impl Iterator<Item = &'a Volume> {
        let is_mounted =
            |volume: &&Volume| container.mounts.iter().any(|m| m.volume == volume.name);
        let images = self
            .volumes
            .iter()
            .filter(|volume| matches!(volume.source, VolumeSource::Image { .. }));
        images.filter(is_mounted)
    }

    /// The container's own restart policy, else the pod's.
    pub fn effective_restart_policy(&self, container: &Container) -> RestartPolicy {
        container.restart_policy.unwrap_or(self.restart_policy)
    }
}
