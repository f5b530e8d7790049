//! The plan: everything a supervisor needs to know of what was asked, resolved once by the command that asked, so that the
//! resident process parses no YAML and looks nothing up.

use crate::base::InstanceId;
use crate::bundle::{self, BundleError, HostFacts, PauseInput, SandboxKind};
use crate::manifest::{ConfigObject, Pod};
use crate::network::Network;
use crate::pod::Settings;
use crate::runtime::{Deadlines, Runtime};
use crate::stdio::LogLimits;
use crate::store::Dirs;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

/// What was asked. Never changes during the life of a pod. May hold secrets: written 0600, never printed.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Plan {
    /// The validated pod.
    pub pod: Pod,
    /// ConfigMaps and Secrets of the pod's namespace that the input brought along.
    pub objects: Vec<ConfigObject>,
    /// The OCI runtime.
    pub runtime: Runtime,
    /// When calls of it are given up.
    pub deadlines: Deadlines,
    /// Who makes the sandbox. A pod of an older podshim has it of the runtime.
    #[serde(default)]
    pub sandbox: SandboxKind,
    /// What network the sandbox gets.
    pub network: Network,
    /// Whether it knows the other pods of its namespace by name.
    #[serde(default)]
    pub pod_names: bool,
    /// The machine at that time.
    pub host: HostFacts,
    /// Where things are.
    pub dirs: Dirs,
    /// What the environment of whoever asked says about registries: names of `image::ENVIRONMENT`. May hold passwords of proxies.
    #[serde(default)]
    pub image_environment: BTreeMap<String, String>,
    /// First and longest crash back-off in milliseconds.
    pub backoff_ms: (u64, u64),
    /// How large the containers' logs get, and what happens when they cannot be written.
    #[serde(default)]
    pub logs: LogLimits,
    /// Why the pod may not run here: `status.reason` and `status.message`.
    pub rejected: Option<(String, String)>,
    /// Whether the pod is deleted by itself when it is over.
    #[serde(default)]
    pub remove_at_end: bool,
}

impl Plan {
    /// `config.json` of pause.
    pub fn pause_config(&self, instance: &InstanceId) -> Result<Vec<u8>, BundleError> {
        let spec = bundle::pause_spec(&PauseInput {
            pod: &self.pod,
            instance,
            host: &self.host,
            attempt: 0,
            netns: match &self.network {
                Network::Namespace(path) => Some(path),
                _ => None,
            },
            seccomp_default: self.sandbox.seccomp(),
            apparmor_default: None,
        })?;
        Ok(bundle::to_json(&spec))
    }

    /// The times that the rules of this pod use.
    pub fn settings(&self) -> Settings {
        Settings {
            backoff_initial: Duration::from_millis(self.backoff_ms.0),
            backoff_max: Duration::from_millis(self.backoff_ms.1),
            ..Settings::default()
        }
    }
}
