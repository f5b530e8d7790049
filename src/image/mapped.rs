//! A root file system whose files are to be seen under the ids of a user namespace. What is on the disk stays as it is: the layers
//! below are mounted with other ids, and the layer above has them already.

use super::mounts::{Mount, OVERLAY, parse};
use crate::sys::{IdRange, attach_mount, enter_private_mounts, map_ids, user_namespace};
use nix::mount::{MsFlags, mount};
use rustix::fs::CWD;
use rustix::mount::{OpenTreeFlags, open_tree};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// Most ranges of one mapping. Source: user_namespaces(7).
const MAX_RANGES: usize = 340;

/// What the options say of ids.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapping {
    uids: Vec<IdRange>,
    gids: Vec<IdRange>,
}

impl Mapping {
    /// Takes `uidmap=` and `gidmap=` from the options, if both are there. Source: containerd.
    pub fn take(options: &[String]) -> io::Result<Option<(Mapping, Vec<String>)>> {
        let named = |name: &str| options.iter().find_map(|option| option.strip_prefix(name));
        let (Some(uids), Some(gids)) = (named("uidmap="), named("gidmap=")) else {
            return Ok(None);
        };
        let (uids, gids) = (ranges(uids)?, ranges(gids)?);
        let is_other =
            |option: &&String| !option.starts_with("uidmap=") && !option.starts_with("gidmap=");
        let others = options.iter().filter(is_other).cloned().collect();
        Ok(Some((Mapping { uids, gids }, others)))
    }
}

/// `INSIDE:OUTSIDE:COUNT[,…]`.
fn ranges(text: &str) -> io::Result<Vec<IdRange>> {
    let range = |part: &str| {
        let mut numbers = part.split(':').map(|n| n.parse::<u32>().ok());
        let range = IdRange {
            inside: numbers.next()??,
            outside: numbers.next()??,
            count: numbers.next()??,
        };
        numbers.next().is_none().then_some(range)
    };
    let read: Option<Vec<IdRange>> = text.split(',').map(range).collect();
    let read = read.filter(|all| all.len() <= MAX_RANGES);
    read.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, format!("no ids: `{text}`")))
}

/// Mounts at `target` what `one` says, under other ids. Its options are without the mapping.
pub(super) fn mount_mapped(one: &Mount, mapping: &Mapping, target: &Path) -> io::Result<()> {
    let namespace = user_namespace(&mapping.uids, &mapping.gids)?;
    let (flags, data) = parse(&one.options);
    if one.kind == OVERLAY {
        return attach_mount(&overlay(&namespace, flags, &data, target)?, target);
    }
    if one.kind != "bind" && !flags.contains(MsFlags::MS_BIND) {
        return Err(io::Error::new(
            io::ErrorKind::Unsupported,
            "only bind mounts and overlays have other ids",
        ));
    }
    attach_mount(&with_ids(Path::new(&one.source), &namespace)?, target)?;
    if flags.contains(MsFlags::MS_RDONLY) {
        let again = flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
        mount(None::<&str>, target, None::<&str>, again, None::<&str>)?;
    }
    Ok(())
}

/// A copy of what is at a path, attached nowhere, under other ids.
fn with_ids(path: &Path, namespace: &OwnedFd) -> io::Result<OwnedFd> {
    let tree = copy(path)?;
    map_ids(tree.as_fd(), namespace.as_fd())?;
    Ok(tree)
}

fn copy(path: &Path) -> io::Result<OwnedFd> {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    Ok(open_tree(CWD, path, flags)?)
}

