//! How this machine mounts its cgroups.
//!
//! ```text
//!  V1      one hierarchy per controller (or a few)                   /sys/fs/cgroup/<controllers>
//!  Hybrid  the same, and a v2 hierarchy for systemd beside them      … and /sys/fs/cgroup/unified
//!  V2      one hierarchy                                             /sys/fs/cgroup
//! ```

use crate::runtime::{CgroupError, small_file};
use std::path::{Path, PathBuf};

/// Where runtimes look for cgroups. Mounts elsewhere are somebody's own.
const CGROUP_ROOT: &str = "/sys/fs/cgroup";
/// Longest mount table read, in bytes: some 4,000 mounts.
const MOUNTINFO_MAX_BYTES: u64 = 1024 * 1024;
/// Longest list of controllers, in bytes.
const CONTROLLERS_MAX_BYTES: u64 = 4096;

/// Which of the three arrangements it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// cgroup v1 alone.
    V1,
    /// cgroup v1, with a v2 hierarchy beside it.
    Hybrid,
    /// cgroup v2.
    V2,
}

/// The mounted hierarchies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// cgroup v1 hierarchies; empty with [`Mode::V2`].
    pub(in crate::runtime) v1: Vec<Hierarchy>,
    /// The cgroup v2 hierarchy.
    pub(in crate::runtime) v2: Option<Hierarchy>,
}

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::runtime) struct Hierarchy {
    /// Where.
    pub(in crate::runtime) mount: PathBuf,
    /// Its controllers; of a named v1 hierarchy `name=…`.
    pub(in crate::runtime) controllers: Vec<String>,
}

impl Layout {
    /// Reads the mount table of this process.
    pub fn detect() -> Result<Layout, CgroupError> {
        let read = |path: &Path, limit| {
            small_file::read_head(path, limit).map_err(|source| CgroupError::Read {
                path: path.to_owned(),
                source,
            })
        };
        let mounts = read(Path::new("/proc/self/mountinfo"), MOUNTINFO_MAX_BYTES)?;
        let mut layout = Layout::parse(&mounts).ok_or(CgroupError::NotMounted)?;
        if let Some(v2) = &mut layout.v2 {
            let list = read(&v2.mount.join("cgroup.controllers"), CONTROLLERS_MAX_BYTES)?;
            v2.controllers = list.split_whitespace().map(str::to_owned).collect();
        }
        Ok(layout)
    }

    /// The hierarchies in a mount table, the controllers of v2 not yet known. Source: proc_pid_mountinfo(5).
    fn parse(mountinfo: &str) -> Option<Layout> {
        let mut layout = Layout {
            v1: Vec::new(),
            v2: None,
        };
        for line in mountinfo.lines() {
            let Some((left, right)) = line.split_once(" - ") else {
                continue;
            };
            let Some(mount) = left.split(' ').nth(4).map(PathBuf::from) else {
                continue;
            };
            let mut right = right.split(' ');
            let (kind, options) = (right.next(), right.nth(1).unwrap_or_default());
            // What is mounted later hides what is below it.
            layout.v1.retain(|h| !h.mount.starts_with(&mount));
            layout.v2.take_if(|h| h.mount.starts_with(&mount));
            if !mount.starts_with(CGROUP_ROOT) {
                continue;
            }
            match kind {
                Some("cgroup2") => {
                    layout.v2 = Some(Hierarchy {
                        mount,
                        controllers: Vec::new(),
                    });
                }
                Some("cgroup") => {
                    let controllers = options
                        .split(',')
                        .filter(|o| !matches!(*o, "rw" | "ro" | "xattr" | "clone_children"))
                        .filter(|o| !o.starts_with("release_agent="))
                        .map(str::to_owned)
                        .collect();
                    layout.v1.push(Hierarchy { mount, controllers });
                }
                _ => {}
            }
        }
        // As runtimes decide: v2 is what the root itself is; then v1 mounts below it are nobody's.
        if layout
            .v2
            .as_ref()
            .is_some_and(|v2| v2.mount == Path::new(CGROUP_ROOT))
        {
            layout.v1.clear();
        }
        (layout.v2.is_some() || !layout.v1.is_empty()).then_some(layout)
    }

