//! Containers but for their resources and security.

use super::{lines, of_container, of_spec, warnings};
use serde_json::{Value, json};

#[test]
fn containers_are_checked() {
    of_container(vec![
        (
            json!({"image": " i"}),
            vec!["{}.image: Invalid value: \" i\": must not have leading or trailing whitespace"],
        ),
        (
            json!({"imagePullPolicy": "Perhaps"}),
            vec![
                "{}.imagePullPolicy: Unsupported value: \"Perhaps\": supported values: \"Always\", \"IfNotPresent\", \"Never\"",
            ],
        ),
        (
            json!({"args": ["a\0"]}),
            vec!["{}.args[0]: Invalid value: \"a\\0\": must not contain NUL"],
        ),
        (
            json!({"restartPolicyRules": [{"action": "Jump", "exitCodes": {"operator": "Eq", "values": vec![1; 256]}}, {"action": "Restart"}]}),
            vec![
                "{}.restartPolicy: Required value: must specify restartPolicy when restart rules are used",
                "{}.restartPolicyRules[0].action: Unsupported value: \"Jump\": supported values: \"Restart\", \"RestartAllContainers\"",
                "{}.restartPolicyRules[0].exitCodes.operator: Unsupported value: \"Eq\": supported values: \"In\", \"NotIn\"",
                "{}.restartPolicyRules[0].exitCodes.values: Too many: 256: must have at most 255 items",
                "{}.restartPolicyRules[1].exitCodes: Required value",
            ],
        ),
        (
            json!({"restartPolicy": "Never", "restartPolicyRules": vec![json!({"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}); 21]}),
            vec!["{}.restartPolicyRules: Too many: 21: must have at most 20 items"],
        ),
        (
            json!({"resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}, {"resourceName": "cpu", "restartPolicy": "No"}, {"resourceName": "gpu", "restartPolicy": "NotRequired"}]}),
            vec![
                "{}.resizePolicy[1].resourceName: Duplicate value: \"cpu\"",
                "{}.resizePolicy[1].restartPolicy: Unsupported value: \"No\": supported values: \"NotRequired\", \"RestartContainer\"",
                "{}.resizePolicy[2].resourceName: Unsupported value: \"gpu\": supported values: \"cpu\", \"memory\"",
            ],
        ),
        (
            json!({"lifecycle": {"stopSignal": "SIGINT"}}),
            vec![
                "{}.lifecycle.stopSignal: Forbidden: may not be set for containers with empty `spec.os.name`",
            ],
        ),
    ]);
    let restart = json!([{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]);
    of_spec(vec![
        (
            json!({"restartPolicy": "Never", "containers": [{"name": "c", "image": "i", "resizePolicy": restart}]}),
            vec![
                "spec.containers[0].resizePolicy[0].restartPolicy: Invalid value: \"RestartContainer\": must be `NotRequired` when `restartPolicy` is `Never`",
            ],
        ),
        (
            json!({"initContainers": [{"name": "a", "image": "i", "resizePolicy": restart}, {"name": "b", "image": "i", "restartPolicy": "Always", "resizePolicy": restart}]}),
            vec![
                "spec.initContainers[0].resizePolicy: Forbidden: RestartContainer may not be set for init containers without restartPolicy=Always",
            ],
        ),
        (
            json!({"os": {"name": "linux"}, "containers": [{"name": "c", "image": "i", "lifecycle": {"stopSignal": "SIGRTMIN+3"}}]}),
            vec![],
        ),
        (
            json!({"initContainers": [{"name": "i", "image": "i", "lifecycle": {}, "livenessProbe": {}, "readinessProbe": {}, "startupProbe": {}}]}),
            vec![
                "spec.initContainers[0].lifecycle: Forbidden: may not be set for init containers without restartPolicy=Always",
                "spec.initContainers[0].livenessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
                "spec.initContainers[0].readinessProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
                "spec.initContainers[0].startupProbe: Forbidden: may not be set for init containers without restartPolicy=Always",
            ],
        ),
    ]);
}

#[test]
fn probes_and_hooks_are_checked() {
    let exec = json!({"command": ["true"]});
    of_container(vec![
        (
            json!({"livenessProbe": {"grpc": {"port": 1, "mode": "TLS"}}, "lifecycle": {"preStop": {"httpGet": {"port": 1, "protocol": "HTTP2"}}}}),
            vec![
                "{}.lifecycle.preStop.httpGet.protocol: Forbidden: not supported: httpGet speaks HTTP/1.1",
                "{}.livenessProbe.grpc.mode: Forbidden: not supported: gRPC probes speak plaintext",
            ],
        ),
        (
            json!({"livenessProbe": {}, "startupProbe": {"exec": {}, "tcpSocket": {"port": 0}}}),
            vec![
                "{}.livenessProbe: Required value: must specify a handler type",
                "{}.startupProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
                "{}.startupProbe.exec.command: Required value",
                "{}.startupProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive",
            ],
        ),
        (
            json!({"livenessProbe": {"exec": exec, "successThreshold": 2, "terminationGracePeriodSeconds": 0, "periodSeconds": -1},
                "readinessProbe": {"exec": exec, "successThreshold": 2, "terminationGracePeriodSeconds": 1}}),
            vec![
                "{}.livenessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
                "{}.livenessProbe.successThreshold: Invalid value: 2: must be 1",
                "{}.livenessProbe.terminationGracePeriodSeconds: Invalid value: 0: must be greater than 0",
                "{}.readinessProbe.terminationGracePeriodSeconds: Invalid value: 1: must not be set for readinessProbes",
            ],
        ),
        (
            json!({"readinessProbe": {"httpGet": {"port": "80", "scheme": "FTP", "httpHeaders": [{"name": "a b", "value": ""}]}}}),
            vec![
                "{}.readinessProbe.httpGet.port: Invalid value: \"80\": must contain at least one letter (a-z)",
                "{}.readinessProbe.httpGet.scheme: Unsupported value: \"FTP\": supported values: \"HTTP\", \"HTTPS\"",
                "{}.readinessProbe.httpGet.httpHeaders[0].name: Invalid value: \"a b\": a valid HTTP header must consist of alphanumeric characters or '-'",
            ],
        ),
        (
            json!({"lifecycle": {"preStop": {"sleep": {"seconds": 31}}, "postStart": {}}}),
            vec![
                "{}.lifecycle.postStart: Required value: must specify a handler type",
                "{}.lifecycle.preStop.sleep.seconds: Invalid value: 31: must be between 0 and terminationGracePeriodSeconds (30), inclusive",
            ],
        ),
    ]);
}

#[test]
fn what_kubernetes_takes_and_never_runs_is_warned_of() {
    let of = |fields: Value| {
        let mut one =
            json!({"name": "c", "image": "i", "ports": [{"name": "web", "containerPort": 80}]});
        for (name, value) in fields.as_object().expect("an object") {
            one[name] = value.clone();
        }
        warnings(&json!({"containers": [one]}))
    };
    assert_eq!(
        of(json!({"lifecycle": {"postStart": {"tcpSocket": {"port": "web"}}, "preStop": {"tcpSocket": {"port": 80}}}})),
        ["postStart", "preStop"].map(|hook| format!(
            "spec.containers[0].lifecycle.{hook}.tcpSocket: always fails when it runs, as in Kubernetes: use httpGet, exec or sleep"
        ))
    );
    assert_eq!(
        of(
            json!({"readinessProbe": {"tcpSocket": {"port": "web"}}, "livenessProbe": {"httpGet": {"port": "admin"}},
            "startupProbe": {"httpGet": {"port": "80"}}})
        ),
        [
            "spec.containers[0].livenessProbe.httpGet.port: the container has no port named `admin`: this cannot be run"
        ]
    );
}

#[test]
fn a_stop_signal_is_one_of_the_list() {
    let spec = |signal: &str| json!({"os": {"name": "linux"}, "containers": [{"name": "c", "image": "i", "lifecycle": {"stopSignal": signal}}]});
    assert_eq!(lines(&spec("SIGUSR1")), [""; 0]);
    let found = lines(&spec("TERM"));
    let want = "spec.containers[0].lifecycle.stopSignal: Unsupported value: \"TERM\": supported values: \"SIGHUP\", \"SIGINT\", ";
    assert!(
        found.len() == 1 && found[0].starts_with(want) && found[0].contains("\"SIGRTMAX-14\""),
        "{found:?}"
    );
}

#[test]
fn the_environment_is_checked() {
    of_container(vec![
        (
            json!({"env": [{"name": "A=", "value": "a"}, {"value": "b\0"}]}),
            vec![
                "{}.env[0].name: Invalid value: \"A=\": a valid environment variable name must consist only of printable ASCII characters other than '='",
                "{}.env[1].name: Required value",
                "{}.env[1].value: Invalid value: \"b\\0\": must not contain NUL",
            ],
        ),
        (
            json!({"env": [{"name": "A", "value": "a", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}, {"name": "B", "valueFrom": {}}]}),
            vec![
                "{}.env[0].valueFrom: Invalid value: \"\": may not be specified when `value` is not empty",
                "{}.env[1].valueFrom: Invalid value: \"\": must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef`, `secretKeyRef` or `fileKeyRef`",
            ],
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}, "secretKeyRef": {"name": "s", "key": ".."}}}]}),
            vec![
                "{}.env[0].valueFrom.secretKeyRef.key: Invalid value: \"..\": must not start with '..'",
                "{}.env[0].valueFrom: Invalid value: \"\": may not have more than one field specified at a time",
            ],
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels"}}}]}),
            vec![
                "{}.env[0].valueFrom.fieldRef.fieldPath: Unsupported value: \"metadata.labels\": supported values: \"metadata.annotations['<key>']\", \"metadata.labels['<key>']\", \"metadata.name\", \"metadata.namespace\", \"metadata.uid\", \"spec.nodeName\", \"spec.serviceAccountName\", \"status.hostIP\", \"status.hostIPs\", \"status.podIP\", \"status.podIPs\"",
            ],
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1Mi", "containerName": "x"}}}]}),
            vec![
                "{}.env[0].valueFrom.resourceFieldRef.containerName: Not found: \"x\"",
                "{}.env[0].valueFrom.resourceFieldRef.divisor: Unsupported value: \"1Mi\": supported values: \"1m\", \"1\"",
            ],
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"resourceFieldRef": {"resource": "limits.hugepages-2Mi", "divisor": "0"}}}]}),
            vec![],
        ),
        (
            json!({"env": [{"name": "A", "valueFrom": {"fileKeyRef": {"volumeName": "h", "path": "p", "key": "K"}}},
                {"name": "B", "valueFrom": {"fileKeyRef": {"volumeName": "x", "path": "../p", "key": "K"}}}]}),
            vec![
                "{}.env[0].valueFrom.fileKeyRef.volumeName: Invalid value: \"h\": referenced volume must be of type emptyDir",
                "{}.env[1].valueFrom.fileKeyRef.path: Invalid value: \"../p\": must not contain '..'",
                "{}.env[1].valueFrom.fileKeyRef.volumeName: Not found: \"x\"",
            ],
        ),
        (
            json!({"envFrom": [{}, {"prefix": "=", "configMapRef": {"name": "m"}, "secretRef": {"name": ""}}]}),
            vec![
                "{}.envFrom[0]: Invalid value: \"\": must specify one of: `configMapRef` or `secretRef`",
                "{}.envFrom[1].prefix: Invalid value: \"=\": a valid environment variable name must consist only of printable ASCII characters other than '='",
                "{}.envFrom[1].secretRef.name: Required value",
                "{}.envFrom[1]: Invalid value: \"\": may not have more than one field specified at a time",
            ],
        ),
    ]);
}

