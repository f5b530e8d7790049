//! Those who watch pods: told by the kernel when something changes; where it does not tell, they look by themselves.

use crate::support::{Host, Pod, on_each_runtime, pod, sh, until, with};
use serde_json::{Value, json};
use std::fs;

/// Words before a command that the kernel gives no inotify instance: none is allowed in its user namespace.
const DEAF: [&str; 6] = [
    "unshare",
    "--map-root-user",
    "sh",
    "-c",
    "echo 0 >/proc/sys/user/max_inotify_instances && exec \"$@\"",
    "sh",
];

fn one(name: &str) -> Value {
    let script = "until test -e /tmp/go; do sleep 0.1; done";
    let spec = json!({"containers": [sh("c", script)]});
    with(pod(spec), json!({"metadata": {"name": name}}))
}

/// What is watched by inotify in a process of ours.
fn watches(pid: i32) -> usize {
    let infos = fs::read_dir(format!("/proc/{pid}/fdinfo")).expect("our child lives");
    let texts = infos.filter_map(|info| fs::read_to_string(info.expect("ours").path()).ok());
    texts.map(|text| text.matches("inotify wd:").count()).sum()
}

/// Lets a pod end. The command may be killed by the end that it brings about.
fn let_go(pod: &Pod<'_>) {
    let _any = pod.exec("c", "touch /tmp/go");
}

/// Watches pods that come, end and go, with each verb that does.
fn watch_a_life(host: &Host, before: &[&str]) {
    let before: Vec<String> = before.iter().map(|word| (*word).to_owned()).collect();
    let watching = |args: &[&str]| {
        host.set_before(&before);
        let watcher = host.background(args);
        host.set_before(&[]);
        watcher
    };
    let first = host.start(&one("first"));
    first.until_running();
    let mut get = watching(&["get", "--watch", "-o", "jsonl"]);
    let mut all = watching(&["events", "--follow", "-o", "jsonl"]);
    let events = watching(&["events", "--follow", "-o", "jsonl", "first"]);
    let named = watching(&["get", "--watch", "-o", "jsonl", "first"]);
    for (watcher, text) in [
        (&get, "\"Running\""),
        (&all, "\"Started\""),
        (&events, "\"Started\""),
        (&named, "\"Running\""),
    ] {
        until(30, "they have looked", || {
            match watcher.stdout().contains(text) {
                true => Ok(()),
                false => Err(watcher.stdout() + &watcher.stderr()),
            }
        });
        // Of all, the directory of pods too; of events their file too.
        let count = watches(watcher.pid());
        match before.is_empty() {
            true => assert!((1..=3).contains(&count), "{count} watches"),
            false => assert_eq!(count, 0, "it got what it should not get"),
        }
    }
    let second = host.start(&one("second"));
    second.until_running();
    let_go(&second);
    let seen = |what: &str, is_so: &dyn Fn() -> bool| {
        until(30, what, || match is_so() {
            true => Ok(()),
            false => Err(get.stdout() + &all.stdout()),
        });
    };
    let line = |text: String, words: [&str; 2]| {
        let mut lines = text.lines();
        lines.any(|line| words.iter().all(|word| line.contains(word)))
    };
    seen("the end of a pod that came later", &|| {
        line(get.stdout(), ["\"second\"", "\"Succeeded\""])
            && line(all.stdout(), ["\"second\"", "\"Exited\""])
    });
    host.podshim(["delete", "second"]).expect(0);
    let lines = get.stdout().lines().count();
    seen("a pod that goes away", &|| {
        let text = get.stdout();
        let last = text.lines().last().unwrap_or_default();
        text.lines().count() > lines || last.contains("\"first\"")
    });
    let_go(&first);
    let told = events.wait().text();
    assert!(
        told.contains("\"Exited\"") && !told.contains("\"second\""),
        "{told}"
    );
    until(30, "the end of the one that is named", || {
        match named.stdout().contains("\"Succeeded\"") {
            true => Ok(()),
            false => Err(named.stdout()),
        }
    });
    host.podshim(["delete", "first"]).expect(0);
    named.wait().expect(3);
    get.stop();
    all.stop();
}

#[test]
fn who_watches_hears_of_pods_that_come_end_and_go() {
    on_each_runtime(|host| watch_a_life(host, &[]));
}

#[test]
fn who_watches_without_inotify_looks_by_himself() {
    on_each_runtime(|host| watch_a_life(host, &DEAF));
}
