//! ConfigMaps and Secrets.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

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
