//! `securityContext` of pod and container, and the namespaces that a pod shares with the host.

use super::check::{Path, each, name, number, one_of, quoted, required, text};
use crate::manifest::finding::Findings;
use crate::manifest::grammar;
use k8s_openapi::api::core::v1 as core;
use std::collections::BTreeSet;

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];
/// Sysctls of the IPC namespace.
const IPC_SYSCTLS: [&str; 4] = ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."];

/// The pod's security and its namespaces.
pub fn pod(spec: &core::PodSpec, at: &Path, findings: &mut Findings) {
    if spec.share_process_namespace == Some(true) && spec.host_pid == Some(true) {
        let detail = "ShareProcessNamespace and HostPID cannot both be enabled";
        findings.invalid(at.field("shareProcessNamespace"), true, detail);
    }
    if spec.host_users == Some(false) {
        for (field, shared) in [
            ("hostNetwork", spec.host_network),
            ("hostPID", spec.host_pid),
            ("hostIPC", spec.host_ipc),
        ] {
            if shared == Some(true) {
                findings.forbidden(at.field(field), "may not be set when `hostUsers` is false");
            }
        }
    }
    let Some(security) = &spec.security_context else {
        return;
    };
    let at = at.field("securityContext");
    apparmor(security.app_armor_profile.as_ref(), &at, findings);
    seccomp(security.seccomp_profile.as_ref(), &at, findings);
    user(security.run_as_user, security.run_as_group, &at, findings);
    number(
        findings,
        &at.field("fsGroup"),
        security.fs_group,
        grammar::id,
    );
    for (at, group) in each(
        &security.supplemental_groups,
        &at.field("supplementalGroups"),
    ) {
        number(findings, &at, Some(*group), grammar::id);
    }
    let policies: [(_, &Option<String>, &[&str]); 3] = [
        (
            "fsGroupChangePolicy",
            &security.fs_group_change_policy,
            &["Always", "OnRootMismatch"],
        ),
        (
            "seLinuxChangePolicy",
            &security.se_linux_change_policy,
            &["MountOption", "Recursive"],
        ),
        (
            "supplementalGroupsPolicy",
            &security.supplemental_groups_policy,
            &["Merge", "Strict"],
        ),
    ];
    for (field, value, set) in policies {
        one_of(findings, &at.field(field), value.as_deref(), set);
    }
    sysctls(security, spec, &at.field("sysctls"), findings);
}

fn sysctls(
    security: &core::PodSecurityContext,
    spec: &core::PodSpec,
    at: &Path,
    findings: &mut Findings,
) {
    let mut seen = BTreeSet::new();
    for (at, sysctl) in each(&security.sysctls, at) {
        let at = at.field("name");
        name(findings, &at, &sysctl.name, grammar::sysctl);
        let plain = grammar::sysctl_with_dots(&sysctl.name);
        let ipc = IPC_SYSCTLS.iter().any(|prefix| plain.starts_with(prefix));
        if spec.host_network == Some(true) && plain.starts_with("net.") {
            findings.invalid(
                &at,
                quoted(&sysctl.name),
                "may not be specified when `hostNetwork` is true",
            );
        }
        if spec.host_ipc == Some(true) && ipc {
            findings.invalid(
                &at,
                quoted(&sysctl.name),
                "may not be specified when `hostIPC` is true",
            );
        }
        if !seen.insert(plain) {
            findings.duplicate(&at, sysctl.name.as_str());
        }
    }
}

/// A container's security.
pub fn container(
    container: &core::Container,
    spec: &core::PodSpec,
    at: &Path,
    findings: &mut Findings,
) {
    let Some(security) = &container.security_context else {
        return;
    };
    let at = at.field("securityContext");
    apparmor(security.app_armor_profile.as_ref(), &at, findings);
    seccomp(security.seccomp_profile.as_ref(), &at, findings);
    user(security.run_as_user, security.run_as_group, &at, findings);
    let proc_mount = security.proc_mount.as_deref();
    one_of(
        findings,
        &at.field("procMount"),
        proc_mount,
        &["Default", "Unmasked"],
    );
    if proc_mount == Some("Unmasked") && spec.host_users != Some(false) {
        findings.invalid(
            at.field("procMount"),
            quoted("Unmasked"),
            "`hostUsers` must be false to use `Unmasked`",
        );
    }
    if security.allow_privilege_escalation == Some(false) {
        let added = security
            .capabilities
            .as_ref()
            .and_then(|both| both.add.as_ref());
        let shown = || serde_json::to_string(security).unwrap_or_default();
        if security.privileged == Some(true) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `privileged` to true";
            findings.invalid(&at, shown(), detail);
        }
        if added.is_some_and(|list| list.iter().any(|one| one == "CAP_SYS_ADMIN")) {
            let detail = "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN";
            findings.invalid(&at, shown(), detail);
        }
    }
}

fn user(user: Option<i64>, group: Option<i64>, at: &Path, findings: &mut Findings) {
    number(findings, &at.field("runAsUser"), user, grammar::id);
    number(findings, &at.field("runAsGroup"), group, grammar::id);
}

fn seccomp(profile: Option<&core::SeccompProfile>, at: &Path, findings: &mut Findings) {
    if let Some(profile) = profile {
        let at = at.field("seccompProfile");
        localhost(
            &profile.type_,
            profile.localhost_profile.as_deref(),
            "seccomp",
            grammar::descending,
            &at,
            findings,
        );
    }
}

fn apparmor(profile: Option<&core::AppArmorProfile>, at: &Path, findings: &mut Findings) {
    if let Some(profile) = profile {
        let at = at.field("appArmorProfile");
        localhost(
            &profile.type_,
            profile.localhost_profile.as_deref(),
            "AppArmor",
            apparmor_name,
            &at,
            findings,
        );
    }
}

/// The name of a loaded profile, as it is written to the kernel.
fn apparmor_name(text: &str) -> grammar::Outcome {
    match text {
        _ if text.trim() != text => Err("must not be padded with whitespace"),
        _ if text.len() > 4095 => Err("must be no more than 4095 bytes"),
        _ => grammar::no_nul(text),
    }
}

/// `Localhost` has a profile, the others have none.
fn localhost(
    kind: &str,
    profile: Option<&str>,
    what: &str,
    rule: fn(&str) -> grammar::Outcome,
    at: &Path,
    findings: &mut Findings,
) {
    if kind.is_empty() {
        required(findings, &at.field("type"), "");
    } else {
        one_of(findings, &at.field("type"), Some(kind), &PROFILES);
    }
    let at = at.field("localhostProfile");
    match (kind, profile) {
        ("Localhost", None | Some("")) => {
            required(
                findings,
                &at,
                &format!("must be set when {what} type is Localhost"),
            );
        }
        ("Localhost", Some(profile)) => text(findings, &at, profile, rule),
        (_, Some(profile)) => {
            findings.invalid(
                &at,
                quoted(profile),
                format!("can only be set when {what} type is Localhost"),
            );
        }
        (_, None) => {}
    }
}
