//! What would go wrong on this machine with this runtime, said before anything starts and with the remedy.
//!
//! Decided from facts alone: what the runtime says of itself, the table of quirks, and what the kernel answers to harmless
//! questions. No error text is read.

use crate::runtime::{Layout, Mode, Runtime};
use rustix::io::Errno;
use rustix::mount::FsOpenFlags;
use rustix::process::{PidfdFlags, getpid, pidfd_open};
use std::path::Path;

/// What the pod will need.
#[derive(Clone, Copy, Debug, Default)]
pub struct Needs {
    /// A container has a seccomp profile.
    pub seccomp: bool,
    /// A mount is `recursiveReadOnly: Enabled`.
    pub rro: bool,
    /// Root file systems are overlays.
    pub overlay: bool,
    /// cgroups are made through systemd.
    pub systemd_cgroup: bool,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What cannot be done.
    pub what: String,
    /// Why.
    pub why: String,
    /// What helps.
    pub hint: String,
    /// No pod can run; otherwise it runs with less.
    pub fatal: bool,
}

/// Controllers that limits and statistics need.
const CONTROLLERS: [&str; 3] = ["cpu", "memory", "pids"];

/// All that is wrong, the fatal first.
pub fn preflight(runtime: &Runtime, needs: &Needs) -> Vec<Problem> {
    let mut problems = Vec::new();
    problems.extend(unless_root());
    problems.extend(without_pidfds());
    match Layout::detect() {
        Ok(layout) => problems.extend(cgroups(runtime, needs, &layout)),
        Err(error) => problems.push(Problem {
            what: "cannot keep containers in cgroups".into(),
            why: error.to_string(),
            hint: "mount a cgroup file system: `mount -t cgroup2 cgroup2 /sys/fs/cgroup`".into(),
            fatal: true,
        }),
    }
    problems.extend(features(runtime, needs));
    if needs.overlay {
        problems.extend(without_overlay());
    }
    problems.sort_by_key(|problem| !problem.fatal);
    problems
}

/// What a user who is not root is told.
pub fn unless_root() -> Option<Problem> {
    (!rustix::process::geteuid().is_root()).then(|| Problem {
        what: "cannot run pods as this user".into(),
        why: "namespaces, mounts and cgroups of a pod are made by root".into(),
        hint: "run it as root, for example with `sudo`".into(),
        fatal: true,
    })
}

fn without_pidfds() -> Option<Problem> {
    (pidfd_open(getpid(), PidfdFlags::empty()).err() == Some(Errno::NOSYS)).then(|| Problem {
        what: "cannot watch processes safely".into(),
        why: "this kernel has no pidfds".into(),
        hint: "use Linux 5.4 or newer".into(),
        fatal: true,
    })
}

/// Pure, so that layouts of other machines can be tried.
fn cgroups(runtime: &Runtime, needs: &Needs, layout: &Layout) -> Vec<Problem> {
    let mut problems = Vec::new();
    let program = runtime.path.display();
    let version = &runtime.version;
    if layout.is_mixed() && runtime.kind.quirks().refuses_hybrid_controllers {
        let v2 = layout.v2.as_ref();
        let (mount, controllers) = v2.map_or_else(Default::default, |v2| {
            (v2.mount.display().to_string(), v2.controllers.join(" "))
        });
        problems.push(Problem {
            what: format!("cannot use `{program}` {version} with the cgroups of this machine"),
            why: format!(
                "it refuses cgroup v1 hierarchies beside a v2 one with controllers ({controllers} in `{mount}`)"
            ),
            hint: format!(
                "choose another runtime (`--runtime runc`), run podshim where it is hidden \
                 (`unshare -m sh -c 'mount -t tmpfs tmpfs {mount} && podshim …'`), or boot with `systemd.unified_cgroup_hierarchy=1`"
            ),
            fatal: true,
        });
    }
    let (name, known) = match layout.mode() {
        Mode::V1 | Mode::Hybrid => ("v1", runtime.features.cgroup_v1),
        Mode::V2 => ("v2", runtime.features.cgroup_v2),
    };
    if known == Some(false) {
        problems.push(Problem {
            what: format!("cannot use `{program}` {version} with the cgroups of this machine"),
            why: format!("it was built without cgroup {name}"),
            hint: "choose another runtime with `--runtime`".into(),
            fatal: true,
        });
    }
    if needs.systemd_cgroup && runtime.features.cgroup_systemd == Some(false) {
        problems.push(Problem {
            what: format!("cannot make cgroups through systemd with `{program}` {version}"),
            why: "it was built without systemd".into(),
            hint: "use the cgroupfs driver, or choose another runtime with `--runtime`".into(),
            fatal: true,
        });
    }
    let lacking: Vec<_> = CONTROLLERS.into_iter().filter(|c| !layout.has(c)).collect();
    if !lacking.is_empty() {
        problems.push(Problem {
            what: format!("cannot limit or measure {}", lacking.join(", ")),
            why: "these cgroup controllers are not mounted or not delegated".into(),
            hint: "enable them in the kernel and in the parent's `cgroup.subtree_control`".into(),
            fatal: false,
        });
    }
    problems
}