    /// Which arrangement it is.
    pub fn mode(&self) -> Mode {
        match (self.v1.is_empty(), &self.v2) {
            (true, _) => Mode::V2,
            (false, Some(_)) => Mode::Hybrid,
            (false, None) => Mode::V1,
        }
    }

    /// Whether containers can be limited by this controller: with v1 hierarchies mounted, only by theirs.
    pub fn has(&self, controller: &str) -> bool {
        match self.mode() {
            Mode::V1 | Mode::Hybrid => self.v1_mount(controller).is_some(),
            Mode::V2 => self.v2_has(controller),
        }
    }

    /// Whether the v2 hierarchy has controllers though v1 ones are mounted: some runtimes refuse that.
    pub fn is_mixed(&self) -> bool {
        self.mode() == Mode::Hybrid
            && self
                .v2
                .as_ref()
                .is_some_and(|v2| !v2.controllers.is_empty())
    }

    /// Where the v1 hierarchy of a controller is mounted.
    pub(in crate::runtime) fn v1_mount(&self, controller: &str) -> Option<&Path> {
        let found = self
            .v1
            .iter()
            .find(|h| h.controllers.iter().any(|c| c == controller))?;
        Some(&found.mount)
    }

    pub(in crate::runtime) fn v2_has(&self, controller: &str) -> bool {
        let v2 = self.v2.as_ref();
        v2.is_some_and(|h| h.controllers.iter().any(|c| c == controller))
    }

    /// Every hierarchy: a container has a cgroup in each of them.
    pub(in crate::runtime) fn mounts(&self) -> impl Iterator<Item = &Path> {
        self.v1.iter().chain(&self.v2).map(|h| h.mount.as_path())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:7 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
42 31 0:32 / /var/other/memory rw,relatime - cgroup cgroup rw,memory
";

    #[test]
    fn a_hybrid_machine_has_every_hierarchy_once() {
        let layout = Layout::parse(HYBRID).expect("cgroups");
        assert_eq!(layout.mode(), Mode::Hybrid);
        assert_eq!(layout.mounts().count(), 4);
        assert_eq!(
            layout.v1_mount("cpuacct"),
            Some(Path::new("/sys/fs/cgroup/cpu,cpuacct"))
        );
        assert_eq!(
            layout.v1_mount("name=systemd"),
            Some(Path::new("/sys/fs/cgroup/systemd"))
        );
        assert!(layout.has("memory") && !layout.has("pids"));
        assert!(!layout.is_mixed(), "no controllers read yet");
    }

    #[test]
    fn v2_at_the_root_is_v2_whatever_else_is_mounted() {
        let table = "24 1 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n\
                     25 24 0:23 / /sys/fs/cgroup/net_cls rw - cgroup cgroup rw,net_cls\n";
        let layout = Layout::parse(table).expect("cgroups");
        assert_eq!((layout.mode(), layout.mounts().count()), (Mode::V2, 1));
    }

    #[test]
    fn a_hierarchy_under_a_later_mount_is_not_there() {
        let hidden = "50 41 0:50 / /sys/fs/cgroup/unified rw - tmpfs tmpfs rw\n";
        let layout = Layout::parse(&format!("{HYBRID}{hidden}")).expect("cgroups");
        assert_eq!((layout.mode(), layout.mounts().count()), (Mode::V1, 3));
        let all_hidden = "51 23 0:51 / /sys/fs rw - tmpfs tmpfs rw\n";
        assert_eq!(Layout::parse(&format!("{HYBRID}{all_hidden}")), None);
    }

    #[test]
    fn a_machine_without_cgroups_is_said_to_be_one() {
        for table in [
            "",
            "garbage",
            "1 2 3 - cgroup",
            "1 2 0:3 / /proc rw - proc proc rw",
        ] {
            assert_eq!(Layout::parse(table), None, "{table}");
        }
    }
}
