//! The keeper dies, alone or with its supervisor.

use super::processes::{Life, assert_counted, counter};
use crate::support::{on_each_runtime, pod, sh, state, status};
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
