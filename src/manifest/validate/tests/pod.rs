//! `metadata`, `spec`, DNS.

use super::{lines, minimal, of_spec};
use crate::manifest::resolve::tests::resolved_object;
use serde_json::json;

#[test]
fn a_container_without_name_and_image_brings_two_lines() {
    assert_eq!(
        lines(&json!({"containers": [{}]})),
        [
            "spec.containers[0].name: Required value",
            "spec.containers[0].image: Required value"
        ]
    );
}

#[test]
fn four_mistakes_in_one_pod_bring_four_lines() {
    let spec = json!({"restartPolicy": "Sometimes", "containers": [
        {"name": "c", "image": "i", "ports": [{"containerPort": 70000}]},
        {"name": "c", "image": "i", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]});
    assert_eq!(
        lines(&spec),
        [
            "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
            "spec.containers[1].volumeMounts[0].name: Not found: \"data\"",
            "spec.containers[1].name: Duplicate value: \"c\"",
            "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
        ]
    );
}

#[test]
fn metadata_is_checked() {
    let spec = minimal();
    for (metadata, want) in [
        (
            json!({}),
            vec!["metadata.name: Required value: name or generateName is required"],
        ),
        (
            json!({"name": "a", "namespace": "a.b"}),
            vec!["metadata.namespace: Invalid value: \"a.b\": must not contain dots"],
        ),
        (
            json!({"name": "a", "uid": "../x"}),
            vec!["metadata.uid: Invalid value: \"../x\": must be a lower-case UUID"],
        ),
        (
            json!({"name": "a", "labels": {"a b": "x", "ok": "-"}}),
            vec![
                "metadata.labels[a b]: Invalid value: \"a b\": name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
                "metadata.labels[ok]: Invalid value: \"-\": a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character",
            ],
        ),
        (
            json!({"name": "a", "annotations": {"k": "x".repeat(256 * 1024)}}),
            vec!["metadata.annotations: Too long: may not be more than 262144 bytes"],
        ),
        (
            json!({"name": "a", "annotations": {"container.apparmor.security.beta.kubernetes.io/c": "x"}}),
            vec![
                "metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: Invalid value: \"x\": invalid AppArmor profile name",
            ],
        ),
        (
            json!({"name": "a", "annotations": {"UPPER.example.com/Key": "x"}}),
            vec![],
        ),
    ] {
        let found = resolved_object(json!({"metadata": metadata, "spec": spec}))
            .err()
            .unwrap_or_default();
        assert_eq!(found, want, "{metadata:.80}");
    }
    assert_eq!(
        resolved_object(json!({"metadata": {"name": "a"}})).err(),
        Some(vec!["spec.containers: Required value".to_owned()])
    );
}

#[test]
fn the_spec_is_checked() {
    of_spec(vec![
        (
            json!({"containers": []}),
            vec!["spec.containers: Required value"],
        ),
        (
            json!({"initContainers": [{"name": "c", "image": "i"}]}),
            vec!["spec.initContainers[0].name: Duplicate value: \"c\""],
        ),
        (
            json!({"ephemeralContainers": [{"name": "e"}]}),
            vec!["spec.ephemeralContainers: Forbidden: cannot be set on create"],
        ),
        (
            json!({"activeDeadlineSeconds": 0}),
            vec![
                "spec.activeDeadlineSeconds: Invalid value: 0: must be between 1 and 2147483647, inclusive",
            ],
        ),
        (json!({"activeDeadlineSeconds": 1}), vec![]),
        (json!({"terminationGracePeriodSeconds": -5}), vec![]),
        (
            json!({"hostname": "a.b"}),
            vec!["spec.hostname: Invalid value: \"a.b\": must not contain dots"],
        ),
        (
            json!({"hostnameOverride": "a".repeat(65)}),
            vec!["spec.hostnameOverride: Too long: may not be more than 64 bytes"],
        ),
        (
            json!({"hostnameOverride": "a.b", "setHostnameAsFQDN": true, "hostNetwork": true}),
            vec![
                "spec.hostnameOverride: Forbidden: may not be set when `setHostnameAsFQDN` is true",
                "spec.hostnameOverride: Forbidden: may not be set when `hostNetwork` is true",
            ],
        ),
        (
            json!({"shareProcessNamespace": true, "hostPID": true}),
            vec![
                "spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
            ],
        ),
        (
            json!({"hostUsers": false, "hostNetwork": true, "hostPID": true, "hostIPC": true}),
            vec![
                "spec.hostNetwork: Forbidden: may not be set when `hostUsers` is false",
                "spec.hostPID: Forbidden: may not be set when `hostUsers` is false",
                "spec.hostIPC: Forbidden: may not be set when `hostUsers` is false",
                "spec.hostUsers: Forbidden: not supported: pods have no user namespace of their own yet",
            ],
        ),
        (
            json!({"os": {"name": "windows"}}),
            vec!["spec.os.name: Forbidden: not supported: podshim runs Linux containers"],
        ),
        (
            json!({"os": {"name": "plan9"}}),
            vec![
                "spec.os.name: Unsupported value: \"plan9\": supported values: \"linux\", \"windows\"",
            ],
        ),
        (
            json!({"schedulingGates": [{"name": "g"}]}),
            vec![
                "spec.schedulingGates: Forbidden: not supported: nobody would ever open the gates",
            ],
        ),
        (
            json!({"resourceClaims": [{"name": "g"}]}),
            vec![
                "spec.resourceClaims: Forbidden: not supported: dynamic resource allocation needs an API server",
            ],
        ),
        (
            json!({"nodeSelector": {"a": "b"}, "readinessGates": [{"conditionType": "a/b"}], "overhead": {"cpu": "1"}}),
            vec![],
        ),
        (
            json!({"overhead": {"cpu": "x"}}),
            vec![
                "spec.overhead[cpu]: Invalid value: \"x\": must be digits with an optional fraction and one suffix of n u m k M G T P E, Ki Mi Gi Ti Pi Ei or e<exponent>",
            ],
        ),
    ]);
}

#[test]
fn dns_and_host_aliases_are_checked() {
    let ip = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";
    of_spec(vec![
        (
            json!({"dnsPolicy": "None"}),
            vec![
                "spec.dnsConfig.nameservers: Required value: must provide at least one DNS nameserver when `dnsPolicy` is None",
            ],
        ),
        (
            json!({"dnsPolicy": "None", "dnsConfig": {"nameservers": ["9.9.9.9"], "options": [{"name": "ndots", "value": "2"}]}}),
            vec![],
        ),
        (
            json!({"dnsConfig": {"nameservers": ["1.1.1.1", "::1", "1.1.1.2", "x"]}}),
            vec![
                "spec.dnsConfig.nameservers: Too many: 4: must have at most 3 items",
                &format!("spec.dnsConfig.nameservers[3]: Invalid value: \"x\": {ip}"),
            ],
        ),
        (
            json!({"dnsConfig": {"searches": vec!["a.b"; 33]}}),
            vec!["spec.dnsConfig.searches: Too many: 33: must have at most 32 items"],
        ),
        (
            json!({"dnsConfig": {"searches": vec!["a".repeat(63) + "." + &"b".repeat(63); 20]}}),
            vec![
                "spec.dnsConfig.searches: Too long: may not be more than 2048 characters, spaces between domains included",
            ],
        ),
        (
            json!({"dnsConfig": {"options": [{"value": "1"}]}}),
            vec!["spec.dnsConfig.options[0].name: Required value"],
        ),
        (
            json!({"dnsConfig": {"options": [{"name": "a\nnameserver"}]}}),
            vec![
                "spec.dnsConfig.options[0].name: Invalid value: \"a\\nnameserver\": must not contain white space",
            ],
        ),
        (
            json!({"hostAliases": [{"ip": "x", "hostnames": ["ok", "UP"]}]}),
            vec![
                &format!("spec.hostAliases[0].ip: Invalid value: \"x\": {ip}"),
                "spec.hostAliases[0].hostnames[1]: Invalid value: \"UP\": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character",
            ],
        ),
    ]);
}

#[test]
fn a_pod_that_is_far_too_large_is_not_looked_at_further() {
    let spec = json!({"containers": vec![json!({}); 501], "volumes": vec![json!({}); 501]});
    assert_eq!(
        lines(&spec),
        [
            "spec.containers: Too many: 501: must have at most 500 items",
            "spec.volumes: Too many: 501: must have at most 500 items",
        ]
    );
}
