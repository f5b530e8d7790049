//! Who waits for a command in a container: whatever becomes of `podshim exec`, the container can end.

use crate::support::{Background, Host, Pod, on_each_runtime, pod, sh, state, status, until, with};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::time::Duration;

/// A pod whose container ends when it is told, with a command that runs in it for ever.
fn busy(host: &Host, terminal: bool, spec: Value) -> (Pod<'_>, Background) {
    let script = "until test -e /tmp/go; do sleep 0.1; done";
    let containers = json!({"containers": [sh("c", script)]});
    let pod = host.start(&pod(with(containers, spec)));
    pod.until_running();
    let flags = if terminal { "-it" } else { "-i" };
    let command = "touch /tmp/in; exec sleep 1000";
    let exec = host.background(["exec", flags, "p", "-c", "c", "--", "sh", "-c", command]);
    pod.exec("c", "until test -e /tmp/in; do sleep 0.1; done")
        .expect(0);
    // The runtime has gone.
    until(30, "the command is the only one", || {
        let [parent] = children(exec.pid())[..] else {
            return Err("nobody waits for it".to_owned());
        };
        let names = children(parent).into_iter().map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm"));
            name.unwrap_or_default().trim().to_owned()
        });
        match names.collect::<Vec<_>>() {
            names if names == ["sleep"] => Ok(()),
            names => Err(format!("{names:?}")),
        }
    });
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
            let (pod, exec) = busy(host, terminal, json!({}));
            signal(exec.pid(), Signal::SIGSTOP);
            // It may be killed by the end that it brings about.
            let _any = pod.exec("c", "touch /tmp/go");
            pod.until_phase("Succeeded");
            signal(exec.pid(), Signal::SIGCONT);
            assert_eq!(exec.wait().code, Some(137), "its namespace ended");
            pod.podshim("delete", &[]).expect(0);

            let (pod, exec) = busy(host, terminal, json!({}));
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
        let (pod, mut exec) = busy(host, false, json!({}));
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

        let (pod, exec) = busy(host, false, json!({}));
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

#[test]
fn what_is_made_in_a_sandbox_whose_pause_is_dying_is_no_fault_of_the_container() {
    on_each_runtime(|host| {
        for kind in ["runtime", "native"] {
            host.set_sandbox(Some(kind));
            let spec = json!({"restartPolicy": "Always", "shareProcessNamespace": true});
            let (pod, exec) = busy(host, false, spec);
            // Of all that pause takes along, one is not reaped: it cannot end, while the container has ended and is made again.
            let [parent] = children(exec.pid())[..] else {
                panic!("one waits for the command");
            };
            signal(parent, Signal::SIGSTOP);
            signal(pod.pause(), Signal::SIGKILL);
            let again = host.path("state/pods").join(&pod.uid).join("instances/c-1");
            until(30, "the container is made again", || match again.exists() {
                true => Ok(()),
                false => Err("not yet".to_owned()),
            });
            // Time for the runtime to fail.
            std::thread::sleep(Duration::from_millis(500));
            signal(parent, Signal::SIGCONT);
            exec.wait();
            let json = pod.until("it runs in another sandbox", |pod| {
                status(pod, "c")["restartCount"] != 0 && state(pod, "c").0 == "running"
            });
            assert_eq!(status(&json, "c")["restartCount"], 1, "{json:#}");
            let told = pod.podshim("events", &[]).expect(0).text();
            assert!(
                !told.contains("Failed") && !told.contains("BackOff"),
                "{told}"
            );
            pod.podshim("delete", &[]).expect(0);
        }
    });
}
