//! Ends and removes a pod without its supervisor: one that cannot be read, or whose supervisor does not answer. No grace, no
//! question asked; only for those who say `--force`.

use crate::base::{PodUid, Signal};
use crate::cli::exit::{Failed, cannot};
use crate::cli::{delete, host, report, spawn};
use crate::network::{self, Remains};
use crate::runtime::{Layout, PodCgroup};
use crate::store::{Dirs, PodDir, find_name, release_name};
use crate::supervisor::{KEEPER_VERB, SUPERVISOR_VERB, Snapshot, read_plan};
use crate::sys::{self, Lock};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How long a killed process may take to die: one that waits for a disk dies when the disk has answered.
const DEATH: Duration = Duration::from_secs(5);

/// A process that does not die.
#[derive(Debug, thiserror::Error)]
#[error("process {0} does not die")]
struct Undead(u32);

/// How often a pod may be revived by other commands while it is killed.
const MAX_REVIVALS: u32 = 10;

/// Somebody else wants the pod to live.
#[derive(Debug, thiserror::Error)]
#[error("pod `{0}` is brought back again and again while it is killed")]
struct Revived(PodUid);

/// Kills everything of a pod, then removes what is left of it.
pub(super) fn remove(dirs: &Dirs, uid: &PodUid) -> Result<(), Failed> {
    kill(dirs, uid)?;
    let _lock = take_over(dirs, uid)?;
    if let Ok(Some(pod)) = read_plan(dirs, uid) {
        return delete::remove(&pod);
    }
    let what = || cannot(format!("remove pod `{uid}`"));
    for path in logs(dirs, uid) {
        std::fs::remove_dir_all(path).map_err(what())?;
    }
    spawn::remove_files(dirs, &dirs.pod(uid)).map_err(what())?;
    for (namespace, name) in names(dirs, uid) {
        release_name(dirs, &namespace, &name, uid).map_err(what())?;
    }
    Ok(())
}

/// The lock of a pod that was killed, so that nobody revives it while it is removed; whoever has done so meanwhile is killed, too.
/// `None` where there is no lock to take.
fn take_over(dirs: &Dirs, uid: &PodUid) -> Result<Option<Lock>, Failed> {
    let path = dirs.pod(uid).file("lock");
    for _ in 0..MAX_REVIVALS {
        match Lock::try_take_existing(&path) {
            Ok(None) => kill(dirs, uid)?,
            lock => return Ok(lock.ok().flatten()),
        }
    }
    Err(Failed::from(Revived(uid.clone())))
}

/// The processes of podshim that lead this life for a pod.
pub(super) fn lives(verb: &str, dir: &PodDir) -> Vec<u32> {
    sys::processes()
        .filter(|pid| leads(*pid, verb, dir))
        .collect()
}

/// Whether a process leads this life for a pod.
fn leads(pid: u32, verb: &str, dir: &PodDir) -> bool {
    let words = words(pid);
    let mut words = words.split(|byte| *byte == 0).skip(1);
    words.next() == Some(verb.as_bytes()) && words.next() == Some(dir.state.as_os_str().as_bytes())
}

/// Lets a keeper that waits with its next supervisor start it now; one that has a supervisor does not care. `session` is that of the
/// keeper, if it is known: its supervisor is found among its children, without a look at every process of the machine.
pub(super) fn wake_keeper(dir: &PodDir, session: Option<u32>) {
    let children = session.map(sys::children).unwrap_or_default();
    let mut own = children.into_iter();
    if own.any(|pid| leads(pid, SUPERVISOR_VERB, dir)) || !lives(SUPERVISOR_VERB, dir).is_empty() {
        return;
    }
    for pid in lives(KEEPER_VERB, dir) {
        // A keeper leads its session. What looks like one and does not is the supervisor it is just starting.
        if let Ok(pidfd) = sys::pidfd(pid)
            && lives(KEEPER_VERB, dir).contains(&pid)
            && sys::session(pid) == Some(pid)
        {
            let _gone = sys::signal_pidfd(pidfd.as_fd(), Signal::HUP);
        }
    }
}

