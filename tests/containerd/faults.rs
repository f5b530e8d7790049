//! What goes wrong: containerd away, the shim killed, the runtime hanging.

use crate::daemon::{Daemon, with_containerd};
use crate::support::{background, proc_file, until};
use crate::versions::{Version, on_each_version};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

on_each_version! {
    a_containerd_that_comes_back_finds_its_tasks_and_their_exit_codes,
    events_of_the_time_without_containerd_are_kept,
    a_shim_that_is_killed_leaves_no_process_behind,
}

pub fn is_running(pid: i32) -> bool {
    let stat = proc_file(pid, "stat");
    stat.rsplit_once(") ")
        .is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

pub fn init(c: &Daemon, id: &str) -> i32 {
    let text = fs::read_to_string(c.bundle(id).join("init.pid")).expect("a pid file");
    text.trim().parse().expect("a pid")
}

fn a_containerd_that_comes_back_finds_its_tasks_and_their_exit_codes(on: Version) {
    with_containerd(on, |c| {
        c.sh(&["-d"], "stays", "exec sleep 1000").expect(0);
        c.sh(
            &["-d"],
            "ends",
            "trap 'exit 7' TERM; while :; do sleep 0.05; done",
        )
        .expect(0);
        let (stays, ends) = (init(c, "stays"), init(c, "ends"));
        c.stop();
        assert_eq!(c.shims().len(), 2, "the shims outlive containerd");
        kill(Pid::from_raw(ends), Signal::SIGTERM).expect("it runs");
        until(20, "it has ended", || {
            (!is_running(ends)).then_some(()).ok_or(String::new())
        });
        c.start();
        assert_eq!(c.task("stays").as_deref(), Some("RUNNING"));
        assert_eq!(c.task("ends").as_deref(), Some("STOPPED"));
        c.run(&[
            "task",
            "exec",
            "--exec-id",
            "x",
            "stays",
            "sh",
            "-c",
            "exit 6",
        ])
        .expect(6);
        assert!(is_running(stays));
        let deleted = c.run(&["task", "delete", "ends"]).expect(0);
        assert!(deleted.stderr.contains("exit code 7"), "{}", deleted.stderr);
        c.run(&["container", "delete", "ends"]).expect(0);
        c.remove("stays");
    });
}

fn events_of_the_time_without_containerd_are_kept(on: Version) {
    with_containerd(on, |c| {
        c.sh(&["-d"], "k", "exec sleep 1000").expect(0);
        let pid = init(c, "k");
        c.stop();
        kill(Pid::from_raw(pid), Signal::SIGKILL).expect("it runs");
        until(20, "it has ended", || {
            (!is_running(pid)).then_some(()).ok_or(String::new())
        });
        c.start();
        until(30, "the exit is known", || {
            let state = c.task("k");
            (state.as_deref() == Some("STOPPED"))
                .then_some(())
                .ok_or(format!("{state:?}"))
        });
        // What containerd logs as forwarded came from the shim, which tries again every second.
        until(30, "the event has come", || {
            let log = c.log();
            let event =
                |line: &str| line.contains("event forwarded") && line.contains("/tasks/exit");
            log.lines().any(event).then_some(()).ok_or(log)
        });
        let deleted = c.run(&["task", "delete", "k"]).expect(0);
        assert!(
            deleted.stderr.contains("exit code 137"),
            "{}",
            deleted.stderr
        );
        c.run(&["container", "delete", "k"]).expect(0);
    });
}

fn a_shim_that_is_killed_leaves_no_process_behind(on: Version) {
    with_containerd(on, |c| {
        c.sh(&["-d"], "s", "sleep 1000 & exec sleep 1001").expect(0);
        let pid = init(c, "s");
        let shims = c.shims();
        assert_eq!(shims.len(), 1);
        kill(Pid::from_raw(shims[0]), Signal::SIGKILL).expect("it runs");
        until(20, "the container is gone", || {
            (!is_running(pid)).then_some(()).ok_or("it runs".into())
        });
        until(20, "containerd knows", || match c.task("s").as_deref() {
            None | Some("STOPPED") => Ok(()),
            Some(other) => Err(other.to_owned()),
        });
        c.run(&["task", "delete", "s"]);
        c.run(&["container", "delete", "s"]).expect(0);
    });
}

#[test]
fn a_runtime_that_hangs_holds_up_nobody_else() {
    with_containerd(Version::Installed, |c| {
        let (hang, program, options) = (c.path("hang"), c.path("runtime"), c.path("options.toml"));
        let text = format!(
            "#!/bin/sh\nfor word in \"$@\"; do case $word in pause) [ -e {0} ] && exec sleep 1000;; esac; done\nexec runc \"$@\"\n",
            hang.display()
        );
        fs::write(&program, text).expect("a program of ours");
        fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("a program of ours");
        fs::write(
            &options,
            format!("BinaryName = \"{}\"\n", program.display()),
        )
        .expect("a file");
        let options = options.display().to_string();
        let flags = [
            "-d",
            "--runtime-config-path",
            &options,
            "--annotation",
            "io.containerd.runc.v2.group=g",
        ];
        c.sh(&flags, "a", "exec sleep 1000").expect(0);
        c.sh(&flags, "b", "exec sleep 1000").expect(0);
        assert_eq!(c.shims().len(), 1, "one shim for the group");
        fs::write(&hang, "").expect("a file of ours");
        let pause = background(&mut c.ctr(&["task", "pause", "a"]), b"");
        until(20, "the runtime hangs", || {
            let hanging = fs::read_dir("/proc")
                .expect("/proc")
                .flatten()
                .any(|entry| {
                    let name = entry.file_name();
                    let pid = name.to_str().and_then(|n| n.parse().ok()).unwrap_or(0);
                    proc_file(pid, "cmdline") == "sleep\u{0}1000\u{0}"
                        && proc_file(pid, "environ").contains(&c.path("bin").display().to_string())
                });
            hanging.then_some(()).ok_or("it does not".into())
        });
        c.run(&["task", "exec", "--exec-id", "x", "b", "true"])
            .expect(0);
        assert_eq!(c.task("a").as_deref(), Some("PAUSING"));
        let pid = init(c, "a");
        c.run(&["task", "kill", "--signal", "KILL", "a"]).expect(0);
        until(20, "it is killed", || {
            (!is_running(pid)).then_some(()).ok_or("it runs".into())
        });
        fs::remove_file(&hang).expect("a file of ours");
        c.remove("b");
        c.remove("a");
        assert!(!Path::new(&c.bundle("a")).exists());
        let mut pause = pause;
        pause.stop();
    });
}