fn features(runtime: &Runtime, needs: &Needs) -> Vec<Problem> {
    let asked = [
        (
            needs.seccomp,
            runtime.features.seccomp,
            "apply seccomp profiles",
            "install a build with seccomp, or choose another runtime with `--runtime`",
        ),
        (
            needs.rro,
            runtime.features.rro,
            "make mounts recursively read-only",
            "choose another runtime with `--runtime`, or `recursiveReadOnly: IfPossible`",
        ),
    ];
    let lacking = asked
        .into_iter()
        .filter(|(needed, has, _, _)| *needed && *has == Some(false));
    lacking
        .map(|(_, _, what, hint)| Problem {
            what: format!("cannot {what}"),
            why: format!(
                "`{}` {} was built without it and would ignore it",
                runtime.path.display(),
                runtime.version
            ),
            hint: hint.into(),
            fatal: true,
        })
        .collect()
}

/// Asking for the file system loads its module. Where the question cannot be asked, the list of file systems answers.
fn without_overlay() -> Option<Problem> {
    let has = match rustix::mount::fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC) {
        Ok(_) => true,
        Err(Errno::NODEV) => false,
        Err(_) => listed_file_system("overlay"),
    };
    (!has).then(|| Problem {
        what: "cannot stack image layers".into(),
        why: "this kernel has no overlay file system".into(),
        hint: "load it with `modprobe overlay`".into(),
        fatal: true,
    })
}

fn listed_file_system(name: &str) -> bool {
    let list = std::fs::read_to_string(Path::new("/proc/filesystems")).unwrap_or_default();
    list.split_whitespace().any(|word| word == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::cgroup::Hierarchy;
    use crate::runtime::{Features, Kind};

    fn runtime(kind: Kind, features: Features) -> Runtime {
        Runtime {
            path: "/usr/bin/it".into(),
            kind,
            version: "1.8.1".into(),
            features,
        }
    }

    fn hierarchy(mount: &str, controllers: &[&str]) -> Hierarchy {
        Hierarchy {
            mount: mount.into(),
            controllers: controllers.iter().map(|c| (*c).to_owned()).collect(),
        }
    }

    fn hybrid(v2_controllers: &[&str]) -> Layout {
        Layout {
            v1: vec![hierarchy("/sys/fs/cgroup/all", &CONTROLLERS)],
            v2: Some(hierarchy("/sys/fs/cgroup/unified", v2_controllers)),
        }
    }

    #[test]
    fn crun_is_refused_only_where_the_v2_side_has_controllers() {
        let crun = runtime(Kind::Crun, Features::default());
        let needs = Needs::default();
        let found = cgroups(&crun, &needs, &hybrid(&["hugetlb"]));
        assert_eq!(found.len(), 1);
        assert!(found[0].fatal && found[0].hint.contains("tmpfs tmpfs /sys/fs/cgroup/unified"));
        assert_eq!(cgroups(&crun, &needs, &hybrid(&[])), []);
        let runc = runtime(Kind::Runc, Features::default());
        assert_eq!(cgroups(&runc, &needs, &hybrid(&["hugetlb"])), []);
    }

    #[test]
    fn a_runtime_that_would_ignore_seccomp_is_refused_when_a_profile_is_asked() {
        let without = Features {
            seccomp: Some(false),
            ..Features::default()
        };
        let youki = runtime(Kind::Youki, without);
        let asked = Needs {
            seccomp: true,
            ..Needs::default()
        };
        assert!(features(&youki, &asked).iter().all(|problem| problem.fatal));
        assert_eq!(features(&youki, &asked).len(), 1);
        assert_eq!(features(&youki, &Needs::default()), []);
        let unknown = runtime(Kind::Other, Features::default());
        assert_eq!(features(&unknown, &asked), [], "what is unknown is tried");
    }

    #[test]
    fn a_missing_controller_is_a_warning() {
        let mut layout = hybrid(&[]);
        layout.v1[0].controllers.retain(|c| c != "memory");
        let runc = runtime(Kind::Runc, Features::default());
        let found = cgroups(&runc, &Needs::default(), &layout);
        assert_eq!(found.len(), 1);
        assert!(!found[0].fatal && found[0].what.contains("memory"));
    }
}
