//! A runtime that hangs, dies, lies or refuses, for one container.

use super::faulty::{Faulty, events};
use crate::support::{
    Background, Host, Pod, instance_pids, life_of, on_each_runtime, pod, proc_file, sh, state,
    status, until, with,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

fn one(script: &str) -> Value {
    pod(json!({"containers": [sh("c", script)]}))
}

/// The end of container `c` of a pod that never restarts, when its runtime failed: 128 and StartError, and nothing is left but
/// what can be asked. Gives the message.
#[track_caller]
fn start_error(pod: &Pod<'_>) -> String {
    pod.until_phase("Failed");
    let end = pod.until_terminated("c");
    assert_eq!(end["reason"], "StartError", "{end}");
    assert_eq!(end["exitCode"], 128, "{end}");
    let message = end["message"].as_str().unwrap_or("").to_owned();
    let told = events(pod, "Failed");
    assert!(told.iter().any(|text| text.contains(&message)), "{told:?}");
    message
}

/// Every way of a verb to go wrong ends in a start error that says this.
fn fails(host: &Host, verb: &str, fault: &str, says: &str) {
    let faulty = Faulty::new(host);
    faulty.fault(&format!("{verb}.c"), fault);
    let (pod, ran) = faulty.start(&one("sleep 1000"));
    let message = start_error(&pod);
    assert!(message.contains(says), "{message}");
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    pod.podshim("stop", &[]).expect(0);
    pod.podshim("delete", &[]).expect(0);
}

#[test]
fn a_create_that_hangs_is_given_up_at_its_deadline() {
    on_each_runtime(|host| fails(host, "create", "hang", "cannot wait longer than 1s"));
}

#[test]
fn what_a_hung_create_has_started_elsewhere_goes_with_the_pod() {
    on_each_runtime(|host| fails(host, "create", "hang-away", "cannot wait longer than 1s"));
}

#[test]
fn a_container_whose_create_never_answers_is_removed() {
    on_each_runtime(|host| fails(host, "create", "done-hang", "cannot wait longer than 1s"));
}

#[test]
fn a_stopped_runtime_is_given_up_at_its_deadline() {
    on_each_runtime(|host| fails(host, "create", "stop", "cannot wait longer than 1s"));
}

#[test]
fn a_create_that_dies_of_a_signal_is_said_to() {
    on_each_runtime(|host| fails(host, "create", "die", "died of SIGKILL"));
}

#[test]
fn a_container_whose_create_died_is_removed() {
    on_each_runtime(|host| fails(host, "create", "done-die", "died of SIGKILL"));
}

#[test]
fn a_create_without_a_pid_file_is_not_believed() {
    on_each_runtime(|host| fails(host, "create", "pid-lost", "pid file"));
}

#[test]
fn a_pid_file_of_garbage_is_not_believed() {
    on_each_runtime(|host| fails(host, "create", "pid-garbage", "pid file"));
}

#[test]
fn a_refusal_is_shown_in_the_runtimes_own_words() {
    on_each_runtime(|host| fails(host, "create", "log-error", "no such thing"));
}

#[test]
fn a_log_of_garbage_leaves_the_exit_code() {
    on_each_runtime(|host| fails(host, "create", "log-garbage", "exit code 3"));
}

#[test]
fn a_start_that_hangs_is_given_up_at_its_deadline() {
    on_each_runtime(|host| fails(host, "start", "hang", "cannot wait longer than 1s"));
}

#[test]
fn a_container_whose_start_never_answers_is_removed() {
    on_each_runtime(|host| fails(host, "start", "done-hang", "cannot wait longer than 1s"));
}

#[test]
fn a_start_that_is_refused_is_shown_in_the_runtimes_own_words() {
    on_each_runtime(|host| fails(host, "start", "log-error", "no such thing"));
}

#[test]
fn a_missing_entrypoint_is_a_start_error_with_the_runtimes_reason() {
    on_each_runtime(|host| {
        let missing = json!({"command": ["/no/such/program"]});
        let container = with(sh("c", ""), missing);
        let pod = host.start(&pod(json!({"containers": [container]})));
        let message = start_error(&pod);
        assert!(message.contains("/no/such/program"), "{message}");
    });
}

#[test]
fn an_end_that_overtakes_the_answer_of_start_is_that_of_the_container() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        faulty.fault("start.c", "late");
        let run = faulty.background(&one("echo out; exit 7"), "600");
        faulty.has_started();
        let pod = host.pod("p");
        until(30, "its process is gone", || {
            match instance_pids(&pod.uid, "c-0").len() {
                0 => Ok(()),
                n => Err(n.to_string()),
            }
        });
        faulty.let_go();
        run.wait().expect(0);
        pod.until_phase("Failed");
        let end = pod.until_terminated("c");
        assert_eq!(end["exitCode"], 7, "{end}");
        assert_eq!(end["reason"], "Error", "{end}");
        assert_eq!(pod.output("c"), "out\n");
    });
}

#[test]
fn a_create_that_fails_once_is_a_restart() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        faulty.fault("create.c", "log-error once");
        let always = json!({"spec": {"restartPolicy": "Always"}});
        let (pod, _) = faulty.start(&with(one("sleep 1000"), always));
        let now = pod.until_restarted("c", 1);
        let last = &status(&now, "c")["lastState"]["terminated"];
        assert_eq!(last["reason"], "StartError", "{last}");
        assert_eq!(last["exitCode"], 128, "{last}");
        assert_eq!(last["message"], "no such thing", "{last}");
    });
}

