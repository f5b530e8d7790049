//! Holds the place of the back half of the manifest: `core/v1` Pod → [`Pod`].

use crate::base::PodUid;
use crate::manifest::{Findings, Pod};
use k8s_openapi::api::core::v1 as core;

/// What a manifest may leave open and a pure function cannot make up.
#[derive(Clone, Debug)]
pub struct ResolveContext {
    /// The uid of a pod that has none.
    pub uid: PodUid,
    /// Five characters that complete a `generateName`.
    pub name_suffix: String,
}

/// Refuses every pod.
pub fn resolve(_: core::Pod, _: &ResolveContext, findings: &mut Findings) -> Option<Pod> {
    findings.not_supported("spec", "");
    None
}
