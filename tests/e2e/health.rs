//! Probes, hooks, sidecars, restart rules: what a container notices of them (C25, C26, C29 - C31, C34).

use crate::support::{Host, Pod, on_each_runtime, pod, sh, state, status, with};
use serde_json::{Value, json};

/// A command probe, every second from the start.
fn probe(script: &str, failures: u32) -> Value {
    json!({"exec": {"command": ["sh", "-c", script]}, "periodSeconds": 1, "failureThreshold": failures, "timeoutSeconds": 5})
}

/// The marks `NAME SECONDS` that scripts have written to `/d/marks`, in order.
struct Marks(Vec<(String, f64)>);

impl Marks {
    fn of(host: &Host, pod: &Pod<'_>) -> Marks {
        let data = host.path("data").join("pods").join(&pod.uid);
        let found = walk(&data).expect("the marks are on a volume");
        let text = std::fs::read_to_string(found).expect("they can be read");
        let marks = text.lines().map(|line| {
            let (name, at) = line.split_once(' ').expect("a name and a time");
            (name.to_owned(), at.parse().expect("seconds"))
        });
        Marks(marks.collect())
    }

    fn order(&self) -> Vec<&str> {
        self.0.iter().map(|(name, _)| name.as_str()).collect()
    }

    /// Seconds from one mark to another.
    #[track_caller]
    fn between(&self, from: &str, to: &str) -> f64 {
        let at = |name: &str| self.0.iter().find(|(other, _)| other == name);
        let (Some((_, from)), Some((_, to))) = (at(from), at(to)) else {
            panic!("{from} and {to} are among {:?}", self.0);
        };
        to - from
    }
}

/// The file `marks` somewhere below.
fn walk(dir: &std::path::Path) -> Option<std::path::PathBuf> {
    for entry in std::fs::read_dir(dir).ok()?.flatten() {
        let path = entry.path();
        if entry.file_name() == "marks" {
            return Some(path);
        }
        if entry.file_type().is_ok_and(|kind| kind.is_dir())
            && let Some(found) = walk(&path)
        {
            return Some(found);
        }
    }
    None
}

/// A shell function that leaves a mark; uptime has hundredths of a second.
const MARK: &str = "mark() { read up rest </proc/uptime; echo \"$1 $up\" >>/d/marks; }; ";

/// A container that can leave marks.
fn marking(name: &str, script: &str) -> Value {
    let mounts = json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}]});
    with(sh(name, &format!("{MARK}{script}")), mounts)
}

/// A pod with the volume for them.
fn marked(spec: Value) -> Value {
    with(
        pod(json!({"volumes": [{"name": "d", "emptyDir": {}}]})),
        json!({"spec": spec}),
    )
}

#[track_caller]
fn about(seconds: f64, expected: f64) {
    let close = (expected - 0.7..expected + 1.5).contains(&seconds);
    assert!(close, "{seconds} s are about {expected} s");
}

#[test]
fn c25_a_sidecar_gates_what_follows_and_is_told_when_the_rest_is_done() {
    on_each_runtime(|host| {
        let sidecar = with(
            marking(
                "s",
                "trap 'mark term; exit 5' TERM; mark sidecar; (sleep 3; touch /tmp/up) & while :; do sleep 0.1; done",
            ),
            json!({"restartPolicy": "Always", "startupProbe": probe("test -e /tmp/up", 30)}),
        );
        let pod = host.start(&marked(json!({
            "initContainers": [sidecar, marking("i", "mark init")],
            "containers": [marking("c", "mark app; sleep 1; mark done")],
        })));
        let early = pod.until("the sidecar runs", |pod| state(pod, "s").0 == "running");
        assert_eq!(status(&early, "s")["started"], false);
        let json = pod.until_phase("Succeeded");
        pod.until("it has settled", |pod| state(pod, "s").0 == "terminated");
        let marks = Marks::of(host, &pod);
        assert_eq!(marks.order(), ["sidecar", "init", "app", "done", "term"]);
        assert!(marks.between("sidecar", "init") >= 2.9);
        assert_eq!(
            json["status"]["phase"], "Succeeded",
            "whatever the sidecar says"
        );
        assert_eq!(state(&pod.json(), "s").1["exitCode"], 5);
    });
}

