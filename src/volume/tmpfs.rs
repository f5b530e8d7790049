//! A tmpfs of a volume.

use crate::volume::dir;
use crate::volume::error::Error;
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Mounts a tmpfs of at most `size` bytes at `path`, which is made if need be; one that is there stays. Its root gets `mode` and,
/// with `group`, that group. It is never swapped out where the kernel can promise it (since 6.4, not in a user namespace).
pub(super) fn ensure(path: &Path, size: u64, mode: u32, group: Option<u32>) -> Result<(), Error> {
    dir::make_on_host(path, 0o700).map_err(Error::system("make directory", path))?;
    if is_mount_point(path).map_err(Error::system("inspect", path))? {
        return Ok(());
    }
    let group = group.map_or(String::new(), |gid| format!(",gid={gid}"));
    let options = format!("mode={mode:o},size={size}{group}");
    let tried = match tmpfs(path, &format!("{options},noswap")) {
        Err(Errno::EINVAL) => tmpfs(path, &options),
        other => other,
    };
    tried.map_err(Error::system("mount tmpfs at", path))
}

fn tmpfs(path: &Path, options: &str) -> nix::Result<()> {
    let kind = Some("tmpfs");
    mount(kind, path, kind, MsFlags::empty(), Some(options))
}

/// A tmpfs always has a device number of its own.
fn is_mount_point(path: &Path) -> io::Result<bool> {
    let parent = path.parent().unwrap_or(path);
    Ok(path.symlink_metadata()?.dev() != parent.symlink_metadata()?.dev())
}
