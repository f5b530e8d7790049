//! What pods left behind that nobody will clear away: found by looking, removed only inside our own directories and cgroups.
//!
//! Nothing young is taken for a leftover, because a pod is being made or removed piece by piece; nor is anything of a pod that has a
//! live keeper, in whatever state directory. No symbolic link is followed, and nothing is removed below which something is mounted.

use crate::api::Client;
use crate::base::PodUid;
use crate::cli::exit::{Cannot, Failed, cannot};
use crate::cli::settings::Settings;
use crate::cli::{delete, follow, host, report, spawn, wreck};
use crate::network::{self, Remains};
use crate::runtime::{Layout, PodCgroup};
use crate::store::{Dirs, find_name, release_name};
use crate::supervisor::{KEEPER_VERB, PLAN, PodRecord, list_pods};
use crate::sys;
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What is younger may be half of something that is being made or removed: both take milliseconds, on a full machine seconds.
const YOUNG: Duration = Duration::from_secs(10);
/// How long a new keeper may take to bring its supervisor up.
const KEEPER_DEADLINE: Duration = Duration::from_secs(10);
/// Where the kubelet keeps logs too: what lies there is ours only if its UID is known from elsewhere.
const SHARED_LOGS: &str = "/var/log/pods";

/// Something that is left.
#[derive(Debug)]
pub(super) enum Leftover {
    /// A pod that has not ended and has no keeper.
    Unsupervised(Box<PodRecord>),
    /// A pod of an earlier boot: nothing of it runs.
    EarlierBoot(Box<PodRecord>),
    /// A pod that cannot be read.
    Unreadable(PodUid, io::Error),
    /// A name that belongs to no pod.
    Name {
        namespace: String,
        name: String,
        uid: PodUid,
    },
    /// The cgroup of no pod.
    Cgroup(Box<PodCgroup>),
    /// Of the network of a pod.
    Network(Remains),
    /// A file or directory of no pod; what it was.
    Path(&'static str, PathBuf),
}

impl fmt::Display for Leftover {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = |pod: &PodRecord| {
            let pod = &pod.plan.pod;
            format!("{}/{} ({})", pod.namespace, pod.name, pod.uid)
        };
        match self {
            Leftover::Unsupervised(pod) => {
                write!(f, "pod {} has not ended and its keeper is gone", title(pod))
            }
            Leftover::EarlierBoot(pod) => {
                write!(
                    f,
                    "pod {} is of an earlier boot, nothing of it runs",
                    title(pod)
                )
            }
            Leftover::Unreadable(uid, error) => write!(f, "pod {uid} cannot be read: {error}"),
            Leftover::Name {
                namespace,
                name,
                uid,
            } => {
                write!(
                    f,
                    "name {namespace}/{name} belongs to pod {uid}, which does not exist"
                )
            }
            Leftover::Cgroup(cgroup) => {
                write!(f, "cgroup /{} is of no pod", cgroup.path().display())
            }
            Leftover::Network(remains) => write!(f, "{remains}"),
            Leftover::Path(what, path) => write!(f, "{what} {} is of no pod", path.display()),
        }
    }
}

/// Everything that is left.
pub(super) fn find(settings: &Settings) -> Vec<Leftover> {
    let dirs = &settings.dirs;
    let (pods, broken) = list_pods(dirs);
    let mut known: BTreeSet<PodUid> = kept();
    known.extend(pods.iter().map(|pod| pod.plan.pod.uid.clone()));
    known.extend(broken.iter().map(|(uid, _)| uid.clone()));
    // What ran when the machine went down is no leftover: `up` runs it again.
    known.extend(spawn::wanted_after_boot(dirs));
    let mut found: Vec<Leftover> = pods.into_iter().filter_map(lost).collect();
    found.extend(
        broken
            .into_iter()
            .map(|(uid, e)| Leftover::Unreadable(uid, e)),
    );
    // UIDs that our own directories speak of, though there is no such pod.
    let mut ours = BTreeSet::new();
    for (what, parent) in [("state", &dirs.state), ("data", &dirs.data)] {
        for path in entries(&parent.join("pods")) {
            let uid = PodUid(file_name(&path));
            if !known.contains(&uid) {
                ours.insert(uid);
                found.push(Leftover::Path(what, path));
            }
        }
    }
    for path in entries(&dirs.state.join("names")) {
        match name(dirs, &path) {
            Some((_, _, uid)) if known.contains(&uid) => {}
            Some((namespace, name, uid)) => {
                ours.insert(uid.clone());
                found.push(Leftover::Name {
                    namespace,
                    name,
                    uid,
                });
            }
            None => found.push(Leftover::Path("name", path)),
        }
    }
    for path in entries(&dirs.logs) {
        let name = file_name(&path);
        let uid = name.rsplit('_').next().map(|uid| PodUid(uid.to_owned()));
        // `<namespace>_<name>_<uid>`; anything else is not of a pod.
        let uid = uid.filter(|uid| name.split('_').count() == 3 && !known.contains(uid));
        if uid.is_some_and(|uid| dirs.logs != Path::new(SHARED_LOGS) || ours.contains(&uid)) {
            found.push(Leftover::Path("logs", path));
        }
    }
    found.extend(cgroups(dirs, &known));
    found.extend(networks(dirs));
    found
}

