//! What every supported field becomes, and that no mutation of a pod finds a hole between validation and conversion.

use crate::base::Quantity;
use crate::manifest::resolve::tests::{resolved, resolved_object};
use crate::manifest::*;
use proptest::prelude::*;
use serde_json::{Value, json};

/// A pod that uses everything that is supported.
fn rich() -> Value {
    serde_json::from_str(include_str!(
        "../../../tests/fixtures/manifest/rich-spec.json"
    ))
    .expect("json")
}

fn q(text: &str) -> Quantity {
    text.parse().expect("a quantity")
}

#[test]
fn every_supported_field_of_the_pod_arrives() {
    let pod = resolved(&rich()).expect("a valid pod");
    assert_eq!(
        pod.termination_grace_period_seconds, 1,
        "a negative grace counts as one second"
    );
    assert_eq!(
        (pod.restart_policy, pod.active_deadline_seconds),
        (RestartPolicy::OnFailure, Some(60))
    );
    assert_eq!(
        [
            pod.share_process_namespace,
            pod.host_ipc,
            pod.host_pid,
            pod.host_network
        ],
        [true, true, false, false]
    );
    assert_eq!(
        (
            pod.hostname.as_deref(),
            pod.subdomain.as_deref(),
            pod.set_hostname_as_fqdn
        ),
        (Some("h"), Some("s"), true)
    );
    assert_eq!(
        (
            pod.node_name.as_deref(),
            pod.service_account.as_str(),
            pod.runtime_class.as_deref()
        ),
        (Some("n"), "sa", Some("crun"))
    );
    assert_eq!(pod.dns_policy, DnsPolicy::None);
    assert_eq!(
        pod.dns_config.options,
        [
            ("ndots".to_owned(), Some("2".to_owned())),
            ("edns0".to_owned(), None)
        ]
    );
    assert_eq!(pod.host_aliases[0].hostnames, ["x", "y.z"]);
    assert_eq!(pod.overhead["cpu"], q("10m"));
    assert_eq!(
        pod.resources.as_ref().map(|own| own.requests["cpu"]),
        Some(q("500m"))
    );
    let security = &pod.security;
    assert_eq!(
        (
            security.run_as_user,
            security.run_as_group,
            security.fs_group
        ),
        (Some(1000), Some(1001), Some(2000))
    );
    assert_eq!(
        (
            &security.supplemental_groups[..],
            security.supplemental_groups_strict
        ),
        (&[5000][..], true)
    );
    assert_eq!(
        (security.seccomp.clone(), security.apparmor.clone()),
        (Some(Profile::RuntimeDefault), Some(Profile::Unconfined))
    );
    assert_eq!(
        security
            .selinux
            .as_ref()
            .map(|options| options.level.as_str()),
        Some("s0")
    );
    assert_eq!(
        security.sysctls,
        [("net.ipv4.tcp_syncookies".to_owned(), "1".to_owned())]
    );
}

