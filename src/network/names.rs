//! What pods are called on this machine: one small file for each pod with an address of its own, from when its network is up until
//! before its address is given back. Pods that want to know one another read those of their namespace and are woken by the kernel
//! when one changes; nobody answers for them.
//!
//! `<state>/network/names/<namespace>_<name>_<uid>`: no part but the last can hold a `_`. What is there is read as if a stranger had
//! written it.

use crate::base::PodUid;
use crate::bundle::{self, Neighbour};
use crate::manifest::Pod;
use crate::sys;
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, WatchFlags};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::mem::MaybeUninit;
use std::net::IpAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Largest file that is read, in bytes: two names and some addresses.
const MAX_BYTES: u64 = 4096;
/// Most pods of one namespace that are looked at: four times what a bridge can have.
const MAX_NEIGHBOURS: usize = 4096;

/// What a file says; the rest is its name.
#[derive(Debug, Serialize, Deserialize)]
struct Told {
    /// The boot it is of: no address of an earlier one is true.
    boot: String,
    fqdn: Option<String>,
    ips: Vec<IpAddr>,
}

fn dir(state: &Path) -> PathBuf {
    state.join("network").join("names")
}

/// How the files of a pod's name begin, whoever had it.
fn prefix(pod: &Pod) -> String {
    format!("{}_{}_", pod.namespace, pod.name)
}

/// Tells what the pod is called and where it is.
pub(super) fn publish(state: &Path, pod: &Pod, ips: &[IpAddr]) -> io::Result<()> {
    let told = Told {
        boot: sys::boot_id(),
        fqdn: bundle::fqdn(pod),
        ips: ips.to_vec(),
    };
    let dir = dir(state);
    sys::create_dirs(&dir, 0o700)?;
    let (prefix, own) = (prefix(pod), format!("{}{}", prefix(pod), pod.uid));
    // The name is this pod's now: what another of this name left is about nobody.
    remove(state, |file| file.starts_with(&prefix) && file != own)?;
    sys::write_atomic(&dir.join(own), &serde_json::to_vec(&told)?, 0o600)
}

/// Takes the names of a pod away; none there is no error.
pub(super) fn withdraw(state: &Path, uid: &PodUid) -> io::Result<()> {
    let end = format!("_{uid}");
    remove(state, |file| file.ends_with(&end))
}

