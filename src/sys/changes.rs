//! Waiting for files to change, told by the kernel (inotify) instead of looking at them again and again. Blocking.
//!
//! Each turn of whoever waits is: name what to hear of, look, wait. What changes between the naming and the wait ends the wait at
//! once, so nothing is missed. The kernel may refuse (every user has so many instances and watches), and what is not there yet
//! cannot be heard of: then a wait is short, and the next turn asks again.

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::Duration;

/// What is heard of. Starts deaf: the first thing named opens the ear.
#[derive(Debug, Default)]
pub struct Changes {
    inotify: Option<OwnedFd>,
    /// Something of this turn cannot be heard of.
    is_deaf: bool,
}

impl Changes {
    /// Files that are put into this directory whole, by renaming, or removed from it.
    pub fn of_files(&mut self, dir: &Path) {
        self.add(
            dir,
            WatchFlags::MOVED_TO | WatchFlags::MOVED_FROM | WatchFlags::DELETE,
        );
    }

    /// The same, and what is made in it.
    pub fn of_entries(&mut self, dir: &Path) {
        self.of_files(dir);
        self.add(dir, WatchFlags::CREATE);
    }

    /// What is written into a file, or into any file of a directory.
    pub fn of_content(&mut self, path: &Path) {
        self.add(path, WatchFlags::MODIFY);
    }

    /// To name the same thing twice costs nothing, and what is gone the kernel forgets by itself.
    fn add(&mut self, path: &Path, what: WatchFlags) {
        if self.inotify.is_none() {
            self.inotify = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).ok();
        }
        let heard = self.inotify.as_ref().is_some_and(|inotify| {
            inotify::add_watch(inotify, path, what | WatchFlags::MASK_ADD).is_ok()
        });
        self.is_deaf |= !heard;
    }

    /// Waits for a change, no longer than `quiet`; no longer than `deaf` if not everything named since the last wait can be heard of.
    /// Whether something has changed.
    pub fn wait(&mut self, quiet: Duration, deaf: Duration) -> bool {
        self.wait_for(None, quiet, deaf)
    }

    /// The same, or until there is something to read from `other`, or its end.
    pub fn wait_or(&mut self, other: impl AsFd, quiet: Duration, deaf: Duration) -> bool {
        self.wait_for(Some(other.as_fd()), quiet, deaf)
    }

    fn wait_for(&mut self, other: Option<BorrowedFd<'_>>, quiet: Duration, deaf: Duration) -> bool {
        let limit = if self.is_deaf { deaf } else { quiet };
        self.is_deaf = false;
        let own = self.inotify.as_ref().map(AsFd::as_fd);
        let fds = own.into_iter().chain(other);
        let mut fds: Vec<_> = fds
            .map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN))
            .collect();
        let limit = Timespec::try_from(limit).ok();
        // A signal or an error only makes the next look come sooner.
        let changed = poll(&mut fds, limit.as_ref()).is_ok_and(|n| n > 0);
        if let Some(fd) = own.filter(|_| changed) {
            let mut events = [0_u8; 4096];
            while rustix::io::read(fd, &mut events[..]).is_ok_and(|n| n > 0) {}
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys;

    /// Longer than any test may take.
    const FOR_EVER: Duration = Duration::from_secs(600);

    fn waited(changes: &mut Changes, quiet: Duration, deaf: Duration) -> Duration {
        let before = sys::now().mono;
        assert!(!changes.wait(quiet, deaf));
        sys::now().mono.since(before)
    }

    #[test]
    fn what_happens_after_the_naming_ends_the_wait() {
        let dir = tempfile::tempdir().expect("dir");
        let (dir, file) = (dir.path(), dir.path().join("f"));
        let mut changes = Changes::default();
        changes.of_files(dir);
        sys::write_atomic(&file, b"one", 0o600).expect("written");
        assert!(changes.wait(FOR_EVER, FOR_EVER));
        changes.of_content(&file);
        std::fs::write(&file, b"two").expect("written");
        assert!(changes.wait(FOR_EVER, FOR_EVER));
        changes.of_entries(dir);
        std::fs::create_dir(dir.join("d")).expect("made");
        assert!(changes.wait(FOR_EVER, FOR_EVER));
        std::fs::remove_file(&file).expect("removed");
        assert!(changes.wait(FOR_EVER, FOR_EVER));
        let dir = dir.to_owned();
        changes.of_files(&dir);
        let other = std::thread::spawn(move || sys::write_atomic(&file, b"three", 0o600));
        assert!(changes.wait(FOR_EVER, FOR_EVER));
        other.join().expect("ends").expect("written");
    }

    #[test]
    fn the_end_of_a_pipe_ends_the_wait() {
        let (end, other) = std::io::pipe().expect("a pipe");
        drop(other);
        assert!(Changes::default().wait_or(&end, FOR_EVER, FOR_EVER));
    }

    #[test]
    fn silence_ends_the_wait_when_time_is_up_and_sooner_when_something_is_not_heard_of() {
        let dir = tempfile::tempdir().expect("dir");
        let (short, long) = (Duration::from_millis(20), Duration::from_millis(60));
        let mut changes = Changes::default();
        changes.of_files(dir.path());
        // A file that is made is none that is put there whole.
        std::fs::write(dir.path().join("f"), b"").expect("written");
        assert!(waited(&mut changes, long, FOR_EVER) >= long);
        changes.of_files(&dir.path().join("absent"));
        assert!(waited(&mut changes, FOR_EVER, short) >= short);
        changes.of_files(dir.path());
        assert!(waited(&mut changes, long, FOR_EVER) >= long, "heard again");
    }
}
