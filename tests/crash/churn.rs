//! Pods come and go beside one that stays: nothing grows, neither on the machine nor in the processes that stay.
//!
//! `PODSHIM_CYCLES` says how many come and go; `scripts/soak` asks for 2,000.

use super::processes::Life;
use crate::support::{
    Host, Pod, cgroups_of, left_behind, number, on_each_runtime, pod, sh, status_field, with,
};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;

/// What a process may have more than it had, in KiB: a few pages that were not touched before.
const MAX_GROWTH_KIB: u64 = 192;
/// So many figures are printed.
const FIGURES: u64 = 10;

/// What there is, as numbers.
#[derive(Debug, PartialEq, Eq)]
struct Counts {
    /// Processes, mounts, links and firewall rules that name the host's directory.
    ours: usize,
    cgroups: usize,
    /// Files and directories of the host; logs and journals grow in size only.
    files: usize,
    /// Descriptors and mounts of keeper and supervisor.
    descriptors: usize,
    mounts: usize,
}

fn named(name: &str, spec: Value) -> Value {
    with(pod(spec), json!({"metadata": {"name": name}}))
}

fn entries(path: &Path) -> usize {
    let all = fs::read_dir(path).into_iter().flatten().flatten();
    // What youki leaves of each exec, for some minutes.
    all.filter(|entry| {
        !entry
            .file_name()
            .to_string_lossy()
            .starts_with("tenant-notify-")
    })
    .map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => 1 + entries(&entry.path()),
        _ => 1,
    })
    .sum()
}

fn counts(host: &Host, stays: &Pod) -> Counts {
    let lives = [Life::Keeper, Life::Supervisor].map(|life| life.of_but(stays, 0));
    let each = |count: &dyn Fn(i32) -> usize| lives.iter().map(|pid| count(*pid)).sum();
    let ours = host.path("");
    let ours = ours.to_str().map(|text| text.trim_end_matches('/'));
    Counts {
        ours: left_behind(Path::new(ours.expect("a path")), &Default::default()).len(),
        cgroups: cgroups_of(&stays.uid).len(),
        files: ["state", "data", "logs"]
            .map(|name| entries(&host.path(name)))
            .iter()
            .sum(),
        descriptors: each(&|pid| entries(Path::new(&format!("/proc/{pid}/fd")))),
        mounts: each(&|pid| {
            let table = crate::support::proc_file(pid, "mountinfo");
            let of_tests = |line: &&str| line.contains("podshim-test-");
            table.lines().filter(of_tests).count()
        }),
    }
}

/// Memory that is a process's own, in KiB: what it shares is counted differently as others come and go.
fn anonymous_kib(pid: i32) -> u64 {
    let field = status_field(pid, "RssAnon");
    let number = field.strip_suffix(" kB").and_then(|n| n.parse().ok());
    number.unwrap_or_else(|| panic!("{field}"))
}

/// One pod comes and goes, in one of the ways in which pods do.
fn come_and_go(host: &Host, cycle: u64, manifests: &[String; 2]) {
    let [ends, lasts] = manifests;
    match cycle % 4 {
        0 => {
            let ran = host.podshim(["run", "--rm", "-f", ends]).expect(3);
            assert_eq!(ran.stdout, "said\n");
        }
        1 => {
            host.podshim(["run", "-d", "-f", lasts]).expect(0);
            host.podshim(["exec", "lasts", "--", "true"]).expect(0);
            host.podshim(["stop", "lasts", "--grace-period", "0"])
                .expect(0);
            host.podshim(["delete", "lasts"]).expect(0);
        }
        2 => {
            host.podshim(["run", "-d", "-f", lasts]).expect(0);
            host.podshim(["delete", "lasts", "--force"]).expect(0);
        }
        _ => {
            host.podshim(["run", "-d", "-f", lasts]).expect(0);
            let dead = Life::Supervisor.kill_of(&host.pod("lasts"));
            Life::Supervisor.of_but(&host.pod("lasts"), dead);
            host.podshim(["delete", "lasts", "--grace-period", "0"])
                .expect(0);
        }
    }
}

#[test]
fn nothing_grows_while_pods_come_and_go() {
    let cycles = number("PODSHIM_CYCLES").unwrap_or(8);
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let probe = json!({"exec": {"command": ["true"]}, "periodSeconds": 1,
                           "timeoutSeconds": 60, "failureThreshold": 100});
        let stays = host.start(&named(
            "stays",
            json!({"containers": [with(
                sh("c", "trap 'exit 0' TERM; while :; do echo on; sleep 0.2; done"),
                json!({"livenessProbe": probe}),
            )]}),
        ));
        stays.until_running();
        let volume = json!({"volumes": [{"name": "d", "emptyDir": {}}]});
        let mount = json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}]});
        let ends = with(sh("c", "echo said >/d/f; cat /d/f; exit 3"), mount.clone());
        let lasts = with(sh("c", "exec sleep 1000"), mount);
        let manifests = [("ends", ends), ("lasts", lasts)].map(|(name, container)| {
            let spec = with(volume.clone(), json!({"containers": [container]}));
            let file = host.manifest(&[named(name, spec)]);
            file.to_str().expect("a path").to_owned()
        });
        // The first of each kind make what is kept.
        (0..4).for_each(|cycle| come_and_go(host, cycle, &manifests));
        let lives = || [Life::Keeper, Life::Supervisor].map(|life| life.of_but(&stays, 0));
        let (before, first) = (counts(host, &stays), lives().map(anonymous_kib));
        eprintln!("before: {before:?}, {first:?} KiB");
        for cycle in 1..=cycles {
            come_and_go(host, cycle, &manifests);
            if cycle % cycles.div_ceil(FIGURES) == 0 || cycle == cycles {
                let now = crate::support::until(30, "all that was is gone", || {
                    match counts(host, &stays) {
                        now if now == before => Ok(now),
                        now => Err(format!("{now:?} was {before:?} after {cycle} cycles")),
                    }
                });
                let memory = lives().map(anonymous_kib);
                eprintln!("{cycle} cycles: {now:?}, {memory:?} KiB");
                for (was, is) in first.iter().zip(memory) {
                    assert!(is <= was + MAX_GROWTH_KIB, "{first:?} KiB, now {memory:?}");
                }
            }
        }
    });
}
