//! The validated pod: what the rest of podshim works from.
//!
//! Every default of `core/v1` is applied, every reference inside the pod is known to resolve, every enum is closed. What a
//! field means is decided here once; no later layer looks at YAML or at `Option`s that have a default.

use crate::base::{PodUid, Quantity, Signal};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

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

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Runs to completion before the next container starts.
    Init,
    /// An init container with `restartPolicy: Always`: stays up beside the app containers.
    Sidecar,
    /// One of `spec.containers`.
    App,
}

/// One container of the pod.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Its name, unique in the pod.
    pub name: String,
    /// What it is for.
    pub role: Role,
    /// Image reference as written.
    pub image: String,
    /// `imagePullPolicy`.
    pub pull_policy: PullPolicy,
    /// `command`; empty means unset.
    pub command: Vec<String>,
    /// `args`; empty means unset.
    pub args: Vec<String>,
    /// `workingDir`; `None` means the image's.
    pub working_dir: Option<String>,
    /// `envFrom`, in order.
    pub env_from: Vec<EnvFrom>,
    /// `env`, in order.
    pub env: Vec<EnvVar>,
    /// `ports`.
    pub ports: Vec<Port>,
    /// `resources`; requests default to limits.
    pub resources: Resources,
    /// The container's own restart policy; `None` means the pod's. Of a sidecar it is `Always`.
    pub restart_policy: Option<RestartPolicy>,
    /// `volumeMounts`; each names a volume of the pod.
    pub mounts: Vec<VolumeMount>,
    /// `securityContext`, not merged with the pod's.
    pub security: ContainerSecurity,
    /// `terminationMessagePath`.
    pub termination_message_path: String,
    /// `terminationMessagePolicy: FallbackToLogsOnError`.
    pub termination_message_from_logs: bool,
    /// `lifecycle.stopSignal`.
    pub stop_signal: Option<Signal>,
    /// Keep standard input open.
    pub stdin: bool,
    /// Close standard input when the first client leaves.
    pub stdin_once: bool,
    /// Give it a terminal.
    pub tty: bool,
}

/// `imagePullPolicy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PullPolicy {
    /// Ask the registry each time.
    Always,
    /// Pull what is absent.
    IfNotPresent,
    /// Use what is there.
    Never,
}

/// A source of many variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFrom {
    /// Put before each name.
    pub prefix: String,
    /// ConfigMap or Secret.
    pub source: ObjectRef,
}

/// A ConfigMap or Secret of the pod's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Which kind.
    pub kind: ObjectKind,
    /// `metadata.name`.
    pub name: String,
    /// Absence is no error.
    pub optional: bool,
}

/// The two kinds of configuration object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum ObjectKind {
    /// Plain data.
    ConfigMap,
    /// Data that is never printed.
    Secret,
}

/// One variable.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Where its value comes from.
    pub value: EnvValue,
}

/// Where the value of a variable comes from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EnvValue {
    /// Text, `$(VAR)` not yet expanded.
    Literal(String),
    /// A field of the pod.
    Field(FieldRef),
    /// An amount.
    Resource(ResourceRef),
    /// One key of a ConfigMap or Secret.
    Key {
        /// Which object.
        object: ObjectRef,
        /// Which key.
        key: String,
    },
}

/// A field of the pod (downward API). Source: `core/v1` ObjectFieldSelector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FieldRef {
    /// `metadata.name`.
    Name,
    /// `metadata.namespace`.
    Namespace,
    /// `metadata.uid`.
    Uid,
    /// `metadata.labels`, whole; volumes only.
    Labels,
    /// `metadata.annotations`, whole; volumes only.
    Annotations,
    /// `metadata.labels['key']`.
    Label(String),
    /// `metadata.annotations['key']`.
    Annotation(String),
    /// `spec.nodeName`; env only.
    NodeName,
    /// `spec.serviceAccountName`; env only.
    ServiceAccountName,
    /// `status.hostIP`; env only.
    HostIp,
    /// `status.hostIPs`; env only.
    HostIps,
    /// `status.podIP`; env only.
    PodIp,
    /// `status.podIPs`; env only.
    PodIps,
}

/// An amount of a container (downward API). Source: `core/v1` ResourceFieldSelector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceRef {
    /// The container; `None` means the one that asks.
    pub container: Option<String>,
    /// `true` = `limits.…`, `false` = `requests.…`.
    pub limit: bool,
    /// `cpu`, `memory`, `ephemeral-storage`, `hugepages-…`.
    pub resource: String,
    /// The value is divided by this and rounded up; never zero.
    pub divisor: Quantity,
}

/// One of `ports`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Port {
    /// Its name, for probes.
    pub name: Option<String>,
    /// In the pod.
    pub container_port: u16,
    /// On the host; `None` means not published.
    pub host_port: Option<u16>,
    /// Address on the host; empty means all.
    pub host_ip: String,
    /// Its protocol.
    pub protocol: Protocol,
}

/// Transport protocol of a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}

/// Requests and limits by resource name; amounts are rounded up to milli-units.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    /// What it is promised.
    pub requests: BTreeMap<String, Quantity>,
    /// What it may not exceed.
    pub limits: BTreeMap<String, Quantity>,
}

/// One of `volumeMounts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeMount {
    /// The volume's name.
    pub volume: String,
    /// Where in the container; absolute (a relative path of the manifest has been taken from `/`).
    pub path: String,
    /// `readOnly`.
    pub read_only: bool,
    /// `mountPropagation`.
    pub propagation: Propagation,
    /// `recursiveReadOnly`.
    pub recursive_read_only: RecursiveReadOnly,
}

/// `mountPropagation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// Private.
    None,
    /// Mounts of the host appear in the container.
    HostToContainer,
    /// And the other way round.
    Bidirectional,
}

