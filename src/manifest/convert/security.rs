//! Security contexts.

use crate::manifest::{ContainerSecurity, PodSecurity, Profile, SeLinux, grammar};
use k8s_openapi::api::core::v1 as core;
use std::collections::BTreeMap;

/// Of the pod.
pub fn pod(raw: core::PodSecurityContext) -> Option<PodSecurity> {
    let core::PodSecurityContext {
        app_armor_profile,
        fs_group,
        fs_group_change_policy,
        run_as_group,
        run_as_non_root,
        run_as_user,
        se_linux_change_policy: _,
        se_linux_options,
        seccomp_profile,
        supplemental_groups,
        supplemental_groups_policy,
        sysctls,
        windows_options: _,
    } = raw;
    let sysctl = |core::Sysctl { name, value }| (grammar::sysctl_with_dots(&name), value);
    Some(PodSecurity {
        run_as_user: id(run_as_user)?,
        run_as_group: id(run_as_group)?,
        run_as_non_root,
        supplemental_groups: supplemental_groups
            .into_iter()
            .flatten()
            .map(|group| group.try_into().ok())
            .collect::<Option<_>>()?,
        supplemental_groups_strict: supplemental_groups_policy.as_deref() == Some("Strict"),
        fs_group: id(fs_group)?,
        fs_group_on_root_mismatch: fs_group_change_policy.as_deref() == Some("OnRootMismatch"),
        seccomp: seccomp(seccomp_profile)?,
        apparmor: apparmor(app_armor_profile)?,
        selinux: se_linux_options.map(selinux),
        sysctls: sysctls.into_iter().flatten().map(sysctl).collect(),
    })
}

/// Of a container.
pub fn container(raw: core::SecurityContext) -> Option<ContainerSecurity> {
    let core::SecurityContext {
        allow_privilege_escalation,
        app_armor_profile,
        capabilities,
        privileged,
        proc_mount,
        read_only_root_filesystem,
        run_as_group,
        run_as_non_root,
        run_as_user,
        se_linux_options,
        seccomp_profile,
        windows_options: _,
    } = raw;
    let core::Capabilities { add, drop } = capabilities.unwrap_or_default();
    Some(ContainerSecurity {
        privileged: privileged == Some(true),
        run_as_user: id(run_as_user)?,
        run_as_group: id(run_as_group)?,
        run_as_non_root,
        read_only_root: read_only_root_filesystem == Some(true),
        allow_privilege_escalation,
        capabilities_add: add.unwrap_or_default(),
        capabilities_drop: drop.unwrap_or_default(),
        proc_unmasked: proc_mount.as_deref() == Some("Unmasked"),
        seccomp: seccomp(seccomp_profile)?,
        apparmor: apparmor(app_armor_profile)?,
        selinux: se_linux_options.map(selinux),
    })
}

/// The AppArmor profile that an annotation of the pod gives to a container: the form before there was a field.
pub fn annotated(container: &str, annotations: &BTreeMap<String, String>) -> Option<Profile> {
    let key = format!("container.apparmor.security.beta.kubernetes.io/{container}");
    Some(match annotations.get(&key)?.as_str() {
        "runtime/default" => Profile::RuntimeDefault,
        "unconfined" => Profile::Unconfined,
        other => Profile::Localhost(other.strip_prefix("localhost/")?.to_owned()),
    })
}

fn id(id: Option<i64>) -> Option<Option<u32>> {
    match id {
        None => Some(None),
        Some(id) => u32::try_from(id).ok().map(Some),
    }
}

fn seccomp(raw: Option<core::SeccompProfile>) -> Option<Option<Profile>> {
    match raw {
        None => Some(None),
        Some(core::SeccompProfile {
            localhost_profile,
            type_,
        }) => profile(&type_, localhost_profile).map(Some),
    }
}

fn apparmor(raw: Option<core::AppArmorProfile>) -> Option<Option<Profile>> {
    match raw {
        None => Some(None),
        Some(core::AppArmorProfile {
            localhost_profile,
            type_,
        }) => profile(&type_, localhost_profile).map(Some),
    }
}

fn profile(kind: &str, localhost: Option<String>) -> Option<Profile> {
    match kind {
        "RuntimeDefault" => Some(Profile::RuntimeDefault),
        "Unconfined" => Some(Profile::Unconfined),
        "Localhost" => localhost.map(Profile::Localhost),
        _ => None,
    }
}

fn selinux(raw: core::SELinuxOptions) -> SeLinux {
    let core::SELinuxOptions {
        level,
        role,
        type_,
        user,
    } = raw;
    SeLinux {
        user: user.unwrap_or_default(),
        role: role.unwrap_or_default(),
        kind: type_.unwrap_or_default(),
        level: level.unwrap_or_default(),
    }
}
