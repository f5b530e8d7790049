//! From a decoded `core/v1` Pod to the [`Pod`] that runs: defaults, then every check, then the model.

use crate::base::PodUid;
use crate::manifest::finding::Findings;
use crate::manifest::{Pod, convert, defaults, validate, verdict};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// What a manifest may leave open and a pure function cannot make up.
#[derive(Clone, Debug)]
pub struct ResolveContext {
    /// The uid of a pod that has none.
    pub uid: PodUid,
    /// Five characters that complete a `generateName`.
    pub name_suffix: String,
}

/// Said when a pod passes every check and still does not fit the model: a mistake of ours, never a silent `None`.
const HOLE: &str = "a value that no check has refused cannot be used; please report this pod";
/// Longest `generateName` that is used; with the suffix it makes a label.
const GENERATED_BASE_MAX: usize = 58;

/// Applies the defaults, checks everything, and converts. All findings are pushed; `None` if one of them is an error.
pub fn resolve(
    mut raw: core::Pod,
    context: &ResolveContext,
    findings: &mut Findings,
) -> Option<Pod> {
    let mut found = Findings::new();
    if let Some(spec) = &raw.spec {
        validate::size(spec, &mut found);
        if found.has_errors() {
            findings.extend(found);
            return None;
        }
    }
    let written = serde_json::to_value(&raw).unwrap_or_default();
    raw.status = None;
    raw.metadata = own_metadata(raw.metadata, context);
    defaults::apply(&mut raw);
    validate::pod(&raw, &mut found);
    verdict::report(&written, &mut found);
    let refused = found.has_errors();
    findings.extend(found);
    if refused {
        return None;
    }
    let object = serde_json::to_value(&raw).unwrap_or_default();
    let pod = convert::pod(raw, object);
    if pod.is_none() {
        findings.not_supported("spec", HOLE);
    }
    pod
}

/// The part of the metadata that is not the API server's, with name and uid filled in.
fn own_metadata(metadata: ObjectMeta, context: &ResolveContext) -> ObjectMeta {
    let ObjectMeta {
        annotations,
        creation_timestamp: _,
        deletion_grace_period_seconds: _,
        deletion_timestamp: _,
        finalizers: _,
        generate_name,
        generation: _,
        labels,
        managed_fields: _,
        name,
        namespace,
        owner_references: _,
        resource_version: _,
        self_link: _,
        uid,
    } = metadata;
    let present = |text: &String| !text.is_empty();
    let generated = generate_name
        .as_ref()
        .filter(|base| present(base))
        .map(|base| {
            let base: String = base.chars().take(GENERATED_BASE_MAX).collect();
            format!("{base}{}", context.name_suffix)
        });
    ObjectMeta {
        annotations,
        generate_name,
        labels,
        name: name.filter(present).or(generated),
        namespace,
        uid: uid.filter(present).or_else(|| Some(context.uid.0.clone())),
        ..ObjectMeta::default()
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use serde_json::{Value, json};

    /// Resolves a pod named `p` with this spec; what went wrong comes as lines, warnings left out.
    pub fn resolved(spec: &Value) -> Result<Pod, Vec<String>> {
        let pod = json!({"metadata": {"name": "p", "uid": "0f9c1a52-5d7e-4c1b-9a53-0123456789ab"}, "spec": spec});
        resolved_object(pod)
    }

    /// The same for a whole object.
    pub fn resolved_object(object: Value) -> Result<Pod, Vec<String>> {
        let raw: core::Pod = serde_json::from_value(object).expect("a pod");
        let context = ResolveContext {
            uid: PodUid::from_random([7; 16]),
            name_suffix: "x2c4d".to_owned(),
        };
        let mut findings = Findings::new();
        let pod = resolve(raw, &context, &mut findings);
        assert_eq!(
            pod.is_none(),
            findings.has_errors(),
            "a pod or an error, never neither:\n{findings}"
        );
        assert!(!findings.iter().any(|one| one.detail == HOLE), "{findings}");
        pod.ok_or_else(|| {
            findings
                .iter()
                .filter(|one| !one.warning)
                .map(ToString::to_string)
                .collect()
        })
    }

    /// A pod named `p` with this spec.
    pub fn pod(spec: Value) -> Pod {
        resolved(&spec).expect("a valid pod")
    }
}