/// An overlay, attached nowhere, whose lower layers have other ids. An overlay takes layers only from mounts that are attached:
/// they are, in a mount namespace that ends with this call, on a file system in memory over `target`. So nothing is ever left of
/// them, and their names are short, however many there are.
fn overlay(namespace: &OwnedFd, flags: MsFlags, data: &str, target: &Path) -> io::Result<OwnedFd> {
    let words: Vec<&str> = data.split(',').collect();
    let lower = words.iter().find_map(|word| word.strip_prefix("lowerdir="));
    let layers: Vec<&str> = lower.into_iter().flat_map(|all| all.split(':')).collect();
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| -> io::Result<OwnedFd> {
            let trees = layers
                .iter()
                .map(|layer| with_ids(Path::new(layer), namespace));
            let trees = trees.collect::<io::Result<Vec<_>>>()?;
            enter_private_mounts()?;
            mount(
                None::<&str>,
                target,
                Some("tmpfs"),
                MsFlags::empty(),
                Some("mode=0700"),
            )?;
            nix::unistd::chdir(target)?;
            let mut names = Vec::new();
            for (number, tree) in trees.iter().enumerate() {
                let name = number.to_string();
                std::fs::create_dir(&name)?;
                attach_mount(tree, Path::new(&name))?;
                names.push(name);
            }
            std::fs::create_dir("root")?;
            let lower = format!("lowerdir={}", names.join(":"));
            let is_other = |word: &&str| !word.starts_with("lowerdir=");
            let others = words.iter().copied().filter(is_other);
            let data: Vec<&str> = others.chain([lower.as_str()]).collect();
            mount(
                Some(OVERLAY),
                "root",
                Some(OVERLAY),
                flags,
                Some(data.join(",").as_str()),
            )?;
            copy(Path::new("root"))
        });
        worker
            .join()
            .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{mount_all, unmount_all};
    use std::os::unix::fs::MetadataExt;
    use std::path::PathBuf;

    const IDS: [&str; 2] = ["uidmap=0:70000:1000", "gidmap=0:80000:1000"];

    fn options(words: &[String]) -> Vec<String> {
        words
            .iter()
            .cloned()
            .chain(IDS.map(str::to_owned))
            .collect()
    }

    #[test]
    fn ids_are_taken_from_the_options() {
        let taken = Mapping::take(&options(&["ro".to_owned()])).expect("ids");
        let (mapping, others) = taken.expect("some");
        assert_eq!(others, ["ro"]);
        assert_eq!(
            (mapping.uids[0].outside, mapping.gids[0].outside),
            (70000, 80000)
        );
        assert!(Mapping::take(&["ro".to_owned()]).expect("none").is_none());
        for bad in [
            "uidmap=0:1",
            "uidmap=0:1:2:3",
            "uidmap=a:1:2",
            "uidmap=-1:1:2",
            "uidmap=",
        ] {
            let words = [bad.to_owned(), IDS[1].to_owned()];
            assert!(Mapping::take(&words).is_err(), "{bad}");
        }
    }

    #[test]
    fn layers_and_bind_mounts_have_other_ids_and_the_disk_keeps_its_own() {
        let dir = tempfile::tempdir().expect("dir");
        let make = |name: &str| -> PathBuf {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).expect("dir");
            path
        };
        let (low, high) = (make("low"), make("high"));
        std::fs::write(low.join("file"), "low").expect("file");
        std::os::unix::fs::chown(low.join("file"), Some(7), Some(8)).expect("root");
        let (upper, work, root) = (make("upper"), make("work"), make("root"));
        let layered = Mount {
            kind: OVERLAY.into(),
            source: OVERLAY.into(),
            target: String::new(),
            options: options(&[
                format!("workdir={}", work.display()),
                format!("upperdir={}", upper.display()),
                format!("lowerdir={}:{}", high.display(), low.display()),
            ]),
        };
        let bound = Mount {
            kind: "bind".into(),
            source: low.display().to_string(),
            target: String::new(),
            options: options(&["ro".to_owned(), "rbind".to_owned()]),
        };
        for one in [layered, bound] {
            let is_bound = one.kind == "bind";
            mount_all(&[one], &root).expect("mounts");
            let seen = std::fs::metadata(root.join("file")).expect("there");
            assert_eq!((seen.uid(), seen.gid()), (70007, 80008));
            assert_eq!(std::fs::write(root.join("new"), "").is_err(), is_bound);
            unmount_all(&root);
            assert!(!root.join("file").exists());
        }
        let kept = std::fs::metadata(low.join("file")).expect("there");
        assert_eq!((kept.uid(), kept.gid()), (7, 8));
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        assert!(!mounts.contains(&*dir.path().to_string_lossy()));
    }
}
