//! `metadata`.

use super::check::{Path, name, quoted, required, text};
use crate::manifest::finding::Findings;
use crate::manifest::grammar;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use std::collections::BTreeMap;

/// Bytes of all annotations of a pod. Source: apimachinery `TotalAnnotationSizeLimitB`.
const ANNOTATIONS_MAX: usize = 256 * 1024;
const APPARMOR_KEY: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Checks the names, the labels and the annotations.
pub fn metadata(metadata: &ObjectMeta, findings: &mut Findings) {
    let at = Path::root("metadata");
    match metadata.name.as_deref().unwrap_or_default() {
        "" => required(
            findings,
            &at.field("name"),
            "name or generateName is required",
        ),
        name => text(findings, &at.field("name"), name, grammar::subdomain),
    }
    name(
        findings,
        &at.field("namespace"),
        metadata.namespace.as_deref().unwrap_or_default(),
        grammar::label,
    );
    name(
        findings,
        &at.field("uid"),
        metadata.uid.as_deref().unwrap_or_default(),
        grammar::uuid,
    );
    labels(metadata.labels.as_ref(), &at.field("labels"), findings);
    annotations(
        metadata.annotations.as_ref(),
        &at.field("annotations"),
        findings,
    );
}

fn labels(labels: Option<&BTreeMap<String, String>>, at: &Path, findings: &mut Findings) {
    for (key, value) in labels.into_iter().flatten() {
        text(findings, &at.key(key), key, grammar::qualified_name);
        text(findings, &at.key(key), value, grammar::label_value);
    }
}

fn annotations(annotations: Option<&BTreeMap<String, String>>, at: &Path, findings: &mut Findings) {
    let mut size = 0;
    for (key, value) in annotations.into_iter().flatten() {
        // The API server compares keys of annotations without regard to case.
        if let Err(detail) = grammar::qualified_name(&key.to_ascii_lowercase()) {
            findings.invalid(at.key(key), quoted(key), detail);
        }
        size += key.len() + value.len();
        let profile = ["runtime/default", "unconfined"].contains(&value.as_str())
            || value
                .strip_prefix("localhost/")
                .is_some_and(|name| !name.is_empty());
        if key.starts_with(APPARMOR_KEY) && !profile {
            findings.invalid(at.key(key), quoted(value), "invalid AppArmor profile name");
        }
    }
    if size > ANNOTATIONS_MAX {
        findings.too_long(at, "may not be more than 262144 bytes");
    }
}
