//! A root file system that somebody else describes: a list of mounts, each with options as fstab(5) writes them.

use super::mapped::{Mapping, mount_mapped};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::{Component, Path, PathBuf};

/// Longest text of options that one mount call takes, with its final zero: a page. Source: mount(2).
const OPTIONS_MAX_BYTES: usize = 4095;
/// The file system of layers.
pub(super) const OVERLAY: &str = "overlay";
/// Mounts on one point that are taken off; more is a loop.
const MAX_STACKED: usize = 64;

/// One mount.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mount {
    /// File system, or `bind`.
    pub kind: String,
    /// What.
    pub source: String,
    /// Where below the root; empty for the root itself.
    pub target: String,
    /// Flags and options of the file system.
    pub options: Vec<String>,
}

/// A mount could not be made.
#[derive(Debug, thiserror::Error)]
pub enum MountError {
    /// The kernel refused.
    #[error("cannot mount `{source_name}` ({kind}) at `{}`", target.display())]
    Refused {
        /// File system.
        kind: String,
        /// What.
        source_name: String,
        /// Where.
        target: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The target leaves the root.
    #[error("cannot mount at `{0}`: it is not below the root")]
    Outside(String),
    /// More options than one call takes.
    #[error("cannot mount `{0}`: its options are longer than a page")]
    TooLong(String),
}

/// Mounts all of them, in order, onto `root`; if one fails, those before it are taken off again.
pub fn mount_all(mounts: &[Mount], root: &Path) -> Result<(), MountError> {
    let made = mounts.iter().try_for_each(|one| mount_one(one, root));
    if made.is_err() {
        unmount_all(root);
    }
    made
}

/// Takes off everything that is mounted on `root`; nothing mounted there is no error. What is in use goes when it is let go.
pub fn unmount_all(root: &Path) {
    let flags = MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW;
    for _ in 0..MAX_STACKED {
        if umount2(root, flags).is_err() {
            return;
        }
    }
}

fn mount_one(one: &Mount, root: &Path) -> Result<(), MountError> {
    let below = Path::new(&one.target);
    if below.components().any(|c| c == Component::ParentDir) {
        return Err(MountError::Outside(one.target.clone()));
    }
    let below = below.strip_prefix("/").unwrap_or(below);
    let target = if below.as_os_str().is_empty() {
        root.to_owned()
    } else {
        root.join(below)
    };
    let refused = |source: io::Error| MountError::Refused {
        kind: one.kind.clone(),
        source_name: one.source.clone(),
        target: target.clone(),
        source,
    };
    if let Some((mapping, options)) = Mapping::take(&one.options).map_err(refused)? {
        let plain = Mount {
            options,
            ..one.clone()
        };
        return mount_mapped(&plain, &mapping, &target).map_err(refused);
    }
    let (flags, data) = parse(&one.options);
    let (mut data, mut lower_root) = (data, None);
    if data.len() > OPTIONS_MAX_BYTES
        && let Some((short, prefix)) = shorten(&data)
    {
        (data, lower_root) = (short, Some(prefix));
    }
    if data.len() > OPTIONS_MAX_BYTES {
        return Err(MountError::TooLong(one.source.clone()));
    }
    let is_bind = one.kind == "bind" || flags.contains(MsFlags::MS_BIND);
    let call = || -> nix::Result<()> {
        let base = flags - MsFlags::MS_RDONLY;
        let first = if is_bind {
            base | MsFlags::MS_BIND
        } else {
            flags
        };
        let kind = (!is_bind).then_some(one.kind.as_str());
        let data = Some(data.as_str()).filter(|text| !text.is_empty());
        mount(Some(one.source.as_str()), &target, kind, first, data)?;
        if is_bind && flags.contains(MsFlags::MS_RDONLY) {
            // A bind mount takes the other flags only when it is made again.
            let again = flags | MsFlags::MS_BIND | MsFlags::MS_REMOUNT;
            mount(None::<&str>, &target, None::<&str>, again, None::<&str>)?;
        }
        Ok(())
    };
    let result = match &lower_root {
        Some(directory) => in_directory(directory, call),
        None => call(),
    };
    result.map_err(|errno| refused(errno.into()))
}

/// Flags, and what is left for the file system, joined with commas.
pub(super) fn parse(options: &[String]) -> (MsFlags, String) {
    let mut flags = MsFlags::empty();
    let mut data = Vec::new();
    for option in options {
        let (set, flag) = match option.as_str() {
            "ro" => (true, MsFlags::MS_RDONLY),
            "rw" => (false, MsFlags::MS_RDONLY),
            "nosuid" => (true, MsFlags::MS_NOSUID),
            "suid" => (false, MsFlags::MS_NOSUID),
            "nodev" => (true, MsFlags::MS_NODEV),
            "dev" => (false, MsFlags::MS_NODEV),
            "noexec" => (true, MsFlags::MS_NOEXEC),
            "exec" => (false, MsFlags::MS_NOEXEC),
            "sync" => (true, MsFlags::MS_SYNCHRONOUS),
            "dirsync" => (true, MsFlags::MS_DIRSYNC),
            "noatime" => (true, MsFlags::MS_NOATIME),
            "nodiratime" => (true, MsFlags::MS_NODIRATIME),
            "relatime" => (true, MsFlags::MS_RELATIME),
            "strictatime" => (true, MsFlags::MS_STRICTATIME),
            "bind" => (true, MsFlags::MS_BIND),
            "rbind" => (true, MsFlags::MS_BIND | MsFlags::MS_REC),
            "defaults" | "async" | "atime" | "norelatime" => (false, MsFlags::empty()),
            other => {
                data.push(other);
                continue;
            }
        };
        flags.set(flag, set);
    }
    (flags, data.join(","))
}

/// Overlay options with the directory that all `lowerdir` paths share left out; they then are relative to it.
fn shorten(data: &str) -> Option<(String, PathBuf)> {
    let mut words: Vec<String> = data.split(',').map(str::to_owned).collect();
    let lower = words.iter_mut().find(|w| w.starts_with("lowerdir="))?;
    let paths: Vec<PathBuf> = lower["lowerdir=".len()..]
        .split(':')
        .map(PathBuf::from)
        .collect();
    let mut common = paths.first()?.parent()?.to_owned();
    while !paths.iter().all(|path| path.starts_with(&common)) {
        common = common.parent()?.to_owned();
    }
    let relative: Option<Vec<&str>> = paths
        .iter()
        .map(|path| path.strip_prefix(&common).ok()?.to_str())
        .collect();
    *lower = format!("lowerdir={}", relative?.join(":"));
    Some((words.join(","), common))
}

/// Runs a call in another working directory. The directory belongs to the process, so this is a thread of its own that unshares
/// it and ends afterwards.
fn in_directory(
    directory: &Path,
    call: impl FnOnce() -> nix::Result<()> + Send,
) -> nix::Result<()> {
    std::thread::scope(|scope| {
        let worker = scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_FS)?;
            nix::unistd::chdir(directory)?;
            call()
        });
        worker.join().unwrap_or(Err(nix::Error::EIO))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        text.split(' ').map(str::to_owned).collect()
    }

    #[test]
    fn flags_are_told_from_options_of_the_file_system() {
        let (flags, data) = parse(&words("ro nosuid rw lowerdir=/a:/b index=off"));
        assert_eq!(flags, MsFlags::MS_NOSUID, "the last of ro and rw holds");
        assert_eq!(data, "lowerdir=/a:/b,index=off");
    }

    #[test]
    fn long_lists_of_layers_are_named_from_their_common_directory() {
        let data = "workdir=/w,lowerdir=/s/snapshots/1/fs:/s/snapshots/12/fs,upperdir=/u";
        let (short, directory) = shorten(data).expect("shorter");
        assert_eq!(short, "workdir=/w,lowerdir=1/fs:12/fs,upperdir=/u");
        assert_eq!(directory, Path::new("/s/snapshots"));
        assert_eq!(shorten("size=1"), None);
    }

    #[test]
    fn a_target_outside_of_the_root_is_refused() {
        let one = Mount {
            kind: "tmpfs".into(),
            source: "tmpfs".into(),
            target: "../x".into(),
            options: Vec::new(),
        };
        let refused = mount_all(&[one], Path::new("/nowhere"));
        assert!(matches!(refused, Err(MountError::Outside(_))));
    }

    #[test]
    fn sixty_layers_mount_and_come_off() {
        let dir = tempfile::tempdir().expect("dir");
        let make = |name: String| {
            let path = dir.path().join(name);
            std::fs::create_dir(&path).expect("dir");
            path
        };
        let lower: Vec<_> = (0..60).map(|n| make(format!("layer-{n:050}"))).collect();
        std::fs::write(lower[0].join("file"), "top").expect("file");
        let lower: Vec<_> = lower.iter().map(|p| p.display().to_string()).collect();
        let (upper, work) = (make("upper".into()), make("work".into()));
        let root = make("root".into());
        let one = Mount {
            kind: "overlay".into(),
            source: "overlay".into(),
            target: String::new(),
            options: vec![
                format!("workdir={}", work.display()),
                format!("upperdir={}", upper.display()),
                format!("lowerdir={}", lower.join(":")),
            ],
        };
        mount_all(&[one], &root).expect("mounts");
        assert_eq!(
            std::fs::read_to_string(root.join("file")).expect("reads"),
            "top"
        );
        unmount_all(&root);
        assert!(!root.join("file").exists());
    }
}
