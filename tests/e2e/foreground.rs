//! `run` in the foreground, and `run -d` that outlives who called it.

use crate::support::{Host, on_each_runtime, pod, sh, until};
use nix::errno::Errno;
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::os::unix::process::CommandExt;

fn in_foreground(host: &Host, manifest: &Value) -> crate::support::Background {
    let file = host.manifest(std::slice::from_ref(manifest));
    host.background(["run".as_ref(), "-f".as_ref(), file.as_os_str()])
}

/// A pod whose container ends with this code when it gets SIGTERM.
fn on_term(action: &str) -> Value {
    let script = format!("trap '{action}' TERM; echo ready; while :; do sleep 0.1; done");
    pod(json!({"terminationGracePeriodSeconds": 30, "containers": [sh("c", &script)]}))
}

fn until_ready(run: &crate::support::Background) {
    until(30, "its container says that it is ready", || {
        let text = run.stdout();
        if text.contains("ready") {
            Ok(())
        } else {
            Err(text)
        }
    });
}

#[test]
fn run_shows_the_output_and_ends_with_the_code_of_the_pod() {
    on_each_runtime(|host| {
        let manifest = pod(
            json!({"containers": [sh("a", "echo from a"), sh("b", "echo from b; exit 42"), sh("c", "exit 43")]}),
        );
        let ran = in_foreground(host, &manifest).wait().expect(42);
        assert!(
            ran.stdout.contains("from a") && ran.stdout.contains("from b"),
            "{}",
            ran.stdout
        );
        host.pod("p").podshim("delete", &[]).expect(0);

        let manifest = pod(json!({"containers": [sh("c", "exit 0")]}));
        in_foreground(host, &manifest).wait().expect(0);
        host.pod("p");
    });
}

#[test]
fn a_first_sigterm_stops_the_pod_gracefully() {
    on_each_runtime(|host| {
        let run = in_foreground(host, &on_term("echo bye; exit 0"));
        until_ready(&run);
        let pod = host.pod("p");
        kill(Pid::from_raw(run.pid()), Signal::SIGTERM).expect("it runs");
        let ran = run.wait().expect(0);
        assert!(ran.stdout.contains("bye"), "{}", ran.stdout);
        assert_eq!(pod.json()["status"]["phase"], "Succeeded");
    });
}

#[test]
fn a_second_sigint_does_not_wait_for_the_grace() {
    on_each_runtime(|host| {
        let run = in_foreground(host, &on_term("echo stubborn"));
        until_ready(&run);
        let pod = host.pod("p");
        kill(Pid::from_raw(run.pid()), Signal::SIGINT).expect("it runs");
        until(10, "the first signal has arrived", || {
            let text = run.stdout();
            if text.contains("stubborn") {
                Ok(())
            } else {
                Err(text)
            }
        });
        kill(Pid::from_raw(run.pid()), Signal::SIGINT).expect("it runs");
        // The grace is 30 seconds; whoever waits for it is found here.
        until(
            15,
            "the pod has ended",
            || match pod.json()["status"]["phase"].as_str() {
                Some("Failed") => Ok(()),
                phase => Err(format!("{phase:?}")),
            },
        );
        run.wait().expect(137);
    });
}

#[test]
fn run_detached_survives_the_session_of_its_caller() {
    on_each_runtime(|host| {
        let file = host.manifest(&[pod(json!({"containers": [sh("c", "sleep 1000")]}))]);
        let mut command = host.command([
            "run".as_ref(),
            "-d".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
        ]);
        command.process_group(0);
        let run = crate::support::background(&mut command, b"");
        let group = Pid::from_raw(run.pid());
        assert_eq!(run.wait().word(), "pod/p");
        let pod = host.pod("p");
        pod.until_running();
        assert_eq!(
            killpg(group, Signal::SIGKILL),
            Err(Errno::ESRCH),
            "nobody stayed in the caller's process group"
        );
        pod.exec("c", "true").expect(0);
    });
}
