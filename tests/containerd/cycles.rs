//! Containers that come and go in numbers. `PODSHIM_SHIM_CYCLES` says how many.

use crate::daemon::with_containerd;
use crate::direct::{Direct, NAMESPACE, connect, end, run, shut_down, soon};
use crate::support::{anonymous_kib, cgroups_of, number, proc_file};
use crate::versions::{Version, on_each_version};
use containerd_shim_protos::api::ConnectRequest;
use std::fs;
use std::path::Path;
use std::time::Duration;

on_each_version! {
    many_containers_leave_nothing,
}

/// Containers that come and go one after the other.
const CYCLES: u64 = 30;
/// What the shim may grow while they do, in KiB: parts of the program that are read in late, nothing per container.
const MAX_GROWTH_KIB: u64 = 256;
/// Before this many cycles, caches fill and files are made that stay.
const WARM_UP: u64 = 10;

fn cycles() -> u64 {
    number("PODSHIM_SHIM_CYCLES").unwrap_or(CYCLES)
}

fn many_containers_leave_nothing(on: Version) {
    with_containerd(on, |c| {
        for n in 0..cycles() {
            c.sh(&["--rm"], &format!("n{n}"), "exit 3").expect(3);
        }
        eprintln!("{} cycles through ctr: nothing left", cycles());
    });
}

/// What a shim has, and what there is of its containers on the machine.
#[derive(Debug, PartialEq, Eq)]
struct Figures {
    /// What is open, without numbers.
    files: Vec<String>,
    threads: usize,
    children: usize,
    mounts: usize,
    cgroups: usize,
    entries: usize,
}

impl std::fmt::Display for Figures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} open files, {} threads, {} children, {} mounts, {} cgroups, {} files and directories",
            self.files.len(),
            self.threads,
            self.children,
            self.mounts,
            self.cgroups,
            self.entries
        )
    }
}

impl Figures {
    fn of(shim: i32, dir: &Path) -> Figures {
        let process = format!("/proc/{shim}");
        let mounts = proc_file(shim, "mountinfo");
        let cgroups = cgroups_of(NAMESPACE);
        Figures {
            files: open_files(shim),
            threads: entries(&Path::new(&process).join("task")),
            children: proc_file(shim, &format!("task/{shim}/children"))
                .split_whitespace()
                .count(),
            mounts: mounts
                .lines()
                .filter(|line| line.contains(NAMESPACE))
                .count(),
            cgroups: cgroups.iter().map(|cgroup| directories(cgroup)).sum(),
            entries: below(dir) + below(&Path::new("/run/containerd/runc").join(NAMESPACE)),
        }
    }
}

/// What a process has open, sorted, without the numbers of pipes and sockets.
fn open_files(pid: i32) -> Vec<String> {
    let all = fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives");
    let targets = all.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    let mut names: Vec<String> = targets
        .map(|target| {
            target
                .to_string_lossy()
                .split('[')
                .next()
                .unwrap_or_default()
                .to_owned()
        })
        .collect();
    names.sort();
    names
}

/// How many directories are below one.
fn directories(dir: &Path) -> usize {
    let all = fs::read_dir(dir).into_iter().flatten().flatten();
    let dirs = all.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()));
    dirs.map(|entry| 1 + directories(&entry.path())).sum()
}

/// How many names are in a directory.
fn entries(dir: &Path) -> usize {
    fs::read_dir(dir).into_iter().flatten().count()
}

/// How many directories are below one, and how many files are in them.
fn below(dir: &Path) -> usize {
    let all = fs::read_dir(dir).into_iter().flatten().flatten();
    all.map(|entry| match entry.file_type() {
        Ok(kind) if kind.is_dir() => 1 + below(&entry.path()),
        _ => 1,
    })
    .sum()
}

#[tokio::test]
async fn a_shim_that_has_seen_many_containers_is_as_large_as_before_and_has_nothing_of_them() {
    let direct = Direct::new();
    let of_group = |config: &mut serde_json::Value| {
        config["annotations"] = serde_json::json!({"io.containerd.runc.v2.group": "g"});
    };
    let stays = direct.bundle("stays", "exec sleep 1000", of_group);
    let address = direct.start(&stays, "stays");
    let c = connect(&address).await;
    run(&c, &stays, "stays").await;
    let connected = c.connect(soon(), &ConnectRequest::default()).await;
    let shim = i32::try_from(connected.expect("alive").shim_pid).expect("a pid");
    let mut seen = Vec::new();
    for n in 0..cycles().max(2 * WARM_UP) {
        if n == WARM_UP {
            seen.push(idle(shim, direct.dir.path()).await);
        }
        let id = format!("n{n}");
        let bundle = direct.bundle(&id, "exec sleep 1000", of_group);
        assert_eq!(direct.start(&bundle, &id), address);
        run(&c, &bundle, &id).await;
        assert_eq!(end(&c, &id).await, 137);
        let cleaned = direct.call(&bundle, &id, "delete", b"");
        assert!(cleaned.status.success());
        fs::remove_dir_all(&bundle).expect("nothing is mounted there");
    }
    seen.push(idle(shim, direct.dir.path()).await);
    let [(before_kib, before), (after_kib, after)] = &seen[..] else {
        panic!("two looks")
    };
    eprintln!(
        "{} cycles in one shim: {before_kib} KiB, then {after_kib} KiB; {after}",
        cycles()
    );
    assert_eq!(before, after);
    assert!(*after_kib <= before_kib + MAX_GROWTH_KIB, "{seen:?}");
    assert_eq!(end(&c, "stays").await, 137);
    shut_down(&c, &address).await;
}

/// What an idle shim has: it gives back what it can after some time.
async fn idle(shim: i32, dir: &Path) -> (u64, Figures) {
    let mut last = (anonymous_kib(shim), Figures::of(shim, dir));
    for _ in 0..60 {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = (anonymous_kib(shim), Figures::of(shim, dir));
        if now == last {
            break;
        }
        last = now;
    }
    last
}
