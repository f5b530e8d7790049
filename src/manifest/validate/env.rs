//! `env`, `envFrom`, and the references of the downward API.

use super::check::{Path, each, name, quoted, required, text};
use crate::base::Quantity;
use crate::manifest::finding::Findings;
use crate::manifest::{convert, grammar};
use k8s_openapi::api::core::v1 as core;

/// Where a reference of the downward API stands: it decides what may be referred to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In `env`.
    Env,
    /// In a volume.
    Volume,
}

const ENV_FIELDS: [&str; 11] = [
    "metadata.annotations['<key>']",
    "metadata.labels['<key>']",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const VOLUME_FIELDS: [&str; 7] = [
    "metadata.annotations",
    "metadata.annotations['<key>']",
    "metadata.labels",
    "metadata.labels['<key>']",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
const RESOURCES: [&str; 7] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.hugepages-<size>",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
const DIVISORS: [&str; 13] = [
    "1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei",
];
const MORE_THAN_ONE: &str = "may not have more than one field specified at a time";

/// Environment of a container. `names` are the pod's containers.
pub fn environment(
    container: &core::Container,
    spec: &core::PodSpec,
    names: &[&str],
    at: &Path,
    findings: &mut Findings,
) {
    for (at, from) in each(&container.env_from, &at.field("envFrom")) {
        env_from(from, &at, findings);
    }
    for (at, variable) in each(&container.env, &at.field("env")) {
        name(
            findings,
            &at.field("name"),
            &variable.name,
            grammar::env_name,
        );
        if let Some(value) = &variable.value {
            text(findings, &at.field("value"), value, grammar::no_nul);
        }
        if let Some(source) = &variable.value_from {
            let at = at.field("valueFrom");
            if variable
                .value
                .as_ref()
                .is_some_and(|value| !value.is_empty())
            {
                findings.invalid(
                    &at,
                    quoted(""),
                    "may not be specified when `value` is not empty",
                );
            }
            value_from(source, spec, names, &at, findings);
        }
    }
}

fn env_from(from: &core::EnvFromSource, at: &Path, findings: &mut Findings) {
    if let Some(prefix) = from.prefix.as_deref().filter(|prefix| !prefix.is_empty()) {
        text(findings, &at.field("prefix"), prefix, grammar::env_name);
    }
    if let Some(map) = &from.config_map_ref {
        name(
            findings,
            &at.field("configMapRef").field("name"),
            &map.name,
            grammar::subdomain,
        );
    }
    if let Some(secret) = &from.secret_ref {
        name(
            findings,
            &at.field("secretRef").field("name"),
            &secret.name,
            grammar::subdomain,
        );
    }
    match (&from.config_map_ref, &from.secret_ref) {
        (None, None) => {
            findings.invalid(
                at,
                quoted(""),
                "must specify one of: `configMapRef` or `secretRef`",
            );
        }
        (Some(_), Some(_)) => {
            findings.invalid(at, quoted(""), MORE_THAN_ONE);
        }
        _ => {}
    }
}

fn value_from(
    source: &core::EnvVarSource,
    spec: &core::PodSpec,
    names: &[&str],
    at: &Path,
    findings: &mut Findings,
) {
    let mut sources = 0;
    if let Some(reference) = &source.field_ref {
        sources += 1;
        field_ref(reference, Place::Env, &at.field("fieldRef"), findings);
    }
    if let Some(reference) = &source.resource_field_ref {
        sources += 1;
        resource_ref(
            reference,
            Place::Env,
            names,
            &at.field("resourceFieldRef"),
            findings,
        );
    }
    if let Some(reference) = &source.config_map_key_ref {
        sources += 1;
        key_ref(
            &reference.name,
            &reference.key,
            &at.field("configMapKeyRef"),
            findings,
        );
    }
    if let Some(reference) = &source.secret_key_ref {
        sources += 1;
        key_ref(
            &reference.name,
            &reference.key,
            &at.field("secretKeyRef"),
            findings,
        );
    }
    if let Some(reference) = &source.file_key_ref {
        sources += 1;
        file_key_ref(reference, spec, &at.field("fileKeyRef"), findings);
    }
    if sources == 0 {
        let detail = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`";
        findings.invalid(at, quoted(""), detail);
    } else if sources > 1 {
        findings.invalid(at, quoted(""), MORE_THAN_ONE);
    }
}

fn key_ref(object: &str, key: &str, at: &Path, findings: &mut Findings) {
    name(findings, &at.field("name"), object, grammar::subdomain);
    name(findings, &at.field("key"), key, grammar::config_key);
}

fn file_key_ref(
    reference: &core::FileKeySelector,
    spec: &core::PodSpec,
    at: &Path,
    findings: &mut Findings,
) {
    name(
        findings,
        &at.field("key"),
        &reference.key,
        grammar::env_name,
    );
    name(
        findings,
        &at.field("path"),
        &reference.path,
        grammar::descending,
    );
    let at = at.field("volumeName");
    let mut volumes = spec.volumes.iter().flatten();
    match volumes.find(|volume| volume.name == reference.volume_name) {
        _ if reference.volume_name.is_empty() => required(findings, &at, ""),
        None => {
            findings.not_found(&at, reference.volume_name.as_str());
        }
        Some(volume) if volume.empty_dir.is_none() => {
            findings.invalid(
                &at,
                quoted(&reference.volume_name),
                "referenced volume must be of type emptyDir",
            );
        }
        Some(_) => {}
    }
}

/// `fieldRef`.
pub fn field_ref(
    reference: &core::ObjectFieldSelector,
    place: Place,
    at: &Path,
    findings: &mut Findings,
) {
    if let Some(version) = reference.api_version.as_deref()
        && version != "v1"
    {
        findings.invalid(at.field("apiVersion"), quoted(version), "must be v1");
    }
    let path = reference.field_path.as_str();
    let at = at.field("fieldPath");
    if path.is_empty() {
        return required(findings, &at, "");
    }
    let key = path
        .split_once("['")
        .and_then(|(_, key)| key.strip_suffix("']"));
    let supported: &[&str] = match place {
        Place::Env => &ENV_FIELDS,
        Place::Volume => &VOLUME_FIELDS,
    };
    match (convert::field_ref(path), key) {
        (Some(_), Some(key)) => {
            if let Err(detail) = grammar::qualified_name(&key.to_ascii_lowercase()) {
                findings.invalid(&at, quoted(path), detail);
            }
        }
        (Some(_), None) if supported.contains(&path) => {}
        _ => {
            findings.unsupported(&at, path, supported);
        }
    }
}

/// `resourceFieldRef`.
pub fn resource_ref(
    reference: &core::ResourceFieldSelector,
    place: Place,
    names: &[&str],
    at: &Path,
    findings: &mut Findings,
) {
    match reference.container_name.as_deref().unwrap_or_default() {
        "" if place == Place::Volume => required(findings, &at.field("containerName"), ""),
        "" => {}
        name if names.contains(&name) => {}
        name => {
            findings.not_found(at.field("containerName"), name);
        }
    }
    let resource = reference.resource.as_str();
    let huge = resource
        .strip_prefix("limits.")
        .or_else(|| resource.strip_prefix("requests."));
    let huge = huge.is_some_and(|name| super::resources::page_size(name).is_some());
    if resource.is_empty() {
        required(findings, &at.field("resource"), "");
    } else if !huge && !RESOURCES.contains(&resource) {
        findings.unsupported(at.field("resource"), resource, &RESOURCES);
    }
    let Some(divisor) = &reference.divisor else {
        return;
    };
    let at = at.field("divisor");
    match divisor.0.parse::<Quantity>() {
        Err(error) => {
            findings.invalid(&at, quoted(&divisor.0), error.to_string());
        }
        // Zero is how the API server writes an unset divisor.
        Ok(amount) if amount.is_zero() => {}
        Ok(amount) => {
            let supported: &[&str] = if resource.ends_with(".cpu") {
                &["1m", "1"]
            } else {
                &DIVISORS
            };
            if !supported.iter().any(|one| one.parse() == Ok(amount)) {
                findings.unsupported(&at, divisor.0.as_str(), supported);
            }
        }
    }
}
