//! The file system of a native sandbox. The caller is alone in a new mount namespace; the host's stays as it is.
//!
//! Everything below the root is reached by descriptors that the kernel resolved there without links, before the root becomes `/`:
//! no name is looked up twice, and none leads out.

use crate::bundle::{MountKind, NativeMount, NativeRoot};
use crate::runtime::native::{SandboxError, step};
use crate::sys::{Leaving, open_beneath};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::unistd::{chdir, dup2_stderr, dup2_stdin, dup2_stdout, fchdir, pivot_root};
use rustix::fs::{AtFlags, FileType, Mode, OFlags, StatVfsMountFlags};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};

/// Makes the root of a bundle this process's `/`.
pub(super) fn enter(
    root: &NativeRoot,
    bundle: &Path,
    sysctls: &[(String, String)],
) -> Result<(), SandboxError> {
    let path = bundle.join(&root.path);
    // What the host mounts is received, what is mounted here is not sent. Source: runc without `rootfsPropagation`.
    remount(Path::new("/"), MsFlags::MS_REC | MsFlags::MS_SLAVE)
        .map_err(step("separate the mounts of the host"))?;
    bind(&path, &path).map_err(step(format!("bind the root `{}`", path.display())))?;
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let top = rustix::fs::open(&path, flags, Mode::empty())
        .map_err(step(format!("open the root `{}`", path.display())))?;
    for one in &root.mounts {
        let what = || {
            format!(
                "mount {} at `/{}`",
                one.kind.name(),
                one.destination.display()
            )
        };
        mount_one(&top, one).map_err(step(what()))?;
    }
    for (name, value) in sysctls {
        set(&top, name, value).map_err(step(format!("set the sysctl `{name}` to `{value}`")))?;
    }
    let null = make_null(&top).map_err(step("make `/dev/null`"))?;
    take_streams(&null).map_err(step("open `/dev/null`"))?;
    for path in &root.readonly_paths {
        let Some(place) = find(&top, path)? else {
            continue;
        };
        let protect = |place: &OwnedFd| {
            bind(&reached(place), &reached(place))?;
            // The descriptor is of what is below the new mount.
            make_readonly(&reached(&open(&top, path)?))
        };
        protect(&place).map_err(step(format!("make `/{}` read-only", path.display())))?;
    }
    for path in &root.masked {
        if let Some(place) = find(&top, path)? {
            mask(&place, &null).map_err(step(format!("hide `/{}`", path.display())))?;
        }
    }
    pivot(&top).map_err(step("change the root"))?;
    if root.readonly {
        make_readonly(Path::new("/")).map_err(step("make the root read-only"))?;
    }
    Ok(())
}

/// A path that leads to what a descriptor is of.
fn reached(fd: &OwnedFd) -> PathBuf {
    format!("/proc/self/fd/{}", fd.as_raw_fd()).into()
}

fn open(top: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    Ok(open_beneath(top, path, OFlags::PATH, Leaving::NoLinks)?)
}

