//! What podshim does with every field of a Pod: one table, from which refusals, warnings and `podshim check` all come.
//!
//! A field that the table does not have is refused: silence is never the answer to what is not known here.

use crate::manifest::finding::Findings;
use serde_json::Value;

/// What podshim does with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does what Kubernetes does.
    Supported,
    /// Refused today, to come.
    SupportedLater,
    /// Accepted without effect; the reason says why that is harmless.
    Ignored,
    /// Refused for good on one machine.
    Refused,
}

use Rule::{By, Fields, Ignored, Keys, Later, Refused, Supported};

/// What is said of a field and of those below it. Lists are transparent: the rule is for each entry.
enum Rule {
    /// With all below.
    Supported,
    Later(&'static str),
    Ignored(&'static str),
    Refused(&'static str),
    /// An object.
    Fields(&'static [(&'static str, Rule)]),
    /// A map; judged by key.
    Keys(fn(&str) -> &'static Rule),
    /// It depends on the value, or on another field of the spec (the first argument).
    By(fn(&Value, &Value) -> &'static Rule),
}

const ANY_KEY: Rule = Keys(|_| &Supported);
const CLUSTER: &str = "there is no cluster that would say or want it";
const SCHEDULING: &str = "there is one machine and no scheduler";
const WINDOWS: &str = "podshim runs Linux containers";
const EXTENDED: Rule = Refused("no device plugin offers this resource; use hostPath for devices");
const DRIVER: Rule = Refused("mount it on the host and use hostPath");
const ISSUER: Rule = Refused("needs an API server to issue it");
const NO_SUB_PATH: Rule = Later("mounting a part of a volume");
const NO_PROBES: Rule = Later("probes");
const NO_OWNER: Rule = Later("an owner of files in volumes");

const POD: &[(&str, Rule)] = &[
    ("apiVersion", Supported),
    ("kind", Supported),
    ("metadata", Fields(METADATA)),
    ("spec", Fields(SPEC)),
    ("status", Ignored(CLUSTER)),
];

const METADATA: &[(&str, Rule)] = &[
    ("name", Supported),
    ("generateName", Supported),
    ("namespace", Supported),
    ("uid", Supported),
    ("labels", ANY_KEY),
    ("annotations", ANY_KEY),
    ("creationTimestamp", Ignored(CLUSTER)),
    ("deletionGracePeriodSeconds", Ignored(CLUSTER)),
    ("deletionTimestamp", Ignored(CLUSTER)),
    ("finalizers", Ignored(CLUSTER)),
    ("generation", Ignored(CLUSTER)),
    ("managedFields", Ignored(CLUSTER)),
    ("ownerReferences", Ignored(CLUSTER)),
    ("resourceVersion", Ignored(CLUSTER)),
    ("selfLink", Ignored(CLUSTER)),
];

const SPEC: &[(&str, Rule)] = &[
    ("activeDeadlineSeconds", Supported),
    ("affinity", Ignored(SCHEDULING)),
    (
        "automountServiceAccountToken",
        By(|_, value| match value {
            Value::Bool(false) => &Supported,
            _ => &Ignored("no token is mounted: there is no API server"),
        }),
    ),
    ("containers", Fields(CONTAINER)),
    ("dnsConfig", Supported),
    (
        "dnsPolicy",
        By(|_, value| match value.as_str() {
            Some("ClusterFirst" | "ClusterFirstWithHostNet") => {
                &Ignored("there is no cluster DNS: the same as Default")
            }
            _ => &Supported,
        }),
    ),
    ("enableServiceLinks", Ignored("there are no Services")),
    ("ephemeralContainers", Refused("cannot be set on create")),
    ("evictionResponders", Ignored(SCHEDULING)),
    ("hostAliases", Supported),
    ("hostIPC", Supported),
    ("hostNetwork", Supported),
    ("hostPID", Supported),
    (
        "hostUsers",
        By(|_, value| match value {
            Value::Bool(false) => &Later("a user namespace for the pod"),
            _ => &Supported,
        }),
    ),
    ("hostname", Supported),
    ("hostnameOverride", Supported),
    (
        "imagePullSecrets",
        Ignored("images are not pulled from registries yet"),
    ),
    ("initContainers", Fields(CONTAINER)),
    (
        "nodeName",
        Ignored("there is one machine and no scheduler; the name is kept for spec.nodeName"),
    ),
    ("nodeSelector", Ignored(SCHEDULING)),
    (
        "os",
        Fields(&[(
            "name",
            By(|_, value| match value.as_str() {
                Some("windows") => &Refused(WINDOWS),
                _ => &Supported,
            }),
        )]),
    ),
    (
        "overhead",
        Ignored("counted in the pod's cgroup as written; no RuntimeClass confirms it"),
    ),
    ("preemptionPolicy", Ignored(SCHEDULING)),
    ("priority", Ignored(SCHEDULING)),
    ("priorityClassName", Ignored(SCHEDULING)),
    (
        "readinessGates",
        Ignored("nobody sets these conditions: they stay unsatisfied"),
    ),
    (
        "resourceClaims",
        Refused("dynamic resource allocation needs an API server"),
    ),
    ("resources", Fields(REQUIREMENTS)),
    ("restartPolicy", Supported),
    ("runtimeClassName", Supported),
    ("schedulerName", Ignored(SCHEDULING)),
    (
        "schedulingGates",
        Refused("nobody would ever open the gates"),
    ),
    ("schedulingGroup", Ignored(SCHEDULING)),
    ("securityContext", Fields(POD_SECURITY)),
    (
        "serviceAccount",
        Ignored("the name is kept; there is no API server to prove it to"),
    ),
    (
        "serviceAccountName",
        Ignored("the name is kept; there is no API server to prove it to"),
    ),
    ("setHostnameAsFQDN", Supported),
    ("shareProcessNamespace", Supported),
    ("subdomain", Supported),
    ("terminationGracePeriodSeconds", Supported),
    ("tolerations", Ignored(SCHEDULING)),
    ("topologySpreadConstraints", Ignored(SCHEDULING)),
    ("volumes", Fields(VOLUME)),
];

const REQUIREMENTS: &[(&str, Rule)] = &[
    (
        "claims",
        Refused("dynamic resource allocation needs an API server"),
    ),
    ("limits", AMOUNTS),
    ("requests", AMOUNTS),
];

/// Only a resource of somebody's domain has a `/`.
const AMOUNTS: Rule = Keys(|name| {
    if name.contains('/') {
        &EXTENDED
    } else {
        &Supported
    }
});

const POD_SECURITY: &[(&str, Rule)] = &[
    ("appArmorProfile", Supported),
    ("fsGroup", Supported),
    ("fsGroupChangePolicy", Supported),
    ("runAsGroup", Supported),
    ("runAsNonRoot", Supported),
    ("runAsUser", Supported),
    (
        "seLinuxChangePolicy",
        Ignored("files are always relabelled"),
    ),
    ("seLinuxOptions", Supported),
    ("seccompProfile", Supported),
    ("supplementalGroups", Supported),
    ("supplementalGroupsPolicy", Supported),
    ("sysctls", Supported),
    ("windowsOptions", Refused(WINDOWS)),
];

const CONTAINER: &[(&str, Rule)] = &[
    ("args", Supported),
    ("command", Supported),
    (
        "env",
        Fields(&[
            ("name", Supported),
            ("value", Supported),
            (
                "valueFrom",
                Fields(&[
                    ("configMapKeyRef", Supported),
                    ("fieldRef", Supported),
                    ("fileKeyRef", Later("variables from a file")),
                    ("resourceFieldRef", Supported),
                    ("secretKeyRef", Supported),
                ]),
            ),
        ]),
    ),
    ("envFrom", Supported),
    ("image", Supported),
    ("imagePullPolicy", Supported),
    (
        "lifecycle",
        Fields(&[
            ("postStart", Later("hooks")),
            ("preStop", Later("hooks")),
            ("stopSignal", Supported),
        ]),
    ),
    ("livenessProbe", NO_PROBES),
    ("name", Supported),
    (
        "ports",
        Fields(&[
            ("containerPort", Supported),
            ("hostIP", Supported),
            (
                "hostPort",
                By(
                    |spec, value| match (value.as_i64(), spec["hostNetwork"].as_bool()) {
                        (Some(0), _) | (_, Some(true)) => &Supported,
                        _ => &Later(
                            "publishing ports; with `hostNetwork: true` they need no publishing",
                        ),
                    },
                ),
            ),
            ("name", Supported),
            ("protocol", Supported),
        ]),
    ),
    ("readinessProbe", NO_PROBES),
    (
        "resizePolicy",
        Ignored("resources of a running pod do not change"),
    ),
    ("resources", Fields(REQUIREMENTS)),
    ("restartPolicy", Supported),
    ("restartPolicyRules", Later("restarts by exit code")),
    (
        "securityContext",
        Fields(&[
            ("allowPrivilegeEscalation", Supported),
            ("appArmorProfile", Supported),
            ("capabilities", Supported),
            ("privileged", Supported),
            ("procMount", Supported),
            ("readOnlyRootFilesystem", Supported),
            ("runAsGroup", Supported),
            ("runAsNonRoot", Supported),
            ("runAsUser", Supported),
            ("seLinuxOptions", Supported),
            ("seccompProfile", Supported),
            ("windowsOptions", Refused(WINDOWS)),
        ]),
    ),
    ("startupProbe", NO_PROBES),
    ("stdin", Supported),
    ("stdinOnce", Supported),
    ("terminationMessagePath", Supported),
    ("terminationMessagePolicy", Supported),
    ("tty", Supported),
    ("volumeDevices", Later("block devices as volumes")),
    (
        "volumeMounts",
        Fields(&[
            ("bindMountOptions", Later("options of bind mounts")),
            ("mountPath", Supported),
            ("mountPropagation", Supported),
            ("name", Supported),
            ("readOnly", Supported),
            ("recursiveReadOnly", Supported),
            ("subPath", NO_SUB_PATH),
            ("subPathExpr", NO_SUB_PATH),
        ]),
    ),
    ("workingDir", Supported),
];

const ITEMS: Rule = Fields(&[
    ("key", Supported),
    ("mode", Supported),
    ("path", Supported),
    ("user", NO_OWNER),
]);
const DOWNWARD_ITEMS: Rule = Fields(&[
    ("fieldRef", Supported),
    ("mode", Supported),
    ("path", Supported),
    ("resourceFieldRef", Supported),
    ("user", NO_OWNER),
]);

const VOLUME: &[(&str, Rule)] = &[
    ("name", Supported),
    (
        "configMap",
        Fields(&[
            ("defaultMode", Supported),
            ("defaultUser", NO_OWNER),
            ("items", ITEMS),
            ("name", Supported),
            ("optional", Supported),
        ]),
    ),
    (
        "downwardAPI",
        Fields(&[
            ("defaultMode", Supported),
            ("defaultUser", NO_OWNER),
            ("items", DOWNWARD_ITEMS),
        ]),
    ),
    (
        "emptyDir",
        Fields(&[
            (
                "medium",
                By(|_, value| match value.as_str() {
                    Some(medium) if medium.starts_with("HugePages") => {
                        &Later("volumes of huge pages")
                    }
                    _ => &Supported,
                }),
            ),
            ("mode", Later("the mode of an emptyDir")),
            ("sizeLimit", Supported),
        ]),
    ),
    ("hostPath", Supported),
    (
        "projected",
        Fields(&[
            ("defaultMode", Supported),
            ("defaultUser", NO_OWNER),
            (
                "sources",
                Fields(&[
                    ("clusterTrustBundle", ISSUER),
                    (
                        "configMap",
                        Fields(&[
                            ("items", ITEMS),
                            ("name", Supported),
                            ("optional", Supported),
                        ]),
                    ),
                    ("downwardAPI", Fields(&[("items", DOWNWARD_ITEMS)])),
                    ("podCertificate", ISSUER),
                    (
                        "secret",
                        Fields(&[
                            ("items", ITEMS),
                            ("name", Supported),
                            ("optional", Supported),
                        ]),
                    ),
                    ("serviceAccountToken", ISSUER),
                ]),
            ),
        ]),
    ),
    (
        "secret",
        Fields(&[
            ("defaultMode", Supported),
            ("defaultUser", NO_OWNER),
            ("items", ITEMS),
            ("optional", Supported),
            ("secretName", Supported),
        ]),
    ),
    (
        "ephemeral",
        Later("volumes made from a claim template; an emptyDir has the same life"),
    ),
    ("image", Later("images as volumes")),
    (
        "nfs",
        Later("network file systems; mount it on the host and use hostPath"),
    ),
    (
        "persistentVolumeClaim",
        Later("named volumes; use hostPath"),
    ),
    ("awsElasticBlockStore", DRIVER),
    ("azureDisk", DRIVER),
    ("azureFile", DRIVER),
    ("cephfs", DRIVER),
    ("cinder", DRIVER),
    ("csi", DRIVER),
    ("fc", DRIVER),
    ("flexVolume", DRIVER),
    ("flocker", DRIVER),
    ("gcePersistentDisk", DRIVER),
    ("gitRepo", DRIVER),
    ("glusterfs", DRIVER),
    ("iscsi", DRIVER),
    ("photonPersistentDisk", DRIVER),
    ("portworxVolume", DRIVER),
    ("quobyte", DRIVER),
    ("rbd", DRIVER),
    ("scaleIO", DRIVER),
    ("storageos", DRIVER),
    ("vsphereVolume", DRIVER),
];

/// The verdict on every field that is set in a Pod, with its path and, unless it is supported, the reason. What is not
/// supported is named once, without the fields below it.
pub fn verdicts(object: &Value) -> Vec<(String, Verdict, &'static str)> {
    let mut found = Vec::new();
    judge(
        &Fields(POD),
        object,
        &object["spec"],
        String::new(),
        &mut found,
    );
    found
}

fn judge(
    rule: &Rule,
    value: &Value,
    spec: &Value,
    path: String,
    found: &mut Vec<(String, Verdict, &'static str)>,
) {
    match (rule, value) {
        (_, Value::Null) => {}
        (_, Value::Array(entries)) if entries.is_empty() => {}
        (Later(reason), _) => found.push((path, Verdict::SupportedLater, reason)),
        (Ignored(reason), _) => found.push((path, Verdict::Ignored, reason)),
        (Refused(reason), _) => found.push((path, Verdict::Refused, reason)),
        (_, Value::Array(entries)) => {
            for (index, entry) in entries.iter().enumerate() {
                judge(rule, entry, spec, format!("{path}[{index}]"), found);
            }
        }
        (By(choose), _) => judge(choose(spec, value), value, spec, path, found),
        (Keys(choose), Value::Object(map)) => {
            for (key, value) in map {
                judge(choose(key), value, spec, format!("{path}[{key}]"), found);
            }
        }
        (Fields(_) | Supported, Value::Object(map)) if !map.is_empty() => {
            for (name, value) in map {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                judge(below(rule, name), value, spec, path, found);
            }
        }
        _ => found.push((path, Verdict::Supported, "")),
    }
}

fn below<'a>(rule: &'a Rule, name: &str) -> &'a Rule {
    match rule {
        Fields(fields) => fields
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(&Refused("podshim does not know this field"), |(_, rule)| {
                rule
            }),
        other => other,
    }
}

/// Refuses by name what podshim does not do, unless a rule of Kubernetes already has refused that field, and warns once per
/// reason of what it ignores.
pub fn report(object: &Value, findings: &mut Findings) {
    let mut ignored: Vec<(&str, Vec<String>)> = Vec::new();
    for (path, verdict, reason) in verdicts(object) {
        match verdict {
            Verdict::Supported => {}
            Verdict::SupportedLater | Verdict::Refused => {
                if !findings
                    .iter()
                    .any(|known| known.path == path && !known.warning)
                {
                    findings.not_supported(path, reason);
                }
            }
            Verdict::Ignored => match ignored.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, paths)) => paths.push(path),
                None => ignored.push((reason, vec![path])),
            },
        }
    }
    for (reason, mut paths) in ignored {
        let first = paths.remove(0);
        let detail = match paths.as_slice() {
            [] => format!("ignored: {reason}"),
            more => format!("ignored: {reason}; also {}", more.join(", ")),
        };
        findings.warn(first, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_field_of_the_api_is_known_to_the_table() {
        let all: Value = serde_json::from_str(include_str!(
            "../../tests/fixtures/manifest/all-fields-pod.json"
        ))
        .expect("json");
        let unknown: Vec<_> = verdicts(&all)
            .into_iter()
            .filter(|(_, _, reason)| reason.contains("does not know"))
            .collect();
        assert_eq!(unknown, []);
    }

    #[test]
    fn each_field_gets_its_own_verdict_and_what_is_refused_is_named_once() {
        let pod = json!({"metadata": {"labels": {"a.b/c": "x"}, "managedFields": [], "uid": null}, "spec": {
            "hostUsers": false, "tolerations": [{"key": "a"}],
            "containers": [{"name": "c", "livenessProbe": {"exec": {"command": ["x"]}},
                "ports": [{"hostPort": 80}, {"hostPort": 0}],
                "resources": {"limits": {"cpu": "1", "x.y/gpu": "1"}}, "futureField": 1}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "csi": {"driver": "d"}}]}});
        let lines: Vec<_> = verdicts(&pod)
            .into_iter()
            .map(|(path, verdict, _)| format!("{path} {verdict:?}"))
            .collect();
        let want = [
            "metadata.labels[a.b/c] Supported",
            "spec.containers[0].futureField Refused",
            "spec.containers[0].livenessProbe SupportedLater",
            "spec.containers[0].name Supported",
            "spec.containers[0].ports[0].hostPort SupportedLater",
            "spec.containers[0].ports[1].hostPort Supported",
            "spec.containers[0].resources.limits[cpu] Supported",
            "spec.containers[0].resources.limits[x.y/gpu] Refused",
            "spec.hostUsers SupportedLater",
            "spec.tolerations Ignored",
            "spec.volumes[0].emptyDir Supported",
            "spec.volumes[0].name Supported",
            "spec.volumes[1].csi Refused",
            "spec.volumes[1].name Supported",
        ];
        assert_eq!(lines, want);
    }

    #[test]
    fn what_is_ignored_for_one_reason_makes_one_warning() {
        let mut findings = Findings::new();
        report(
            &json!({"spec": {"nodeSelector": {"a": "b"}, "tolerations": [{}, {}], "priority": 1}}),
            &mut findings,
        );
        assert_eq!(
            findings.to_string(),
            "spec.nodeSelector: ignored: there is one machine and no scheduler; also spec.priority, spec.tolerations"
        );
        assert!(!findings.has_errors());
    }
}
