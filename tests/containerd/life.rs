//! The life of a container: run, exec, pause, kill, delete, and the events of it.

use crate::daemon::{IMAGE, PODSHIM, with_containerd};
use crate::support::{background, until};
use crate::versions::{Version, on_each_version};

on_each_version! {
    run_gives_the_output_and_the_exit_code,
    a_container_that_cannot_be_made_says_why_and_leaves_nothing,
    events_come_complete_and_in_order,
    a_running_container_is_looked_into_frozen_measured_and_killed,
}

fn run_gives_the_output_and_the_exit_code(on: Version) {
    with_containerd(on, |c| {
        let ran = c
            .sh(&["--rm"], "one", "echo out; echo err >&2; exit 7")
            .expect(7);
        assert_eq!((ran.stdout.as_str(), ran.stderr.trim()), ("out\n", "err"));
        // The last word keeps the shell from becoming what it starts: the kernel drops signals that a container's first process
        // sends to itself.
        let killed = "sh -c 'kill -TERM $$'; exit $?";
        let ran = c.sh(&["--rm"], "two", killed).expect(143);
        assert_eq!(ran.stdout, "");
        // Much output, whole and in order. To a file: through a pipe `ctr` 1.6 was seen to give a part of it on a busy
        // machine, with runc's own shim as with podshim.
        let path = c.path("three.out");
        let file = std::fs::File::create(&path).expect("a file of ours");
        let args = [
            "run",
            "--rm",
            "--runtime",
            PODSHIM,
            IMAGE,
            "three",
            "seq",
            "1",
            "20000",
        ];
        let ended = c.ctr(&args).stdout(file).status().expect("ctr");
        assert!(ended.success(), "{ended}");
        let seen = std::fs::read_to_string(&path).expect("the output");
        let wanted: String = (1..=20000).map(|n| format!("{n}\n")).collect();
        assert!(seen == wanted, "{} bytes", seen.len());
    });
}

fn a_container_that_cannot_be_made_says_why_and_leaves_nothing(on: Version) {
    with_containerd(on, |c| {
        let ran = c.run(&[
            "run",
            "--rm",
            "--runtime",
            PODSHIM,
            IMAGE,
            "bad",
            "/no/such/program",
        ]);
        assert_ne!(ran.code, Some(0));
        assert!(ran.stderr.contains("/no/such/program"), "{}", ran.stderr);
        c.sh(&["--rm"], "bad", "exit 3").expect(3);
    });
}

fn events_come_complete_and_in_order(on: Version) {
    with_containerd(on, |c| {
        let mut events = background(&mut c.ctr(&["events"]), b"");
        until(20, "events are heard", || {
            c.run(&["namespaces", "label", &c.namespace, "a=b"]);
            let heard = events.stdout();
            heard
                .contains("/namespaces/update")
                .then_some(())
                .ok_or(heard)
        });
        c.sh(&["-d"], "e", "exec sleep 1000").expect(0);
        c.run(&["task", "exec", "--exec-id", "x", "e", "sh", "-c", "exit 4"])
            .expect(4);
        c.run(&["task", "pause", "e"]).expect(0);
        c.run(&["task", "resume", "e"]).expect(0);
        c.remove("e");
        let seen = until(20, "the last event", || {
            let all = events.stdout();
            let of_e = all.lines().filter(|line| line.contains("\"e\""));
            let topics: Vec<String> = of_e
                .filter_map(|line| line.split_whitespace().find(|w| w.starts_with("/tasks/")))
                .map(str::to_owned)
                .collect();
            let is_last = topics.last().is_some_and(|t| t == "/tasks/delete");
            is_last.then_some(topics).ok_or(all)
        });
        events.stop();
        assert_eq!(
            seen,
            [
                "/tasks/create",
                "/tasks/start",
                "/tasks/exec-added",
                "/tasks/exec-started",
                "/tasks/exit",
                "/tasks/paused",
                "/tasks/resumed",
                "/tasks/exit",
                "/tasks/delete"
            ]
        );
    });
}

fn a_running_container_is_looked_into_frozen_measured_and_killed(on: Version) {
    with_containerd(on, |c| {
        c.sh(&["-d"], "l", "sleep 1000 & exec sleep 1001").expect(0);
        assert_eq!(c.task("l").as_deref(), Some("RUNNING"));
        assert_eq!(
            c.run(&[
                "task",
                "exec",
                "--exec-id",
                "x",
                "l",
                "sh",
                "-c",
                "echo in; exit 5"
            ])
            .expect(5)
            .stdout,
            "in\n"
        );
        let pids = c.run(&["task", "ps", "l"]).text();
        assert!(pids.lines().count() >= 3, "{pids}");
        let metrics = c.run(&["task", "metrics", "l"]).text();
        assert!(metrics.contains("memory.usage_in_bytes"), "{metrics}");
        c.run(&["task", "pause", "l"]).expect(0);
        assert_eq!(c.task("l").as_deref(), Some("PAUSED"));
        let refused = c
            .run(&["task", "exec", "--exec-id", "y", "l", "true"])
            .expect(1);
        assert!(refused.stderr.contains("paused"), "{}", refused.stderr);
        c.run(&["task", "resume", "l"]).expect(0);
        let refused = c.run(&["task", "delete", "l"]).expect(1);
        assert!(refused.stderr.contains("delete"), "{}", refused.stderr);
        // A frozen container dies, too.
        c.run(&["task", "pause", "l"]).expect(0);
        c.remove("l");
        assert_eq!(c.task("l"), None);
    });
}
