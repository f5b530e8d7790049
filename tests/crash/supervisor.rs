//! The supervisor dies, its keeper lives.

use super::processes::{Life, assert_counted, contents, counter};
use crate::support::{Pod, on_each_runtime, pod, sh, state, status, until};
use serde_json::json;

/// Waits until a container has said this many lines.
#[track_caller]
fn until_lines(pod: &Pod, container: &str, lines: usize) {
    until(30, "it has said more", || {
        let said = std::fs::read_to_string(pod.log_file(container, 0)).unwrap_or_default();
        let count = said.lines().count();
        if count >= lines {
            Ok(())
        } else {
            Err(format!("{count} lines"))
        }
    });
}

#[test]
fn a_running_pod_does_not_notice_the_death_of_its_supervisor() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [counter("a"), counter("b")]})));
        pod.until_running();
        let pids = [pod.pid("a"), pod.pid("b"), pod.pause()];
        let keeper = Life::Keeper.of(&pod);
        for round in 1..=3 {
            let dead = Life::Supervisor.kill_of(&pod);
            Life::Supervisor.of_but(&pod, dead);
            until_lines(&pod, "a", 50 * round);
            until_lines(&pod, "b", 50 * round);
        }
        assert_eq!([pod.pid("a"), pod.pid("b"), pod.pause()], pids);
        assert_eq!(Life::Keeper.of(&pod), keeper);
        let json = pod.until_running();
        assert_eq!(json["status"]["phase"], "Running");
        for container in ["a", "b"] {
            assert_eq!(status(&json, container)["restartCount"], 0);
        }
        pod.podshim("stop", &[]).expect(0);
        let json = pod.json();
        assert_eq!(json["status"]["phase"], "Succeeded");
        for container in ["a", "b"] {
            assert_eq!(state(&json, container).1["exitCode"], 0);
            assert!(assert_counted(&pod.log(container, 0)) > 100);
        }
    });
}

#[test]
fn what_ends_while_no_supervisor_lives_is_told_to_the_last_word() {
    on_each_runtime(|host| {
        let script = "until [ -e /d/go ]; do sleep 0.01; done; echo last words; printf farewell \
                      >/dev/termination-log; exit 7";
        let directory = host.path("shared");
        std::fs::create_dir(&directory).expect("a directory of ours");
        let mut c = sh("c", script);
        c["volumeMounts"] = json!([{"name": "d", "mountPath": "/d"}]);
        let pod = host.start(&pod(json!({
            "containers": [c],
            "volumes": [{"name": "d", "hostPath": {"path": directory}}],
        })));
        pod.until_running();
        let pid = pod.pid("c");
        // The second and later deaths are followed by a pause: in it the container ends.
        let mut dead = 0;
        for _ in 0..4 {
            dead = Life::Supervisor.of_but(&pod, dead);
            super::processes::kill_now(dead);
        }
        std::fs::write(directory.join("go"), "").expect("a file of ours");
        until(10, "it has ended", || {
            match std::path::Path::new(&format!("/proc/{pid}")).exists() {
                true => Err("it lives".to_owned()),
                false => Ok(()),
            }
        });
        assert_eq!(Life::Supervisor.of(&pod), None, "it ended unsupervised");
        pod.until_phase("Failed");
        let json = pod.json();
        let (kind, detail) = state(&json, "c");
        assert_eq!(
            (kind, &detail["exitCode"], &detail["message"]),
            ("terminated", &json!(7), &json!("farewell"))
        );
        assert_eq!(contents(&pod.log("c", 0)), "last words\n");
    });
}
