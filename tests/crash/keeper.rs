//! The keeper dies, alone or with its supervisor.

use super::processes::{Life, assert_counted, counter, kill_both};
use crate::support::{on_each_runtime, pod, sh, state, status, until, with};
use serde_json::json;

/// A container that says nothing, and ends with 7 when it is asked to.
fn quiet() -> serde_json::Value {
    sh("quiet", "trap 'exit 7' TERM; while :; do sleep 0.05; done")
}

#[test]
fn a_supervisor_without_its_keeper_leads_the_pod_to_its_end() {
    on_each_runtime(|host| {
        let mut again = sh("again", "trap 'exit 5' TERM; while :; do sleep 0.05; done");
        again["lifecycle"] = json!(null);
        let pod = host.start(&pod(json!({
            "restartPolicy": "OnFailure",
            "containers": [counter("a"), quiet(), again],
        })));
        pod.until_running();
        let (pids, supervisor) = ([pod.pid("a"), pod.pid("quiet")], Life::Supervisor.of(&pod));
        Life::Keeper.kill_of(&pod);
        pod.podshim("kill", &["-c", "again", "-s", "TERM"])
            .expect(0);
        let json = pod.until_restarted("again", 1);
        assert_eq!([pod.pid("a"), pod.pid("quiet")], pids);
        assert_eq!(
            Life::Supervisor.of(&pod),
            supervisor,
            "nobody took its place"
        );
        assert_eq!(Life::Keeper.of(&pod), None);
        let before = &status(&json, "again")["lastState"]["terminated"]["exitCode"];
        assert!(
            *before == 5 || *before == 137,
            "as it was or unknown: {before}"
        );
        pod.podshim("stop", &[]).expect(0);
        let json = pod.json();
        let (_, detail) = state(&json, "quiet");
        assert!(
            detail["exitCode"] == 7
                || (detail["exitCode"] == 137 && detail["reason"] == "ContainerStatusUnknown"),
            "as it was or unknown: {detail}"
        );
        assert_counted(&pod.log("a", 0));
    });
}

#[test]
fn after_keeper_and_supervisor_died_a_new_keeper_takes_the_containers_over() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(
            json!({"containers": [quiet(), sh("b", "sleep 1000")]}),
        ));
        pod.until_running();
        let pids = [pod.pid("quiet"), pod.pid("b"), pod.pause()];
        Life::Keeper.kill_of(&pod);
        Life::Supervisor.kill_of(&pod);
        assert_eq!(pod.json()["status"]["phase"], "Running", "files are enough");
        assert_eq!([pod.pid("quiet"), pod.pid("b"), pod.pause()], pids);
        assert_eq!(Life::Keeper.of(&pod), None, "looking starts nothing");
        pod.podshim("wait", &["--for", "phase=Running"]).expect(0);
        assert!(Life::Keeper.of(&pod).is_some());
        let json = pod.until_running();
        assert_eq!([pod.pid("quiet"), pod.pid("b"), pod.pause()], pids);
        assert_eq!(status(&json, "quiet")["restartCount"], 0);
        pod.podshim("stop", &[]).expect(0);
        let json = pod.json();
        let (_, detail) = state(&json, "quiet");
        assert!(
            detail["exitCode"] == 7
                || (detail["exitCode"] == 137 && detail["reason"] == "ContainerStatusUnknown"),
            "as it was or unknown: {detail}"
        );
    });
}

#[test]
fn no_line_is_lost_when_keeper_and_supervisor_die_together() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [counter("a"), counter("b")]})));
        pod.until_running();
        let pids = [pod.pid("a"), pod.pid("b"), pod.pause()];
        for round in 0..3 {
            kill_both(&pod);
            let written = || proc_bytes(pids[0]);
            let before = written();
            until(
                10,
                "it goes on writing while nobody reads",
                || match written() {
                    now if now > before + 2000 => Ok(()),
                    now => Err(format!("{now} after {before} in round {round}")),
                },
            );
            pod.podshim("wait", &["--for", "phase=Running"]).expect(0);
        }
        assert_eq!([pod.pid("a"), pod.pid("b"), pod.pause()], pids);
        // What was found is kept by the new keeper: its supervisor may die like any other.
        let dead = Life::Supervisor.kill_of(&pod);
        Life::Supervisor.of_but(&pod, dead);
        pod.podshim("stop", &[]).expect(0);
        for container in ["a", "b"] {
            assert!(assert_counted(&pod.log(container, 0)) > 100);
            assert_eq!(status(&pod.json(), container)["restartCount"], 0);
        }
        let events = pod.events();
        let told = events.iter().filter(|event| event["reason"] == "Recovered");
        let told: Vec<_> = told.map(|event| &event["container"]).collect();
        assert!(
            !told.is_empty() && told.iter().all(|c| c.is_null()),
            "{events:#?}"
        );
    });
}

/// Bytes that a process has written since it began. Source: proc_pid_io(5).
fn proc_bytes(pid: i32) -> u64 {
    let io = crate::support::proc_file(pid, "io");
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: "));
    line.and_then(|n| n.parse().ok()).unwrap_or(0)
}

#[test]
fn a_terminal_that_died_with_keeper_and_supervisor_is_said_to_be_lost() {
    on_each_runtime(|host| {
        let script = "trap '' HUP; echo up; while :; do sleep 0.05; done";
        let tty = with(sh("t", script), json!({"tty": true}));
        let pod = host.start(&pod(json!({"containers": [tty, quiet()]})));
        pod.until_running();
        until(10, "it ignores a hangup", || {
            let said = super::processes::contents(&pod.log("t", 0));
            if said.contains("up") {
                Ok(())
            } else {
                Err(said)
            }
        });
        let pid = pod.pid("t");
        kill_both(&pod);
        pod.podshim("wait", &["--for", "phase=Running"]).expect(0);
        assert_eq!(pod.pid("t"), pid);
        until(10, "it is said", || {
            let told = pod.events();
            let lost = told
                .iter()
                .find(|e| e["reason"] == "Recovered" && e["container"] == "t");
            let message = lost.and_then(|e| e["message"].as_str()).unwrap_or("");
            match message.contains("is lost") {
                true => Ok(()),
                false => Err(format!("{told:#?}")),
            }
        });
        pod.podshim("stop", &["--grace-period", "0"]).expect(0);
    });
}

#[test]
fn what_is_in_memory_is_still_shared_after_keeper_and_supervisor_died() {
    on_each_runtime(|host| {
        let mounts = json!({"volumeMounts": [{"name": "m", "mountPath": "/m"}]});
        let trap = "trap 'exit 1' TERM; while :; do sleep 0.05; done";
        let writer = format!("echo shared >/m/file; echo shared >/dev/shm/file; {trap}");
        let reader = format!("cat /m/file /dev/shm/file; {trap}");
        let pod = host.start(&pod(json!({
            "restartPolicy": "Always",
            "volumes": [{"name": "m", "emptyDir": {"medium": "Memory"}}],
            "containers": [with(sh("w", &writer), mounts.clone()), with(sh("r", &reader), mounts)],
        })));
        pod.until_running();
        kill_both(&pod);
        pod.podshim("kill", &["-c", "r", "-s", "KILL"]).expect(0);
        pod.until_restarted("r", 1);
        until(
            10,
            "it has read both",
            || match super::processes::contents(&pod.log("r", 1)) {
                text if text == "shared\nshared\n" => Ok(()),
                text => Err(text),
            },
        );
    });
}
