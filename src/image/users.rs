//! The user and group files of a root file system.

use crate::bundle::UserFiles;
use crate::image::root::{open_below, open_regular, open_root};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of `etc/passwd` or `etc/group`: thousands of users; more is not a user file.
const USER_FILE_BYTES: u64 = 4 << 20;

/// Reads `etc/passwd` and `etc/group` below `rootfs`, without leaving it. Bytes that are not UTF-8 are replaced.
/// Errors: a file is too large, not a regular file or unreadable; an absent one is `None`.
pub fn user_files(rootfs: &Path) -> io::Result<UserFiles> {
    let root = open_root(rootfs)?;
    let read = |path: &str| -> io::Result<Option<String>> {
        let path = Path::new(path);
        if matches!(
            open_below(&root, path, OFlags::PATH),
            Err(Errno::NOENT | Errno::NOTDIR)
        ) {
            return Ok(None);
        }
        let (file, size) = open_regular(&root, path)?;
        if size > USER_FILE_BYTES {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "a user file is larger than 4 MiB",
            ));
        }
        let mut bytes = Vec::new();
        file.take(USER_FILE_BYTES).read_to_end(&mut bytes)?;
        Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
    };
    Ok(UserFiles {
        passwd: read("etc/passwd")?,
        group: read("etc/group")?,
    })
}
