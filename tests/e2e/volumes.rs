//! Volumes: whose they are, how long they live, what their files look like.

use crate::support::{on_each_runtime, pod, sh, until, with};
use serde_json::{Value, json};

fn mounted(container: Value, name: &str, path: &str) -> Value {
    with(
        container,
        json!({"volumeMounts": [{"name": name, "mountPath": path}]}),
    )
}

#[test]
fn c37_an_empty_dir_lives_as_long_as_its_pod() {
    on_each_runtime(|host| {
        let script = "stat -c %A /d; ls /d; test -e /d/kept && sleep 1000; touch /d/kept; exit 1";
        let pod = host.start(&pod(json!({
            "restartPolicy": "Always",
            "volumes": [{"name": "d", "emptyDir": {}}],
            "containers": [mounted(sh("c", script), "d", "/d")],
        })));
        pod.until_restarted("c", 1);
        until(5, "it has written", || {
            let log = pod.podshim("logs", &["-c", "c"]).text();
            if log == "drwxrwxrwx\nkept\n" {
                Ok(())
            } else {
                Err(log)
            }
        });
        pod.podshim("delete", &[]).expect(0);
        host.assert_nothing_left();
    });
}

#[test]
fn c37_an_empty_dir_in_memory_is_a_tmpfs_of_its_size() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({
            "volumes": [{"name": "m", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}}],
            "containers": [mounted(sh("c", "grep ' /m ' /proc/mounts; stat -c %A /m"), "m", "/m")],
        })));
        let output = pod.output("c");
        assert!(
            output.contains(" tmpfs ") && output.contains("size=8192k"),
            "{output}"
        );
        assert!(output.ends_with("drwxrwxrwx\n"), "{output}");
    });
}

#[test]
fn two_pods_never_share_an_empty_dir() {
    on_each_runtime(|host| {
        let manifest = |name: &str| {
            let spec = json!({
                "volumes": [{"name": "same", "emptyDir": {}}],
                "containers": [mounted(sh("c", "touch /d/$HOSTNAME; ls /d; sleep 1000"), "same", "/d")],
            });
            with(pod(spec), json!({"metadata": {"name": name}}))
        };
        let one = host.start(&manifest("one"));
        one.until_running();
        let two = host.start(&manifest("two"));
        two.until_running();
        assert_eq!(one.exec("c", "ls /d").text(), "one\n");
        assert_eq!(two.exec("c", "ls /d").text(), "two\n");
        // A replacement of the same name has another UID and starts empty.
        one.podshim("delete", &["--grace-period", "0"]).expect(0);
        let again = host.start(&manifest("one"));
        again.until_running();
        assert_ne!(again.uid, one.uid);
        assert_eq!(again.podshim("logs", &["-c", "c"]).text(), "one\n");
    });
}

#[test]
fn c38_config_map_files_are_written_as_kubernetes_writes_them() {
    on_each_runtime(|host| {
        let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"},
                         "data": {"k": "value", "other": "x"}});
        let volume = |key: &str| json!([{"name": "v", "configMap": {"name": "m", "items": [{"key": key, "path": "a/b.txt", "mode": 0o600}]}}]);
        let script = "readlink /v/a; readlink /v/..data | grep -c '^[.][.]20'; stat -L -c %a /v/a/b.txt; cat /v/a/b.txt; echo
            ls /v; (echo >/v/a/b.txt) 2>&1 | grep -o 'Read-only file system'";
        let good = host.start_all(&[
            map.clone(),
            pod(json!({"volumes": volume("k"), "containers": [mounted(sh("c", script), "v", "/v")]})),
        ]);
        assert_eq!(
            good.output("c"),
            "..data/a\n1\n600\nvalue\na\nRead-only file system\n"
        );

        let missing = host.start_all(&[
            map,
            with(
                pod(json!({"volumes": volume("absent"), "containers": [mounted(sh("c", script), "v", "/v")]})),
                json!({"metadata": {"name": "q"}}),
            ),
        ]);
        missing.until("a failure was recorded", |_| {
            missing
                .events()
                .iter()
                .any(|event| event["type"] == "Warning")
        });
        missing.until_waiting("c", "ContainerCreating");
    });
}

#[test]
fn c41_fs_group_owns_the_volumes_of_the_pod_and_no_host_path() {
    on_each_runtime(|host| {
        let directory = host.path("of-the-host");
        std::fs::create_dir(&directory).expect("a directory of ours");
        let script = "stat -c '%A %g' /e; stat -L -c '%a %g' /s/k; stat -c %g /h";
        let pod = host.start_all(&[
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": "v"}}),
            pod(json!({
                "securityContext": {"fsGroup": 2000},
                "volumes": [
                    {"name": "e", "emptyDir": {}},
                    {"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}},
                    {"name": "h", "hostPath": {"path": directory}},
                ],
                "containers": [with(sh("c", script), json!({"volumeMounts": [
                    {"name": "e", "mountPath": "/e"}, {"name": "s", "mountPath": "/s"}, {"name": "h", "mountPath": "/h"},
                ]}))],
            })),
        ]);
        assert_eq!(pod.output("c"), "drwxrwsrwx 2000\n440 2000\n0\n");
    });
}
