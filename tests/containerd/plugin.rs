//! Pods through containerd's CRI plugin, as the kubelet runs them.

use crate::cri::{Cri, CriPod, EXITED, NOT_READY, READY, RUNNING};
use crate::daemon::{Daemon, with_cri};
use crate::support::{proc_file, until};
use crate::versions::{Version, on_each_version};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;

on_each_version! {
    one_shim_serves_a_pod_and_each_pod_has_its_own,
    each_way_to_configure_the_shim_runs_pods,
    a_containerd_that_comes_back_finds_pods_exit_codes_and_every_line,
    a_shim_that_is_killed_takes_its_pod_along_and_the_next_pod_runs,
    a_pause_that_dies_leaves_the_others_running_and_no_shim_behind,
}

/// Waits until a container has ended; its status.
#[track_caller]
pub fn ended(cri: &mut Cri, container: &str) -> Value {
    until(30, "the container has ended", || {
        let status = cri.status(container);
        (status["state"] == EXITED)
            .then(|| status.clone())
            .ok_or(status.to_string())
    })
}

/// What a container wrote, without what CRI puts before each line.
pub fn log(c: &Daemon, pod: &str, container: &str) -> String {
    let path = c.path("logs").join(pod).join(format!("{container}.log"));
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.splitn(4, ' ').nth(3))
        .map(|line| format!("{line}\n"))
        .collect()
}

#[track_caller]
pub fn begin(c: &Daemon, cri: &mut Cri, name: &str, handler: &str) -> CriPod {
    cri.pod(name, handler, c, |_| {})
}

/// The first process of a container.
#[track_caller]
fn init(c: &Daemon, id: &str) -> i32 {
    let text = fs::read_to_string(c.bundle(id).join("init.pid")).expect("a pid file");
    text.trim().parse().expect("a pid")
}

