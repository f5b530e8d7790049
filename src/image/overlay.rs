//! Layers → one mounted root. What is written to it lasts as long as the instance, never longer than the machine runs, so it is mounted
//! `volatile`: without that an unmount, and each `fsync` of a container, writes the whole file system below to the disk. Source:
//! kernel documentation, filesystems/overlayfs, "Volatile mount".

use crate::image::root::open_root;
use rustix::fs::{CWD, StatVfsMountFlags, statvfs};
use rustix::io::Errno;
use rustix::mount::{
    FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MoveMountFlags, UnmountFlags,
    fsconfig_create, fsconfig_set_flag, fsconfig_set_string, fsmount, fsopen, mount, move_mount,
    unmount,
};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

const SOURCE: &str = "podshim";
const VOLATILE: &str = "volatile";

/// Mounts an overlay of `layers` (lowest first) with `upper` and `work` at the directory `target`. All of them must exist; `upper` and
/// `work` must be on one file system and empty: the kernel refuses those of a volatile mount before. The root of the mount has the
/// owner and mode of `upper`.
pub fn mount_overlay(
    layers: &[PathBuf],
    upper: &Path,
    work: &Path,
    target: &Path,
) -> io::Result<()> {
    mount_layers(layers, Some((upper, work)), target)?;
    refuse_read_only(work, target)
}

/// Mounts `layers` (lowest first) at the empty directory `target`, for nobody to write. None at all is an empty directory.
pub fn mount_read_only(layers: &[PathBuf], target: &Path) -> io::Result<()> {
    if layers.is_empty() {
        return Ok(());
    }
    // An overlay that nobody can write has two layers at least; in the lowest a whiteout would be a device.
    let empty = std::iter::once(target.to_owned());
    let layers: Vec<PathBuf> = empty.chain(layers.iter().cloned()).collect();
    mount_layers(&layers, None, target)
}

fn mount_layers(
    layers: &[PathBuf],
    writable: Option<(&Path, &Path)>,
    target: &Path,
) -> io::Result<()> {
    match mount_by_parts(layers, writable, target) {
        // Before 6.8 `lowerdir+` is unknown, before 5.2 (or under a filter) the calls are; a path may have 255 bytes.
        Err(Errno::INVAL | Errno::NOSYS | Errno::PERM) => {
            mount_by_options(layers, writable, target)
        }
        done => Ok(done?),
    }
}

/// An overlay that cannot use its work directory is mounted read-only without a word: the reason is what that directory says.
fn refuse_read_only(work: &Path, target: &Path) -> io::Result<()> {
    if !statvfs(target)?.f_flag.contains(StatVfsMountFlags::RDONLY) {
        return Ok(());
    }
    unmount(target, UnmountFlags::DETACH)?;
    std::fs::create_dir(work.join("probe"))?;
    Err(Errno::ROFS.into())
}

/// One call per layer: no limit on the length of all paths together, and no character in them means anything.
fn mount_by_parts(
    layers: &[PathBuf],
    writable: Option<(&Path, &Path)>,
    target: &Path,
) -> Result<(), Errno> {
    let context = fsopen("overlay", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_set_string(&context, "source", SOURCE)?;
    for layer in layers.iter().rev() {
        fsconfig_set_string(&context, "lowerdir+", layer)?;
    }
    if let Some((upper, work)) = writable {
        fsconfig_set_string(&context, "upperdir", upper)?;
        fsconfig_set_string(&context, "workdir", work)?;
        match fsconfig_set_flag(&context, VOLATILE) {
            // Before 5.10 it is unknown.
            Err(error) if error != Errno::INVAL => return Err(error),
            _ => {}
        }
    }
    fsconfig_create(&context)?;
    let access = match writable {
        Some(_) => MountAttrFlags::empty(),
        None => MountAttrFlags::MOUNT_ATTR_RDONLY,
    };
    let mounted = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, access)?;
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    move_mount(&mounted, "", CWD, target, flags)
}

