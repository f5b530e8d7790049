//! Where variables come from.

use crate::base::Quantity;
use crate::manifest::ObjectRef;
use serde::{Deserialize, Serialize};

/// A source of many variables.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFrom {
    /// Put before each name.
    pub prefix: String,
    /// ConfigMap or Secret.
    pub source: ObjectRef,
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
    /// One name of a file that an earlier container wrote.
    File {
        /// Which.
        file: EnvFile,
        /// The name in it.
        key: String,
        /// Absence is no error.
        optional: bool,
    },
    /// One key of a ConfigMap or Secret.
    Key {
        /// Which object.
        object: ObjectRef,
        /// Which key.
        key: String,
    },
}

/// A file of variables in a volume.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EnvFile {
    /// An emptyDir of the pod.
    pub volume: String,
    /// Relative, no `..`.
    pub path: String,
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
