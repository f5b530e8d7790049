//! Containers that are written to files by a real CRIU, and made of them again.

use crate::daemon::{Daemon, PODSHIM, with_containerd, with_cri};
use crate::faults::{init, is_running};
use crate::support::{run, until};
use crate::versions::{Version, needs_criu, on_each_version};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

/// Counts from its memory into a file; another line in the other file says that it has begun anew.
pub const COUNTER: &str = "echo x >>/starts; trap 'exit 7' TERM; n=0; \
    while :; do n=$((n+1)); echo $n >/next; mv /next /n; sleep 0.05; done";
/// A checkpoint, as `ctr` names it.
const IMAGE: &str = "localhost/checkpoint:a";

on_each_version! {
    a_container_goes_on_after_its_checkpoint_and_another_goes_on_from_there,
    a_restored_container_whose_shim_is_killed_leaves_nothing,
}

fn read(c: &Daemon, id: &str, file: &str) -> String {
    let ran = c.run(&["task", "exec", "--exec-id", "x", id, "cat", file]);
    ran.expect(0).stdout
}

fn count(c: &Daemon, id: &str) -> u32 {
    read(c, id, "/n").trim().parse().expect("a number")
}

/// Waits until a container has counted further than this.
#[track_caller]
fn counts_beyond(c: &Daemon, id: &str, number: u32) {
    until(30, "it counts", || {
        let ran = c.run(&["task", "exec", "--exec-id", "x", id, "cat", "/n"]);
        let seen = ran.stdout.trim().parse::<u32>();
        (seen.is_ok_and(|seen| seen > number))
            .then_some(())
            .ok_or(ran.stderr)
    });
}

/// Makes a container that counts, and a checkpoint of it; how far it had come soon afterwards.
fn checkpointed(c: &Daemon, id: &str) -> u32 {
    needs_criu();
    c.sh(&["-d"], id, COUNTER).expect(0);
    counts_beyond(c, id, 2);
    let args = ["container", "checkpoint", "--rw", "--image", "--task"];
    c.run(&[args.as_slice(), &[id, IMAGE]].concat()).expect(0);
    count(c, id)
}

fn restore(c: &Daemon, id: &str) {
    c.run(&["container", "restore", "--live", "--rw", id, IMAGE])
        .expect(0);
    assert_eq!(c.task(id).as_deref(), Some("RUNNING"));
}

fn a_container_goes_on_after_its_checkpoint_and_another_goes_on_from_there(on: Version) {
    with_containerd(on, |c| {
        needs_criu();
        // The other command, on a container of its own: `ctr` makes no second checkpoint of one.
        c.sh(&["-d"], "other", COUNTER).expect(0);
        counts_beyond(c, "other", 2);
        c.run(&["task", "checkpoint", "other"]).expect(0);
        let at = count(c, "other");
        counts_beyond(c, "other", at);
        c.remove("other");

        let at = checkpointed(c, "a");
        counts_beyond(c, "a", at);
        assert_eq!(c.task("a").as_deref(), Some("RUNNING"));
        c.remove("a");
        restore(c, "b");
        counts_beyond(c, "b", at);
        assert_eq!(read(c, "b", "/starts"), "x\n", "it has not begun anew");
        let listed = c.run(&["containers", "info", "b"]).text();
        assert!(listed.contains(PODSHIM), "{listed}");
        c.run(&["task", "kill", "--signal", "TERM", "b"]).expect(0);
        until(20, "it has ended", || {
            let state = c.task("b");
            (state.as_deref() == Some("STOPPED"))
                .then_some(())
                .ok_or(format!("{state:?}"))
        });
        let deleted = c.run(&["task", "delete", "b"]).expect(0);
        assert!(deleted.stderr.contains("exit code 7"), "{}", deleted.stderr);
        c.run(&["container", "delete", "b"]).expect(0);
    });
}

fn a_restored_container_whose_shim_is_killed_leaves_nothing(on: Version) {
    with_containerd(on, |c| {
        checkpointed(c, "a");
        c.remove("a");
        restore(c, "b");
        let (pid, shims) = (init(c, "b"), c.shims());
        assert!(is_running(pid));
        assert_eq!(shims.len(), 1);
        kill(Pid::from_raw(shims[0]), Signal::SIGKILL).expect("it runs");
        until(20, "the container is gone", || {
            (!is_running(pid)).then_some(()).ok_or("it runs".into())
        });
        until(20, "containerd knows", || match c.task("b").as_deref() {
            None | Some("STOPPED") => Ok(()),
            Some(other) => Err(other.to_owned()),
        });
        c.run(&["task", "delete", "b"]);
        c.run(&["container", "delete", "b"]).expect(0);
    });
}

#[test]
fn a_container_of_a_pod_is_checkpointed_as_on_the_stock_shim() {
    needs_criu();
    // The first containerd of which CRI asks for it.
    with_cri(Version::Fetched("forky"), |c, cri| {
        for handler in ["stock-runc", "podshim", "typed"] {
            let pod = cri.pod(handler, handler, c, |_| {});
            let a = cri.sh(&pod, "a", COUNTER);
            let archive = c.path(&format!("{handler}.tar"));
            let request = json!({"container_id": a, "location": archive, "timeout": 60});
            cri.call("CheckpointContainer", request);
            let listed = run(Command::new("tar").arg("-tf").arg(&archive)).text();
            assert!(
                listed.contains("checkpoint/inventory.img"),
                "{handler}: {listed}"
            );
            let before = cri.exec(&a, "cat /n").1;
            until(30, "it counts", || {
                let now = cri.exec(&a, "cat /n").1;
                (now != before).then_some(()).ok_or(now)
            });
            assert_eq!(cri.exec(&a, "cat /starts"), (0, "x\n".into()), "{handler}");
            cri.remove(&pod);
        }
    });
}

#[test]
fn without_checkpoints_it_is_said_why_and_the_container_goes_on() {
    with_containerd(Version::Installed, |c| {
        let broken = c.path("criu");
        fs::write(&broken, "#!/bin/sh\nexit 1\n").expect("a program of ours");
        fs::set_permissions(&broken, PermissionsExt::from_mode(0o755)).expect("a program of ours");
        let broken = format!("CriuPath = \"{}\"", broken.display());
        for (id, options, whys) in [
            (
                "missing",
                "CriuPath = \"/no/such/criu\"",
                ["there is no `/no/such/criu`", "hint: install criu"],
            ),
            (
                "youki",
                "BinaryName = \"youki\"",
                ["youki 0.7.0 has no checkpoints", "hint: runc has"],
            ),
            ("broken", &broken, ["cannot checkpoint container", "criu"]),
        ] {
            let file = c.path("options.toml");
            fs::write(&file, options).expect("a file of ours");
            let file = file.display().to_string();
            c.sh(&["-d", "--runtime-config-path", &file], id, COUNTER)
                .expect(0);
            counts_beyond(c, id, 2);
            let refused = c.run(&["task", "checkpoint", id]).expect(1);
            for why in whys {
                assert!(refused.stderr.contains(why), "{id}: {}", refused.stderr);
            }
            assert_eq!(c.task(id).as_deref(), Some("RUNNING"));
            let at = count(c, id);
            counts_beyond(c, id, at);
            assert_eq!(read(c, id, "/starts"), "x\n");
            c.remove(id);
        }
    });
}