#[test]
fn c26_sidecars_are_told_after_the_apps_in_reverse_order() {
    on_each_runtime(|host| {
        let trapping = |name: &str, seconds: u32| {
            let script = format!(
                "trap 'mark {name}; sleep {seconds}; mark {name}-end; exit 0' TERM; touch /d/{name}; while :; do sleep 0.1; done"
            );
            marking(name, &script)
        };
        let sidecar = |name: &str| {
            let probe = probe(&format!("test -e /d/{name}"), 30);
            with(
                trapping(name, 1),
                json!({"restartPolicy": "Always", "startupProbe": probe}),
            )
        };
        let pod = host.start(&marked(json!({
            "terminationGracePeriodSeconds": 20,
            "initContainers": [sidecar("s1"), sidecar("s2")],
            "containers": [with(trapping("c", 2), json!({"readinessProbe": probe("test -e /d/c", 1)}))],
        })));
        pod.until("the app traps", |pod| status(pod, "c")["ready"] == true);
        pod.podshim("stop", &[]).expect(0);
        let marks = Marks::of(host, &pod);
        assert_eq!(
            marks.order(),
            ["c", "c-end", "s2", "s2-end", "s1", "s1-end"]
        );
    });
}

#[test]
fn c29_a_container_that_is_not_alive_is_stopped_and_replaced() {
    on_each_runtime(|host| {
        let container = with(
            marking(
                "c",
                "trap '' TERM; mark start; sleep 5; touch /tmp/sick; mark sick; while :; do sleep 0.1; done",
            ),
            json!({"livenessProbe": probe("! test -e /tmp/sick", 3),
                "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", "read up rest </proc/uptime; echo \"hook $up\" >>/d/marks"]}}}}),
        );
        let pod = host.start(&marked(json!({
            "restartPolicy": "Always", "terminationGracePeriodSeconds": 4, "containers": [container],
        })));
        let json = pod.until_restarted("c", 1);
        let last = &status(&json, "c")["lastState"]["terminated"];
        assert_eq!(
            (&last["exitCode"], &last["reason"]),
            (&json!(137), &json!("Error"))
        );
        let events = pod.events();
        let unhealthy = events.iter().find(|event| event["reason"] == "Unhealthy");
        let text = unhealthy.expect("an event")["message"]
            .as_str()
            .expect("text");
        assert!(
            text.starts_with("Liveness probe failed: command exited with 1"),
            "{text}"
        );
        pod.until("the next one runs", |pod| state(pod, "c").0 == "running");
        let marks = Marks::of(host, &pod);
        assert_eq!(marks.order()[..3], ["start", "sick", "hook"]);
        // The third failure comes two periods after the first, which comes within one of the illness.
        let sick = marks.between("sick", "hook");
        assert!((1.8..4.5).contains(&sick), "{sick}");
    });
}

#[test]
fn c30_startup_comes_first_and_gives_up() {
    on_each_runtime(|host| {
        let container = with(
            marking("c", "mark start; sleep 1000"),
            json!({"startupProbe": probe("exit 1", 3), "livenessProbe": probe("echo alive >>/d/alive; exit 1", 1)}),
        );
        let pod = host.start(&marked(
            json!({"restartPolicy": "Always", "containers": [container]}),
        ));
        pod.until_restarted("c", 1);
        let data = host.path("data").join("pods").join(&pod.uid);
        let marks = walk(&data).expect("the marks are on a volume");
        assert!(
            !marks.with_file_name("alive").exists(),
            "liveness waits for startup"
        );
    });
}

