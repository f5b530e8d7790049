//! What a supervisor that died was doing: its runtime calls go on without it, and could change an instance after its successor
//! has looked. So the successor first lets them come to their end, which takes milliseconds, and kills what does not.
//!
//! They are found by their session: keeper, supervisors and calls are in one, containers and `podshim exec` are not.

use crate::base::Signal;
use crate::store::PodDir;
use crate::sys;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::time::Duration;

/// How long a call may go on: a hundred times what it takes on an idle machine. The containers run meanwhile.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long a killed call may take to die: one that waits for a disk dies when the disk has answered.
const DEATH: Duration = Duration::from_secs(1);

/// Waits until nothing of this session works for the pod, except this process and its keeper. *Errors*: the process that does not
/// die.
pub(super) fn outlive(dir: &PodDir, session: u32) -> Result<(), u32> {
    let begun = sys::now().mono;
    while let Some((pid, pidfd)) = remnant(dir, session) {
        let waited = sys::now().mono.since(begun);
        if sys::pidfd_outlives(pidfd.as_fd(), PATIENCE.saturating_sub(waited)) {
            tracing::warn!(pid, "killing a runtime call of an earlier supervisor");
            // It may have ended just now.
            let _ = sys::signal_pidfd(pidfd.as_fd(), Signal::KILL);
            if sys::pidfd_outlives(pidfd.as_fd(), DEATH) {
                return Err(pid);
            }
        }
    }
    Ok(())
}

fn remnant(dir: &PodDir, session: u32) -> Option<(u32, OwnedFd)> {
    let ours = [std::process::id(), std::os::unix::process::parent_id()];
    sys::processes()
        .filter(|pid| !ours.contains(pid) && sys::session(*pid) == Some(session))
        // The number may be another session's by now, if its keeper died, too: each call of ours names the pod's directory.
        .filter_map(|pid| Some((pid, sys::pidfd(pid).ok()?)))
        .find(|(pid, _)| names(*pid, dir))
}

/// Whether the command line of a process mentions the pod. That of a process that has ended is empty.
fn names(pid: u32, dir: &PodDir) -> bool {
    let wanted = dir.state.as_os_str().as_bytes();
    let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    line.windows(wanted.len()).any(|part| part == wanted)
}
