//! PersistentVolumeClaims: named volumes that outlive pods. What asks for storage of a kind or size means nothing on one machine;
//! podman's annotations say how the volume is made.

use crate::manifest::validate::volume_mode;
use crate::manifest::{ClaimOptions, Findings, Node, Pod, VolumeSource, decode, grammar, objects};
use k8s_openapi::api::core::v1 as core;
use std::collections::BTreeMap;

/// What podman's annotations begin with.
const PREFIX: &str = "volume.podman.io/";

/// A claim of the input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`.
    pub namespace: String,
    /// How its volume is made.
    pub options: ClaimOptions,
}

/// Makes a claim of a document; `None` when nothing can be made of it. It is checked as far as it goes.
pub(super) fn read(node: &Node, findings: &mut Findings) -> Option<Claim> {
    let raw: core::PersistentVolumeClaim = decode(node, "", findings)?;
    let annotations = raw.metadata.annotations.clone().unwrap_or_default();
    let (name, namespace) = objects::identity(raw.metadata, findings);
    let mode = raw.spec.and_then(|spec| spec.volume_mode);
    volume_mode(mode.as_deref(), "spec.volumeMode", findings);
    Some(Claim {
        name,
        namespace,
        options: options(&annotations, findings),
    })
}

/// Source: podman-kube-play(1), "PersistentVolumeClaim". A file system that would be mounted is refused: every pod has mounts of its
/// own, so that it would not be one volume.
fn options(annotations: &BTreeMap<String, String>, findings: &mut Findings) -> ClaimOptions {
    let mut options = ClaimOptions::default();
    let at = |name: &str| format!("metadata.annotations[{PREFIX}{name}]");
    for (key, value) in annotations {
        let Some(name) = key.strip_prefix(PREFIX) else {
            continue;
        };
        let mut id = |to: &mut Option<u32>| match value.parse().ok().map(|id| (id, grammar::id(id)))
        {
            Some((id, Ok(()))) => *to = u32::try_from(id).ok(),
            _ => {
                findings.invalid(
                    at(name),
                    format!("{value:?}"),
                    "must be a number between 0 and 2147483647",
                );
            }
        };
        match name {
            "uid" => id(&mut options.uid),
            "gid" => id(&mut options.gid),
            "driver" if matches!(value.as_str(), "" | "local") => {}
            "type" if matches!(value.as_str(), "none" | "bind") => {}
            "type" => {
                findings.not_supported(at(name), "only `bind` is; mount other file systems on the host, or use emptyDir for a tmpfs");
            }
            "device" => {
                let absolute = if value.starts_with('/') {
                    Ok(())
                } else {
                    Err("must be an absolute path")
                };
                match absolute.and_then(|()| grammar::without_backsteps(value)) {
                    Ok(()) => options.device = Some(value.clone()),
                    Err(detail) => {
                        findings.invalid(at(name), format!("{value:?}"), detail);
                    }
                }
            }
            "mount-options" => {
                for option in value.split(',').filter(|option| !option.is_empty()) {
                    match option {
                        "bind" | "rbind" | "rw" => {}
                        "ro" => options.read_only = true,
                        other => {
                            findings.unsupported(at(name), other, &["bind", "rbind", "ro", "rw"]);
                        }
                    }
                }
            }
            _ => {
                findings.not_supported(at(name), "podshim does not know this annotation");
            }
        }
    }
    let has = |name: &str| annotations.contains_key(&format!("{PREFIX}{name}"));
    if has("type") && !has("device") {
        findings.required(at("device"));
    }
    for name in ["uid", "gid"] {
        if has("device") && has(name) {
            findings.forbidden(
                at(name),
                "may not be set with a device: the directory is the host's",
            );
        }
    }
    options
}

/// Tells the volumes of a pod what the claims say that they name.
pub(super) fn apply(claims: &[Claim], pod: &mut Pod) {
    for volume in &mut pod.volumes {
        if let VolumeSource::Claim(wanted) = &mut volume.source {
            let found = claims
                .iter()
                .find(|c| c.name == wanted.claim && c.namespace == pod.namespace);
            if let Some(claim) = found {
                wanted.options = claim.options.clone();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Strictness, parse};

    fn read_text(annotations: &str) -> (Option<Claim>, String) {
        let text = format!(
            "{{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {{name: c, annotations: {{{annotations}}}}}, \
             spec: {{accessModes: [ReadWriteOnce], resources: {{requests: {{storage: 1Gi}}}}}}}}"
        );
        let mut findings = Findings::new();
        let nodes = parse("f", &text, Strictness::Strict, &mut findings);
        let claim = read(&nodes[0], &mut findings);
        (claim, findings.to_string())
    }

    #[test]
    fn a_claim_says_how_its_volume_is_made() {
        let (claim, findings) = read_text(
            "volume.podman.io/uid: '5', volume.podman.io/gid: '6', volume.podman.io/driver: local, other: x",
        );
        assert_eq!(findings, "");
        let options = claim.expect("a claim").options;
        assert_eq!(
            (options.uid, options.gid, options.device),
            (Some(5), Some(6), None)
        );
        let (claim, findings) = read_text(
            "volume.podman.io/type: none, volume.podman.io/device: /srv, volume.podman.io/mount-options: 'bind,ro'",
        );
        assert_eq!(findings, "");
        let options = claim.expect("a claim").options;
        assert_eq!(
            (options.device.as_deref(), options.read_only),
            (Some("/srv"), true)
        );
    }

    #[test]
    fn what_cannot_be_one_volume_for_all_pods_is_refused() {
        for (annotations, told) in [
            (
                "volume.podman.io/uid: x",
                "[volume.podman.io/uid]: Invalid value: \"x\"",
            ),
            (
                "volume.podman.io/type: tmpfs, volume.podman.io/device: /x",
                "[volume.podman.io/type]: Forbidden: not supported",
            ),
            (
                "volume.podman.io/type: bind",
                "[volume.podman.io/device]: Required value",
            ),
            ("volume.podman.io/device: srv", "must be an absolute path"),
            (
                "volume.podman.io/device: /srv/../etc",
                "must not contain '..'",
            ),
            (
                "volume.podman.io/device: /srv, volume.podman.io/uid: '1'",
                "[volume.podman.io/uid]: Forbidden: may not be set with a device",
            ),
            (
                "volume.podman.io/mount-options: 'bind,suid'",
                "Unsupported value: \"suid\"",
            ),
            (
                "volume.podman.io/image: x",
                "[volume.podman.io/image]: Forbidden: not supported",
            ),
        ] {
            let found = read_text(annotations).1;
            assert!(
                found.contains(told) && found.lines().count() == 1,
                "{annotations}: {found}"
            );
        }
    }
}
