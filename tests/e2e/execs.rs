//! Who waits for a command in a container: whatever becomes of `podshim exec`, the container can end.

use crate::support::{Background, Host, Pod, on_each_runtime, pod, sh, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;

/// A pod whose container ends when it is told, with a command that runs in it for ever.
fn busy(host: &Host, terminal: bool) -> (Pod<'_>, Background) {
    let script = "until test -e /tmp/go; do sleep 0.1; done";
    let pod = host.start(&pod(json!({"containers": [sh("c", script)]})));
    pod.until_running();
    let flags = if terminal { "-it" } else { "-i" };
    let command = "touch /tmp/in; exec sleep 1000";
    let exec = host.background(["exec", flags, "p", "-c", "c", "--", "sh", "-c", command]);
    pod.exec("c", "until test -e /tmp/in; do sleep 0.1; done")
        .expect(0);
    (pod, exec)
}

fn signal(pid: i32, signal: Signal) {
    kill(Pid::from_raw(pid), signal).expect("it lives");
}

/// The children of a process of ours.
fn children(pid: i32) -> Vec<i32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).expect("it lives");
    let pids = list.split_whitespace();
    pids.map(|pid| pid.parse().expect("a number")).collect()
}

#[test]
fn an_exec_that_is_stopped_keeps_no_container_from_ending() {
    on_each_runtime(|host| {
        for terminal in [false, true] {
            let (pod, exec) = busy(host, terminal);
            signal(exec.pid(), Signal::SIGSTOP);
            pod.exec("c", "touch /tmp/go").expect(0);
            pod.until_phase("Succeeded");
            signal(exec.pid(), Signal::SIGCONT);
            assert_eq!(exec.wait().code, Some(137), "its namespace ended");
            pod.podshim("delete", &[]).expect(0);

            let (pod, exec) = busy(host, terminal);
            signal(exec.pid(), Signal::SIGSTOP);
            pod.podshim("delete", &[]).expect(0);
            signal(exec.pid(), Signal::SIGCONT);
            assert_eq!(exec.wait().code, Some(137));
        }
    });
}

#[test]
fn an_exec_that_is_killed_leaves_a_command_that_can_end() {
    on_each_runtime(|host| {
        let (pod, mut exec) = busy(host, false);
        let [waiter] = children(exec.pid())[..] else {
            panic!("one waits for the command");
        };
        exec.stop();
        let [command] = children(waiter)[..] else {
            panic!("the command runs on");
        };
        signal(command, Signal::SIGTERM);
        until(10, "who waited for it goes too", || {
            match fs::exists(format!("/proc/{waiter}")) {
                Ok(false) => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        pod.podshim("delete", &[]).expect(0);

        let (pod, exec) = busy(host, false);
        signal(children(exec.pid())[0], Signal::SIGKILL);
        let ran = exec.wait();
        assert_eq!(ran.code, Some(125), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("how the command ended"),
            "{}",
            ran.stderr
        );
        pod.podshim("delete", &[]).expect(0);
    });
}