#[test]
fn c30_readiness_follows_a_file() {
    on_each_runtime(|host| {
        let container = with(
            sh("c", "sleep 1000"),
            json!({"readinessProbe": probe("test -e /tmp/ready", 1)}),
        );
        let pod = host.start(&pod(
            json!({"containers": [container, sh("other", "sleep 1000")]}),
        ));
        pod.until_running();
        let conditions = |json: &Value| {
            let all = json["status"]["conditions"]
                .as_array()
                .expect("a list")
                .clone();
            let of = |kind: &str| {
                let one = all.iter().find(|c| c["type"] == kind).expect("shown");
                (one["status"].clone(), one["message"].clone())
            };
            assert_eq!(of("Ready"), of("ContainersReady"));
            of("Ready")
        };
        let text = json!("containers with unready status: [c]");
        assert_eq!(conditions(&pod.json()), (json!("False"), text));
        for (script, ready) in [("touch /tmp/ready", true), ("rm /tmp/ready", false)] {
            pod.exec("c", script).expect(0);
            let json = pod.until(script, |pod| status(pod, "c")["ready"] == ready);
            let expected = if ready { "True" } else { "False" };
            assert_eq!(conditions(&json).0, expected);
            assert_eq!(status(&json, "c")["restartCount"], 0);
        }
    });
}

#[test]
fn c31_the_stop_signal_waits_for_the_hook_within_the_grace() {
    on_each_runtime(|host| {
        for (sleep, term, kill) in [(3, 3.0, 5.0), (60, 5.0, 7.0)] {
            let script =
                format!("read up rest </proc/uptime; echo \"hook $up\" >>/d/marks; sleep {sleep}");
            let container = with(
                marking(
                    "c",
                    "trap 'mark term' TERM; touch /d/up; while :; do mark alive; sleep 0.1; done",
                ),
                json!({"lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", script]}}},
                    "readinessProbe": probe("test -e /d/up", 1)}),
            );
            let manifest =
                marked(json!({"terminationGracePeriodSeconds": 5, "containers": [container]}));
            let name = format!("p{sleep}");
            let pod = host.start(&with(manifest, json!({"metadata": {"name": name}})));
            pod.until("it traps", |pod| status(pod, "c")["ready"] == true);
            pod.podshim("stop", &[]).expect(0);
            let mut marks = Marks::of(host, &pod);
            let (_, last) = marks.0.pop().expect("it lived");
            marks.0.push(("end".into(), last));
            about(marks.between("hook", "term"), term);
            about(marks.between("hook", "end"), kill);
            assert_eq!(state(&pod.json(), "c").1["exitCode"], 137);
        }
    });
}

#[test]
fn c34_a_failed_start_hook_stops_the_container() {
    on_each_runtime(|host| {
        let hook = json!({"lifecycle": {"postStart": {"exec": {"command": ["sh", "-c", "echo no >&2; exit 1"]}}}});
        let pod = host.start(&pod(
            json!({"containers": [with(sh("c", "sleep 1000"), hook)]}),
        ));
        pod.until_phase("Failed");
        let events = pod.events();
        let failed = events
            .iter()
            .find(|event| event["reason"] == "FailedPostStartHook");
        assert_eq!(
            failed.expect("an event")["message"],
            "command exited with 1: no"
        );
        assert_eq!(state(&pod.json(), "c").1["exitCode"], 137);
    });
}

#[test]
fn c34_the_next_container_starts_after_the_hook() {
    on_each_runtime(|host| {
        let hook = json!({"lifecycle": {"postStart": {"sleep": {"seconds": 3}}}});
        let pod = host.start(&marked(json!({
            "terminationGracePeriodSeconds": 3,
            "containers": [with(marking("a", "mark a; sleep 1000"), hook), marking("b", "mark b; sleep 1000")],
        })));
        let early = pod.until("the first waits", |pod| state(pod, "a").0 == "waiting");
        assert_eq!(state(&early, "a").1["reason"], "ContainerCreating");
        assert_eq!(early["status"]["phase"], "Pending");
        pod.until_running();
        let marks = Marks::of(host, &pod);
        about(marks.between("a", "b"), 3.0);
    });
}

