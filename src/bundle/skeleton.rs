//! `bundles/default/config.json`: what every bundle starts from, as data. A valid OCI configuration by itself.

use crate::bundle::HostFacts;
use crate::manifest::ContainerSecurity;
use oci_spec::runtime::{Mount, Root, Spec};
use serde::Deserialize;

const TEXT: &str = include_str!("../../bundles/default/config.json");

/// The parts of the default configuration that are read. Only small types are deserialised: parsing a whole `Spec` costs more
/// than a megabyte of program.
#[derive(Deserialize)]
pub(crate) struct Skeleton {
    /// OCI version.
    #[serde(rename = "ociVersion")]
    pub oci_version: String,
    /// Root file system.
    pub root: SkeletonRoot,
    /// Process.
    pub process: SkeletonProcess,
    /// Default mounts, in order.
    pub mounts: Vec<Mount>,
    /// Linux part.
    pub linux: SkeletonLinux,
}

/// `root`.
#[derive(Deserialize)]
pub(crate) struct SkeletonRoot {
    /// Relative to the bundle.
    pub path: String,
}

/// `process`.
#[derive(Deserialize)]
pub(crate) struct SkeletonProcess {
    /// Working directory of images that say none.
    pub cwd: String,
    /// `PATH`.
    pub env: Vec<String>,
    /// Capabilities.
    pub capabilities: SkeletonCapabilities,
}

/// `process.capabilities`.
#[derive(Deserialize)]
pub(crate) struct SkeletonCapabilities {
    /// The default set.
    pub bounding: Vec<String>,
}

/// `linux`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct SkeletonLinux {
    /// Hidden from unprivileged containers.
    pub masked_paths: Vec<String>,
    /// Read-only in unprivileged containers.
    pub readonly_paths: Vec<String>,
}

impl Skeleton {
    /// Reads the text that was compiled in.
    pub(crate) fn load() -> Skeleton {
        serde_json::from_str(TEXT).expect("the compiled-in text is read by a test")
    }

    /// Masked and read-only paths of a container: none if it is privileged or its `/proc` is unmasked.
    pub(crate) fn paths(
        &self,
        security: &ContainerSecurity,
        host: &HostFacts,
    ) -> (Vec<String>, Vec<String>) {
        if security.privileged || security.proc_unmasked {
            return (Vec::new(), Vec::new());
        }
        let masked = self.linux.masked_paths.iter().chain(&host.thermal_throttle);
        (masked.cloned().collect(), self.linux.readonly_paths.clone())
    }

    /// A specification with a root and nothing else: what `oci-spec` would put there is taken out.
    pub(crate) fn spec(&self, readonly: bool) -> Spec {
        let mut root = Root::default();
        root.set_path(self.root.path.clone().into())
            .set_readonly(Some(readonly));
        let mut spec = Spec::default();
        spec.set_version(self.oci_version.clone())
            .set_root(Some(root))
            .set_hostname(None);
        spec
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_compiled_in_configuration_reads_and_has_the_known_default_capabilities() {
        let skeleton = Skeleton::load();
        assert_eq!(skeleton.process.capabilities.bounding.len(), 14);
        assert_eq!(skeleton.mounts.len(), 6);
    }
}
