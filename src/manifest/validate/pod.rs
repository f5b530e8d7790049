//! `spec` itself, and the rules between its fields.

use super::check::{Path, each, name, number, one_of, required, text};
use super::{container, metadata, network, resources, security, volume};
use crate::manifest::finding::Findings;
use crate::manifest::grammar;
use k8s_openapi::api::core::v1 as core;

/// Linux limit of a host name, in bytes.
const HOSTNAME_MAX: usize = 64;

/// Checks a defaulted pod.
pub fn pod(pod: &core::Pod, findings: &mut Findings) {
    metadata::metadata(&pod.metadata, findings);
    let none = core::PodSpec::default();
    let spec = pod.spec.as_ref().unwrap_or(&none);
    let at = &Path::root("spec");
    volume::volumes(
        &spec.volumes,
        &container::names(spec),
        &at.field("volumes"),
        findings,
    );
    volume::huge_pages(spec, &at.field("volumes"), findings);
    container::containers(spec, at, findings);
    if spec
        .ephemeral_containers
        .as_ref()
        .is_some_and(|list| !list.is_empty())
    {
        findings.forbidden(at.field("ephemeralContainers"), "cannot be set on create");
    }
    resources::pod(spec, at, findings);
    let policies = ["Always", "OnFailure", "Never"];
    one_of(
        findings,
        &at.field("restartPolicy"),
        spec.restart_policy.as_deref(),
        &policies,
    );
    network::dns(spec, at, findings);
    security::pod(spec, at, findings);
    names(spec, at, findings);
    number(
        findings,
        &at.field("activeDeadlineSeconds"),
        spec.active_deadline_seconds,
        |seconds| match seconds {
            1..=2_147_483_647 => Ok(()),
            _ => Err("must be between 1 and 2147483647, inclusive"),
        },
    );
    host_names(spec, at, findings);
    network::host_aliases(spec, at, findings);
    for (at, gate) in each(&spec.readiness_gates, &at.field("readinessGates")) {
        text(
            findings,
            &at.field("conditionType"),
            &gate.condition_type,
            grammar::qualified_name,
        );
    }
    overhead(spec, &at.field("overhead"), findings);
    if let Some(os) = &spec.os {
        match os.name.as_str() {
            "" => required(findings, &at.field("os").field("name"), ""),
            os => one_of(
                findings,
                &at.field("os").field("name"),
                Some(os),
                &["linux", "windows"],
            ),
        }
    }
}

fn overhead(spec: &core::PodSpec, at: &Path, findings: &mut Findings) {
    for (resource, amount) in spec.overhead.iter().flatten() {
        resources::amount(resource, amount, &at.key(resource), findings);
    }
    if spec
        .overhead
        .as_ref()
        .is_some_and(|overhead| !overhead.is_empty())
    {
        findings.warn(
            at,
            "taken as written: there is no RuntimeClass to confirm it",
        );
    }
}

/// Names of things outside the pod.
fn names(spec: &core::PodSpec, at: &Path, findings: &mut Findings) {
    for (field, value) in [
        ("serviceAccountName", &spec.service_account_name),
        ("serviceAccount", &spec.service_account),
        ("nodeName", &spec.node_name),
        ("runtimeClassName", &spec.runtime_class_name),
    ] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            text(findings, &at.field(field), value, grammar::subdomain);
        }
    }
}

fn host_names(spec: &core::PodSpec, at: &Path, findings: &mut Findings) {
    for (field, value) in [("hostname", &spec.hostname), ("subdomain", &spec.subdomain)] {
        if let Some(value) = value.as_deref().filter(|value| !value.is_empty()) {
            text(findings, &at.field(field), value, grammar::label);
        }
    }
    let Some(value) = &spec.hostname_override else {
        return;
    };
    let at = at.field("hostnameOverride");
    if value.len() > HOSTNAME_MAX {
        findings.too_long(&at, "may not be more than 64 bytes");
    } else {
        name(findings, &at, value, grammar::subdomain);
    }
    if spec.set_hostname_as_fqdn == Some(true) {
        findings.forbidden(&at, "may not be set when `setHostnameAsFQDN` is true");
    }
    if spec.host_network == Some(true) {
        findings.forbidden(&at, "may not be set when `hostNetwork` is true");
    }
}