#[test]
fn ports_are_checked() {
    of_container(vec![
        (
            json!({"ports": [{"name": "80"}, {"name": "http", "containerPort": 1}, {"name": "http", "containerPort": 2, "protocol": "ICMP", "hostIP": "x"}]}),
            vec![
                "{}.ports[0].name: Invalid value: \"80\": must contain at least one letter (a-z)",
                "{}.ports[0].containerPort: Required value",
                "{}.ports[2].name: Duplicate value: \"http\"",
                "{}.ports[2].hostIP: Invalid value: \"x\": must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",
                "{}.ports[2].protocol: Unsupported value: \"ICMP\": supported values: \"SCTP\", \"TCP\", \"UDP\"",
            ],
        ),
        (
            json!({"ports": [{"containerPort": 80, "hostPort": 80}, {"containerPort": 81, "hostPort": 80}, {"containerPort": 81, "hostPort": 0}]}),
            vec!["{}.ports[1].hostPort: Duplicate value: \"TCP//80\""],
        ),
    ]);
    let ports = json!([{"containerPort": 80}, {"containerPort": 81, "hostPort": 82}]);
    of_spec(vec![
        (
            json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": ports}]}),
            vec![
                "spec.containers[0].ports[1].hostPort: Invalid value: 82: must match `containerPort` when `hostNetwork` is true",
            ],
        ),
        (
            json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 80}]}, {"name": "d", "image": "i", "ports": [{"containerPort": 80}]}],
                "initContainers": [{"name": "e", "image": "i", "ports": [{"containerPort": 80}]}]}),
            vec!["spec.containers[1].ports[0].hostPort: Duplicate value: \"TCP//80\""],
        ),
        (
            json!({"hostNetwork": true, "containers": [{"name": "c", "image": "i", "ports": [{"containerPort": 70000}]}]}),
            vec![
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            ],
        ),
    ]);
}

