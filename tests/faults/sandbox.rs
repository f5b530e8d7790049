//! What keeps a sandbox from being up, or gone: `run -d` returns and says it, `get` and `events` show it, `delete` works.

use super::faulty::{Faulty, events, sandbox};
use crate::support::{Host, on_each_runtime, pod, sh};
use serde_json::{Value, json};

fn sleeper() -> Value {
    pod(json!({"containers": [sh("c", "sleep 1000")]}))
}

/// Pause fails so, which is said like this; healed, it comes up at the next try.
fn pause_fails(host: &Host, verb: &str, fault: &str, says: &str) {
    let faulty = Faulty::new(host);
    faulty.fault(&format!("{verb}.pause"), fault);
    let (pod, ran) = faulty.start(&sleeper());
    assert!(
        ran.stderr.contains("FailedCreatePodSandBox"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    let [status, reason, message] = sandbox(&pod.json());
    assert_eq!(
        (status.as_str(), reason.as_str()),
        ("False", "FailedCreatePodSandBox")
    );
    assert!(message.contains(says), "{message}");
    let told = events(&pod, "FailedCreatePodSandBox");
    assert!(told[0].contains(says), "{told:?}");
    faulty.heal(&format!("{verb}.pause"));
    let now = pod.until_running();
    assert_eq!(sandbox(&now), ["True", "", ""]);
}

#[test]
fn a_sandbox_that_the_runtime_refuses_is_said_and_comes_up_when_it_is_mended() {
    on_each_runtime(|host| pause_fails(host, "create", "log-error", "no such thing"));
}

#[test]
fn a_sandbox_whose_start_hangs_is_said_and_comes_up_when_it_is_mended() {
    on_each_runtime(|host| pause_fails(host, "start", "hang", "cannot wait longer than 1s"));
}

#[test]
fn a_pod_whose_sandbox_never_came_up_can_be_stopped_and_deleted() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        faulty.fault("create", "done-hang");
        let (pod, ran) = faulty.start(&sleeper());
        assert!(
            ran.stderr.contains("cannot wait longer than 1s"),
            "{}",
            ran.stderr
        );
        pod.podshim("stop", &[]).expect(0);
        pod.podshim("delete", &[]).expect(0);
    });
}