#[test]
fn every_supported_field_of_a_container_arrives() {
    let pod = resolved(&rich()).expect("a valid pod");
    let order: Vec<_> = pod
        .containers
        .iter()
        .map(|one| (one.name.as_str(), one.role, one.pull_policy))
        .collect();
    assert_eq!(
        order,
        [
            ("side", Role::Sidecar, PullPolicy::IfNotPresent),
            ("first", Role::Init, PullPolicy::IfNotPresent),
            ("c", Role::App, PullPolicy::Always)
        ]
    );
    let one = pod.container("c").expect("it is there");
    assert_eq!(
        (one.restart_policy, pod.containers[0].restart_policy),
        (Some(RestartPolicy::Never), Some(RestartPolicy::Always))
    );
    assert_eq!(
        (
            one.command.join(" "),
            one.args.join(" "),
            one.working_dir.as_deref()
        ),
        ("sh".into(), "-c $(A)".into(), Some("/w"))
    );
    assert_eq!(
        [
            one.stdin,
            one.stdin_once,
            one.tty,
            one.termination_message_from_logs
        ],
        [true; 4]
    );
    assert_eq!(one.termination_message_path, "/tmp/log");
    assert_eq!(one.stop_signal.map(|signal| signal.number()), Some(37));
    assert_eq!(
        (
            one.ports[0].container_port,
            one.ports[0].host_port,
            one.ports[0].protocol
        ),
        (53, None, Protocol::Udp)
    );
    let object = |kind, name: &str, optional| ObjectRef {
        kind,
        name: name.to_owned(),
        optional,
    };
    let map = object(ObjectKind::ConfigMap, "m", true);
    assert_eq!(
        one.env_from[0],
        EnvFrom {
            prefix: "P_".to_owned(),
            source: map
        }
    );
    let values: Vec<_> = one.env.iter().map(|env| env.value.clone()).collect();
    let key = |object| EnvValue::Key {
        object,
        key: "k".to_owned(),
    };
    let memory = ResourceRef {
        container: None,
        limit: true,
        resource: "memory".to_owned(),
        divisor: q("1Mi"),
    };
    assert_eq!(
        values,
        [
            EnvValue::Literal("a".to_owned()),
            EnvValue::Literal(String::new()),
            EnvValue::Field(FieldRef::Label("app".to_owned())),
            EnvValue::Resource(memory),
            key(object(ObjectKind::ConfigMap, "m", false)),
            key(object(ObjectKind::Secret, "s", true)),
        ]
    );
    assert_eq!(
        (
            one.resources.requests["cpu"],
            one.resources.requests["memory"]
        ),
        (q("500m"), q("1536Mi"))
    );
    assert_eq!(
        (one.mounts[0].path.as_str(), one.mounts[0].read_only),
        ("/m", true)
    );
    assert_eq!(
        one.mounts[0].recursive_read_only,
        RecursiveReadOnly::IfPossible
    );
    assert_eq!(one.mounts[1].propagation, Propagation::Bidirectional);
    assert_eq!(
        (
            one.security.privileged,
            one.security.read_only_root,
            one.security.run_as_user
        ),
        (true, true, Some(0))
    );
    assert_eq!(
        (
            one.security.capabilities_add.join(" "),
            one.security.capabilities_drop.join(" ")
        ),
        ("NET_ADMIN".into(), "ALL".into())
    );
    assert_eq!(
        one.security.seccomp,
        Some(Profile::Localhost("p.json".to_owned()))
    );
}

#[test]
fn every_supported_volume_arrives() {
    let pod = resolved(&rich()).expect("a valid pod");
    let sources: Vec<_> = pod
        .volumes
        .iter()
        .map(|volume| volume.source.clone())
        .collect();
    let map = |optional| ObjectRef {
        kind: ObjectKind::ConfigMap,
        name: "m".to_owned(),
        optional,
    };
    let secret = |optional| ObjectRef {
        kind: ObjectKind::Secret,
        name: "s".to_owned(),
        optional,
    };
    let file = |path: &str, value| {
        vec![DownwardFile {
            path: path.to_owned(),
            mode: None,
            value,
        }]
    };
    let item = KeyToPath {
        key: "k".to_owned(),
        path: "a/b".to_owned(),
        mode: Some(0o600),
    };
    let cpu = ResourceRef {
        container: Some("c".to_owned()),
        limit: false,
        resource: "cpu".to_owned(),
        divisor: q("1"),
    };
    let files = |default_mode, memory, sources| {
        VolumeSource::Files(FilesVolume {
            default_mode,
            memory,
            sources,
        })
    };
    assert_eq!(
        sources,
        [
            VolumeSource::EmptyDir {
                medium: Medium::Disk,
                size_limit: None,
                mode: None,
            },
            VolumeSource::EmptyDir {
                medium: Medium::Memory,
                size_limit: Some(q("8Mi")),
                mode: None,
            },
            VolumeSource::HostPath {
                path: "/srv".to_owned(),
                kind: HostPathType::Directory
            },
            files(
                0o400,
                false,
                vec![FilesSource::Object {
                    object: map(false),
                    items: Some(vec![item])
                }]
            ),
            files(
                0o644,
                true,
                vec![FilesSource::Object {
                    object: secret(true),
                    items: None
                }]
            ),
            files(
                0o644,
                true,
                vec![FilesSource::Downward(file(
                    "l",
                    EnvValue::Field(FieldRef::Labels)
                ))]
            ),
            files(
                0o644,
                true,
                vec![
                    FilesSource::Object {
                        object: secret(false),
                        items: None
                    },
                    FilesSource::Object {
                        object: map(false),
                        items: None
                    },
                    FilesSource::Downward(file("cpu", EnvValue::Resource(cpu))),
                ]
            ),
        ]
    );
}

