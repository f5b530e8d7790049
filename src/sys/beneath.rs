//! Opening paths below a directory in which somebody else may change everything at any time.

use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use rustix::io::Errno;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// What is done about a symbolic link or a `..` that leads out. Links of `/proc` that lead anywhere are refused always.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaving {
    /// It is an error (`EXDEV`), and so is every absolute link: for directories that are a part of something.
    Refused,
    /// The directory is taken for `/`: for whole root file systems.
    Rebased,
    /// Every symbolic link is an error (`ELOOP`).
    NoLinks,
}

/// Attempts to resolve a path while other processes rename and mount. Source: openat2(2), EAGAIN.
const ATTEMPTS: u32 = 128;

/// Opens a relative path below `root`; an empty one is `root` itself. The kernel resolves it in one call, so that there is no moment
/// between a check and its use.
pub fn open_beneath(
    root: impl AsFd,
    path: &Path,
    flags: OFlags,
    leaving: Leaving,
) -> Result<OwnedFd, Errno> {
    let path = if path.as_os_str().is_empty() {
        Path::new(".")
    } else {
        path
    };
    let resolve = ResolveFlags::NO_MAGICLINKS
        | match leaving {
            Leaving::Refused => ResolveFlags::BENEATH,
            Leaving::Rebased => ResolveFlags::IN_ROOT,
            Leaving::NoLinks => ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS,
        };
    let mut attempt = 0;
    loop {
        attempt += 1;
        match openat2(&root, path, flags | OFlags::CLOEXEC, Mode::empty(), resolve) {
            // Something on the machine was renamed or mounted while the kernel resolved a `..`.
            Err(Errno::AGAIN) if attempt < ATTEMPTS => {}
            opened => return opened,
        }
    }
}
