//! Several containers of one pod in one shim, OOM kills, options of the runtime.

use crate::daemon::{Daemon, with_containerd};
use crate::support::{background, until};
use crate::versions::{Version, on_each_version};
use std::fs;

on_each_version! {
    containers_of_a_pod_share_a_shim_until_the_last_is_gone,
    a_kill_for_want_of_memory_is_told_before_the_exit,
    options_choose_the_runtime_and_its_root,
}

fn containers_of_a_pod_share_a_shim_until_the_last_is_gone(on: Version) {
    with_containerd(on, |c: &mut Daemon| {
        let flags = ["-d", "--annotation", "io.kubernetes.cri.sandbox-id=p"];
        for id in ["p", "a", "b"] {
            c.sh(&flags, id, "exec sleep 1000").expect(0);
        }
        assert_eq!(c.shims().len(), 1);
        // The pause first: the others go on.
        c.remove("p");
        assert_eq!(c.task("a").as_deref(), Some("RUNNING"));
        c.run(&["task", "exec", "--exec-id", "x", "a", "true"])
            .expect(0);
        c.remove("a");
        assert_eq!(c.shims().len(), 1);
        c.remove("b");
        until(20, "the shim is gone", || {
            let shims = c.shims();
            shims.is_empty().then_some(()).ok_or(format!("{shims:?}"))
        });
    });
}

fn a_kill_for_want_of_memory_is_told_before_the_exit(on: Version) {
    with_containerd(on, |c| {
        let mut events = background(&mut c.ctr(&["events"]), b"");
        let limit = (16 << 20).to_string();
        let ran = c.sh(
            &["--rm", "--memory-limit", &limit],
            "m",
            "x=a; while :; do x=$x$x; done",
        );
        assert_ne!(ran.code, Some(0));
        let topics = until(20, "the exit is told", || {
            let all = events.stdout();
            let topics: Vec<String> = all
                .split_whitespace()
                .filter(|word| word.starts_with("/tasks/"))
                .map(str::to_owned)
                .collect();
            let done = topics.iter().any(|topic| topic == "/tasks/delete");
            done.then_some(topics).ok_or(all)
        });
        events.stop();
        let at = |topic: &str| topics.iter().position(|t| t == topic);
        assert!(at("/tasks/oom").is_some(), "{topics:?}");
        assert!(at("/tasks/oom") < at("/tasks/exit"), "{topics:?}");
    });
}

fn options_choose_the_runtime_and_its_root(on: Version) {
    with_containerd(on, |c| {
        let (root, options) = (c.path("runtime-root"), c.path("options.toml"));
        let text = format!("BinaryName = \"runc\"\nRoot = \"{}\"\n", root.display());
        fs::write(&options, text).expect("a file of ours");
        let path = options.display().to_string();
        c.sh(
            &["-d", "--runtime-config-path", &path],
            "o",
            "exec sleep 1000",
        )
        .expect(0);
        assert!(root.join(&c.namespace).join("o").is_dir());
        c.remove("o");
        fs::write(&options, "BinaryName = \"no-such-runtime\"\n").expect("a file of ours");
        let refused = c.sh(&["--rm", "--runtime-config-path", &path], "o", "true");
        assert_ne!(refused.code, Some(0));
        assert!(
            refused.stderr.contains("no-such-runtime"),
            "{}",
            refused.stderr
        );
    });
}
