//! What no cgroup holds: processes that a runtime started and left behind when it hung or died. The keeper is the parent of
//! whatever of its pod has lost its own, so they are found however they hid.

use crate::base::Signal;
use crate::pod::Failure;
use crate::supervisor::context::{Context, plain};
use crate::sys;
use nix::sys::socket::{getsockopt, sockopt::PeerCredentials};
use std::os::fd::AsFd;
use std::time::Duration;

/// How often it is looked whether all are gone, and how long that may take altogether: what a dead stray had started comes up
/// as a stray of its own.
const LOOKS: (u32, Duration) = (200, Duration::from_millis(25));

/// Kills them. To be called when no instance is left and no operation runs: then the keeper has no other child than us.
pub(super) async fn kill_strays(context: &Context) -> Result<(), Failure> {
    let keeper = std::os::unix::process::parent_id();
    let is_keeper = getsockopt(&context.keeper, PeerCredentials)
        .is_ok_and(|peer| u32::try_from(peer.pid()) == Ok(keeper));
    if !is_keeper {
        // It died, and what it had belongs to the parent of all.
        return Ok(());
    }
    let (looks, pause) = LOOKS;
    for _ in 0..looks {
        let strays = children_but_us(keeper);
        if strays.is_empty() {
            return Ok(());
        }
        for pid in strays {
            // The number may be another's by now; whose child it is, tells.
            if let Ok(pidfd) = sys::pidfd(pid)
                && sys::parent(pid) == Some(keeper)
            {
                let _gone = sys::signal_pidfd(pidfd.as_fd(), Signal::KILL);
            }
        }
        tokio::time::sleep(pause).await;
    }
    Err(plain(format!(
        "cannot end the processes {:?} that the runtime left behind",
        children_but_us(keeper)
    )))
}

/// Source: proc_pid_task(5), `children`; a kernel without it tells of none.
fn children_but_us(keeper: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{keeper}/task/{keeper}/children"));
    let list = list.unwrap_or_default();
    let pids = list.split_whitespace().filter_map(|pid| pid.parse().ok());
    pids.filter(|pid| *pid != std::process::id()).collect()
}
