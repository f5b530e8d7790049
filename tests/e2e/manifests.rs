//! What is said of a manifest, and what a manifest means once its defaults are in.

use crate::support::{Host, IMAGE, container, on_each_runtime, pod, sh};
use serde_json::json;
use std::path::Path;

/// Number of files and directories below a path.
fn entries(path: &Path) -> usize {
    let entries = std::fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|e| {
            if e.file_type().is_ok_and(|t| t.is_dir()) {
                1 + entries_of(&e)
            } else {
                1
            }
        })
        .sum()
}

fn entries_of(entry: &std::fs::DirEntry) -> usize {
    entries(&entry.path())
}

/// `run` of this text ends with 2, says exactly these findings, and changes nothing.
#[track_caller]
fn refuses(host: &Host, text: &str, findings: &[&str]) {
    let before = (entries(&host.path("state")), entries(&host.logs()));
    let file = host.file("bad.yaml", text);
    let ran = host
        .podshim([
            "run".as_ref(),
            "-d".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
        ])
        .expect(2);
    for finding in findings {
        assert!(
            ran.stderr.contains(finding),
            "no `{finding}` in:\n{}",
            ran.stderr
        );
    }
    let said = ran
        .stderr
        .lines()
        .filter(|line| line.contains(": spec."))
        .count();
    assert_eq!(said, findings.len(), "{}", ran.stderr);
    assert_eq!(
        (entries(&host.path("state")), entries(&host.logs())),
        before,
        "something was created"
    );
}

#[test]
fn c01_every_finding_of_a_file_is_said_at_once_and_nothing_is_created() {
    on_each_runtime(|host| {
        refuses(
            host,
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  containers:\n  - command: [sh]\n",
            &[
                "spec.containers[0].name: Required value",
                "spec.containers[0].image: Required value",
            ],
        );
        refuses(
            host,
            "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  restartPolicy: Sometimes\n  containers:\n  \
             - name: c\n    image: img:1\n    ports: [{containerPort: 70000}]\n    \
             volumeMounts: [{name: data, mountPath: /d}]\n  - name: c\n    image: img:1\n",
            &[
                "spec.restartPolicy: Unsupported value: \"Sometimes\": supported values: \"Always\", \"OnFailure\", \"Never\"",
                "spec.containers[0].ports[0].containerPort: Invalid value: 70000: must be between 1 and 65535, inclusive",
                "spec.containers[1].name: Duplicate value: \"c\"",
                "spec.containers[0].volumeMounts[0].name: Not found: \"data\"",
            ],
        );
    });
}

#[test]
fn c02_defaults_are_filled_in_and_quantities_are_canonical() {
    on_each_runtime(|host| {
        let requests = |name: &str, memory: &str| json!({"name": name, "image": IMAGE, "command": ["sleep", "1000"], "resources": {"requests": {"memory": memory}}});
        let pod = host.start(&json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {
                "terminationGracePeriodSeconds": null,
                "containers": [
                    {"name": "c", "image": IMAGE, "command": ["sleep", "1000"],
                     "resources": {"requests": {"cpu": 0.5, "memory": "1.5Gi"}}},
                    {"name": "d", "image": "localhost/absent", "resources": {"requests": {"cpu": "500m"}}},
                    requests("e", "1e3"),
                    {"name": "f", "image": IMAGE, "resources": {"requests": {"cpu": "100n"}}},
                ],
            },
        }));
        let pod = pod.json();
        let spec = &pod["spec"];
        assert_eq!(spec["terminationGracePeriodSeconds"], 30);
        assert_eq!(spec["dnsPolicy"], "ClusterFirst");
        assert_eq!(spec["restartPolicy"], "Always");
        let c = container(&pod, "c");
        assert_eq!(c["imagePullPolicy"], "IfNotPresent");
        assert_eq!(container(&pod, "d")["imagePullPolicy"], "Always");
        assert_eq!(c["terminationMessagePolicy"], "File");
        assert_eq!(c["terminationMessagePath"], "/dev/termination-log");
        let request =
            |name: &str, what: &str| container(&pod, name)["resources"]["requests"][what].clone();
        assert_eq!(request("c", "cpu"), "500m");
        assert_eq!(request("d", "cpu"), "500m");
        assert_eq!(request("c", "memory"), "1536Mi");
        assert_eq!(request("e", "memory"), "1e3");
        assert_eq!(request("f", "cpu"), "1m");

        for bad in ["1.5.2", "10KB", "1 Gi"] {
            let file = host.manifest(&[pod_with_memory(bad)]);
            let ran = host
                .podshim(["check".as_ref(), "-f".as_ref(), file.as_os_str()])
                .expect(2);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            let finding =
                format!("spec.containers[0].resources.requests[memory]: Invalid value: \"{bad}\"");
            assert!(said.contains(&finding), "no `{finding}` in:\n{said}");
        }
    });
}

