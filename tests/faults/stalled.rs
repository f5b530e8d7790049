//! A supervisor that is stopped, that has no descriptors left, whose directory takes nothing: the pod goes on, and so does normal
//! work as soon as it can.

use crate::support::{
    Pod, background, instance_pids, life_of, on_each_runtime, pod, run, sh, state, status, until,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::process::Command;

#[track_caller]
fn supervisor(pod: &Pod) -> i32 {
    life_of("__supervisor", &pod.uid).expect("it has one")
}

#[track_caller]
fn until_gone(pod: &Pod, instance: &str) {
    until(10, "its process is gone", || {
        match instance_pids(&pod.uid, instance).len() {
            0 => Ok(()),
            n => Err(n.to_string()),
        }
    });
}

/// Waits until a container has said something: by then it has set its traps.
#[track_caller]
fn until_it_speaks(pod: &Pod, container: &str) {
    until(10, "it has said something", || {
        let said = pod.podshim("logs", &["-c", container]).stdout;
        if said.is_empty() { Err(said) } else { Ok(()) }
    });
}

#[test]
fn what_ends_while_the_supervisor_is_stopped_is_told_when_it_goes_on() {
    on_each_runtime(|host| {
        let script = "trap 'echo last; exit 7' TERM; echo first; while :; do sleep 0.05; done";
        let pod = host.start(&pod(
            json!({"containers": [sh("c", script), sh("d", "sleep 1000")]}),
        ));
        pod.until_running();
        until_it_speaks(&pod, "c");
        let (pid, supervisor) = (pod.pid("c"), supervisor(&pod));
        kill(Pid::from_raw(supervisor), Signal::SIGSTOP).expect("it runs");
        kill(Pid::from_raw(pid), Signal::SIGTERM).expect("it runs");
        until_gone(&pod, "c-0");
        assert_eq!(
            pod.json()["status"]["phase"],
            "Running",
            "looking needs nobody"
        );
        kill(Pid::from_raw(supervisor), Signal::SIGCONT).expect("it is stopped");
        assert_eq!(pod.until_terminated("c")["exitCode"], 7);
        assert_eq!(pod.output("c"), "first\nlast\n");
    });
}

#[test]
fn a_supervisor_without_descriptors_says_so_and_goes_on_when_it_has_some() {
    on_each_runtime(|host| {
        let mut pod = pod(json!({"containers": [sh("c", "sleep 1000"), sh("d", "sleep 1000")]}));
        pod["spec"]["restartPolicy"] = json!("Always");
        let pod = host.start(&pod);
        pod.until_running();
        let supervisor = supervisor(&pod);
        let limit = |soft: usize| {
            let mut command = Command::new("prlimit");
            command.args([
                "--pid",
                &supervisor.to_string(),
                &format!("--nofile={soft}:1024"),
            ]);
            run(&mut command).expect(0);
        };
        // Those below are its first, which it keeps.
        limit(6);
        kill(Pid::from_raw(pod.pid("c")), Signal::SIGKILL).expect("it runs");
        let log = host
            .path("state/pods")
            .join(&pod.uid)
            .join("supervisor.log");
        until(10, "it is said", || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            match said.contains("Too many open files") {
                true => Ok(()),
                false => Err(said),
            }
        });
        assert_eq!(state(&pod.json(), "d").0, "running");
        limit(1024);
        pod.until("it runs again", |json| state(json, "c").0 == "running");
        assert_eq!(life_of("__supervisor", &pod.uid), Some(supervisor));
        assert_eq!(status(&pod.json(), "d")["restartCount"], 0);
    });
}

