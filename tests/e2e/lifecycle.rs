//! Order, restarts, ends.

use crate::support::{Host, on_each_runtime, pod, sh, state, status, with};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// How long something took.
fn took(what: impl FnOnce()) -> Duration {
    #[allow(clippy::disallowed_methods, reason = "a test has its own clock")]
    let begin = Instant::now();
    what();
    begin.elapsed()
}

/// The words of a column of `get`, below its heading.
fn column(host: &Host, pod: &str, name: &str) -> String {
    let table = host.podshim(["get", pod]).text();
    let mut lines = table.lines();
    let heading = lines.next().expect("a heading");
    let row = lines.next().expect("a row");
    let at = heading
        .split_whitespace()
        .position(|word| word == name)
        .expect("the column");
    row.split_whitespace().nth(at).expect("a value").to_owned()
}

#[test]
fn c24_init_containers_run_in_order_and_are_retried() {
    on_each_runtime(|host| {
        let volume = json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}]});
        let pod = host.start(&pod(json!({
            "restartPolicy": "Always",
            "volumes": [{"name": "d", "emptyDir": {}}],
            "initContainers": [
                with(sh("i1", "sleep 2; echo i1 >>/d/order"), volume.clone()),
                with(sh("i2", "echo i2 >>/d/order; test -e /d/failed || { touch /d/failed; exit 1; }"), volume.clone()),
            ],
            "containers": [with(sh("c", "echo c >>/d/order; sleep 1000"), volume)],
        })));
        let early = pod.until("the first init container runs", |pod| {
            state(pod, "i1").0 == "running"
        });
        assert_eq!(state(&early, "c").1["reason"], "PodInitializing");
        assert_eq!(early["status"]["phase"], "Pending");
        assert_eq!(column(host, "p", "STATUS"), "Init:0/2");
        let json = pod.until_running();
        assert_eq!(status(&json, "i2")["restartCount"], 1);
        assert_eq!(pod.exec("c", "cat /d/order").text(), "i1\ni2\ni2\nc\n");
        assert_eq!(column(host, "p", "STATUS"), "Running");
    });
}

#[test]
fn c24_a_failed_init_container_ends_a_pod_that_never_restarts() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({
            "initContainers": [sh("i", "exit 3")],
            "containers": [sh("c", "sleep 1000")],
        })));
        let json = pod.until_phase("Failed");
        let (kind, detail) = state(&json, "i");
        assert_eq!(
            (kind, &detail["exitCode"], &detail["reason"]),
            ("terminated", &json!(3), &json!("Error"))
        );
        let (kind, detail) = state(&json, "c");
        assert_eq!(
            (kind, &detail["reason"]),
            ("waiting", &json!("PodInitializing"))
        );
        assert!(
            status(&json, "c")["containerID"].is_null(),
            "it was never created"
        );
    });
}

#[test]
fn c27_restarts_follow_the_policy_and_the_exit_code() {
    on_each_runtime(|host| {
        let scripts = [("0", "exit 0"), ("1", "exit 1"), ("9", "kill -9 $$$$")];
        let one = |policy: &str, own: Option<&str>, name: &str, script: &str| {
            // As PID 1 of its own namespace a process cannot even kill itself. In a manifest `$$` stands for one `$`.
            let spec = json!({"restartPolicy": policy, "shareProcessNamespace": true, "containers": [sh("c", script)]});
            let mut manifest = with(pod(spec), json!({"metadata": {"name": name}}));
            if let Some(own) = own {
                manifest["spec"]["containers"][0]["restartPolicy"] = json!(own);
            }
            host.start(&manifest)
        };
        let mut cells = Vec::new();
        for policy in ["Always", "OnFailure", "Never"] {
            for (exit, script) in scripts {
                let name = format!("{}-{exit}", policy.to_lowercase());
                let restarts = policy == "Always" || (policy == "OnFailure" && exit != "0");
                cells.push((one(policy, None, &name, script), restarts, exit));
                // The container's own policy wins, in either direction.
                let other = if policy == "Never" { "Always" } else { "Never" };
                cells.push((
                    one(other, Some(policy), &format!("own-{name}"), script),
                    restarts,
                    exit,
                ));
            }
        }
        for (pod, restarts, exit) in cells {
            if restarts {
                let json = pod.until("it was restarted and backs off", |pod| {
                    status(pod, "c")["restartCount"].as_u64() >= Some(1)
                        && state(pod, "c").1["reason"] == "CrashLoopBackOff"
                });
                assert_eq!(json["status"]["phase"], "Running", "{}", pod.name);
            } else {
                let phase = if exit == "0" { "Succeeded" } else { "Failed" };
                let json = pod.until(phase, |pod| pod["status"]["phase"] == phase);
                assert_eq!(status(&json, "c")["restartCount"], 0, "{}", pod.name);
                let code = if exit == "9" {
                    137
                } else {
                    exit.parse().expect("a number")
                };
                assert_eq!(state(&json, "c").1["exitCode"], code, "{}", pod.name);
            }
            pod.podshim("delete", &["--grace-period", "0"]).expect(0);
        }
    });
}