#[test]
fn the_object_is_the_defaulted_pod_without_what_only_a_server_knows() {
    let object = json!({
        "metadata": {"generateName": "a".repeat(70), "resourceVersion": "1", "annotations": {
            "container.apparmor.security.beta.kubernetes.io/c": "localhost/own"}},
        "spec": {"containers": [{"name": "c", "image": "i"}]}, "status": {"phase": "Running"}});
    let pod = resolved_object(object).expect("a valid pod");
    assert_eq!(pod.name, format!("{}x2c4d", "a".repeat(58)));
    assert_eq!(
        pod.containers[0].security.apparmor,
        Some(Profile::Localhost("own".to_owned()))
    );
    let shown = &pod.object;
    assert_eq!(
        (&shown["kind"], &shown["apiVersion"]),
        (&json!("Pod"), &json!("v1"))
    );
    assert_eq!(
        (&shown["metadata"]["namespace"], &shown["metadata"]["uid"]),
        (&json!("default"), &json!(pod.uid))
    );
    assert_eq!(
        (&shown["metadata"]["name"], &shown["spec"]["dnsPolicy"]),
        (&json!(pod.name), &json!("ClusterFirst"))
    );
    assert!(shown.get("status").is_none() && shown["metadata"].get("resourceVersion").is_none());
}

/// Nodes of a JSON tree, in a fixed order.
fn nodes(value: &mut Value) -> Vec<&mut Value> {
    match value {
        Value::Object(map) => map.values_mut().flat_map(nodes_and_self).collect(),
        Value::Array(list) => list.iter_mut().flat_map(nodes_and_self).collect(),
        _ => Vec::new(),
    }
}

fn nodes_and_self(value: &mut Value) -> Vec<&mut Value> {
    if value.is_object() || value.is_array() {
        nodes(value)
    } else {
        vec![value]
    }
}

/// Another value of the same type.
fn mutate(value: &mut Value, choice: u32) {
    let texts = [
        "",
        "Always",
        "Never",
        "None",
        "Enabled",
        "Localhost",
        "Memory",
        "HugePages-2Mi",
        "HugePages-",
        "..",
        "../x",
        "/",
        "\0",
        "\n",
        "é",
        "-1",
        "0",
        "1.5.2",
        "9999999999Ei",
        "1e999",
        "hugepages-2Mi",
        "hugepages-0",
        "limits.",
        "limits.hugepages-1Gi",
        "requests.hugepages-",
        "metadata.labels['']",
        "metadata.labels['",
        "metadata.annotations['x']",
        "SIGKILL",
        "15",
        "c",
        "x:latest",
        "@",
        "a/b/c",
        "  ",
    ];
    let numbers = [
        0,
        -1,
        1,
        65535,
        65536,
        i64::from(i32::MAX),
        i64::from(i32::MIN),
        i64::MAX,
        i64::MIN,
        0o777,
        0o1000,
    ];
    let pick = choice as usize;
    *value = match &*value {
        Value::String(_) if choice % 50 == 49 => Value::Null,
        Value::String(_) => json!(texts[pick % texts.len()]),
        Value::Number(_) => json!(numbers[pick % numbers.len()]),
        Value::Bool(old) => json!(!old),
        other => other.clone(),
    };
}

proptest! {
    #[test]
    fn no_mutation_makes_it_panic_or_stay_silent(mutations in prop::collection::vec((any::<u32>(), any::<u32>()), 1..6), all in any::<bool>()) {
        let mut object = json!({"metadata": {"name": "p", "labels": {"app": "x"}}, "spec": rich()});
        if all {
            object = serde_json::from_str(include_str!("../../../tests/fixtures/manifest/all-fields-pod.json")).expect("json");
        }
        for (at, choice) in mutations {
            let mut leaves = nodes(&mut object);
            let at = at as usize % leaves.len();
            mutate(leaves[at], choice);
        }
        if serde_json::from_value::<k8s_openapi::api::core::v1::Pod>(object.clone()).is_ok() {
            // `resolved_object` asserts that there is a pod or an error.
            let again = resolved_object(object).ok().map(|pod| resolved_object(pod.object.clone()).map(|again| (pod, again)));
            if let Some(again) = again {
                let (pod, again) = again.expect("what is shown is valid");
                prop_assert_eq!(pod, again, "defaults change nothing that is defaulted");
            }
        }
    }
}
