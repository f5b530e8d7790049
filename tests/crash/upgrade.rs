//! Running pods go on under another program.

use super::processes::{Life, assert_counted, counter};
use crate::support::{Host, Pod, Ran, on_each_runtime, pod, run, sh, status, until};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Another program of this version: a copy, which the kernel tells apart.
fn copy(host: &Host) -> PathBuf {
    let copy = host.path("podshim-new");
    if !copy.exists() {
        // By another process: what another test starts meanwhile would keep a file of ours open for writing, which cannot be run.
        let mut cp = Command::new("cp");
        cp.arg(host.command(["version"]).get_program()).arg(&copy);
        run(&mut cp).expect(0);
    }
    copy
}

fn by_copy(host: &Host, args: &[&str]) -> Ran {
    let command = host.command(args);
    let mut other = Command::new(copy(host));
    other.args(command.get_args());
    for (name, value) in command.get_envs() {
        other.env(name, value.expect("it is set"));
    }
    run(&mut other)
}

#[track_caller]
fn program_of(pid: i32) -> (u64, u64) {
    let program = std::fs::metadata(format!("/proc/{pid}/exe")).expect("it lives");
    (program.dev(), program.ino())
}

fn file(path: &Path) -> (u64, u64) {
    let file = std::fs::metadata(path).expect("a file");
    (file.dev(), file.ino())
}

#[test]
fn a_running_pod_goes_on_under_the_new_program() {
    on_each_runtime(|host| {
        let crash = sh("crash", "exit 3");
        let pod = host.start(&pod(json!({
            "restartPolicy": "Always", "activeDeadlineSeconds": 600,
            "containers": [counter("a"), counter("b"), crash],
        })));
        pod.until("two run and one waits", |json| {
            ["a", "b"]
                .iter()
                .all(|c| !status(json, c)["state"]["running"].is_null())
                && status(json, "crash")["restartCount"].as_u64() >= Some(1)
        });
        let pids = || [pod.pid("a"), pod.pid("b"), pod.pause()];
        let (before, keeper) = (pids(), Life::Keeper.of(&pod));
        let old = Life::Supervisor.of_but(&pod, 0);
        let ran = by_copy(host, &["upgrade-supervisors"]).expect(0);
        assert_eq!(ran.stdout, "pod/p upgraded\n");
        let new = Life::Supervisor.of_but(&pod, 0);
        assert_ne!(new, old);
        assert_eq!(program_of(new), file(&copy(host)));
        assert_eq!((pids(), Life::Keeper.of(&pod)), (before, keeper));
        let again = by_copy(host, &["upgrade-supervisors", "p"]).expect(0);
        assert_eq!(again.stdout, "pod/p is up to date\n");
        // The next one is of the new program as well.
        Life::Supervisor.kill_of(&pod);
        assert_eq!(
            program_of(Life::Supervisor.of_but(&pod, new)),
            file(&copy(host))
        );
        let json = pod.json();
        let count = status(&json, "crash")["restartCount"]
            .as_u64()
            .expect("a number");
        pod.until("it still restarts", |json| {
            status(json, "crash")["restartCount"].as_u64() > Some(count)
        });
        assert_eq!(
            json["status"]["startTime"],
            pod.json()["status"]["startTime"]
        );
        pod.podshim("stop", &[]).expect(0);
        for container in ["a", "b"] {
            assert_eq!(status(&pod.json(), container)["restartCount"], 0);
            assert!(assert_counted(&pod.log(container, 0)) > 50);
        }
        let told = pod.events();
        let replaced = told.iter().filter(|e| e["reason"] == "SupervisorReplaced");
        assert_eq!(replaced.count(), 1, "{told:#?}");
    });
}

/// The pod as it was, whatever was tried: same keeper, same supervisor, same containers.
#[track_caller]
fn refused(host: &Host, pod: &Pod, says: &str) {
    let before = [Life::Keeper.of(pod), Life::Supervisor.of(pod)];
    let ran = by_copy(host, &["upgrade-supervisors", "p"]).expect(1);
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: "), "{}", ran.stderr);
    assert_eq!([Life::Keeper.of(pod), Life::Supervisor.of(pod)], before);
}

#[test]
fn what_does_not_fit_is_refused_and_the_pod_goes_on_as_it_was() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [sh("c", "sleep 1000")]})));
        pod.until_running();
        let dir = host.path("state/pods").join(&pod.uid);
        let (last, before) = (dir.join("snapshot.json"), dir.join("snapshot.before.json"));
        let kept = [&last, &before].map(|path| std::fs::read(path).expect("a snapshot"));
        let edit = |key: &str, value: Value| {
            for (path, bytes) in [&last, &before].into_iter().zip(&kept) {
                let mut json: Value = serde_json::from_slice(bytes).expect("JSON");
                json[key] = value.clone();
                std::fs::write(path, json.to_string()).expect("a file of ours");
            }
        };
        edit("format", json!(99));
        refused(host, &pod, "format 99");
        edit("format", json!(1));
        edit("link", json!("7"));
        refused(host, &pod, "version 7");
        for (path, bytes) in [&last, &before].into_iter().zip(&kept) {
            std::fs::write(path, bytes).expect("a file of ours");
        }
    });
}

#[test]
fn a_program_that_cannot_live_is_followed_by_the_one_before() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [counter("a")]})));
        pod.until_running();
        let old = Life::Supervisor.of_but(&pod, 0);
        let program = program_of(old);
        let socket = host.path("state/pods").join(&pod.uid).join("control.sock");
        let mut stream = UnixStream::connect(&socket).expect("it listens");
        let broken = host.file("broken", "no program");
        let call = json!({"method": "io.podshim.Pod.Replace", "parameters": {"program": broken}});
        stream
            .write_all(format!("{call}\0").as_bytes())
            .expect("it reads");
        let mut reply = Vec::new();
        stream
            .read_to_end(&mut reply)
            .expect("it answers and leaves");
        let reply = String::from_utf8_lossy(&reply);
        assert!(!reply.contains("error"), "{reply}");
        until(30, "another supervisor", || {
            match Life::Supervisor.of(&pod) {
                Some(pid) if pid != old => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        assert_eq!(program_of(Life::Supervisor.of_but(&pod, old)), program);
        pod.podshim("stop", &[]).expect(0);
        assert_counted(&pod.log("a", 0));
    });
}
