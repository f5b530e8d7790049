//! `podshim get -A` shows what containerd runs, and leaves it alone.

use crate::daemon::{Daemon, with_containerd, with_cri};
use crate::plugin::begin;
use crate::support::{Ran, program, run, until};
use crate::versions::{Version, on_each_version};
use std::process::Command;

on_each_version! {
    pods_of_containerd_are_shown_also_while_it_is_down,
}

fn podshim(c: &Daemon, args: &[&str]) -> Ran {
    let mut command = Command::new(program());
    command.arg("--state").arg(c.path("podshim")).args(args);
    run(&mut command)
}

/// The first columns of the rows: namespace, name, containers that run, status.
fn rows(c: &Daemon) -> Vec<String> {
    let ran = podshim(c, &["get", "-A", "--no-headers"]).expect(0);
    let row = |line: &str| {
        line.split_whitespace()
            .take(4)
            .collect::<Vec<_>>()
            .join(" ")
    };
    ran.stdout.lines().map(row).collect()
}

#[track_caller]
fn until_rows(c: &Daemon, wanted: &[&str]) {
    until(20, "they are shown so", || {
        let rows = rows(c);
        (rows == wanted).then_some(()).ok_or(format!("{rows:?}"))
    });
}

fn pods_of_containerd_are_shown_also_while_it_is_down(on: Version) {
    with_cri(on, |c, cri| {
        until_rows(c, &[]);
        let pod = begin(c, cri, "web", "podshim");
        until_rows(c, &["default web 0/0 Running"]);
        cri.sh(&pod, "lasts", "exec sleep 1000");
        cri.sh(&pod, "too", "exec sleep 1000");
        let shown = ["default web 2/2 Running"];
        until_rows(c, &shown);

        c.stop();
        until_rows(c, &shown);
        let wide = podshim(c, &["get", "-A", "-o", "wide"]).expect(0);
        assert!(
            wide.stdout.contains("uid-web") && wide.stdout.contains("runc (containerd)"),
            "{}",
            wide.stdout
        );
        let list = podshim(c, &["get", "-A", "-o", "json"]).expect(0).json();
        let object = &list["items"][0];
        assert_eq!(
            object["metadata"]["annotations"]["podshim.io/managed-by"],
            "containerd"
        );
        assert_eq!(object["status"]["phase"], "Running");
        let name = |n: usize| &object["status"]["containerStatuses"][n]["name"];
        assert_eq!([name(0), name(1)], ["lasts", "too"]);

        // It is not podshim's.
        assert_eq!(podshim(c, &["get", "--no-headers"]).expect(0).stdout, "");
        assert_eq!(podshim(c, &["get", "-A", "-q"]).expect(0).stdout, "");
        for verb in ["stop", "delete", "logs"] {
            let refused = podshim(c, &[verb, "web"]).expect(3);
            assert!(
                refused
                    .stderr
                    .contains("containerd runs a pod of that name"),
                "{}",
                refused.stderr
            );
        }
        c.start();
        until(60, "the CRI plugin is ready", || cri.is_ready());
        until_rows(c, &shown);
        cri.remove(&pod);
        until_rows(c, &[]);
    });
}

#[test]
fn a_container_without_a_pod_is_shown_by_its_id() {
    with_containerd(Version::Installed, |c| {
        c.sh(&["-d"], "alone", "exit 4").expect(0);
        let row = format!("{} alone 0/1 Error", c.namespace);
        until_rows(c, &[&row]);
        let list = podshim(c, &["get", "-A", "-o", "json"]).expect(0).json();
        let status = &list["items"][0]["status"];
        assert_eq!(status["phase"], "Failed");
        let state = &status["containerStatuses"][0]["state"];
        assert_eq!(state["terminated"]["exitCode"], 4, "{status}");
        c.remove("alone");
        until_rows(c, &[]);
    });
}