#[test]
fn probes_reach_servers_that_have_no_shell_beside_them() {
    on_each_runtime(|host| {
        let server = with(
            sh(
                "web",
                "mkdir /www; echo ok >/www/ready; httpd -f -p 8080 -h /www",
            ),
            json!({
                "ports": [{"name": "http", "containerPort": 8080}],
                "startupProbe": {"tcpSocket": {"port": "http"}, "periodSeconds": 1},
                "readinessProbe": {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 1},
            }),
        );
        let missing = with(
            sh("other", "sleep 1000"),
            json!({"readinessProbe": {"httpGet": {"path": "/nothing", "port": 8080}, "periodSeconds": 1}}),
        );
        let pod = host.start(&pod(json!({"containers": [server, missing]})));
        let json = pod.until("the server is ready", |pod| {
            status(pod, "web")["ready"] == true
        });
        assert_eq!(status(&json, "other")["ready"], false, "404 is no success");
        pod.exec("web", "rm /www/ready").expect(0);
        pod.until("it is not any more", |pod| {
            status(pod, "web")["ready"] == false
        });
    });
}

#[test]
fn a_probe_that_takes_too_long_fails_and_leaves_nothing() {
    on_each_runtime(|host| {
        let slow = json!({"exec": {"command": ["sh", "-c", "sleep 777"]}, "periodSeconds": 1, "timeoutSeconds": 1});
        let container = with(sh("c", "sleep 1000"), json!({"readinessProbe": slow}));
        let pod = host.start(&pod(json!({"containers": [container]})));
        pod.until("it timed out", |_| {
            let events = pod.events();
            events.iter().any(|event| {
                event["message"] == "Readiness probe failed: command timed out after 1 s"
            })
        });
        // Never more than the one that runs now.
        let sleeping = pod.exec("c", "ps | grep '[s]leep 777' | wc -l").word();
        assert!(
            sleeping.parse::<u32>().expect("a number") <= 2,
            "{sleeping}"
        );
    });
}

#[test]
fn an_exit_code_may_start_all_containers_again_in_the_same_sandbox() {
    on_each_runtime(|host| {
        let trigger = with(
            marking(
                "c",
                "test -e /d/again && sleep 1000; touch /d/again; sleep 2; exit 42",
            ),
            json!({"restartPolicy": "Never", "restartPolicyRules": [
                {"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [42]}}]}),
        );
        let pod = host.start(&marked(json!({
            "initContainers": [marking("i", "mark init")],
            "containers": [trigger, marking("other", "trap 'exit 0' TERM; while :; do sleep 0.1; done")],
        })));
        pod.until_running();
        let pause = pod.pause();
        let json = pod.until("all run again", |pod| {
            let again = |name: &str| {
                state(pod, name).0 == "running" && status(pod, name)["restartCount"] == 1
            };
            again("c") && again("other")
        });
        assert_eq!(pod.pause(), pause, "the same sandbox");
        assert_eq!(status(&json, "i")["restartCount"], 1);
        let last = |name: &str| status(&json, name)["lastState"]["terminated"].clone();
        assert_eq!(last("c")["exitCode"], 42);
        let other = last("other");
        assert_eq!(
            (&other["exitCode"], &other["reason"]),
            (&json!(137), &json!("RestartingAllContainers"))
        );
        assert_eq!(Marks::of(host, &pod).order(), ["init", "init"]);
    });
}

#[test]
fn a_stopped_pod_is_not_ready_from_the_first_instant() {
    on_each_runtime(|host| {
        let container = sh("c", "trap '' TERM; while :; do sleep 0.1; done");
        let pod = host.start(&pod(json!({"containers": [container]})));
        pod.until_running();
        let stop = host.background(["stop", pod.name.as_str()]);
        let json = pod.until("it is being stopped", |pod| {
            pod["metadata"]["deletionTimestamp"].is_string()
        });
        let conditions = json["status"]["conditions"].as_array().expect("a list");
        let ready = conditions.iter().find(|c| c["type"] == "Ready");
        assert_eq!(ready.expect("shown")["status"], "False");
        stop.wait().expect(0);
        pod.until_phase("Failed");
    });
}
