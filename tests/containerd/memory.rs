//! What a pod costs while nothing happens, and what many pods leave behind: nothing.

use crate::daemon::with_containerd;
use crate::support::{pss_kib, until};

/// Memory of the idle shim of a pod of three, in KiB of proportional set size: the goal.
const MAX_IDLE_PSS_KIB: u64 = 1024;
/// The same for the program of a test build, which is not optimised and linked against the C library of the machine.
const MAX_IDLE_PSS_KIB_UNOPTIMISED: u64 = 12 * 1024;
/// Containers that come and go one after the other.
const CHURN: usize = 30;

/// `PODSHIM_TEST_BIN` names the released program.
#[test]
fn the_shim_of_an_idle_pod_stays_within_its_memory() {
    let max = match std::env::var_os("PODSHIM_TEST_BIN") {
        Some(_) => MAX_IDLE_PSS_KIB,
        None => MAX_IDLE_PSS_KIB_UNOPTIMISED,
    };
    with_containerd(|c| {
        let flags = ["-d", "--annotation", "io.kubernetes.cri.sandbox-id=p"];
        for id in ["p", "a", "b"] {
            c.sh(&flags, id, "exec sleep 1000").expect(0);
        }
        let shims = c.shims();
        assert_eq!(shims.len(), 1);
        until(20, "it is within its budget", || {
            let pss = pss_kib(shims[0]);
            (pss <= max)
                .then(|| eprintln!("idle shim: {pss} KiB PSS"))
                .ok_or(format!("{pss} KiB"))
        });
        for id in ["a", "b", "p"] {
            c.remove(id);
        }
    });
}

#[test]
fn many_containers_leave_nothing() {
    with_containerd(|c| {
        for n in 0..CHURN {
            let id = format!("n{n}");
            c.sh(&["--rm"], &id, "exit 3").expect(3);
        }
    });
}