/// What is there; `None` where there is nothing: another kernel has other files.
fn find(top: &OwnedFd, path: &Path) -> Result<Option<OwnedFd>, SandboxError> {
    match open_beneath(top, path, OFlags::PATH, Leaving::NoLinks) {
        Ok(found) => Ok(Some(found)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(error) => Err(step(format!("look for `/{}`", path.display()))(error)),
    }
}

fn mount_one(top: &OwnedFd, one: &NativeMount) -> io::Result<()> {
    let place = make_directory(top, &one.destination)?;
    let flags = [
        (one.readonly, MsFlags::MS_RDONLY),
        (one.nosuid, MsFlags::MS_NOSUID),
        (one.nodev, MsFlags::MS_NODEV),
        (one.noexec, MsFlags::MS_NOEXEC),
        (one.strictatime, MsFlags::MS_STRICTATIME),
    ];
    let flags = flags.into_iter().filter(|(wanted, _)| *wanted);
    let kind = one.kind.name();
    let data = (one.kind == MountKind::Tmpfs).then_some(one.data.as_str());
    mount(
        Some(kind),
        &reached(&place),
        Some(kind),
        flags.map(|(_, flag)| flag).collect(),
        data,
    )?;
    Ok(())
}

/// A directory below the root, made if it is not there.
fn make_directory(top: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    match open_beneath(top, path, flags, Leaving::NoLinks) {
        Err(Errno::NOENT) => {}
        opened => return Ok(opened?),
    }
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    rustix::fs::mkdirat(
        make_directory(top, parent)?,
        name,
        Mode::from_raw_mode(0o755),
    )?;
    Ok(open_beneath(top, path, flags, Leaving::NoLinks)?)
}

/// By the sandbox's own `/proc`: what a name means depends on the namespaces of whoever writes, and those are the sandbox's.
fn set(top: &OwnedFd, name: &str, value: &str) -> io::Result<()> {
    let path = Path::new("proc/sys").join(name);
    let file = open_beneath(top, &path, OFlags::WRONLY, Leaving::NoLinks)?;
    File::from(file).write_all(value.as_bytes())
}

/// A device of the sandbox's own. The host's must not be reachable: whoever is root in the pod's PID namespace could change its mode
/// by pause's streams and mounts.
fn make_null(top: &OwnedFd) -> io::Result<OwnedFd> {
    let dev = open(top, Path::new("dev"))?;
    let mode = Mode::from_raw_mode(0o666);
    let device = rustix::fs::makedev(1, 3);
    rustix::fs::mknodat(&dev, "null", FileType::CharacterDevice, mode, device)?;
    // Whatever the umask is.
    rustix::fs::chmodat(&dev, "null", mode, AtFlags::empty())?;
    open(&dev, Path::new("null"))
}

/// Standard streams of the sandbox's own. Source: runc `reOpenDevNull`.
fn take_streams(null: &OwnedFd) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(reached(null))?;
    dup2_stdin(&file)?;
    dup2_stdout(&file)?;
    dup2_stderr(&file)?;
    Ok(())
}

/// An empty directory or nothing at all in place of what is there.
fn mask(place: &OwnedFd, null: &OwnedFd) -> io::Result<()> {
    let kind = FileType::from_raw_mode(rustix::fs::fstat(place)?.st_mode);
    if kind != FileType::Directory {
        return bind(&reached(null), &reached(place));
    }
    mount(
        Some("tmpfs"),
        &reached(place),
        Some("tmpfs"),
        MsFlags::MS_RDONLY,
        None::<&str>,
    )?;
    Ok(())
}

fn bind(from: &Path, to: &Path) -> io::Result<()> {
    let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
    Ok(mount(Some(from), to, None::<&str>, flags, None::<&str>)?)
}

fn remount(path: &Path, flags: MsFlags) -> io::Result<()> {
    Ok(mount(
        None::<&str>,
        path,
        None::<&str>,
        flags,
        None::<&str>,
    )?)
}

/// Changes one flag of a mount and keeps the others.
fn make_readonly(path: &Path) -> io::Result<()> {
    let now = rustix::fs::statvfs(path)?.f_flag;
    let kept = [
        (StatVfsMountFlags::NOSUID, MsFlags::MS_NOSUID),
        (StatVfsMountFlags::NODEV, MsFlags::MS_NODEV),
        (StatVfsMountFlags::NOEXEC, MsFlags::MS_NOEXEC),
    ];
    let kept = kept.into_iter().filter(|(flag, _)| now.contains(*flag));
    let kept: MsFlags = kept.map(|(_, flag)| flag).collect();
    remount(
        path,
        kept | MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY,
    )
}

/// The old root lies on top of the new one for a moment, and goes with everything below it. Source: pivot_root(2).
fn pivot(top: &OwnedFd) -> io::Result<()> {
    fchdir(top)?;
    pivot_root(".", ".")?;
    umount2(".", MntFlags::MNT_DETACH)?;
    chdir("/")?;
    Ok(())
}