/// A pod that nobody supervises though it has not ended, or that ended with an earlier boot.
fn lost(pod: PodRecord) -> Option<Leftover> {
    if is_young(&pod.dir.file(PLAN)) || follow::is_supervised(&pod) {
        return None;
    }
    let boot = pod.snapshot.as_ref().map(|s| s.boot_id.as_str());
    if boot.is_some_and(|boot| boot != sys::boot_id()) {
        if pod.dir.data.join(PLAN).exists() {
            return None;
        }
        return Some(Leftover::EarlierBoot(Box::new(pod)));
    }
    (!follow::has_ended(&pod)).then(|| Leftover::Unsupervised(Box::new(pod)))
}

/// What is in a directory and not young.
fn entries(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.retain(|path| !is_young(path));
    paths.sort();
    paths
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn is_young(path: &Path) -> bool {
    let modified = path.symlink_metadata().and_then(|meta| meta.modified());
    // What has just gone is no leftover either.
    modified.map_or(true, is_recent)
}

fn is_recent(time: SystemTime) -> bool {
    let now = SystemTime::UNIX_EPOCH + Duration::from_millis(sys::now().wall.0);
    // The clock was set back since: it may be as young as that.
    now.duration_since(time).map_or(true, |age| age < YOUNG)
}

/// The pod that a name belongs to; `None` for a file that is no name.
fn name(dirs: &Dirs, path: &Path) -> Option<(String, String, PodUid)> {
    let file = file_name(path);
    let (namespace, name) = file.split_once('_')?;
    let uid = find_name(dirs, namespace, name)?;
    Some((namespace.to_owned(), name.to_owned(), uid))
}

/// UIDs of the pods that have a keeper, in whatever state directory.
fn kept() -> BTreeSet<PodUid> {
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let uid = |line: Vec<u8>| {
        let text = String::from_utf8_lossy(&line).into_owned();
        let mut words = text.split('\0').skip(1);
        let state = words
            .next()
            .filter(|word| *word == KEEPER_VERB)
            .and(words.next())?;
        Some(PodUid(file_name(Path::new(state))))
    };
    let lines = processes.filter_map(|entry| std::fs::read(entry.path().join("cmdline")).ok());
    lines.filter_map(uid).collect()
}

/// Cgroups of unknown pods that are empty or whose processes live in our directories. Others are another installation's.
fn cgroups(dirs: &Dirs, known: &BTreeSet<PodUid>) -> Vec<Leftover> {
    let Ok(layout) = Layout::detect() else {
        return Vec::new();
    };
    let root = crate::bundle::CgroupLayout::default().root;
    let unknown = |(uid, cgroup): &(PodUid, PodCgroup)| {
        let pids = cgroup.all_pids();
        !known.contains(uid)
            && !cgroup.modified().is_none_or(is_recent)
            && (pids.is_empty() || pids.iter().any(|pid| lives_in(*pid, dirs, uid)))
    };
    let all = PodCgroup::all(&layout, &root).into_iter().filter(unknown);
    all.map(|(_, cgroup)| Leftover::Cgroup(Box::new(cgroup)))
        .collect()
}

/// What belongs to the network of no pod. That it cannot be told is no leftover.
fn networks(dirs: &Dirs) -> Vec<Leftover> {
    let found = network::find_remains(&dirs.state, &dirs.data, |uid| has_state(dirs, uid));
    match found {
        Ok(found) => found.into_iter().map(Leftover::Network).collect(),
        Err(error) => {
            report::warn(format!(
                "cannot look for leftovers of networks: {}",
                report::chain(&error)
            ));
            Vec::new()
        }
    }
}

fn has_state(dirs: &Dirs, uid: &PodUid) -> bool {
    dirs.pod(uid).state.exists()
}

/// Whether the mounts of a process are made of directories of ours.
fn lives_in(pid: u32, dirs: &Dirs, uid: &PodUid) -> bool {
    let mounts = std::fs::read_to_string(format!("/proc/{pid}/mountinfo")).unwrap_or_default();
    let dir = dirs.pod(uid);
    let ours = [&dir.state, &dir.data].map(|dir| dir.to_string_lossy().into_owned());
    ours.iter().any(|dir| mounts.contains(dir.as_str()))
}

/// Removes it; a pod without a keeper gets a new one instead, which goes on from what it finds.
pub(super) fn fix(settings: &Settings, leftover: &Leftover) -> Result<(), Failed> {
    match leftover {
        Leftover::Unsupervised(pod) => supervise(pod),
        Leftover::EarlierBoot(pod) => {
            unmounted(&pod.dir.state)?;
            unmounted(&pod.dir.data)?;
            // Plugins keep addresses over a reboot; the file of what they gave outlives it, too.
            wreck::release_network(&pod.plan.dirs, &pod.plan.pod.uid)?;
            delete::remove(pod)
        }
        Leftover::Unreadable(uid, _) => {
            let dir = settings.dirs.pod(uid).state;
            let hint = format!(
                "look into `{}`; `podshim delete --force {uid}` ends and removes it",
                dir.display()
            );
            Err(Failed::from(Unfixable).hint(hint))
        }
        Leftover::Name {
            namespace,
            name,
            uid,
        } => release_name(&settings.dirs, namespace, name, uid)
            .map_err(|e| cannot(format!("release the name `{namespace}/{name}`"))(e).into()),
        Leftover::Cgroup(cgroup) => Ok(host::block_on(cgroup.kill_and_remove())??),
        Leftover::Network(remains) => {
            let dirs = &settings.dirs;
            Ok(network::clear(&dirs.state, &dirs.data, remains, |uid| {
                has_state(dirs, uid)
            })?)
        }
        Leftover::Path(_, path) => Ok(remove(path)?),
    }
}

/// It takes a person.
#[derive(Debug, thiserror::Error)]
#[error("cannot decide what to do with it")]
struct Unfixable;

/// Something is mounted where nothing should be.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is a mount point", .0.display())]
struct Mounted(PathBuf);

fn supervise(pod: &PodRecord) -> Result<(), Failed> {
    follow::ensure_supervised(pod)?;
    let answers = || {
        let mut client = Client::connect(&pod.dir)?;
        client.set_timeout(Some(KEEPER_DEADLINE))?;
        client.watch()?;
        client.next_view()
    };
    match answers() {
        Ok(_) => Ok(()),
        // There was so little left to do that it is done.
        Err(_) if follow::has_ended(&follow::reread(pod)?) => Ok(()),
        Err(error) => {
            let hint = format!("see `{}`", pod.dir.file("supervisor.log").display());
            Err(Failed::from(error).hint(hint))
        }
    }
}

/// Removes a file, a link or a whole directory.
fn remove(path: &Path) -> Result<(), Cannot> {
    unmounted(path)?;
    let kind = path.symlink_metadata().map(|meta| meta.is_dir());
    let removed = match kind {
        Ok(true) => std::fs::remove_dir_all(path),
        Ok(false) => std::fs::remove_file(path),
        Err(e) => Err(e),
    };
    match removed {
        Err(e) if e.kind() != io::ErrorKind::NotFound => {
            Err(cannot(format!("remove `{}`", path.display()))(e))
        }
        _ => Ok(()),
    }
}

/// An error if something is mounted at or below a path: it may be the user's own data.
pub(super) fn unmounted(path: &Path) -> Result<(), Cannot> {
    let what = format!("remove `{}`", path.display());
    let mounts = match std::fs::read_to_string("/proc/self/mountinfo") {
        Ok(mounts) => mounts,
        Err(error) => return Err(cannot(what)(error)),
    };
    // The kernel shows paths without links.
    let real = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    match mount_below(&mounts, &real) {
        Some(mount) => Err(cannot(what)(Mounted(mount))),
        None => Ok(()),
    }
}

/// The first mount at or below `path`. Source: proc_pid_mountinfo(5), field 5, its octal escapes undone.
fn mount_below(mountinfo: &str, path: &Path) -> Option<PathBuf> {
    let targets = mountinfo.lines().filter_map(|line| line.split(' ').nth(4));
    let plain = |target: &str| {
        let escapes = [
            ("\\040", " "),
            ("\\011", "\t"),
            ("\\012", "\n"),
            ("\\134", "\\"),
        ];
        PathBuf::from(
            escapes
                .iter()
                .fold(target.to_owned(), |text, (from, to)| text.replace(from, to)),
        )
    };
    targets.map(plain).find(|target| target.starts_with(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_at_or_below_a_path_is_found_and_a_neighbour_is_not() {
        let table = "21 1 0:20 / /run rw - tmpfs tmpfs rw\n\
            22 21 0:21 / /run/a\\040b/c rw - tmpfs tmpfs rw\n";
        let below = |path: &str| mount_below(table, Path::new(path));
        assert_eq!(below("/run/a b"), Some(PathBuf::from("/run/a b/c")));
        assert_eq!(below("/run/a b/c"), Some(PathBuf::from("/run/a b/c")));
        assert_eq!(below("/run/a"), None);
        assert_eq!(below("/run/a b/c/d"), None);
    }

    #[test]
    fn a_link_is_removed_and_what_it_points_at_is_not() {
        let dir = tempfile::tempdir().expect("a directory");
        let (target, link) = (dir.path().join("target"), dir.path().join("link"));
        std::fs::create_dir_all(target.join("kept")).expect("ours");
        std::os::unix::fs::symlink(&target, &link).expect("ours");
        let tree = dir.path().join("tree");
        std::fs::create_dir(&tree).expect("ours");
        std::os::unix::fs::symlink(&target, tree.join("inner")).expect("ours");
        remove(&link).expect("removed");
        remove(&tree).expect("removed");
        remove(&tree).expect("it is gone already");
        assert!(target.join("kept").exists() && !link.exists() && !tree.exists());
    }
}