#[test]
fn a_runtime_that_sends_no_terminal_ends_the_exec_that_wanted_one() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        let (pod, _) = faulty.start(&one("sleep 1000"));
        pod.until_running();
        faulty.fault("exec", "log-error");
        // It is not waited for as long as one could come, nor for ever: one in five did when the waiting thread took signals.
        for _ in 0..30 {
            pod.podshim("exec", &["-t", "-c", "c", "--", "true"])
                .expect(126);
        }
        faulty.heal("exec");
        pod.podshim("exec", &["-t", "-c", "c", "--", "sh", "-c", "exit 3"])
            .expect(3);
        pod.podshim("delete", &["--force"]).expect(0);
    });
}

#[test]
fn a_signal_for_a_command_that_runs_before_its_runtime_has_gone_reaches_the_command() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        let (pod, _) = faulty.start(&one("sleep 1000"));
        pod.until_running();
        faulty.fault("exec", "late");
        let script = "trap 'echo caught; exit 9' INT; echo ready; while true; do sleep 0.1; done";
        let signal = |exec: &Background, signal| {
            kill(Pid::from_raw(exec.pid()), signal).expect("it lives");
        };
        let before = instance_pids(&pod.uid, "c-0");
        let begin = || {
            let exec = host.background(["exec", "p", "-c", "c", "--", "sh", "-c", script]);
            faulty.has_started();
            until(10, "it runs", || match exec.stdout() {
                text if text == "ready\n" => Ok(()),
                text => Err(text),
            });
            signal(&exec, Signal::SIGINT);
            exec
        };
        let exec = begin();
        faulty.let_go();
        assert_eq!(exec.wait().expect(9).stdout, "ready\ncaught\n");
        // A second one is for the runtime, and what it began ends with it.
        let exec = begin();
        signal(&exec, Signal::SIGTERM);
        assert_eq!(exec.wait().expect(126).stdout, "ready\n");
        assert_eq!(instance_pids(&pod.uid, "c-0"), before);
        faulty.heal("exec");
    });
}

#[test]
fn a_delete_that_hangs_does_not_keep_a_pod_from_its_end() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        // One that nobody knows is asked to delete: it may keep more than files.
        faulty.fault("version", "renamed");
        let (pod, _) = faulty.start(&one("sleep 1000"));
        pod.until_running();
        faulty.fault("delete", "hang");
        pod.podshim("stop", &["--grace-period", "0"]).expect(0);
        assert_eq!(pod.until_terminated("c")["exitCode"], 137);
        assert!(faulty.pids().is_ok(), "it was asked");
        pod.podshim("delete", &[]).expect(0);
    });
}

#[test]
fn a_pod_is_deleted_without_its_runtime() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        let (pod, _) = faulty.start(&one("sleep 1000"));
        pod.until_running();
        std::fs::remove_file(faulty.program()).expect("a link of ours");
        pod.podshim("delete", &["--grace-period", "0"]).expect(0);
    });
}

#[test]
fn a_runtime_that_goes_after_the_sandbox_is_named() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        let always = json!({"spec": {"restartPolicy": "Always"}});
        let (pod, _) = faulty.start(&with(one("sleep 1000"), always));
        pod.until_running();
        std::fs::remove_file(faulty.program()).expect("a link of ours");
        kill(Pid::from_raw(pod.pid("c")), Signal::SIGKILL).expect("it runs");
        let now = pod.until("the next start is refused", |pod| {
            status(pod, "c")["lastState"]["terminated"]["reason"] == "StartError"
        });
        let last = &status(&now, "c")["lastState"]["terminated"];
        let message = last["message"].as_str().unwrap_or("");
        assert!(
            message.contains("cannot run") && message.contains("No such file"),
            "{last}"
        );
    });
}

#[test]
fn a_call_that_never_returns_delays_nobody_else() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        faulty.fault("create.a", "hang");
        let two = pod(json!({"containers": [sh("a", "sleep 1000"), sh("b", "exit 5")]}));
        let run = faulty.background(&two, "600");
        let hung = until(30, "the create of a hangs", || faulty.pids());
        let pod = host.pod("p");
        assert_eq!(
            pod.until_terminated("b")["exitCode"],
            5,
            "b has come and gone"
        );
        let now = pod.json();
        assert_eq!(state(&now, "a").1["reason"], "ContainerCreating");
        assert!(!proc_file(hung[0], "stat").is_empty(), "a still hangs");
        kill(Pid::from_raw(hung[0]), Signal::SIGKILL).expect("it hangs");
        assert_eq!(pod.until_terminated("a")["reason"], "StartError");
        run.wait().expect(0);
    });
}

#[test]
fn a_forced_delete_does_not_wait_for_a_create_in_flight() {
    on_each_runtime(|host| {
        let faulty = Faulty::new(host);
        faulty.fault("create.c", "hang");
        let mut run = faulty.background(&one("sleep 1000"), "600");
        until(30, "the create hangs", || faulty.pids());
        let pod = host.pod("p");
        // A command of the tests ends within a minute, the create after ten.
        pod.podshim("delete", &["--force"]).expect(0);
        run.stop();
    });
}

#[test]
fn a_forced_delete_does_without_a_supervisor_that_is_stopped() {
    on_each_runtime(|host| {
        let pod = host.start(&one("sleep 1000"));
        pod.until_running();
        let supervisor = life_of("__supervisor", &pod.uid).expect("it has one");
        kill(Pid::from_raw(supervisor), Signal::SIGSTOP).expect("it runs");
        let ran = pod.podshim("delete", &["--force"]).expect(0);
        assert!(ran.stderr.contains("does not answer"), "{}", ran.stderr);
        host.assert_nothing_left();
    });
}
