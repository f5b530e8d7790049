//! Owners, modes, attributes and times of files in a layer.

use crate::image::entries::Entry;
use rustix::fs::{
    Gid, Mode, Timespec, Timestamps, UTIME_OMIT, Uid, XattrFlags, fchmod, fchown, fgetxattr,
    flistxattr, fsetxattr, fstat,
};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;

/// Bytes of a list of attributes, and of one value. Source: Linux XATTR_LIST_MAX, XATTR_SIZE_MAX.
const XATTR_BYTES: usize = 64 << 10;

/// The owner as the calls want it.
pub(super) fn owner(entry: &Entry) -> (Option<Uid>, Option<Gid>) {
    (
        Some(Uid::from_raw(entry.uid)),
        Some(Gid::from_raw(entry.gid)),
    )
}

/// Sets owner, mode and attributes. The owner first: chown takes setuid and capabilities away.
pub(super) fn set_metadata(file: &OwnedFd, entry: &Entry) -> Result<(), Errno> {
    let (uid, gid) = owner(entry);
    fchown(file, uid, gid)?;
    fchmod(file, Mode::from_raw_mode(entry.mode))?;
    set_xattrs(file, &entry.xattrs)
}

/// Copies owner, mode and attributes of a directory, and gives its time.
pub(super) fn copy_metadata(from: &OwnedFd, to: &OwnedFd) -> Result<(i64, u32), Errno> {
    let stat = fstat(from)?;
    let (uid, gid) = (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid));
    fchown(to, Some(uid), Some(gid))?;
    fchmod(to, Mode::from_raw_mode(stat.st_mode & 0o7777))?;
    let mut names = vec![0; XATTR_BYTES];
    let length = match flistxattr(from, &mut names[..]) {
        Err(Errno::OPNOTSUPP) => 0,
        listed => listed?,
    };
    let mut value = vec![0; XATTR_BYTES];
    let names = names[..length].split(|b| *b == 0);
    for name in names.filter(|name| is_of_image(name)) {
        let length = fgetxattr(from, name, &mut value[..])?;
        fsetxattr(to, name, &value[..length], XattrFlags::empty())?;
    }
    Ok((
        stat.st_mtime,
        u32::try_from(stat.st_mtime_nsec).unwrap_or(0),
    ))
}

/// Whether an attribute belongs to an image. `trusted.*` and `user.overlay.*` would steer overlayfs, labels are the host's: dropped.
fn is_of_image(name: &[u8]) -> bool {
    name == b"security.capability"
        || name.starts_with(b"system.posix_acl_")
        || (name.starts_with(b"user.") && !name.starts_with(b"user.overlay."))
}

fn set_xattrs(file: &OwnedFd, xattrs: &BTreeMap<Vec<u8>, Vec<u8>>) -> Result<(), Errno> {
    for (name, value) in xattrs.iter().filter(|(name, _)| is_of_image(name)) {
        match fsetxattr(file, name.as_slice(), value, XattrFlags::empty()) {
            // The file system has none of this kind; layers are used without.
            Err(Errno::OPNOTSUPP) => {}
            done => done?,
        }
    }
    Ok(())
}

/// A modification time as the calls want it; the access time stays.
pub(super) fn times((seconds, nanoseconds): (i64, u32)) -> Timestamps {
    Timestamps {
        last_access: Timespec {
            tv_sec: 0,
            tv_nsec: UTIME_OMIT,
        },
        last_modification: Timespec {
            tv_sec: seconds,
            tv_nsec: nanoseconds.into(),
        },
    }
}
