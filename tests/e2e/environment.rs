//! Environment and arguments of a container: expansion, sources, the downward API.

use crate::support::{IMAGE, on_each_runtime, pod, proc_file, sh, status, with};
use serde_json::{Value, json};

fn config_map(name: &str, data: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
}

#[test]
fn c04_references_in_values_and_arguments_are_expanded() {
    on_each_runtime(|host| {
        let script = r#"echo "$A|$B|$C|$D"; for a in "$@"; do echo "$a"; done"#;
        let pod = host.start(&pod(json!({"containers": [{
            "name": "c", "image": IMAGE, "command": ["sh", "-c", script, "sh"],
            "args": ["$(A)", "$$(A)", "$$$(A)", "$(NOPE)", "${A}", "$(B"],
            "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)x"},
                    {"name": "C", "value": "$(D)"}, {"name": "D", "value": "2"}],
        }]})));
        assert_eq!(
            pod.output("c"),
            "1|1x|$(D)|2\n1\n$(A)\n$1\n$(NOPE)\n${A}\n$(B\n"
        );
    });
}

#[test]
fn c05_later_sources_of_a_variable_win_and_each_name_appears_once() {
    on_each_runtime(|host| {
        let image = host.variant("with-env", |config| {
            let env = config["Env"]
                .as_array_mut()
                .expect("the image has an environment");
            env.push(json!("K2=image"));
        });
        let pod = host.start_all(&[
            config_map("one", json!({"K": "a"})),
            config_map("two", json!({"K": "b"})),
            config_map("three", json!({"X": "x", "Y": "y"})),
            pod(json!({"containers": [with(sh("c", "cat /proc/1/environ | tr '\\0' '\\n'"), json!({
                "image": image,
                "envFrom": [{"configMapRef": {"name": "one"}}, {"configMapRef": {"name": "two"}},
                            {"prefix": "P_", "configMapRef": {"name": "three"}}],
                "env": [{"name": "K2", "value": "first"}, {"name": "K2", "value": "last"}],
            }))]})),
        ]);
        let output = pod.output("c");
        for line in ["K=b", "P_X=x", "P_Y=y", "K2=last"] {
            assert_eq!(
                output.lines().filter(|l| *l == line).count(),
                1,
                "`{line}` in:\n{output}"
            );
        }
        let mut names: Vec<&str> = output
            .lines()
            .filter_map(|line| Some(line.split_once('=')?.0))
            .collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all, "a name appears twice:\n{output}");
    });
}

#[test]
fn c06_secrets_and_config_maps_may_come_after_the_pod_or_in_a_list() {
    on_each_runtime(|host| {
        let documents = |name: &str| {
            vec![
                with(
                    pod(
                        json!({"containers": [with(sh("c", "echo $S $M"), json!({"env": [
                            {"name": "S", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                            {"name": "M", "valueFrom": {"configMapKeyRef": {"name": "m", "key": "k"}}},
                        ]}))]}),
                    ),
                    json!({"metadata": {"name": name}}),
                ),
                json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
                       "data": {"k": "eA=="}, "stringData": {"k": "y"}}),
                config_map("m", json!({"k": "map"})),
            ]
        };
        assert_eq!(host.start_all(&documents("p")).output("c"), "y map\n");
        let list = json!({"apiVersion": "v1", "kind": "List", "items": documents("q")});
        assert_eq!(host.start(&list).output("c"), "y map\n");
    });
}

#[test]
fn c07_a_missing_config_map_keeps_the_container_waiting_unless_it_is_optional() {
    on_each_runtime(|host| {
        let reads = |name: &str, optional: bool| {
            let reference = json!({"name": "missing", "key": "k", "optional": optional});
            with(
                pod(
                    json!({"containers": [with(sh("c", "env | grep -c '^V=' || true"), json!({
                        "env": [{"name": "V", "valueFrom": {"configMapKeyRef": reference}}]
                    }))]}),
                ),
                json!({"metadata": {"name": name}}),
            )
        };
        let waits = host.start(&reads("p", false));
        waits.until_waiting("c", "CreateContainerConfigError");
        let pod = waits.json();
        assert_eq!(status(&pod, "c")["restartCount"], 0);
        assert_eq!(pod["status"]["phase"], "Pending");
        assert_eq!(host.start(&reads("q", true)).output("c"), "0\n");
    });
}

#[test]
fn c08_the_downward_api_gives_exact_values() {
    on_each_runtime(|host| {
        let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let resource = |name: &str, what: &str, divisor: &str| json!({"name": name, "valueFrom": {"resourceFieldRef": {"resource": what, "divisor": divisor}}});
        let manifest = with(
            pod(
                json!({"containers": [with(sh("c", "echo $NAME $NS $UID_ $L $CPU $MEM; echo $IP"), json!({
                    "env": [field("NAME", "metadata.name"), field("NS", "metadata.namespace"), field("UID_", "metadata.uid"),
                            field("L", "metadata.labels['a']"), field("IP", "status.hostIP"),
                            resource("CPU", "requests.cpu", "1m"), resource("MEM", "limits.memory", "1Mi")],
                    "resources": {"requests": {"cpu": "250m"}, "limits": {"memory": "64Mi"}},
                }))]}),
            ),
            json!({"metadata": {"labels": {"a": "b"}}}),
        );
        let pod = host.start(&manifest);
        let output = pod.output("c");
        let mut lines = output.lines();
        assert_eq!(
            lines.next(),
            Some(format!("p default {} b 250 64", pod.uid).as_str())
        );
        let ip: std::net::IpAddr = lines
            .next()
            .expect("a second line")
            .parse()
            .expect("an address");
        assert_eq!(pod.json()["status"]["hostIP"], ip.to_string());
    });
}

#[test]
fn signals_that_the_caller_ignores_are_not_ignored_by_containers() {
    on_each_runtime(|host| {
        let script = "trap '' HUP INT USR1; exec \"$@\"";
        host.set_before(&["sh", "-c", script, "sh"].map(str::to_owned));
        for sandbox in ["runtime", "native"] {
            host.set_sandbox(Some(sandbox));
            let pod = host.start(&pod(json!({"containers": [sh("c", "exec sleep 1000")]})));
            pod.until_running();
            let ignored = "grep SigIgn /proc/self/status";
            let exec = pod.exec("c", ignored).expect(0).stdout;
            for text in [proc_file(pod.pid("c"), "status"), exec] {
                let line = text.lines().find_map(|line| line.strip_prefix("SigIgn:"));
                let set = u64::from_str_radix(line.expect("a set").trim(), 16).expect("a number");
                // HUP is 1, INT 2, USR1 10.
                assert_eq!(set & 0b10_0000_0011, 0, "{set:x}");
            }
            pod.podshim("delete", &["--force"]).expect(0);
        }
    });
}
