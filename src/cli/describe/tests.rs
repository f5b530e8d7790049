//! The whole report of one pod with one of everything, word for word.

#[path = "../../../tests/support/golden.rs"]
mod golden;

use super::*;
use crate::base::{Mono, Wall};
use crate::pod::Next;
use golden::assert_golden;
use serde_json::json;

/// 2026-01-02T15:04:05Z.
const NOON: u64 = 1_767_366_245_000;

fn at(seconds: u64) -> Now {
    Now {
        mono: Mono(seconds * 1000),
        wall: Wall(NOON + seconds * 1000),
    }
}

fn event(seconds: u64, warning: bool, reason: &str, message: &str) -> Event {
    Event {
        seq: seconds,
        at: at(seconds),
        warning,
        reason: reason.into(),
        container: Some("web".into()),
        message: message.into(),
    }
}

fn object() -> Value {
    json!({
        "metadata": {
            "name": "shop", "namespace": "trade", "labels": {"app": "shop", "tier": "front"}, "annotations": {},
        },
        "spec": {
            "nodeName": "box", "serviceAccountName": "default",
            "initContainers": [{"name": "setup", "image": "tools:1", "args": ["--once"]}],
            "containers": [{
                "name": "web", "image": "web:2", "command": ["sh", "-c", "one\ntwo"],
                "ports": [{"name": "http", "containerPort": 80, "hostPort": 8080, "protocol": "TCP"}],
                "resources": {"limits": {"cpu": "500m", "memory": "64Mi"}, "requests": {"cpu": "100m"}},
                "livenessProbe": {"httpGet": {"path": "/ok", "port": "http", "scheme": "HTTP"}, "periodSeconds": 5},
                "readinessProbe": {"exec": {"command": ["test", "-e", "/ready"]}, "timeoutSeconds": 2},
                "lifecycle": {"preStop": {"sleep": {"seconds": 3}}},
                "envFrom": [{"prefix": "C_", "configMapRef": {"name": "settings"}}],
                "env": [
                    {"name": "PLAIN", "value": "yes"},
                    {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "vault", "key": "password"}}},
                    {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
                    {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
                ],
                "volumeMounts": [
                    {"name": "data", "mountPath": "/data"},
                    {"name": "keys", "mountPath": "/keys", "readOnly": true, "subPath": "tls"},
                ],
            }],
            "volumes": [
                {"name": "data", "emptyDir": {"sizeLimit": "1Gi"}},
                {"name": "keys", "secret": {"secretName": "vault", "optional": true}},
                {"name": "host", "hostPath": {"path": "/srv", "type": "Directory"}},
                {"name": "all", "projected": {"sources": [
                    {"configMap": {"name": "settings"}},
                    {"downwardAPI": {"items": [{"path": "me", "fieldRef": {"fieldPath": "metadata.name"}}]}},
                ]}},
            ],
        },
        "status": {
            "phase": "Running", "startTime": "2026-01-02T15:04:05Z", "qosClass": "Burstable",
            "hostIP": "192.0.2.1", "podIP": "10.0.0.2", "podIPs": [{"ip": "10.0.0.2"}, {"ip": "fd00::2"}],
            "conditions": [
                {"type": "Initialized", "status": "True"},
                {"type": "Ready", "status": "False", "reason": "ContainersNotReady"},
            ],
            "initContainerStatuses": [{
                "name": "setup", "containerID": "podshim://setup-0", "imageID": "sha256:1", "ready": true, "restartCount": 0,
                "state": {"terminated": {
                    "exitCode": 0, "reason": "Completed", "startedAt": "2026-01-02T15:04:06Z", "finishedAt": "2026-01-02T15:04:07Z",
                }}, "lastState": {},
            }],
            "containerStatuses": [{
                "name": "web", "containerID": "podshim://web-2", "imageID": "sha256:2", "ready": false, "restartCount": 2,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 20s restarting failed container=web"}},
                "lastState": {"terminated": {
                    "exitCode": 1, "reason": "Error", "message": "no\nfile", "startedAt": "2026-01-02T15:05:00Z",
                    "finishedAt": "2026-01-02T15:05:05Z",
                }},
            }],
        },
    })
}

#[test]
fn a_report_reads_like_kubectl_s() {
    let events = [
        event(2, false, "Created", "Created container web"),
        event(7, true, "Exited", "Container web ended: exit code 1"),
        event(30, true, "Exited", "Container web ended: exit code 1"),
        event(40, false, "Created", "Created container web"),
        event(60, true, "Exited", "Container web ended: exit code 1"),
    ];
    let explanation = Explanation {
        container: Some("web".into()),
        state: "Waiting CrashLoopBackOff".into(),
        is_well: false,
        because: Vec::new(),
        next: vec![Next {
            at: Some(at(80).mono),
            text: "it is created again: restart 3".into(),
        }],
    };
    let text = text(
        &object(),
        ["runc", "native"],
        &events,
        &[explanation],
        at(65),
    );
    assert_golden("describe.txt", &text);
}

#[test]
fn a_pod_that_has_not_begun_is_described_too() {
    let object = json!({
        "metadata": {"name": "p", "namespace": "default"},
        "spec": {"containers": [{"name": "c", "image": "i"}]},
        "status": {"phase": "Pending"},
    });
    let text = text(&object, ["youki", "runtime"], &[], &[], at(0));
    assert!(
        text.contains("Events:") && text.contains("<none>") && text.contains("Waiting"),
        "{text}"
    );
}
