//! Whole-file writes, private directories, locks, random bytes.

use rustix::fs::{CWD, Mode, OFlags, RenameFlags, renameat_with};
use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use tempfile::NamedTempFile;

/// How the names of files begin that are being written.
const UNFINISHED: &str = ".new-";
/// Who writes a file for longer than this was killed: it takes milliseconds.
const WRITE_TIME: Duration = Duration::from_secs(60);

/// Replaces a file by its new content in one step: a reader sees the old or the new one, never a part. Durable against a crash of
/// any process of ours; not synced, because what we keep is void after a crash of the machine.
pub fn write_atomic(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let file = written_beside(path, content, mode)?;
    file.persist(path).map(|_| ()).map_err(|e| e.error)
}

/// The same, and the content before is kept as `before`. A machine or file system that cannot exchange names keeps none. Where the
/// disk has no room for a third file the second one is overwritten: who reads the first for that long may find a mixture.
pub fn write_atomic_keeping(
    path: &Path,
    before: &Path,
    content: &[u8],
    mode: u32,
) -> io::Result<()> {
    let exchange = |new: &Path| renameat_with(CWD, new, CWD, path, RenameFlags::EXCHANGE);
    match written_beside(path, content, mode) {
        Ok(file) => {
            let to = exchange(file.path()).map_or(path, |()| before);
            file.persist(to).map(|_| ()).map_err(|e| e.error)
        }
        Err(full) => overwrite(before, content)
            .and_then(|()| Ok(exchange(before)?))
            .map_err(|_| full),
    }
}

/// Writes into a file that is there. Its room is kept until the end: on a full disk another would take it.
fn overwrite(path: &Path, content: &[u8]) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    file.write_all(content)?;
    file.set_len(content.len() as u64)
}

fn written_beside(path: &Path, content: &[u8], mode: u32) -> io::Result<NamedTempFile> {
    let dir = path.parent().ok_or(io::ErrorKind::InvalidInput)?;
    let mut file = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .permissions(Permissions::from_mode(mode))
        .tempfile_in(dir)?;
    // Exactly this mode, whatever the umask.
    file.as_file()
        .set_permissions(Permissions::from_mode(mode))?;
    file.write_all(content)?;
    Ok(file)
}

/// Removes what writers that were killed in the middle have left in a directory. For directories that outlive their users: others go
/// with all that is in them.
pub fn remove_unfinished(dir: &Path) {
    for entry in dir.read_dir().into_iter().flatten().flatten() {
        let is_ours = entry.file_name().to_string_lossy().starts_with(UNFINISHED);
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let is_old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > WRITE_TIME));
        if is_ours && is_old {
            // Somebody else may do the same.
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// Makes a directory and its missing parents, each with `mode`.
pub fn create_dirs(path: &Path, mode: u32) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(mode).create(path)
}

/// Random bytes of the kernel.
pub fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| io::Error::other(e.to_string()))?;
    Ok(bytes)
}

/// An exclusive lock on a file, held until it is dropped or this process ends. It is closed on exec, so no child holds it unless
/// it was given to it.
#[derive(Debug)]
pub struct Lock(File);

impl Lock {
    /// Takes the lock, making the file if needed; `None` when somebody holds it.
    pub fn try_take(path: &Path) -> io::Result<Option<Lock>> {
        let file = open_lock(path, OFlags::CREATE)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Lock(file))),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(e)) => Err(e),
        }
    }

    /// The same for a lock that its maker has made and may remove. *Errors*: `NotFound` when it is gone.
    pub fn try_take_existing(path: &Path) -> io::Result<Option<Lock>> {
        let file = open_lock(path, OFlags::empty())?;
        match file.try_lock() {
            Ok(()) => still_there(path, file).map(Some),
            Err(std::fs::TryLockError::WouldBlock) => Ok(None),
            Err(std::fs::TryLockError::Error(e)) => Err(e),
        }
    }

    /// The descriptor that holds the lock: with every copy of it, in any process, until the last is closed.
    pub fn into_fd(self) -> OwnedFd {
        self.0.into()
    }

    /// Takes the lock, waiting for its holder to leave.
    pub fn take(path: &Path) -> io::Result<Lock> {
        let file = open_lock(path, OFlags::CREATE)?;
        file.lock()?;
        Ok(Lock(file))
    }

    /// The same for a lock that its maker has made and its holder may remove. *Errors*: `NotFound` when it is gone.
    pub fn take_existing(path: &Path) -> io::Result<Lock> {
        let file = open_lock(path, OFlags::empty())?;
        file.lock()?;
        still_there(path, file)
    }
}

fn open_lock(path: &Path, create: OFlags) -> io::Result<File> {
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW | create;
    Ok(File::from(rustix::fs::open(
        path,
        flags,
        Mode::from_raw_mode(0o600),
    )?))
}

/// A lock on a file that was removed while one waited for it keeps nobody out.
fn still_there(path: &Path, file: File) -> io::Result<Lock> {
    match is_still_at(path, &file)? {
        true => Ok(Lock(file)),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Whether an open file still has this name: while one waited for its lock it may have been renamed or removed. Links are not
/// followed.
pub fn is_still_at(path: &Path, file: &File) -> io::Result<bool> {
    let own = file.metadata()?;
    match path.symlink_metadata() {
        Ok(there) => Ok((own.dev(), own.ino()) == (there.dev(), there.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_with_its_mode() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("f");
        write_atomic(&path, b"one", 0o600).expect("first");
        write_atomic(&path, b"two", 0o640).expect("second");
        assert_eq!(std::fs::read(&path).expect("read"), b"two");
        assert_eq!(
            path.metadata().expect("stat").permissions().mode() & 0o7777,
            0o640
        );
        assert_eq!(
            std::fs::read_dir(dir.path()).expect("list").count(),
            1,
            "nothing is left beside it"
        );
    }

    #[test]
    fn a_file_is_replaced_and_the_one_before_is_kept() {
        let dir = tempfile::tempdir().expect("dir");
        let (path, before) = (dir.path().join("f"), dir.path().join("b"));
        for content in [&b"one"[..], b"two", b"three"] {
            write_atomic_keeping(&path, &before, content, 0o600).expect("written");
        }
        assert_eq!(std::fs::read(&path).expect("read"), b"three");
        assert_eq!(std::fs::read(&before).expect("read"), b"two");
        assert_eq!(std::fs::read_dir(dir.path()).expect("list").count(), 2);
    }

    #[test]
    fn what_a_killed_writer_left_goes_and_what_is_being_written_stays() {
        let dir = tempfile::tempdir().expect("dir");
        for name in [".new-old", ".new-young", "old.json"] {
            let file = File::create(dir.path().join(name)).expect("ours");
            if name.contains("old") {
                file.set_modified(std::time::UNIX_EPOCH).expect("ours");
            }
        }
        remove_unfinished(dir.path());
        let left = |name: &str| dir.path().join(name).exists();
        assert!(!left(".new-old") && left(".new-young") && left("old.json"));
        remove_unfinished(&dir.path().join("absent"));
    }

    #[test]
    fn a_held_lock_is_not_taken_twice() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("lock");
        let held = Lock::try_take(&path).expect("io").expect("free");
        assert!(Lock::try_take(&path).expect("io").is_none());
        drop(held);
        assert!(Lock::try_take(&path).expect("io").is_some());
    }
}
