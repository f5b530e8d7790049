//! The table: every field of `core/v1` Pod and what podshim does with it. What podshim learns to do loses its `Later` here.

use self::Rule::{By, Fields, Ignored, Keys, Later, Refused, Supported};
use serde_json::Value;

/// What is said of a field and of those below it. Lists are transparent: the rule is for each entry.
pub enum Rule {
    /// With all below.
    Supported,
    /// Refused until it is built; the name of what is missing.
    Later(&'static str),
    /// Accepted without effect; why.
    Ignored(&'static str),
    /// Refused for good; why, or what to do instead.
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
const NO_OWNER: Rule = Later("files of volumes belong to root or to fsGroup");

const HTTP_GET: Rule = Fields(&[
    ("host", Supported),
    ("httpHeaders", Supported),
    ("path", Supported),
    ("port", Supported),
    ("protocol", Later("httpGet speaks HTTP/1.1")),
    ("scheme", Supported),
]);
const HANDLER: Rule = Fields(&[
    ("exec", Supported),
    ("httpGet", HTTP_GET),
    ("sleep", Supported),
    ("tcpSocket", Supported),
]);
const PROBE: Rule = Fields(&[
    ("exec", Supported),
    ("failureThreshold", Supported),
    (
        "grpc",
        Fields(&[
            ("mode", Later("gRPC probes speak plaintext")),
            ("port", Supported),
            ("service", Supported),
        ]),
    ),
    ("httpGet", HTTP_GET),
    ("initialDelaySeconds", Supported),
    ("periodSeconds", Supported),
    ("successThreshold", Supported),
    ("tcpSocket", Supported),
    ("terminationGracePeriodSeconds", Supported),
    ("timeoutSeconds", Supported),
]);

/// A Pod.
pub const POD: &[(&str, Rule)] = &[
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
            Value::Bool(false) => &Later("pods have no user namespace of their own yet"),
            _ => &Supported,
        }),
    ),
    ("hostname", Supported),
    ("hostnameOverride", Supported),
    ("imagePullSecrets", Supported),
    ("initContainers", Fields(CONTAINER)),
    (
        "nodeName",
        Ignored("there is one machine; the name is only what fieldRef shows"),
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
    ("overhead", ANY_KEY),
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
        Ignored("there is no API server to know it; the name is only what fieldRef shows"),
    ),
    (
        "serviceAccountName",
        Ignored("there is no API server to know it; the name is only what fieldRef shows"),
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
                    ("fileKeyRef", Supported),
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
            ("postStart", HANDLER),
            ("preStop", HANDLER),
            ("stopSignal", Supported),
        ]),
    ),
    ("livenessProbe", PROBE),
    ("name", Supported),
    (
        "ports",
        Fields(&[
            ("containerPort", Supported),
            ("hostIP", Supported),
            ("hostPort", Supported),
            ("name", Supported),
            ("protocol", Supported),
        ]),
    ),
    ("readinessProbe", PROBE),
    (
        "resizePolicy",
        Ignored("resources of a running pod do not change"),
    ),
    ("resources", Fields(REQUIREMENTS)),
    ("restartPolicy", Supported),
    ("restartPolicyRules", Supported),
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
    ("startupProbe", PROBE),
    ("stdin", Supported),
    ("stdinOnce", Supported),
    ("terminationMessagePath", Supported),
    ("terminationMessagePolicy", Supported),
    ("tty", Supported),
    ("volumeDevices", Supported),
    (
        "volumeMounts",
        Fields(&[
            ("bindMountOptions", Supported),
            ("mountPath", Supported),
            ("mountPropagation", Supported),
            ("name", Supported),
            ("readOnly", Supported),
            ("recursiveReadOnly", Supported),
            ("subPath", Supported),
            ("subPathExpr", Supported),
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
            ("medium", Supported),
            ("mode", Supported),
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
    ("ephemeral", Supported),
    ("image", Supported),
    ("nfs", Later("mount it on the host and use hostPath")),
    ("persistentVolumeClaim", Supported),
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
