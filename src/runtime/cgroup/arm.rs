//! The wait before a process may change its cgroup, begun while a runtime is still starting.
//!
//! The kernel makes the first write to any `cgroup.procs` wait for an RCU grace period, 8-10 ms; one that follows within about
//! 10 ms does not wait. A runtime writes there for every container, some 10 ms after its own start, and spends a third of its
//! time in that wait. Whoever starts it writes at the same moment, so that both waits are one. The write moves this process to
//! where it is: it changes nothing, and that it cannot be done is no error. Source: `cgroup_attach_lock` in
//! kernel/cgroup/cgroup.c.

use crate::runtime::Layout;
use crate::runtime::cgroup::files;
use std::path::PathBuf;
use std::sync::OnceLock;

/// The stack of the thread that waits, in bytes: it formats a number and writes it.
const STACK_BYTES: usize = 64 * 1024;

/// Begins the wait in a thread of its own, which ends with it.
pub fn arm() {
    static PROCS: OnceLock<Option<PathBuf>> = OnceLock::new();
    let write = || {
        if let Some(path) = PROCS.get_or_init(own_procs) {
            let _ = files::write(path, &std::process::id().to_string());
        }
    };
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES);
    let _ = thread.spawn(write);
}

/// The list of processes of a cgroup that this process is in.
fn own_procs() -> Option<PathBuf> {
    let layout = Layout::detect().ok()?;
    let all = files::memberships("self");
    all.iter().find_map(|(controllers, path)| {
        let mount = match controllers.split(',').next() {
            None | Some("") => layout.v2.as_ref().map(|v2| v2.mount.as_path()),
            Some(controller) => layout.v1_mount(controller),
        };
        let directory = mount?.join(path.trim_start_matches('/'));
        Some(directory.join("cgroup.procs")).filter(|procs| procs.exists())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_found_and_stays_where_it_is() {
        let read = || std::fs::read_to_string("/proc/self/cgroup").expect("cgroups");
        let (before, procs) = (read(), own_procs().expect("a cgroup of ours"));
        let id = std::process::id().to_string();
        let listed = std::fs::read_to_string(&procs).expect("readable");
        assert!(listed.lines().any(|line| line == id), "{procs:?}: {listed}");
        files::write(&procs, &id).expect("it may stay");
        assert_eq!(read(), before);
    }
}
