//! `subPath`: a part of a volume, bound to a place of ours. Containers change the volume meanwhile, so nothing is looked at by name
//! twice: the kernel resolves the path below the volume's root, and what it found is bound by its descriptor.
//! Source: kubelet `subpath_linux.go`.

use crate::sys::{Leaving, open_beneath};
use crate::volume::error::Error;
use crate::volume::{dir, places};
use rustix::fs::{Mode, OFlags, RawMode, fstat, mkdirat};
use rustix::io::Errno;
use std::io::{self, ErrorKind};
use std::os::fd::{AsFd, OwnedFd};
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
        places::bind(&target, place)
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