#[test]
fn mounts_are_checked() {
    of_container(vec![
        (
            json!({"volumeMounts": [{"name": "v", "mountPath": "/a"}, {"mountPath": "/a"}, {"name": "v"}, {"name": "v", "mountPath": "a:b"}]}),
            vec![
                "{}.volumeMounts[1].name: Required value",
                "{}.volumeMounts[1].mountPath: Invalid value: \"/a\": must be unique",
                "{}.volumeMounts[2].mountPath: Required value",
            ],
        ),
        (
            json!({"volumeMounts": [{"name": "v", "mountPath": "/a", "subPath": "/x", "subPathExpr": "../y"}]}),
            vec![
                "{}.volumeMounts[0].subPath: Invalid value: \"/x\": must be a relative path",
                "{}.volumeMounts[0].subPathExpr: Invalid value: \"../y\": must not contain '..'",
                "{}.volumeMounts[0].subPathExpr: Invalid value: \"../y\": subPathExpr and subPath are mutually exclusive",
            ],
        ),
        (
            json!({"volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional", "recursiveReadOnly": "Enabled"}]}),
            vec![
                "{}.volumeMounts[0].mountPropagation: Forbidden: Bidirectional mount propagation is available only to privileged containers",
                "{}.volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when `readOnly` is true",
                "{}.volumeMounts[0].recursiveReadOnly: Forbidden: may only be specified when `mountPropagation` is None or not specified",
            ],
        ),
        (
            json!({"securityContext": {"privileged": true}, "volumeMounts": [{"name": "v", "mountPath": "/a", "mountPropagation": "Bidirectional"}]}),
            vec![],
        ),
        (
            json!({"volumeMounts": [{"name": "v", "mountPath": "/a", "readOnly": true, "recursiveReadOnly": "IfPossible"}]}),
            vec![],
        ),
    ]);
}
