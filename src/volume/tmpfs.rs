//! A file system of a volume's own: tmpfs or huge pages.

use crate::base::Quantity;
use crate::volume::dir;
use crate::volume::error::Error;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// What a volume in memory is made of.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// At most `size` bytes. They are never swapped out where the kernel can promise it (since 6.4, not in a user namespace).
    Memory {
        /// Bytes.
        size: u64,
    },
    /// Huge pages.
    HugePages {
        /// Bytes of each.
        page_bytes: u64,
        /// Bytes altogether.
        limit: Option<Quantity>,
    },
}

/// Mounts a file system at `path`, which is made if need be; one that is there stays. Its root gets `mode` and, with `group`, that
/// group.
pub(super) fn ensure(path: &Path, kind: Kind, mode: u32, group: Option<u32>) -> Result<(), Error> {
    dir::make_on_host(path, 0o700).map_err(Error::system("make directory", path))?;
    if is_mount_point(path).map_err(Error::system("inspect", path))? {
        return Ok(());
    }
    let group = group.map_or(String::new(), |gid| format!(",gid={gid}"));
    match kind {
        Kind::Memory { size } => {
            let options = format!("mode={mode:o},size={size}{group}");
            let tried = match mount_at(path, "tmpfs", &format!("{options},noswap")) {
                Err(Errno::EINVAL) => mount_at(path, "tmpfs", &options),
                other => other,
            };
            tried.map_err(Error::system("mount tmpfs at", path))
        }
        Kind::HugePages { page_bytes, limit } => {
            let limit = limit.map_or(String::new(), |limit| format!(",size={}", limit.units()));
            let options = format!("mode={mode:o},pagesize={page_bytes}{limit}{group}");
            mount_at(path, "hugetlbfs", &options).map_err(Error::system("mount hugetlbfs at", path))
        }
    }
}

fn mount_at(path: &Path, kind: &str, options: &str) -> nix::Result<()> {
    mount(
        Some(kind),
        path,
        Some(kind),
        MsFlags::empty(),
        Some(options),
    )
}

/// Such a file system always has a device number of its own.
fn is_mount_point(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(path);
    Ok(path.symlink_metadata()?.dev() != parent.symlink_metadata()?.dev())
}