fn remove(state: &Path, is_meant: impl Fn(&str) -> bool) -> io::Result<()> {
    for file in files(state).filter(|file| is_meant(file)) {
        match std::fs::remove_file(dir(state).join(file)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    Ok(())
}

fn files(state: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(dir(state))
        .into_iter()
        .flatten()
        .flatten();
    entries.filter_map(|entry| OsString::into_string(entry.file_name()).ok())
}

/// Pods that have a name here.
pub(super) fn named(state: &Path) -> Vec<PodUid> {
    let uid = |file: String| Some(PodUid(file.splitn(3, '_').nth(2)?.to_owned()));
    files(state).filter_map(uid).collect()
}

/// The pods of a namespace, as they say themselves. What cannot be understood is left out.
pub fn neighbours(state: &Path, namespace: &str) -> Vec<Neighbour> {
    let (dir, boot) = (dir(state), sys::boot_id());
    let one = |file: String| {
        let mut parts = file.splitn(3, '_');
        let (its, name, _uid) = (parts.next()?, parts.next()?, parts.next()?);
        if its != namespace {
            return None;
        }
        let told = read(&dir.join(&file)).ok()?;
        (told.boot == boot).then(|| Neighbour {
            name: name.to_owned(),
            fqdn: told.fqdn,
            ips: told.ips,
        })
    };
    files(state).filter_map(one).take(MAX_NEIGHBOURS).collect()
}

fn read(path: &Path) -> io::Result<Told> {
    // A pipe is not waited for.
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    if !file.metadata()?.is_file() {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut bytes = Vec::new();
    file.take(MAX_BYTES).read_to_end(&mut bytes)?;
    Ok(serde_json::from_slice(&bytes)?)
}

/// Becomes readable when a name comes, changes or goes.
pub fn watch_names(state: &Path) -> io::Result<OwnedFd> {
    let dir = dir(state);
    sys::create_dirs(&dir, 0o700)?;
    let watch = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let what = WatchFlags::MOVED_TO
        | WatchFlags::MOVED_FROM
        | WatchFlags::DELETE
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::ONLYDIR;
    inotify::add_watch(&watch, &dir, what)?;
    Ok(watch)
}

/// Takes in what has changed; whether it may concern this namespace. *Errors*: there is nothing to watch any more.
pub fn names_changed(watch: &OwnedFd, namespace: &str) -> io::Result<bool> {
    let prefix = [namespace.as_bytes(), b"_"].concat();
    let mut buffer = [MaybeUninit::uninit(); 4096];
    let mut reader = inotify::Reader::new(watch.as_fd(), &mut buffer);
    let mut concerns = false;
    loop {
        match reader.next() {
            Ok(event) if event.events().contains(ReadFlags::IGNORED) => {
                return Err(io::ErrorKind::NotFound.into());
            }
            // Without a name it is that some were not told.
            Ok(event) => {
                let file = event.file_name().map(std::ffi::CStr::to_bytes);
                concerns |= file.is_none_or(|file| file.starts_with(&prefix));
            }
            Err(Errno::WOULDBLOCK) => return Ok(concerns),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(namespace: &str, name: &str, uid: &str) -> Pod {
        let text = include_str!("../../tests/fixtures/bundle/pod.json");
        let mut pod: Pod = serde_json::from_str(text).expect("fixture reads");
        namespace.clone_into(&mut pod.namespace);
        name.clone_into(&mut pod.name);
        pod.uid = PodUid(uid.to_owned());
        pod
    }

    fn ip(last: u8) -> IpAddr {
        IpAddr::from([10, 0, 0, last])
    }

    fn names(state: &Path, namespace: &str) -> Vec<(String, Vec<IpAddr>)> {
        let mut all = neighbours(state, namespace);
        all.sort();
        all.into_iter().map(|one| (one.name, one.ips)).collect()
    }

    #[test]
    fn a_pod_is_known_in_its_namespace_until_it_is_withdrawn() {
        let dir = tempfile::tempdir().expect("dir");
        let state = dir.path();
        assert!(names(state, "a").is_empty());
        publish(state, &pod("a", "web", "1"), &[ip(2)]).expect("told");
        publish(state, &pod("a", "db", "2"), &[ip(3)]).expect("told");
        publish(state, &pod("b", "web", "3"), &[ip(4)]).expect("told");
        let web = |last| ("web".to_owned(), vec![ip(last)]);
        assert_eq!(names(state, "a"), [("db".to_owned(), vec![ip(3)]), web(2)]);
        assert_eq!(names(state, "b"), [web(4)]);
        publish(state, &pod("a", "web", "4"), &[ip(5)]).expect("its successor");
        withdraw(state, &PodUid("2".into())).expect("gone");
        withdraw(state, &PodUid("2".into())).expect("again");
        assert_eq!(names(state, "a"), [web(5)]);
        let mut uids = named(state);
        uids.sort();
        assert_eq!(uids, [PodUid("3".into()), PodUid("4".into())]);
    }

    #[test]
    fn what_is_no_file_of_ours_is_left_out_and_holds_nobody_up() {
        let dir = tempfile::tempdir().expect("dir");
        let state = dir.path();
        publish(state, &pod("a", "web", "1"), &[ip(2)]).expect("told");
        let names_dir = super::dir(state);
        let good = std::fs::read_to_string(names_dir.join("a_web_1")).expect("ours");
        for (file, text) in [
            ("a_bad_2", "{".to_owned()),
            ("a_bad_3", good.replace("10.0.0.2", "10.0.0.2 evil")),
            ("a_bad_4", " ".repeat(1 << 20) + &good),
            ("a_bad_5", good.replace(&sys::boot_id(), "another boot")),
            ("a_bad", good.clone()),
            ("a", good.clone()),
            (".new-x", good.clone()),
        ] {
            std::fs::write(names_dir.join(file), text).expect("ours");
        }
        std::os::unix::fs::symlink("a_web_1", names_dir.join("a_bad_6")).expect("ours");
        std::fs::create_dir(names_dir.join("a_bad_7")).expect("ours");
        let pipe = names_dir.join("a_bad_8");
        nix::unistd::mkfifo(&pipe, nix::sys::stat::Mode::S_IRWXU).expect("ours");
        assert_eq!(names(state, "a"), [("web".to_owned(), vec![ip(2)])]);
    }

    #[test]
    fn a_watch_hears_of_its_own_namespace_only() {
        let dir = tempfile::tempdir().expect("dir");
        let state = dir.path();
        let watch = watch_names(state).expect("watched");
        let changed = || names_changed(&watch, "a").expect("there");
        assert!(!changed());
        publish(state, &pod("b", "web", "1"), &[ip(2)]).expect("told");
        assert!(!changed());
        publish(state, &pod("a", "web", "2"), &[ip(2)]).expect("told");
        assert!(changed() && !changed());
        withdraw(state, &PodUid("2".into())).expect("gone");
        assert!(changed());
        std::fs::remove_dir_all(super::dir(state)).expect("ours");
        assert!(names_changed(&watch, "a").is_err());
    }
}
