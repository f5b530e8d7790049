//! What is written of a pod is spoiled on its disk.

use super::processes::{Life, assert_counted, counter};
use crate::support::{Pod, on_each_runtime, pod, proc_file, status, until};
use serde_json::json;
use std::path::PathBuf;

fn snapshots(state: PathBuf, pod: &Pod) -> [PathBuf; 2] {
    let dir = state.join("pods").join(&pod.uid);
    ["snapshot.json", "snapshot.before.json"].map(|name| dir.join(name))
}

#[test]
fn a_spoiled_snapshot_is_made_good_by_the_one_before() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [counter("a"), counter("b")]})));
        pod.until_running();
        let pids = [pod.pid("a"), pod.pid("b"), pod.pause()];
        let [last, _] = snapshots(host.path("state"), &pod);
        std::fs::write(last, "{\"format\": 1, \"boot").expect("a file of ours");
        let dead = Life::Supervisor.kill_of(&pod);
        Life::Supervisor.of_but(&pod, dead);
        pod.until_running();
        assert_eq!([pod.pid("a"), pod.pid("b"), pod.pause()], pids);
        pod.podshim("stop", &[]).expect(0);
        let json = pod.json();
        for container in ["a", "b"] {
            assert_eq!(status(&json, container)["restartCount"], 0);
            assert_counted(&pod.log(container, 0));
        }
    });
}

/// Nothing is known of the pod any more, which is said once; the containers run on.
#[track_caller]
fn given_up(pod: &Pod, state: PathBuf, spoil: &str) {
    let container = pod.pid("a");
    for path in snapshots(state.clone(), pod) {
        std::fs::write(path, spoil).expect("a file of ours");
    }
    let log = state.join("pods").join(&pod.uid).join("supervisor.log");
    let errors = || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        text.lines().filter(|l| l.starts_with("error: ")).count()
    };
    Life::Supervisor.kill_of(pod);
    until(30, "it gives up", || {
        match (errors(), Life::Supervisor.of(pod)) {
            (1, None) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    });
    // Longer than its first pauses between two tries.
    std::thread::sleep(std::time::Duration::from_secs(1));
    assert_eq!(errors(), 1, "once");
    assert!(Life::Keeper.of(pod).is_some(), "it holds the output");
    assert!(!proc_file(container, "stat").contains(") Z "), "it runs");
}

#[test]
fn a_pod_of_which_nothing_can_be_read_is_left_in_peace_until_it_is_deleted_by_force() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [counter("a")]})));
        pod.until_running();
        given_up(&pod, host.path("state"), "nonsense");
        for verb in ["get", "stop", "delete"] {
            let ran = pod.podshim(verb, &[]).expect(1);
            assert!(ran.stderr.contains("snapshot.json"), "{}", ran.stderr);
            assert!(
                ran.stderr.contains("hint: ") && ran.stderr.contains("--force"),
                "{}",
                ran.stderr
            );
        }
        pod.podshim("delete", &["--force"]).expect(0);
        host.assert_nothing_left();
    });
}

#[test]
fn a_snapshot_of_another_format_is_said_to_be_one() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [counter("a")]})));
        pod.until_running();
        given_up(&pod, host.path("state"), "{\"format\": 99}");
        let ran = pod.podshim("get", &[]).expect(1);
        assert!(ran.stderr.contains("format 99"), "{}", ran.stderr);
        host.podshim(["delete", "--all", "--force"]).expect(0);
        host.assert_nothing_left();
    });
}

#[test]
fn a_keeper_that_has_given_up_goes_on_when_the_snapshot_is_back() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [counter("a")]})));
        pod.until_running();
        let [last, _] = snapshots(host.path("state"), &pod);
        let good = std::fs::read(&last).expect("a snapshot");
        given_up(&pod, host.path("state"), "nonsense");
        std::fs::write(&last, good).expect("a file of ours");
        pod.podshim("stop", &[]).expect(0);
        assert_counted(&pod.log("a", 0));
        assert_eq!(status(&pod.json(), "a")["restartCount"], 0);
    });
}
