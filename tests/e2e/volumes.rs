//! Volumes: whose they are, how long they live, what their files look like.

use crate::support::{Pod, on_each_runtime, pod, sh, until, with};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

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
        let lists = |pod: &Pod, names: &str| {
            pod.until_running();
            until(30, "it has listed its volume", || {
                let log = pod.podshim("logs", &["-c", "c"]).text();
                if log.is_empty() { Err(log) } else { Ok(log) }
            });
            assert_eq!(pod.exec("c", "ls /d").text(), names);
        };
        let one = host.start(&manifest("one"));
        lists(&one, "one\n");
        let two = host.start(&manifest("two"));
        lists(&two, "two\n");
        // A replacement of the same name has another UID and starts empty.
        one.podshim("delete", &["--grace-period", "0"]).expect(0);
        let again = host.start(&manifest("one"));
        lists(&again, "one\n");
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

/// The regular files below a directory that contain these bytes.
fn holding(directory: &Path, value: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let kind = entry.file_type().expect("a type");
        if kind.is_dir() {
            found.extend(holding(&entry.path(), value));
        } else if kind.is_file() {
            // It may just have gone.
            let bytes = fs::read(entry.path()).unwrap_or_default();
            let mut windows = bytes.windows(value.len());
            if windows.any(|window| window == value.as_bytes()) {
                found.push(entry.path());
            }
        }
    }
    found
}

#[test]
fn a_secret_is_in_memory_and_in_no_file_that_others_can_read() {
    on_each_runtime(|host| {
        let value = "pl4in-t3xt-0f-th3-s3cr3t";
        let script = "grep ' /s ' /proc/mounts | cut -d ' ' -f 3; stat -L -c '%a %u' /s/k; cat /s/k
            echo; echo; trap 'exit 0' TERM; while :; do sleep 0.1; done";
        let pod = host.start_all(&[
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": value}}),
            pod(json!({
                "volumes": [{"name": "s", "secret": {"secretName": "s", "defaultMode": 0o400}}],
                "containers": [mounted(sh("c", script), "s", "/s")],
            })),
        ]);
        pod.until_running();
        let log = until(30, "it has written", || {
            let log = pod.podshim("logs", &["-c", "c"]).text();
            if log.ends_with("\n\n") {
                Ok(log)
            } else {
                Err(log)
            }
        });
        assert_eq!(log, format!("tmpfs\n400 0\n{value}\n\n"));
        // As it is, or as JSON writes bytes.
        let coded: Vec<String> = value.bytes().map(|byte| byte.to_string()).collect();
        let values = [value.to_owned(), coded.join(",")];
        let places = [host.path("state"), host.path("data")];
        let all = places
            .iter()
            .flat_map(|dir| values.iter().map(move |v| (dir, v)));
        let files: Vec<PathBuf> = all.flat_map(|(dir, value)| holding(dir, value)).collect();
        assert!(
            files.iter().any(|file| file.ends_with("plan.json")),
            "{files:?}"
        );
        for file in &files {
            let mode = fs::metadata(file)
                .expect("it is there")
                .permissions()
                .mode();
            assert_eq!(mode & 0o077, 0, "{}", file.display());
            assert_ne!(file.file_name().expect("a name"), "config.json");
        }
    });
}
