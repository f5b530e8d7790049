//! Named volumes: they outlive pods, are shared by name, and go only when nobody uses them.

use crate::support::{IMAGE, on_each_runtime, pod, sh, until, with};
use serde_json::{Value, json};
use std::fs;

fn claim(name: &str) -> Value {
    json!({"name": "v", "persistentVolumeClaim": {"claimName": name}})
}

/// A pod named `name` whose container runs `script` with the volume at `/v`.
fn user(name: &str, volume: Value, script: &str) -> Value {
    let mount = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]});
    let spec = json!({"volumes": [volume], "containers": [with(sh("c", script), mount)]});
    with(pod(spec), json!({"metadata": {"name": name}}))
}

#[test]
fn a_claim_outlives_its_pods_and_is_shared_by_name() {
    on_each_runtime(|host| {
        let script = "stat -c '%a %u' /v; echo $HOSTNAME >>/v/names; cat /v/names";
        let one = host.start(&user("one", claim("data"), script));
        assert_eq!(one.output("c"), "755 0\none\n");
        one.podshim("delete", &[]).expect(0);
        let two = host.start(&user("two", claim("data"), script));
        assert_eq!(two.output("c"), "755 0\none\ntwo\n");
        let other = host.start(&user("three", claim("other"), script));
        assert_eq!(other.output("c"), "755 0\nthree\n");
        let elsewhere = with(
            user("two", claim("data"), script),
            json!({"metadata": {"namespace": "elsewhere"}}),
        );
        let file = host.manifest(&[elsewhere]);
        let ran = host.podshim([
            "run".as_ref(),
            "--rm".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
        ]);
        assert_eq!(
            ran.text(),
            "755 0\ntwo\n",
            "another namespace has another volume"
        );
    });
}

#[test]
fn a_claim_in_use_is_not_removed_and_an_unused_one_is() {
    on_each_runtime(|host| {
        let pod = host.start(&user("p", claim("data"), "echo x >/v/x"));
        pod.until_phase("Succeeded");
        let table = host.podshim(["volume", "ls"]).text();
        let rows: Vec<Vec<&str>> = table
            .lines()
            .map(|l| l.split_whitespace().collect())
            .collect();
        assert_eq!(
            rows,
            [
                vec!["NAMESPACE", "VOLUME", "USED", "BY"],
                vec!["default", "data", "p"]
            ]
        );
        let refused = host.podshim(["volume", "rm", "data"]).expect(5);
        assert!(
            refused.stderr.contains("volume `data` is used by pod `p`"),
            "{}",
            refused.stderr
        );
        assert_eq!(host.podshim(["volume", "prune"]).text(), "");
        let shown = host.podshim(["volume", "inspect", "data"]).json();
        let path = shown[0]["path"].as_str().expect("a path").to_owned();
        assert_eq!(shown[0]["usedBy"], json!(["p"]));
        assert_eq!(
            fs::read_to_string(format!("{path}/x")).expect("its data"),
            "x\n"
        );
        pod.podshim("delete", &[]).expect(0);
        assert!(fs::exists(format!("{path}/x")).expect("its data"));
        host.podshim(["volume", "rm", "nobody"]).expect(3);
        host.podshim(["volume", "rm", "../default_data"]).expect(3);
        assert_eq!(
            host.podshim(["volume", "rm", "data", "nobody"])
                .expect(6)
                .stdout,
            "data removed\n"
        );
        assert!(!fs::exists(&path).expect("its data"));
        assert_eq!(
            host.podshim(["volume", "ls", "-o", "json"]).json(),
            json!([])
        );

        let pod = host.start(&user("q", claim("again"), "touch /v/x"));
        pod.until_phase("Succeeded");
        assert!(
            pod.podshim("delete", &["--volumes"])
                .text()
                .contains("volume/again deleted")
        );
        assert_eq!(
            host.podshim(["volume", "ls", "-o", "json"]).json(),
            json!([])
        );
    });
}