fn pod_with_memory(memory: &str) -> serde_json::Value {
    pod(json!({"containers": [
        {"name": "c", "image": IMAGE, "resources": {"requests": {"memory": memory}}}
    ]}))
}

#[test]
fn c03_yaml_is_read_as_kubectl_reads_it_and_strictly() {
    const HEAD: &str =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec:\n  restartPolicy: Never\n";
    on_each_runtime(|host| {
        let volumes = |modes: &[&str]| -> String {
            let entries = modes.iter().enumerate();
            let list: Vec<String> = entries
                .map(|(n, mode)| {
                    format!("  - {{name: v{n}, configMap: {{name: m, defaultMode: {mode}}}}}\n")
                })
                .collect();
            format!("  volumes:\n{}", list.concat())
        };
        let map = "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {k: v}\n";
        let text = format!(
            "{HEAD}  containers:\n  - name: c\n    image: {IMAGE}\n    \
             command: [sh, -c, \"stat -L -c %a /v0/k /v1/k /v2/k\"]\n    env:\n    - {{name: A, value: \"yes\"}}\n    \
             volumeMounts:\n    - {{name: v0, mountPath: /v0}}\n    - {{name: v1, mountPath: /v1}}\n    \
             - {{name: v2, mountPath: /v2}}\n{}{map}",
            volumes(&["0400", "256", "0o400"])
        );
        let file = host.file("good.yaml", &text);
        host.podshim([
            "run".as_ref(),
            "-d".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
        ])
        .expect(0);
        assert_eq!(host.pod("p").output("c"), "400\n400\n400\n");

        let container =
            |more: &str| format!("{HEAD}  containers:\n  - name: c\n    image: {IMAGE}\n{more}");
        let mode = |mode: &str| format!("{}{}{map}", container(""), volumes(&[mode]));
        for (text, names) in [
            (mode("0999"), "defaultMode"),
            (mode("512"), "defaultMode"),
            (container("    imagePullPolcy: Always\n"), "imagePullPolcy"),
            (container("    env: []\n    env: []\n"), "env"),
            (container("    env: [{name: A, value: yes}]\n"), "value"),
            (
                container("    ports: [{containerPort: \"80\"}]\n"),
                "containerPort",
            ),
        ] {
            let file = host.file("bad.yaml", &text);
            let ran = host
                .podshim(["check".as_ref(), "-f".as_ref(), file.as_os_str()])
                .expect(2);
            let said = format!("{}{}", ran.stdout, ran.stderr);
            assert!(said.contains(names), "no `{names}` in:\n{said}");
        }
    });
}

#[test]
fn what_is_not_supported_yet_is_refused_by_name() {
    on_each_runtime(|host| {
        let spec = json!({"hostUsers": false, "containers": [{"name": "c", "image": IMAGE}]});
        let file = host.manifest(&[pod(spec)]);
        let ran = host
            .podshim([
                "run".as_ref(),
                "-d".as_ref(),
                "-f".as_ref(),
                file.as_os_str(),
            ])
            .expect(2);
        assert!(ran.stderr.contains("spec.hostUsers"), "{}", ran.stderr);
        host.podshim(["get", "p"]).expect(3);
    });
}

#[test]
fn a_finding_is_named_with_its_file_and_line() {
    on_each_runtime(|host| {
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: p}}\nspec:\n  containers:\n  - name: c\n    image: {IMAGE}\n    \
             volumeMounts:\n    - {{name: nowhere, mountPath: /n}}\n"
        );
        let file = host.file("line.yaml", &text);
        let ran = host
            .podshim(["run".as_ref(), "-f".as_ref(), file.as_os_str()])
            .expect(2);
        let place = format!("{}:9", file.display());
        assert!(
            ran.stderr.contains(&place),
            "no `{place}` in:\n{}",
            ran.stderr
        );
    });
}

#[test]
fn a_manifest_comes_from_standard_input_too() {
    on_each_runtime(|host| {
        let text = pod(json!({"containers": [sh("c", "echo piped")]})).to_string();
        host.podshim_with_input(["run", "-d", "-f", "-"], &text)
            .expect(0);
        assert_eq!(host.pod("p").output("c"), "piped\n");
    });
}
