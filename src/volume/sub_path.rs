//! `subPath`: a part of a volume, bound to a place of ours. Containers change the volume meanwhile, so nothing is looked at by name
//! twice: the kernel resolves the path below the volume's root, and what it found is bound by its descriptor.
//! Source: kubelet `subpath_linux.go`.

use crate::sys::{Leaving, open_beneath};
use crate::volume::dir;
use crate::volume::error::Error;
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use rustix::fs::{FileType, Mode, OFlags, RawMode, fstat, mkdirat};
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::{Component, Path};

/// What may be mounted of a volume.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Whatever there is; what is missing is made.
    Any,
    /// A directory that is there.
    Directory,
}

/// Binds what is at the relative `path` in the volume at `root` to `place`, with all that is mounted below. Missing directories are
/// made with the mode of the volume's root. `place` must not exist; its parents are made. *Errors*: also when the path leads out of
/// the volume, through whatever links.
pub fn bind_sub_path(root: &Path, path: &str, part: Part, place: &Path) -> Result<(), Error> {
    let bind = || -> io::Result<()> {
        let directory = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let root = rustix::fs::open(root, directory, Mode::empty())?;
        let target = match part {
            Part::Any => open_or_make(&root, Path::new(path))?,
            Part::Directory => open_beneath(&root, Path::new(path), directory, Leaving::Refused)?,
        };
        dir::make_on_host(place.parent().ok_or(ErrorKind::InvalidInput)?, 0o700)?;
        let kind = FileType::from_raw_mode(fstat(&target)?.st_mode);
        if kind == FileType::Directory {
            rustix::fs::mkdir(place, Mode::RWXU)?;
        } else {
            let new = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
            rustix::fs::open(place, new, Mode::RUSR | Mode::WUSR)?;
        }
        let source = format!("/proc/self/fd/{}", target.as_raw_fd());
        let flags = MsFlags::MS_BIND | MsFlags::MS_REC;
        let none = None::<&str>;
        Ok(mount(Some(source.as_str()), place, none, flags, none)?)
    };
    bind().map_err(Error::system("bind a part of a volume to", place))
}

/// Opens what is there; otherwise makes the directories that are missing.
fn open_or_make(root: &OwnedFd, path: &Path) -> io::Result<OwnedFd> {
    match open_beneath(root, path, OFlags::PATH, Leaving::Refused) {
        Err(Errno::NOENT) => {}
        other => return Ok(other?),
    }
    let mode = fstat(root)?.st_mode;
    let parts: Vec<&Path> = path.components().map(component).collect::<Result<_, _>>()?;
    let mut there = root.try_clone()?;
    let mut missing = parts.len();
    for length in (0..parts.len()).rev() {
        let prefix: std::path::PathBuf = parts[..length].iter().collect();
        match open_beneath(
            root,
            &prefix,
            OFlags::PATH | OFlags::DIRECTORY,
            Leaving::Refused,
        ) {
            Err(Errno::NOENT) => {}
            Err(error) => return Err(error.into()),
            Ok(dir) => {
                (there, missing) = (dir, length);
                break;
            }
        }
    }
    for name in &parts[missing..] {
        there = make(&there, name, mode)?;
    }
    Ok(there)
}

fn component(component: Component<'_>) -> io::Result<&Path> {
    match component {
        Component::Normal(name) => Ok(Path::new(name)),
        Component::CurDir => Ok(Path::new(".")),
        _ => Err(ErrorKind::InvalidInput.into()),
    }
}

/// Makes one directory and opens it. What somebody else put there first is taken if it is a directory, and never a link.
fn make(parent: &OwnedFd, name: &Path, mode: RawMode) -> io::Result<OwnedFd> {
    let made = match mkdirat(parent, name, Mode::RWXU) {
        Err(Errno::EXIST) => false,
        other => other.map(|()| true)?,
    };
    let opened = dir::open_in(parent.as_fd(), name)?;
    if made {
        rustix::fs::fchmod(&opened, Mode::from_raw_mode(mode))?;
    }
    Ok(opened)
}

/// Unmounts the places in `dir` and removes them. None there is no error. What is mounted below leaves with its place and stays
/// mounted wherever else it is.
pub fn release_sub_paths(dir: &Path) -> Result<(), Error> {
    let places = match dir.read_dir() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        other => other.map_err(Error::system("list", dir))?,
    };
    for place in places {
        let place = place.map_err(Error::system("list", dir))?.path();
        detach(&place).map_err(Error::system("unmount", &place))?;
        let removed = std::fs::remove_dir(&place).or_else(|_| std::fs::remove_file(&place));
        removed.map_err(Error::system("remove", &place))?;
    }
    std::fs::remove_dir(dir).map_err(Error::system("remove", dir))
}

/// Takes a mount away from a place of ours with all that is below; what it shares with other places stays there. Nothing mounted is no
/// error.
pub(super) fn detach(place: &Path) -> nix::Result<()> {
    let none = None::<&str>;
    // Otherwise what is mounted below would be unmounted everywhere else, too.
    match mount(
        none,
        place,
        none,
        MsFlags::MS_PRIVATE | MsFlags::MS_REC,
        none,
    ) {
        Err(nix::Error::EINVAL | nix::Error::ENOENT) => return Ok(()),
        other => other?,
    }
    umount2(place, MntFlags::MNT_DETACH | MntFlags::UMOUNT_NOFOLLOW)
}