/// All options must fit one page, so directories are named by their file descriptors; that also spares `:` and `,` in paths.
fn mount_by_options(
    layers: &[PathBuf],
    writable: Option<(&Path, &Path)>,
    target: &Path,
) -> io::Result<()> {
    let open = |dirs: &[PathBuf]| -> io::Result<Vec<OwnedFd>> {
        dirs.iter().rev().map(|dir| open_root(dir)).collect()
    };
    let name = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
    let lower = open(layers)?;
    let names: Vec<String> = lower.iter().map(name).collect();
    let mut options = format!("lowerdir={}", names.join(":"));
    let writable =
        writable.map(|(upper, work)| Ok::<_, io::Error>((open_root(upper)?, open_root(work)?)));
    let writable = writable.transpose()?;
    let flags = match &writable {
        Some((upper, work)) => {
            options += &format!(",upperdir={},workdir={}", name(upper), name(work));
            MountFlags::empty()
        }
        None => MountFlags::RDONLY,
    };
    let attempt = |options: String| -> io::Result<()> {
        let options = CString::new(options)?;
        Ok(mount(SOURCE, target, "overlay", flags, options.as_c_str())?)
    };
    if writable.is_some() && attempt(format!("{options},{VOLATILE}")).is_ok() {
        return Ok(());
    }
    attempt(options)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// Mounts `count` layers, of which each has one file of its own and all have `same`, and looks at the result.
    fn mount_and_look(
        count: usize,
        mount: impl Fn(&[PathBuf], &Path, &Path, &Path) -> io::Result<()>,
    ) {
        let dir = tempfile::tempdir().expect("a directory");
        let place = |name: String| {
            let path = dir.path().join(name);
            fs::create_dir(&path).expect("a directory");
            path
        };
        let layers: Vec<PathBuf> = (0..count)
            .map(|n| {
                let layer = place(format!("a rather, long: name of layer number {n:03}"));
                fs::write(layer.join(format!("own-{n}")), "").expect("a file");
                fs::write(layer.join("same"), n.to_string()).expect("a file");
                layer
            })
            .collect();
        let (upper, work) = (place("upper".into()), place("work".into()));
        let target = place("target".into());
        mount(&layers, &upper, &work, &target).expect("mounts");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("mounts");
        let ours = mounts
            .lines()
            .find(|line| line.contains(&*target.to_string_lossy()));
        let names = fs::read_dir(&target).expect("lists").count();
        let same = fs::read_to_string(target.join("same")).expect("reads");
        fs::write(target.join("new"), "").expect("writes");
        rustix::mount::unmount(&target, rustix::mount::UnmountFlags::empty()).expect("unmounts");
        assert!(ours.is_some_and(|line| line.contains(VOLATILE)), "{ours:?}");
        assert_eq!(names, count + 1);
        assert_eq!(same, (count - 1).to_string(), "the last layer wins");
        assert!(upper.join("new").exists(), "writes go to upper");
        assert_eq!(fs::read_dir(&target).expect("lists").count(), 0);
    }

    #[test]
    fn one_two_and_sixty_layers_mount_by_parts() {
        for count in [1, 2, 60] {
            mount_and_look(count, |layers, upper, work, target| {
                Ok(mount_by_parts(layers, Some((upper, work)), target)?)
            });
        }
    }

    #[test]
    fn paths_too_long_for_one_call_mount_all_the_same() {
        mount_and_look(3, |layers, upper, work, target| {
            let long = layers[2].join("l".repeat(250));
            fs::create_dir(&long)?;
            for file in fs::read_dir(&layers[2])? {
                let file = file?;
                if file.file_type()?.is_file() {
                    fs::rename(file.path(), long.join(file.file_name()))?;
                }
            }
            let layers = [layers[0].clone(), layers[1].clone(), long];
            assert_eq!(
                mount_by_parts(&layers, Some((upper, work)), target),
                Err(Errno::INVAL)
            );
            mount_overlay(&layers, upper, work, target)
        });
    }

    #[test]
    fn one_two_and_sixty_layers_mount_by_options() {
        for count in [1, 2, 60] {
            mount_and_look(count, |layers, upper, work, target| {
                mount_by_options(layers, Some((upper, work)), target)
            });
        }
    }
}
