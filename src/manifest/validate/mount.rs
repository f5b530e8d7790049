//! `volumeMounts` and `volumeDevices`.

use super::check::{Path, each, name, one_of, quoted, required, text};
use crate::manifest::finding::Findings;
use crate::manifest::grammar;
use k8s_openapi::api::core::v1 as core;
use std::collections::BTreeSet;

/// Mounts and devices of a container.
pub fn mounts(
    container: &core::Container,
    spec: &core::PodSpec,
    at: &Path,
    findings: &mut Findings,
) {
    let volumes: BTreeSet<&str> = spec
        .volumes
        .iter()
        .flatten()
        .map(|volume| volume.name.as_str())
        .collect();
    let known = |volume: &str, at: &Path, findings: &mut Findings| {
        if volume.is_empty() {
            required(findings, at, "");
        } else if !volumes.contains(volume) {
            findings.not_found(at, volume);
        }
    };
    let volume = |name: &str| spec.volumes.iter().flatten().find(|v| v.name == name);
    let security = container.security_context.as_ref();
    let privileged = security.and_then(|security| security.privileged) == Some(true);
    let mut paths = BTreeSet::new();
    for (at, mount) in each(&container.volume_mounts, &at.field("volumeMounts")) {
        known(&mount.name, &at.field("name"), findings);
        name(
            findings,
            &at.field("mountPath"),
            &mount.mount_path,
            grammar::no_nul,
        );
        if !paths.insert(mount.mount_path.as_str()) {
            findings.invalid(
                at.field("mountPath"),
                quoted(&mount.mount_path),
                "must be unique",
            );
        }
        sub_path(mount, &at, findings);
        propagation(mount, privileged, &at, findings);
        let source = volume(&mount.name);
        bind_options(
            mount,
            source.is_some_and(|v| v.image.is_some()),
            &at,
            findings,
        );
    }
    let mut devices = BTreeSet::new();
    for (at, device) in each(&container.volume_devices, &at.field("volumeDevices")) {
        known(&device.name, &at.field("name"), findings);
        if !device.name.is_empty() && !devices.insert(device.name.as_str()) {
            findings.invalid(at.field("name"), quoted(&device.name), "must be unique");
        }
        let is_block = |volume: &core::Volume| {
            let kind = volume.host_path.as_ref().and_then(|h| h.type_.as_deref());
            kind == Some("BlockDevice")
        };
        if volume(&device.name).is_some_and(|volume| !is_block(volume)) {
            findings.not_supported(
                at.field("name"),
                "only a hostPath of type BlockDevice is a device",
            );
        }
        name(
            findings,
            &at.field("devicePath"),
            &device.device_path,
            grammar::without_backsteps,
        );
        if !paths.insert(device.device_path.as_str()) {
            findings.invalid(
                at.field("devicePath"),
                quoted(&device.device_path),
                "must be unique",
            );
        }
        if spec.host_users == Some(false) {
            findings.forbidden(&at, "may not be set when `hostUsers` is false");
        }
    }
}

/// Source: Kubernetes validation, `validateBindMountOptions`; KEP-5855.
fn bind_options(mount: &core::VolumeMount, of_image: bool, at: &Path, findings: &mut Findings) {
    let mut seen = BTreeSet::new();
    let all = &at.field("bindMountOptions");
    if of_image && mount.bind_mount_options.is_some() {
        findings.forbidden(all, "may not be set for image volumes");
    }
    for (at, option) in each(&mount.bind_mount_options, all) {
        one_of(
            findings,
            &at,
            Some(option.as_str()),
            &["nodev", "noexec", "nosuid"],
        );
        if !seen.insert(option.as_str()) {
            findings.duplicate(&at, option.as_str());
        }
    }
}

fn sub_path(mount: &core::VolumeMount, at: &Path, findings: &mut Findings) {
    let given = |path: &Option<String>| path.clone().filter(|path| !path.is_empty());
    let (plain, expression) = (given(&mount.sub_path), given(&mount.sub_path_expr));
    if let Some(path) = &plain {
        text(findings, &at.field("subPath"), path, grammar::descending);
    }
    if let Some(path) = &expression {
        let at = at.field("subPathExpr");
        text(findings, &at, path, grammar::descending);
        if plain.is_some() {
            findings.invalid(
                &at,
                quoted(path),
                "subPathExpr and subPath are mutually exclusive",
            );
        }
    }
}

fn propagation(mount: &core::VolumeMount, privileged: bool, at: &Path, findings: &mut Findings) {
    let propagation = mount.mount_propagation.as_deref();
    let modes = ["Bidirectional", "HostToContainer", "None"];
    one_of(findings, &at.field("mountPropagation"), propagation, &modes);
    if propagation == Some("Bidirectional") && !privileged {
        let detail = "Bidirectional mount propagation is available only to privileged containers";
        findings.forbidden(at.field("mountPropagation"), detail);
    }
    let at = at.field("recursiveReadOnly");
    let recursive = mount.recursive_read_only.as_deref();
    one_of(
        findings,
        &at,
        recursive,
        &["Disabled", "Enabled", "IfPossible"],
    );
    if matches!(recursive, Some("Enabled" | "IfPossible")) {
        if mount.read_only != Some(true) {
            findings.forbidden(&at, "may only be specified when `readOnly` is true");
        }
        if !matches!(propagation, None | Some("None")) {
            findings.forbidden(
                &at,
                "may only be specified when `mountPropagation` is None or not specified",
            );
        }
    }
}
