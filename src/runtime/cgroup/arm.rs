//! Takes a wait out of the way of a runtime.
//!
//! Who moves a process into a cgroup waits for all processors to take notice, some 10 ms, unless somebody did the same shortly before,
//! anywhere on the machine. A runtime moves one at each `create` and `exec`. So when it is spawned, a thread of ours moves this process
//! to where it is already: that changes nothing, and the wait is over when the runtime comes to it. Source: Linux,
//! kernel/cgroup/cgroup.c, `cgroup_threadgroup_rwsem` and percpu-rwsem; measured with 6.18.

use crate::runtime::Layout;
use std::path::{Path, PathBuf};
use std::thread::Builder;

/// Stack of the thread, in bytes: it reads two files and writes one.
const STACK_BYTES: usize = 64 * 1024;

/// Begins the wait, and returns at once. Without the right to do it, everything is as before, only slower.
pub(in crate::runtime) fn arm() {
    let _ = Builder::new().stack_size(STACK_BYTES).spawn(|| {
        if let Some(file) = Layout::detect().ok().and_then(|layout| own(&layout)) {
            // 0 is this process.
            let _ = std::fs::write(file, "0");
        }
    });
}

/// The file that lists this process in one of the hierarchies, which one does not matter.
fn own(layout: &Layout) -> Option<PathBuf> {
    let cgroups = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let hierarchy = layout.v2.as_ref().or(layout.v1.first())?;
    let path = cgroups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        let is_it = match &layout.v2 {
            Some(_) => controllers.is_empty(),
            None => controllers
                .split(',')
                .any(|name| hierarchy.controllers.iter().any(|own| own == name)),
        };
        is_it.then_some(path)
    })?;
    let relative = Path::new(path).strip_prefix("/").ok()?;
    // Above the root of our cgroup namespace there is nothing that we could name.
    let plain = !relative.starts_with("..");
    plain.then(|| hierarchy.mount.join(relative).join("cgroup.procs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_it_writes_to_has_this_process_already() {
        let layout = Layout::detect().expect("cgroups");
        let file = own(&layout).expect("this process is in a cgroup");
        let pids = std::fs::read_to_string(&file).expect("it is there");
        let pid = std::process::id().to_string();
        assert!(pids.lines().any(|line| line == pid), "{}", file.display());
    }
}
