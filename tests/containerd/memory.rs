//! What a pod costs while nothing happens, and after many processes.

use crate::daemon::with_containerd;
use crate::direct::{Direct, connect, end, exec, run, shut_down, soon};
use crate::support::{anonymous_kib, pss_kib, until};
use crate::versions::Version;
use containerd_shim_protos::api::ConnectRequest;

/// Memory of the idle shim of a pod of three, in KiB of proportional set size: the goal.
const MAX_IDLE_PSS_KIB: u64 = 1024;
/// The same for the program of a test build, which is not optimised and linked against the C library of the machine.
const MAX_IDLE_PSS_KIB_UNOPTIMISED: u64 = 12 * 1024;
/// The part of it that no other pod shares, whatever else runs on the machine: some 210 where this was written.
const MAX_IDLE_OWN_KIB: u64 = 320;
/// The same of a test build.
const MAX_IDLE_OWN_KIB_UNOPTIMISED: u64 = 2 * 1024;
/// Processes that are added to one container, one after the other, before and after the first look.
const EXECS: [usize; 2] = [20, 60];
/// What the shim may have grown meanwhile, in KiB: parts of the program that are read in late, nothing per process.
const MAX_GROWTH_KIB: u64 = 256;

/// `PODSHIM_TEST_BIN` names the released program.
#[test]
fn the_shim_of_an_idle_pod_stays_within_its_memory() {
    let (max, max_own) = match std::env::var_os("PODSHIM_TEST_BIN") {
        Some(_) => (MAX_IDLE_PSS_KIB, MAX_IDLE_OWN_KIB),
        None => (MAX_IDLE_PSS_KIB_UNOPTIMISED, MAX_IDLE_OWN_KIB_UNOPTIMISED),
    };
    with_containerd(Version::Installed, |c| {
        let flags = ["-d", "--annotation", "io.kubernetes.cri.sandbox-id=p"];
        for id in ["p", "a", "b"] {
            c.sh(&flags, id, "exec sleep 1000").expect(0);
        }
        let shims = c.shims();
        assert_eq!(shims.len(), 1);
        until(20, "it is within its budget", || {
            let (pss, own) = (pss_kib(shims[0]), anonymous_kib(shims[0]));
            (pss <= max && own <= max_own)
                .then(|| eprintln!("idle shim: {pss} KiB PSS, {own} KiB its own"))
                .ok_or(format!("{pss} KiB PSS, {own} KiB its own"))
        });
        for id in ["a", "b", "p"] {
            c.remove(id);
        }
    });
}

#[tokio::test]
async fn many_processes_leave_the_shim_as_large_as_it_was_and_no_file_open() {
    let direct = Direct::new();
    let bundle = direct.bundle("a", "exec sleep 1000", |_| {});
    let address = direct.start(&bundle, "a");
    let c = connect(&address).await;
    run(&c, &bundle, "a").await;
    let connected = c.connect(soon(), &ConnectRequest::default()).await;
    let shim = i32::try_from(connected.expect("alive").shim_pid).expect("a pid");
    let files = || {
        std::fs::read_dir(format!("/proc/{shim}/fd"))
            .expect("it lives")
            .count()
    };
    let mut seen = Vec::new();
    for (round, count) in EXECS.into_iter().enumerate() {
        for n in 0..count {
            assert_eq!(exec(&c, "a", &format!("x{round}-{n}"), "exit 3").await, 3);
        }
        // Idle, it gives back what it can.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        seen.push((anonymous_kib(shim), files()));
    }
    eprintln!("KiB and open files after {EXECS:?} processes: {seen:?}");
    assert!(seen[1].0 <= seen[0].0 + MAX_GROWTH_KIB, "{seen:?}");
    assert_eq!(seen[0].1, seen[1].1);
    let left: Vec<_> = std::fs::read_dir(&bundle)
        .expect("the bundle")
        .flatten()
        .map(|e| e.file_name())
        .collect();
    assert!(
        left.iter()
            .all(|name| !name.to_string_lossy().starts_with("exec-")),
        "{left:?}"
    );
    assert_eq!(end(&c, "a").await, 137);
    shut_down(&c, &address).await;
}