/// Namespaces and names that belong to a pod: one, if all is well.
pub(super) fn names(dirs: &Dirs, uid: &PodUid) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(dirs.state.join("names"));
    let entries = entries.into_iter().flatten().flatten();
    let name = |entry: std::fs::DirEntry| {
        let file = entry.file_name().into_string().ok()?;
        let (namespace, name) = file.split_once('_')?;
        let is_its = find_name(dirs, namespace, name).as_ref() == Some(uid);
        is_its.then(|| (namespace.to_owned(), name.to_owned()))
    };
    entries.filter_map(name).collect()
}

fn words(pid: u32) -> Vec<u8> {
    std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default()
}

/// Kills keeper, supervisor, their runtime calls and every container of a pod, and gives its network back: nobody else will.
pub(super) fn kill(dirs: &Dirs, uid: &PodUid) -> Result<(), Failed> {
    kill_ours(&dirs.pod(uid))?;
    kill_containers(uid)?;
    if let Err(error) = release_network(dirs, uid) {
        // It keeps nobody from removing the rest of the pod.
        report::warn(report::chain(error.error.as_ref()));
        report::warn("`podshim doctor --fix` tries again to give back the network of the pod");
    }
    Ok(())
}

/// Gives back what a pod of which nothing runs has of the network: name, address, link, ports, what its plugins keep.
pub(super) fn release_network(dirs: &Dirs, uid: &PodUid) -> Result<(), Failed> {
    let is_other = |other: &PodUid| other != uid && dirs.pod(other).state.exists();
    for remains in [
        Remains::Name(uid.clone()),
        Remains::Lease(uid.clone()),
        Remains::Attachment(uid.clone()),
    ] {
        network::clear(&dirs.state, &dirs.data, &remains, is_other)?;
    }
    Ok(())
}

/// The keeper first: it would start the others again. Then whatever they had started: it is in their session and names the pod.
fn kill_ours(dir: &PodDir) -> Result<(), Failed> {
    let written = Snapshot::read(dir).ok().flatten();
    let mut sessions: Vec<u32> = written
        .map(|snapshot| snapshot.session)
        .into_iter()
        .collect();
    for verb in [KEEPER_VERB, SUPERVISOR_VERB] {
        for pid in lives(verb, dir) {
            sessions.extend(sys::session(pid));
            kill_one(pid, |pid| lives(verb, dir).contains(&pid))?;
        }
    }
    let wanted = dir.state.as_os_str().as_bytes();
    let is_call = |pid: u32| {
        pid != std::process::id()
            && sys::session(pid).is_some_and(|session| sessions.contains(&session))
            && words(pid).windows(wanted.len()).any(|part| part == wanted)
    };
    for pid in sys::processes().filter(|pid| is_call(*pid)) {
        kill_one(pid, is_call)?;
    }
    Ok(())
}

/// Kills a process if, with its pidfd open, it still is what it was.
fn kill_one(pid: u32, is_meant: impl Fn(u32) -> bool) -> Result<(), Failed> {
    let Ok(pidfd) = sys::pidfd(pid) else {
        return Ok(());
    };
    if !is_meant(pid) {
        return Ok(());
    }
    let _gone = sys::signal_pidfd(pidfd.as_fd(), Signal::KILL);
    match sys::pidfd_outlives(pidfd.as_fd(), DEATH) {
        true => Err(Undead(pid).into()),
        false => Ok(()),
    }
}

fn kill_containers(uid: &PodUid) -> Result<(), Failed> {
    let layout = Layout::detect()?;
    let root = crate::bundle::CgroupLayout::default().root;
    let all = PodCgroup::all(&layout, &root).into_iter();
    for (_, cgroup) in all.filter(|(other, _)| other == uid) {
        host::block_on(cgroup.kill_and_remove())??;
    }
    Ok(())
}

/// Log directories that end in the pod's UID.
fn logs(dirs: &Dirs, uid: &PodUid) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(&dirs.logs)
        .into_iter()
        .flatten()
        .flatten();
    let is_its = |path: &Path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.split('_').count() == 3 && name.rsplit('_').next() == Some(&uid.0)
    };
    entries
        .map(|entry| entry.path())
        .filter(|path| is_its(path))
        .collect()
}
