//! Commands of several people about the same pods at the same time: each comes to an end that makes sense, and so do the pods.
//!
//! `PODSHIM_COMMANDS` says how many commands (120); `PODSHIM_SEED` repeats a choice, though not how they fall together.

use crate::support::{
    Background, Host, Random, images, number, on_each_runtime, pod, seed, sh, until, with,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::Duration;

/// Commands that run at a time.
const AT_ONCE: usize = 6;

/// Another name for the image of the pods: that it is removed must not cost them a layer.
const OTHER: &str = "localhost/other:test";

/// Exit codes that somebody may get whose pod another removes, replaces or has made already. Source: README, exit codes.
const EXPECTED: [i32; 5] = [0, 1, 3, 4, 5];

/// What nobody must be told: it is about our files, not about their pods.
const INTERNAL: [&str; 6] = [
    "No such file",
    "not empty",
    "File exists",
    "busy",
    "panicked",
    "os error",
];

fn named(name: &str) -> Value {
    let script = "trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let base = pod(json!({"restartPolicy": "Always", "containers": [sh("c", script)]}));
    with(base, json!({"metadata": {"name": name}}))
}

/// A command line; `manifests` are those of the pods `names`.
fn choose(random: &mut Random, names: [&str; 2], manifests: &[String; 2]) -> Vec<String> {
    let which = random.index(2);
    let (name, manifest) = (names[which], manifests[which].as_str());
    let layout = format!("oci:{}", images().join("busybox").display());
    let layout = layout.as_str();
    let words: &[&str] = match random.below(17) {
        0..=3 => &["run", "-d", "-f", manifest],
        4 => &["run", "-d", "--replace", "-f", manifest],
        5 | 6 => &["delete", name],
        7 => &["delete", "--force", name],
        8 => &["stop", name, "--grace-period", "1"],
        9 => &["wait", name, "--for", "phase=Running", "--timeout", "2"],
        10 => &["doctor", "--fix"],
        11 => &["up"],
        12 => &["image", "load", layout, OTHER],
        13 => &["image", "rm", OTHER],
        14 => &["get", "-A", "-o", "json"],
        15 => &["exec", name, "--", "true"],
        _ => &["logs", name],
    };
    words.iter().map(|word| (*word).to_owned()).collect()
}

/// Looks at what came of a command.
fn judge(line: &[String], run: Background) {
    let ran = run.wait();
    let words = format!("{line:?}: {:?}\n{}{}", ran.code, ran.stdout, ran.stderr);
    let code = ran.code.unwrap_or_else(|| panic!("{words}"));
    let allowed = match line[0].as_str() {
        // The runtime of this machine may be one that it finds fault with; no leftover may resist.
        "doctor" => [0, 1, 6, 7].contains(&code),
        "wait" => EXPECTED.contains(&code),
        "exec" => EXPECTED.contains(&code) || code >= 125,
        "get" | "up" => code == 0,
        _ => EXPECTED.contains(&code),
    };
    assert!(allowed, "{words}");
    // What a container's runtime says of a container that has just ended is in its own words.
    if line[0] != "exec" {
        let told = INTERNAL.iter().find(|text| ran.stderr.contains(**text));
        assert!(told.is_none(), "{words}");
    }
}

/// Names in a directory.
fn entries(path: PathBuf) -> Vec<String> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}

#[test]
fn commands_about_the_same_pods_come_to_sane_ends() {
    let commands = number("PODSHIM_COMMANDS").unwrap_or(120);
    let seed = seed();
    eprintln!("PODSHIM_SEED={seed}");
    on_each_runtime(|host| {
        let names = ["a", "b"];
        let manifests = names.map(|name| {
            let file = host.manifest(&[named(name)]);
            file.to_str().expect("a path").to_owned()
        });
        let mut random = Random(seed);
        let mut running: Vec<(Vec<String>, Background)> = Vec::new();
        let mut seen = BTreeSet::new();
        for number in 0..commands {
            // Half of them have bridges of their own.
            host.set_network(Some(if number % 2 == 0 { "none" } else { "bridge" }));
            let line = choose(&mut random, names, &manifests);
            let run = host.background(&line);
            running.push((line, run));
            sleep(Duration::from_millis(random.below(60)));
            until(60, "one has ended", || {
                seen.extend(entries(host.path("state/pods")));
                let ended = running
                    .iter_mut()
                    .position(|(_, run)| run.ended().is_some());
                match (ended, running.len() < AT_ONCE) {
                    (Some(at), _) => {
                        let (line, run) = running.swap_remove(at);
                        judge(&line, run);
                        Ok(())
                    }
                    (None, true) => Ok(()),
                    (None, false) => Err(format!(
                        "{:?}",
                        running.iter().map(|(line, _)| line).collect::<Vec<_>>()
                    )),
                }
            });
        }
        for (line, run) in running {
            judge(&line, run);
        }
        // Whatever they did to each other: a pod can be run, and everything can be removed.
        for (name, manifest) in names.iter().zip(&manifests) {
            host.podshim(["run", "-d", "--replace", "-f", manifest])
                .expect(0);
            let json = host.pod(name).until_running();
            assert_eq!(json["status"]["containerStatuses"][0]["restartCount"], 0);
        }
        host.podshim(["delete", "--all"]).expect(0);
        gone(host, seen);
    });
}

/// Nothing is left of any pod that there was.
fn gone(host: &Host, seen: BTreeSet<String>) {
    for uid in seen {
        host.expect_nothing_of(uid);
    }
    for directory in ["state/pods", "state/names", "data/pods", "logs"] {
        assert_eq!(
            entries(host.path(directory)),
            [] as [String; 0],
            "{directory}"
        );
    }
    host.assert_nothing_left();
}