#[test]
fn c28_a_crash_loop_is_shown_as_kubernetes_shows_it() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(
            json!({"restartPolicy": "Always", "containers": [sh("c", "exit 1")]}),
        ));
        let message = pod.until_waiting("c", "CrashLoopBackOff");
        assert_eq!(
            message,
            format!(
                "back-off 1s restarting failed container=c pod=p_default({})",
                pod.uid
            )
        );
        let json = pod.until("a second back-off", |pod| {
            status(pod, "c")["restartCount"].as_u64() >= Some(1) && state(pod, "c").0 == "waiting"
        });
        assert_eq!(json["status"]["phase"], "Running");
        let c = status(&json, "c");
        assert_eq!((&c["ready"], &c["started"]), (&json!(false), &json!(false)));
        let last = &c["lastState"]["terminated"];
        assert_eq!(
            (&last["exitCode"], &last["reason"]),
            (&json!(1), &json!("Error"))
        );
        for time in ["startedAt", "finishedAt"] {
            let text = last[time].as_str().expect("a time");
            assert!(text.len() == 20 && text.ends_with('Z'), "{time}: {text}");
        }
        let id = last["containerID"].as_str().expect("an id");
        assert!(id.starts_with("podshim://"), "{id}");
        let ready = json["status"]["conditions"].as_array().expect("conditions");
        let ready = ready.iter().find(|c| c["type"] == "Ready").expect("Ready");
        assert_eq!(
            (&ready["status"], &ready["reason"]),
            (&json!("False"), &json!("ContainersNotReady"))
        );
        assert_eq!(ready["message"], "containers with unready status: [c]");
    });
}

#[test]
fn c32_a_process_that_is_pid_1_needs_its_whole_grace() {
    on_each_runtime(|host| {
        let sleeper = |share: bool| {
            let container =
                json!({"name": "c", "image": crate::support::IMAGE, "command": ["sleep", "1000"]});
            pod(
                json!({"terminationGracePeriodSeconds": 3, "shareProcessNamespace": share, "containers": [container]}),
            )
        };
        for (share, code, least, most) in [(false, 137, 2900, 4500), (true, 143, 0, 1500)] {
            let pod = host.start(&sleeper(share));
            pod.until_running();
            let time = took(|| {
                pod.podshim("stop", &[]).expect(0);
            });
            assert!((least..most).contains(&time.as_millis()), "{time:?}");
            let json = pod.until_phase("Failed");
            assert_eq!(state(&json, "c").1["exitCode"], code);
            pod.podshim("delete", &[]).expect(0);
        }
    });
}

#[test]
fn c33_a_pod_past_its_deadline_fails() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({
            "activeDeadlineSeconds": 3,
            "initContainers": [sh("i", "sleep 2")],
            "containers": [sh("c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")],
        })));
        let json = pod.until_phase("Failed");
        assert_eq!(json["status"]["reason"], "DeadlineExceeded");
        assert_eq!(
            json["status"]["message"],
            "Pod was active on the node longer than the specified deadline"
        );
        assert!(!pod.until_terminated("c").is_null());
        assert_eq!(
            pod.json()["status"]["phase"],
            "Failed",
            "a later exit code does not change the phase"
        );
    });
}

#[test]
fn a_pod_ends_when_its_containers_have_ended_and_keeps_only_status_and_logs() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(
            json!({"containers": [sh("a", "echo done"), sh("b", "exit 0")]}),
        ));
        pod.until_phase("Succeeded");
        crate::support::until(5, "its cgroup is gone", || {
            let left = crate::support::cgroups_of(&pod.uid);
            if left.is_empty() {
                Ok(())
            } else {
                Err(format!("{left:?}"))
            }
        });
        assert_eq!(pod.podshim("logs", &["-c", "a"]).text(), "done\n");
    });
}

#[test]
fn every_exit_code_is_the_one_that_was() {
    on_each_runtime(|host| {
        let containers: Vec<Value> = [0, 1, 2, 42, 125, 126, 127, 128, 137, 255]
            .iter()
            .map(|code| sh(&format!("c{code}"), &format!("exit {code}")))
            .collect();
        let pod = host.start(&pod(json!({"containers": containers})));
        let json = pod.until_phase("Failed");
        for container in json["status"]["containerStatuses"]
            .as_array()
            .expect("statuses")
        {
            let name = container["name"].as_str().expect("a name");
            assert_eq!(
                format!("c{}", container["state"]["terminated"]["exitCode"]),
                name
            );
        }
    });
}

#[test]
fn a_missing_entrypoint_is_a_start_error() {
    on_each_runtime(|host| {
        let absent = json!({"name": "c", "image": crate::support::IMAGE, "command": ["/absent"]});
        let pod = host.start(&pod(json!({"containers": [absent]})));
        let terminated = pod.until_terminated("c");
        assert_eq!(
            (&terminated["exitCode"], &terminated["reason"]),
            (&json!(128), &json!("StartError"))
        );
        assert!(
            !terminated["message"].as_str().unwrap_or("").is_empty(),
            "the runtime's own words are kept"
        );
        assert!(terminated["startedAt"].is_null(), "it never ran");
        pod.until_phase("Failed");
    });
}