#[test]
fn a_claim_document_says_how_its_volume_is_made() {
    on_each_runtime(|host| {
        let document = |name: &str, annotations: Value| {
            json!({"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": name, "annotations": annotations},
                   "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}})
        };
        let owned = host.start_all(&[
            user("owned", claim("owned"), "stat -c '%u %g %a' /v"),
            document(
                "owned",
                json!({"volume.podman.io/uid": "1000", "volume.podman.io/gid": "2000"}),
            ),
        ]);
        assert_eq!(owned.output("c"), "1000 2000 755\n");
        let directory = host.path("of-the-host");
        fs::create_dir(&directory).expect("a directory of ours");
        fs::write(directory.join("there"), "").expect("a file of ours");
        let bound = json!({"volume.podman.io/type": "none", "volume.podman.io/device": directory, "volume.podman.io/mount-options": "bind,ro"});
        let bound = host.start_all(&[
            document("bound", bound),
            user(
                "bound",
                claim("bound"),
                "ls /v; touch /v/x 2>&1 | grep -o 'Read-only'",
            ),
        ]);
        assert_eq!(bound.output("c"), "there\nRead-only\n");
        bound.podshim("delete", &["--volumes"]).expect(0);
        assert!(directory.join("there").exists(), "what is the host's stays");
        let tmpfs = json!({"volume.podman.io/type": "tmpfs", "volume.podman.io/device": "tmpfs"});
        let file = host.manifest(&[document("t", tmpfs), user("t", claim("t"), "true")]);
        let refused = host
            .podshim(["run".as_ref(), "-f".as_ref(), file.as_os_str()])
            .expect(2);
        assert!(
            refused
                .stderr
                .contains("metadata.annotations[volume.podman.io/type]: Forbidden: not supported"),
            "{}",
            refused.stderr
        );
    });
}

#[test]
fn a_read_only_claim_is_not_written() {
    on_each_runtime(|host| {
        let volume =
            json!({"name": "v", "persistentVolumeClaim": {"claimName": "data", "readOnly": true}});
        let pod = host.start(&user("p", volume, "touch /v/x 2>&1 | grep -o 'Read-only'"));
        assert_eq!(pod.output("c"), "Read-only\n");
    });
}

#[test]
fn c41_the_group_of_a_claim_is_set_always_or_only_if_its_root_differs() {
    on_each_runtime(|host| {
        let group = |name: &str, policy: &str, script: &str| {
            let security = json!({"spec": {"securityContext": {"fsGroup": 3000, "fsGroupChangePolicy": policy}}});
            with(user(name, claim("data"), script), security)
        };
        let plain = host.start(&user(
            "plain",
            claim("data"),
            "mkdir /v/d; touch /v/d/f; chmod 600 /v/d/f",
        ));
        plain.until_phase("Succeeded");
        let look = "stat -c '%g %a' /v /v/d /v/d/f";
        let first = host.start(&group("first", "OnRootMismatch", look));
        assert_eq!(
            first.output("c"),
            "3000 2775\n3000 2775\n3000 660\n",
            "the root differed"
        );
        // Now the root is right and the file is not.
        let wrong = host.start(&user(
            "wrong",
            claim("data"),
            "chown 0:0 /v/d/f; chmod 600 /v/d/f",
        ));
        wrong.until_phase("Succeeded");
        let second = host.start(&group("second", "OnRootMismatch", look));
        assert_eq!(
            second.output("c"),
            "3000 2775\n3000 2775\n0 600\n",
            "nothing was walked through"
        );
        let third = host.start(&group("third", "Always", look));
        assert_eq!(third.output("c"), "3000 2775\n3000 2775\n3000 660\n");
    });
}

#[test]
fn an_ephemeral_volume_lives_as_long_as_its_pod() {
    on_each_runtime(|host| {
        let template = json!({"spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}});
        let volume = json!({"name": "v", "ephemeral": {"volumeClaimTemplate": template}});
        let pod = host.start(&user("p", volume, "touch /v/x; ls /v"));
        assert_eq!(pod.output("c"), "x\n");
        assert_eq!(
            host.podshim(["volume", "ls", "-o", "json"]).json(),
            json!([])
        );
        pod.podshim("delete", &[]).expect(0);
        host.assert_nothing_left();
    });
}

#[test]
fn an_image_is_a_read_only_volume_of_the_containers_that_mount_it() {
    on_each_runtime(|host| {
        let image = host.variant("data", |config| config["Cmd"] = json!(["nothing"]));
        let volumes = json!([
            {"name": "v", "image": {"reference": image, "pullPolicy": "Never"}},
            {"name": "absent", "image": {"reference": "localhost/absent:1", "pullPolicy": "Never"}},
        ]);
        let mounting = |name: &str, script: &str, mounts: Value| {
            with(sh(name, script), json!({"volumeMounts": mounts}))
        };
        let script = "test -x /v/bin/busybox && echo there; touch /v/x 2>&1 | grep -o 'Read-only'; sleep 1000";
        let whole = json!([{"name": "v", "mountPath": "/v"}]);
        let part = |path: &str| json!([{"name": "v", "mountPath": "/part", "subPath": path}]);
        let pod = host.start(&pod(json!({
            "volumes": volumes,
            "containers": [
                mounting("one", script, whole.clone()), mounting("two", script, whole),
                mounting("part", "ls /part | grep busybox", part("bin")), mounting("file", "true", part("bin/busybox")),
                mounting("absent", "true", json!([{"name": "absent", "mountPath": "/v"}])),
            ],
        })));
        for container in ["one", "two"] {
            until(20, "it has looked", || {
                match pod.podshim("logs", &["-c", container]).stdout {
                    log if log == "there\nRead-only\n" => Ok(()),
                    log => Err(log),
                }
            });
        }
        assert_eq!(pod.output("part"), "busybox\n");
        let message = pod.until_waiting("file", "CreateContainerConfigError");
        assert_eq!(
            message,
            "failed to prepare subPath for volumeMount \"v\" of container \"file\""
        );
        pod.until_waiting("absent", "ErrImageNeverPull");
        host.podshim(["image", "rm", &image]).expect(5);
        assert_ne!(image, IMAGE);
        pod.podshim("delete", &["--grace-period", "0"]).expect(0);
        host.assert_nothing_left();
    });
}

#[test]
fn variables_come_from_a_file_that_an_earlier_container_wrote() {
    on_each_runtime(|host| {
        let variable = |name: &str, key: &str, path: &str, optional: bool| json!({"name": name, "valueFrom": {"fileKeyRef": {"volumeName": "v", "path": path, "key": key, "optional": optional}}});
        let reading = |name: &str, env: Value| {
            with(
                sh(name, "echo \"$ONE|$TWO|${NONE-unset}\""),
                json!({"env": env}),
            )
        };
        let write = "mkdir /v/d; printf \"# c\\nONE='1 = one'\\nTWO='a\\nb'\\n\" >/v/d/env; ln -s /etc/hostname /v/link; echo nonsense >/v/bad";
        let mount = json!({"volumeMounts": [{"name": "v", "mountPath": "/v"}]});
        let pod = host.start(&pod(json!({
            "volumes": [{"name": "v", "emptyDir": {}}],
            "initContainers": [with(sh("write", write), mount)],
            "containers": [
                reading("good", json!([variable("ONE", "ONE", "d/env", false), variable("TWO", "TWO", "d/env", false),
                                       variable("NONE", "NONE", "d/env", true), variable("NO_FILE", "X", "absent", true)])),
                reading("key", json!([variable("ONE", "NOPE", "d/env", false)])),
                reading("file", json!([variable("ONE", "ONE", "absent", false)])),
                reading("link", json!([variable("ONE", "ONE", "link", false)])),
                reading("bad", json!([variable("ONE", "ONE", "bad", false)])),
            ],
        })));
        assert_eq!(pod.output("good"), "1 = one|a\nb|unset\n");
        for (container, told) in [
            (
                "key",
                "environment variable key \"NOPE\" not found in file \"d/env\"",
            ),
            ("file", "environment file \"absent\" not found"),
            ("link", "cannot read variables from `link`"),
            (
                "bad",
                "couldn't parse environment file \"bad\": line 1 is not NAME='value'",
            ),
        ] {
            let message = pod.until_waiting(container, "CreateContainerConfigError");
            assert!(message.starts_with(told), "{message}");
        }
    });
}
