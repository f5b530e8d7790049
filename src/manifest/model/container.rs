//! One container of a pod.

use crate::base::{Quantity, Signal};
use crate::manifest::{
    ContainerSecurity, EnvFrom, EnvVar, Lifecycle, RestartPolicy, RestartRule, VolumeDevice,
    VolumeMount,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a container is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Role {
    /// Runs to completion before the next container starts.
    Init,
    /// An init container with `restartPolicy: Always`: stays up beside the app containers.
    Sidecar,
    /// One of `spec.containers`.
    App,
    /// Added to a running pod for debugging: runs once, and nothing waits for it.
    Ephemeral,
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
    /// `restartPolicyRules`; the first that matches decides before the policies.
    pub restart_rules: Vec<RestartRule>,
    /// Probes and hooks.
    pub lifecycle: Lifecycle,
    /// `volumeMounts`; each names a volume of the pod.
    pub mounts: Vec<VolumeMount>,
    /// `volumeDevices`; each names a `hostPath` of the pod that is a block device.
    #[serde(default)]
    pub devices: Vec<VolumeDevice>,
    /// `securityContext`, not merged with the pod's.
    pub security: ContainerSecurity,
    /// `terminationMessagePath`.
    pub termination_message_path: String,
    /// `terminationMessagePolicy: FallbackToLogsOnError`.
    pub termination_message_from_logs: bool,
    /// `lifecycle.stopSignal`.
    pub stop_signal: Option<Signal>,
    /// Of an ephemeral container: the one whose processes it sees.
    pub target: Option<String>,
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