/// `recursiveReadOnly`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RecursiveReadOnly {
    /// The top mount only.
    Disabled,
    /// Where the runtime can.
    IfPossible,
    /// Or the container does not start.
    Enabled,
}

/// One of `spec.volumes`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Volume {
    /// Its name, unique in the pod.
    pub name: String,
    /// What it is.
    pub source: VolumeSource,
}

/// What a volume is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum VolumeSource {
    /// A directory with the life of the pod.
    EmptyDir {
        /// On a tmpfs.
        memory: bool,
        /// Bytes.
        size_limit: Option<Quantity>,
    },
    /// A path of the host.
    HostPath {
        /// The path.
        path: String,
        /// What must be there.
        kind: HostPathType,
    },
    /// Files made of ConfigMaps, Secrets and pod fields. A `configMap`, `secret` or `downwardAPI` volume has one source.
    Files(FilesVolume),
}

/// A volume made of small files: `configMap`, `secret`, `downwardAPI`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FilesVolume {
    /// Mode of files whose item says none, 0-0777.
    pub default_mode: u32,
    /// Whether it lives on a tmpfs: everything but `configMap`.
    pub memory: bool,
    /// In order; a later file replaces an earlier one of the same path.
    pub sources: Vec<FilesSource>,
}

/// One source of a [`FilesVolume`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilesSource {
    /// Keys of a ConfigMap or Secret.
    Object {
        /// Which object.
        object: ObjectRef,
        /// `None` means every key under its own name.
        items: Option<Vec<KeyToPath>>,
    },
    /// Fields and amounts of the pod.
    Downward(Vec<DownwardFile>),
}

/// One `items` entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyToPath {
    /// The key.
    pub key: String,
    /// Relative, no `..`.
    pub path: String,
    /// 0-0777.
    pub mode: Option<u32>,
}

/// One downward API file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownwardFile {
    /// Relative, no `..`.
    pub path: String,
    /// 0-0777.
    pub mode: Option<u32>,
    /// [`EnvValue::Field`] or [`EnvValue::Resource`].
    pub value: EnvValue,
}

/// `hostPath.type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostPathType {
    /// No check; an absent path becomes a directory.
    Unset,
    /// Made if absent.
    DirectoryOrCreate,
    /// Must be there.
    Directory,
    /// Made if absent; its parent must be there.
    FileOrCreate,
    /// Must be there.
    File,
    /// Must be there.
    Socket,
    /// Must be there.
    CharDevice,
    /// Must be there.
    BlockDevice,
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

/// `spec.securityContext`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodSecurity {
    /// Uid of containers that say none.
    pub run_as_user: Option<u32>,
    /// Gid of containers that say none.
    pub run_as_group: Option<u32>,
    /// Refuse uid 0.
    pub run_as_non_root: Option<bool>,
    /// Supplementary groups.
    pub supplemental_groups: Vec<u32>,
    /// `supplementalGroupsPolicy: Strict`.
    pub supplemental_groups_strict: bool,
    /// Group of the pod's volumes.
    pub fs_group: Option<u32>,
    /// Seccomp profile of containers that say none.
    pub seccomp: Option<Profile>,
    /// AppArmor profile of containers that say none.
    pub apparmor: Option<Profile>,
    /// SELinux options of containers that say none.
    pub selinux: Option<SeLinux>,
    /// Names in `.` form and values.
    pub sysctls: Vec<(String, String)>,
}

/// `securityContext` of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSecurity {
    /// All capabilities and devices, nothing masked.
    pub privileged: bool,
    /// Uid.
    pub run_as_user: Option<u32>,
    /// Gid.
    pub run_as_group: Option<u32>,
    /// Refuse uid 0.
    pub run_as_non_root: Option<bool>,
    /// The root file system is read-only.
    pub read_only_root: bool,
    /// `allowPrivilegeEscalation`.
    pub allow_privilege_escalation: Option<bool>,
    /// `capabilities.add`, as written.
    pub capabilities_add: Vec<String>,
    /// `capabilities.drop`, as written.
    pub capabilities_drop: Vec<String>,
    /// `procMount: Unmasked`.
    pub proc_unmasked: bool,
    /// Seccomp profile; `None` means the pod's.
    pub seccomp: Option<Profile>,
    /// AppArmor profile; `None` means the pod's.
    pub apparmor: Option<Profile>,
    /// SELinux options; `None` means the pod's.
    pub selinux: Option<SeLinux>,
}

/// A seccomp or AppArmor profile.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Profile {
    /// podshim's own.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// By name; seccomp: a file below the profile directory.
    Localhost(String),
}

/// `seLinuxOptions`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SeLinux {
    /// User part.
    pub user: String,
    /// Role part.
    pub role: String,
    /// Type part.
    pub kind: String,
    /// Level part.
    pub level: String,
}

/// A ConfigMap or Secret of the input.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigObject {
    /// Which kind.
    pub kind: ObjectKind,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// `data` and `stringData`, decoded. Of a ConfigMap this is text.
    pub data: BTreeMap<String, Vec<u8>>,
    /// `binaryData` of a ConfigMap: for volumes only.
    pub binary: BTreeMap<String, Vec<u8>>,
}

impl fmt::Debug for ConfigObject {
    /// Names and keys; values may be secret and are never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let keys: Vec<_> = self.data.keys().chain(self.binary.keys()).collect();
        f.debug_struct("ConfigObject")
            .field("kind", &self.kind)
            .field("name", &self.name)
            .field("keys", &keys)
            .finish()
    }
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

    /// The container's own restart policy, else the pod's.
    pub fn effective_restart_policy(&self, container: &Container) -> RestartPolicy {
        container.restart_policy.unwrap_or(self.restart_policy)
    }
}