#[test]
fn what_happens_while_the_state_takes_no_file_is_written_when_it_does() {
    on_each_runtime(|host| {
        let script = "trap 'exit 7' TERM; echo up; while :; do sleep 0.05; done";
        let pod = host.start(&pod(
            json!({"containers": [sh("c", script), sh("d", "sleep 1000")]}),
        ));
        pod.until_running();
        until_it_speaks(&pod, "c");
        let dir = host.path("state/pods").join(&pod.uid);
        let protect = |flag: &str| {
            run(Command::new("chattr").arg(flag).arg(&dir)).expect(0);
        };
        protect("+i");
        let ended = pod.podshim("kill", &["-c", "c"]);
        until_gone(&pod, "c-0");
        let seen = state(&pod.json(), "c").0.to_owned();
        protect("-i");
        ended.expect(0);
        assert_eq!(seen, "running", "it could not be written down");
        assert_eq!(pod.until_terminated("c")["exitCode"], 7);
    });
}

/// What a process asks of these files fails with EIO, as long as this lives. Source: strace(1), tampering.
fn break_files(pid: i32, files: &[std::path::PathBuf]) -> crate::support::Background {
    let calls = "write,openat,rename,renameat,renameat2,ftruncate";
    let mut command = Command::new("strace");
    command.args(["-f", "-p", &pid.to_string()]);
    command.args(["-e", &format!("trace={calls}")]);
    command.args(["-e", &format!("inject={calls}:error=EIO")]);
    for file in files {
        command.arg("-P").arg(file);
    }
    let strace = background(&mut command, b"");
    until(10, "strace is there", || match strace.stderr() {
        said if said.contains("attached") => Ok(()),
        said => Err(said),
    });
    strace
}

#[test]
fn what_happens_while_the_disk_of_the_state_fails_is_written_when_it_does_not() {
    on_each_runtime(|host| {
        let script = "trap 'echo last; exit 7' TERM; echo up; while :; do sleep 0.05; done";
        let mut pod = pod(json!({"containers": [sh("c", script), sh("d", script)]}));
        pod["spec"]["restartPolicy"] = json!("Always");
        let pod = host.start(&pod);
        pod.until_running();
        for container in ["c", "d"] {
            until_it_speaks(&pod, container);
        }
        let dir = host.path("state/pods").join(&pod.uid);
        let files = |names: &[&str]| names.iter().map(|name| dir.join(name)).collect::<Vec<_>>();
        let keeper = life_of("__keeper", &pod.uid).expect("it has one");
        let mut broken = [
            break_files(keeper, &files(&["exits"])),
            break_files(
                supervisor(&pod),
                &files(&[
                    "snapshot.json",
                    "snapshot.before.json",
                    "journal.jsonl",
                    "events.jsonl",
                ]),
            ),
        ];
        let pid = pod.pid("d");
        kill(Pid::from_raw(pod.pid("c")), Signal::SIGTERM).expect("it runs");
        until_gone(&pod, "c-0");
        until(10, "it runs again", || {
            match instance_pids(&pod.uid, "c-1") {
                pids if pids.is_empty() => Err("not yet".to_owned()),
                _ => Ok(()),
            }
        });
        let said = std::fs::read_to_string(dir.join("supervisor.log")).expect("a log");
        assert!(said.contains("Input/output error"), "{said}");
        assert_eq!(
            status(&pod.json(), "c")["restartCount"],
            0,
            "nothing can be written"
        );
        for strace in &mut broken {
            assert!(
                strace.stderr().contains("(INJECTED)"),
                "{}",
                strace.stderr()
            );
            strace.stop();
        }
        let json = pod.until_restarted("c", 1);
        let before = &status(&json, "c")["lastState"]["terminated"];
        assert_eq!(before["exitCode"], 7, "{json:#}");
        assert!(pod.log("c", 0).contains("last"));
        assert_eq!(pod.pid("d"), pid, "the other one noticed nothing");
        let reasons = pod.events();
        let exited = reasons.iter().filter(|event| event["reason"] == "Exited");
        assert_eq!(exited.count(), 1, "{reasons:#?}");
        // What was written now is enough for another supervisor.
        kill(Pid::from_raw(supervisor(&pod)), Signal::SIGKILL).expect("it runs");
        pod.podshim("wait", &["--for", "phase=Running"]).expect(0);
        assert_eq!(status(&pod.until_running(), "c")["restartCount"], 1);
    });
}
