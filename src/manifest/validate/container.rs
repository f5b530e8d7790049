//! `containers` and `initContainers`.

use super::check::{Path, each, name, one_of, quoted, required, text};
use super::network::HostPorts;
use super::{env, mount, network, probe, resources, security};
use crate::manifest::defaults::init_role;
use crate::manifest::finding::Findings;
use crate::manifest::{Role, grammar};
use k8s_openapi::api::core::v1 as core;
use std::collections::BTreeSet;

/// Rules of one container. Source: Kubernetes `validateContainerRestartPolicyRules`.
const RULES_MAX: usize = 20;
/// Exit codes of one rule. Source: the same.
const EXIT_CODES_MAX: usize = 255;

/// Names of all containers, init containers first.
pub fn names(spec: &core::PodSpec) -> Vec<&str> {
    let init = spec.init_containers.iter().flatten();
    init.chain(&spec.containers)
        .map(|one| one.name.as_str())
        .collect()
}

/// Checks every container.
pub fn containers(spec: &core::PodSpec, at: &Path, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    let all = names(spec);
    let host_network = spec.host_network == Some(true);
    let app_at = at.field("containers");
    if spec.containers.is_empty() {
        required(findings, &app_at, "");
    }
    let mut host_ports = HostPorts::new();
    let mut unique = |one: &core::Container, at: &Path, findings: &mut Findings| {
        if !one.name.is_empty() && !seen.insert(one.name.clone()) {
            findings.duplicate(at.field("name"), one.name.as_str());
        }
    };
    for (index, one) in spec.containers.iter().enumerate() {
        let at = app_at.index(index);
        container(one, Role::App, spec, &all, &at, findings);
        unique(one, &at, findings);
        network::ports(one, host_network, &mut host_ports, &at, findings);
    }
    for (at, one) in each(&spec.init_containers, &at.field("initContainers")) {
        container(one, init_role(one), spec, &all, &at, findings);
        unique(one, &at, findings);
        network::ports(one, host_network, &mut HostPorts::new(), &at, findings);
    }
}

fn container(
    one: &core::Container,
    role: Role,
    spec: &core::PodSpec,
    names: &[&str],
    at: &Path,
    findings: &mut Findings,
) {
    name(findings, &at.field("name"), &one.name, grammar::label);
    image(
        one.image.as_deref().unwrap_or_default(),
        &at.field("image"),
        findings,
    );
    let pull = one.image_pull_policy.as_deref();
    one_of(
        findings,
        &at.field("imagePullPolicy"),
        pull,
        &["Always", "IfNotPresent", "Never"],
    );
    for (field, words) in [("command", &one.command), ("args", &one.args)] {
        for (at, word) in each(words, &at.field(field)) {
            text(findings, &at, word, grammar::no_nul);
        }
    }
    for (field, path) in [
        ("workingDir", &one.working_dir),
        ("terminationMessagePath", &one.termination_message_path),
    ] {
        if let Some(path) = path {
            text(findings, &at.field(field), path, grammar::no_nul);
        }
    }
    let message = one.termination_message_policy.as_deref();
    one_of(
        findings,
        &at.field("terminationMessagePolicy"),
        message,
        &["FallbackToLogsOnError", "File"],
    );
    if role == Role::Init {
        probe::none(one, at, findings);
    } else {
        probe::all(one, spec, at, findings);
    }
    env::environment(one, spec, names, at, findings);
    mount::mounts(one, spec, at, findings);
    resources::container(one, at, findings);
    resize(one, role, spec, &at.field("resizePolicy"), findings);
    restart(one, at, findings);
    security::container(one, spec, at, findings);
}

fn image(image: &str, at: &Path, findings: &mut Findings) {
    if image.is_empty() {
        required(findings, at, "");
    } else if image.trim() != image {
        findings.invalid(
            at,
            quoted(image),
            "must not have leading or trailing whitespace",
        );
    } else {
        text(findings, at, image, grammar::no_nul);
    }
}

fn resize(
    one: &core::Container,
    role: Role,
    spec: &core::PodSpec,
    at: &Path,
    findings: &mut Findings,
) {
    let mut seen = BTreeSet::new();
    if role == Role::Init
        && one
            .resize_policy
            .as_ref()
            .is_some_and(|list| list.iter().any(restarts))
    {
        findings.forbidden(
            at,
            "RestartContainer may not be set for init containers without restartPolicy=Always",
        );
    }
    for (at, policy) in each(&one.resize_policy, at) {
        let resource = policy.resource_name.as_str();
        one_of(
            findings,
            &at.field("resourceName"),
            Some(resource),
            &["cpu", "memory"],
        );
        if !seen.insert(resource) {
            findings.duplicate(at.field("resourceName"), resource);
        }
        let at = at.field("restartPolicy");
        one_of(
            findings,
            &at,
            Some(&policy.restart_policy),
            &["NotRequired", "RestartContainer"],
        );
        if restarts(policy) && spec.restart_policy.as_deref() == Some("Never") {
            findings.invalid(
                &at,
                quoted(&policy.restart_policy),
                "must be `NotRequired` when `restartPolicy` is `Never`",
            );
        }
    }
}

fn restarts(policy: &core::ContainerResizePolicy) -> bool {
    policy.restart_policy == "RestartContainer"
}

fn restart(one: &core::Container, at: &Path, findings: &mut Findings) {
    let policies = ["Always", "OnFailure", "Never"];
    one_of(
        findings,
        &at.field("restartPolicy"),
        one.restart_policy.as_deref(),
        &policies,
    );
    let count = one.restart_policy_rules.as_ref().map_or(0, Vec::len);
    if count > 0 && one.restart_policy.is_none() {
        let detail = "must specify restartPolicy when restart rules are used";
        required(findings, &at.field("restartPolicy"), detail);
    }
    let at = at.field("restartPolicyRules");
    if count > RULES_MAX {
        findings.too_many(&at, count, "must have at most 20 items");
    }
    for (at, rule) in each(&one.restart_policy_rules, &at) {
        one_of(
            findings,
            &at.field("action"),
            Some(&rule.action),
            &["Restart", "RestartAllContainers"],
        );
        let at = at.field("exitCodes");
        let Some(codes) = &rule.exit_codes else {
            required(findings, &at, "");
            continue;
        };
        one_of(
            findings,
            &at.field("operator"),
            Some(&codes.operator),
            &["In", "NotIn"],
        );
        let count = codes.values.as_ref().map_or(0, Vec::len);
        if count > EXIT_CODES_MAX {
            findings.too_many(at.field("values"), count, "must have at most 255 items");
        }
    }
}
