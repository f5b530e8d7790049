//! What keeps a sandbox from being up, or gone: `run -d` returns and says it, `get` and `events` show it, `delete` works.

use super::faulty::{Faulty, events, sandbox};
use crate::support::{
    Background, Host, Pod, instance_pids, life_of, on_each_runtime, pod, sh, state, status, until,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
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
fn a_sandbox_that_fails_when_containers_have_joined_it_counts_for_none_of_them() {
    on_each_runtime(|host| {
        pause_fails(host, "create", "done-die", "died of SIGKILL");
        let now = host.pod("p").json();
        assert_eq!(status(&now, "c")["restartCount"], 0, "{now}");
        assert_eq!(events(&host.pod("p"), "Started").len(), 1);
    });
}

/// A pod whose container has been created while the runtime is not through with pause, and is not going to be.
fn half_made<'h>(host: &'h Host, faulty: &Faulty) -> (Pod<'h>, Background) {
    faulty.fault("create.pause", "late");
    let run = faulty.background(&sleeper(), "600");
    faulty.has_started();
    let pod = host.pod("p");
    until(10, "the container is created", || {
        match events(&pod, "Created").len() {
            1 => Ok(()),
            n => Err(n.to_string()),
        }
    });
    assert_eq!(state(&pod.json(), "c").1["reason"], "ContainerCreating");
    (pod, run)
}

#[test]
fn a_container_is_created_before_the_runtime_is_through_with_the_sandbox_and_started_after_it() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        let (pod, run) = half_made(host, &faulty);
        let before = instance_pids(&pod.uid, "c-0");
        faulty.let_go();
        run.wait().expect(0);
        let now = pod.until_running();
        assert_eq!(status(&now, "c")["restartCount"], 0, "{now}");
        assert!(before.contains(&pod.pid("c")), "{before:?}");
        assert_eq!(
            pod.exec("c", "readlink /proc/1/exe").expect(0).stdout,
            "/bin/busybox\n"
        );
    });
}

#[test]
fn a_supervisor_that_is_killed_before_the_sandbox_is_whole_starts_each_container_once() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        let (pod, run) = half_made(host, &faulty);
        let supervisor = life_of("__supervisor", &pod.uid).expect("it has one");
        kill(Pid::from_raw(supervisor), Signal::SIGKILL).expect("it is ours");
        faulty.let_go();
        run.wait().expect(0);
        let now = pod.until_running();
        assert_eq!(status(&now, "c")["restartCount"], 0, "{now}");
        assert_eq!(events(&pod, "Started").len(), 1);
    });
}

#[test]
fn a_pod_is_deleted_by_force_before_its_sandbox_is_whole() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        let (pod, mut run) = half_made(host, &faulty);
        pod.podshim("delete", &["--force"]).expect(0);
        run.stop();
    });
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