fn is_running(pid: i32) -> bool {
    let stat = proc_file(pid, "stat");
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

#[track_caller]
fn dies(pid: i32) {
    until(20, "the process is gone", || {
        (!is_running(pid)).then_some(()).ok_or(pid.to_string())
    });
}

fn one_shim_serves_a_pod_and_each_pod_has_its_own(on: Version) {
    with_cri(on, |c, cri| {
        let (one, two) = (
            begin(c, cri, "one", "podshim"),
            begin(c, cri, "two", "podshim"),
        );
        for pod in [&one, &two] {
            for name in ["a", "b", "c"] {
                cri.sh(pod, name, "exec sleep 1000");
            }
        }
        assert_eq!(c.shims().len(), 2);
        cri.remove(&one);
        until(20, "one shim is gone", || {
            let shims = c.shims();
            (shims.len() == 1).then_some(()).ok_or(format!("{shims:?}"))
        });
        assert_eq!(cri.pod_state(&two), READY);
        cri.remove(&two);
    });
}

fn each_way_to_configure_the_shim_runs_pods(on: Version) {
    with_cri(on, |c, cri| {
        if on.number() < (1, 7) {
            // containerd 1.6 ignores `runtime_path`. It finds this first, and what it says to its own shim is said to podshim.
            let stock = c.path("bin").join("containerd-shim-runc-v2");
            let own = c.path("bin").join("containerd-shim-podshim-v1");
            let text = format!("#!/bin/sh\nexec {} \"$@\"\n", own.display());
            fs::write(&stock, text).expect("a file of ours");
            fs::set_permissions(&stock, PermissionsExt::from_mode(0o755)).expect("a file of ours");
        }
        for (handler, root) in [
            ("file", Some("root-of-file")),
            ("path", Some("root-of-path")),
            ("typed", Some("root-of-typed")),
            ("", None),
        ] {
            let name = format!("p{handler}");
            let pod = begin(c, cri, &name, handler);
            let a = cri.sh(&pod, "a", "exec sleep 1000");
            assert_eq!(c.shims().len(), 1, "{handler}");
            if let Some(root) = root {
                assert!(c.path(root).join("k8s.io").join(&a).is_dir(), "{handler}");
            }
            assert_eq!(cri.exec(&a, "exit 4").0, 4);
            cri.remove(&pod);
            until(20, "the shim is gone", || {
                let shims = c.shims();
                shims.is_empty().then_some(()).ok_or(format!("{shims:?}"))
            });
        }
    });
}

fn a_containerd_that_comes_back_finds_pods_exit_codes_and_every_line(on: Version) {
    with_cri(on, |c, cri| {
        let pod = begin(c, cri, "p", "podshim");
        let writes = cri.sh(
            &pod,
            "w",
            "n=0; while :; do if [ -e /quiet ]; then echo $n >/said; else n=$((n+1)); echo $n; fi; sleep 0.01; done",
        );
        let ends = cri.sh(
            &pod,
            "e",
            "trap 'exit 7' TERM; while :; do sleep 0.05; done",
        );
        until(20, "it writes", || {
            let text = log(c, "p", "w");
            (!text.is_empty()).then_some(()).ok_or(text)
        });
        // A line that containerd has read and not written when it ends is lost with it, whatever the shim is.
        let root = c.bundle(&writes).join("rootfs");
        fs::write(root.join("quiet"), "").expect("the root of a container of ours");
        until(20, "all is written", || {
            let said = fs::read_to_string(root.join("said")).unwrap_or_default();
            let last = log(c, "p", "w")
                .lines()
                .last()
                .map(|line| format!("{line}\n"));
            (last.as_ref() == Some(&said)).then_some(()).ok_or(said)
        });
        let (shims, ending) = (c.shims(), init(c, &ends));
        c.stop();
        assert_eq!(c.shims(), shims, "the shim outlives containerd");
        fs::remove_file(root.join("quiet")).expect("the root of a container of ours");
        kill(Pid::from_raw(ending), Signal::SIGTERM).expect("it runs");
        dies(ending);
        c.start();
        *cri = Cri::new(&c.socket());
        until(60, "the CRI plugin is ready", || cri.is_ready());
        assert_eq!(c.shims(), shims);
        assert_eq!(cri.pod_state(&pod), READY);
        assert_eq!(cri.status(&writes)["state"], RUNNING);
        let status = ended(cri, &ends);
        assert_eq!(
            (&status["exit_code"], &status["reason"]),
            (&json!(7), &json!("Error"))
        );
        assert_eq!(cri.exec(&writes, "exit 6").0, 6);
        let lines = log(c, "p", "w").lines().count();
        until(20, "more lines", || {
            let now = log(c, "p", "w").lines().count();
            (now > lines).then_some(()).ok_or(now.to_string())
        });
        cri.call(
            "StopContainer",
            json!({"container_id": writes, "timeout": 0}),
        );
        let written = log(c, "p", "w");
        let whole: String = (1..=written.lines().count())
            .map(|n| format!("{n}\n"))
            .collect();
        assert!(written == whole, "a line is lost:\n{written}");
        cri.remove(&pod);
    });
}

fn a_shim_that_is_killed_takes_its_pod_along_and_the_next_pod_runs(on: Version) {
    with_cri(on, |c, cri| {
        let pod = begin(c, cri, "p", "podshim");
        let a = cri.sh(&pod, "a", "sleep 1000 & exec sleep 1001");
        let b = cri.sh(&pod, "b", "exec sleep 1002");
        let inits = [init(c, &a), init(c, &b), init(c, &pod.id)];
        let [shim] = c.shims()[..] else {
            panic!("one shim")
        };
        kill(Pid::from_raw(shim), Signal::SIGKILL).expect("it runs");
        for pid in inits {
            dies(pid);
        }
        for container in [&a, &b] {
            ended(cri, container);
        }
        until(20, "the pod has ended", || {
            let state = cri.pod_state(&pod);
            (state == NOT_READY).then_some(()).ok_or(state.to_string())
        });
        cri.remove(&pod);
        let next = begin(c, cri, "p", "podshim");
        let a = cri.sh(&next, "a", "exec sleep 1000");
        assert_eq!(cri.exec(&a, "exit 2").0, 2);
        cri.remove(&next);
    });
}

fn a_pause_that_dies_leaves_the_others_running_and_no_shim_behind(on: Version) {
    with_cri(on, |c, cri| {
        let pod = begin(c, cri, "p", "podshim");
        let a = cri.sh(&pod, "a", "exec sleep 1000");
        kill(Pid::from_raw(init(c, &pod.id)), Signal::SIGKILL).expect("it runs");
        until(20, "the pod has ended", || {
            let state = cri.pod_state(&pod);
            (state == NOT_READY).then_some(()).ok_or(state.to_string())
        });
        assert_eq!(cri.status(&a)["state"], RUNNING);
        assert_eq!(cri.exec(&a, "exit 2").0, 2);
        cri.remove(&pod);
        until(20, "the shim is gone", || {
            let shims = c.shims();
            shims.is_empty().then_some(()).ok_or(format!("{shims:?}"))
        });
    });
}
