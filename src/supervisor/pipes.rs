//! The output of a container that runs on after keeper and supervisor died: its pipes live as long as it holds them, so that they
//! can be opened again through its own descriptors, and what it wrote meanwhile is still in them.
//!
//! Whatever a container has open is its own choice: only what is the very pipe that was given to it is opened.

use crate::supervisor::FileId;
use rustix::fs::{Mode, OFlags, fstat, open};
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;

/// Descriptors of one process that are looked at: far more than a program has that did not begin with a thousand files open.
const MAX_DESCRIPTORS: usize = 4096;
/// Processes of one container that are looked into, its init first.
const MAX_PROCESSES: usize = 64;

impl FileId {
    /// What a descriptor stands for.
    pub(super) fn of(fd: impl AsFd) -> io::Result<FileId> {
        let stat = fstat(fd)?;
        Ok(FileId {
            device: stat.st_dev,
            inode: stat.st_ino,
        })
    }
}

/// The reading ends of the two pipes, as far as a process still has them; one that none has is at its end. `None` when there is
/// neither.
pub(super) fn find(pids: &[u32], wanted: [FileId; 2]) -> Option<Vec<OwnedFd>> {
    let [stdout, stderr] = wanted.map(|id| find_one(pids, id));
    if stdout.is_none() && stderr.is_none() {
        return None;
    }
    let or_end = |found: Option<OwnedFd>| found.or_else(|| Some(io::pipe().ok()?.0.into()));
    Some(vec![or_end(stdout)?, or_end(stderr)?])
}

fn find_one(pids: &[u32], wanted: FileId) -> Option<OwnedFd> {
    let name = format!("pipe:[{}]", wanted.inode);
    pids.iter().take(MAX_PROCESSES).find_map(|pid| {
        let entries = std::fs::read_dir(format!("/proc/{pid}/fd")).ok()?;
        let paths = entries.flatten().take(MAX_DESCRIPTORS).map(|e| e.path());
        // Looking at the name opens nothing; a file's name begins with a slash.
        let named =
            |path: &PathBuf| std::fs::read_link(path).is_ok_and(|to| to.as_os_str() == &*name);
        paths
            .filter(named)
            .find_map(|path| reopen(&path, wanted).ok())
    })
}

/// Opens for reading what a link of `/proc` leads to, if it is what is wanted. The container may have put something else there by
/// now: it is looked at before it is opened.
fn reopen(link: &std::path::Path, wanted: FileId) -> io::Result<OwnedFd> {
    let seen = open(link, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
    if FileId::of(&seen)? != wanted {
        return Err(io::ErrorKind::NotFound.into());
    }
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let path = format!("/proc/self/fd/{}", seen.as_raw_fd());
    Ok(open(path, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::process::{Command, Stdio};

    #[test]
    fn a_pipe_is_found_in_a_process_that_holds_it_with_what_is_in_it() {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let id = FileId::of(&reader).expect("stat");
        let other = FileId { inode: 1, ..id };
        let given = writer.try_clone().expect("a descriptor");
        let mut child = Command::new("sleep")
            .arg("1000")
            .stdout(Stdio::from(given))
            .spawn()
            .expect("sleep");
        writer.write_all(b"inside").expect("room");
        drop(reader);
        drop(writer);
        let found = find(&[child.id()], [id, other]).expect("it has it");
        assert!(find(&[child.id()], [other, other]).is_none());
        child.kill().expect("it runs");
        child.wait().expect("ours");
        let texts = found.into_iter().map(|fd| {
            let mut text = String::new();
            std::fs::File::from(fd)
                .read_to_string(&mut text)
                .expect("its end comes");
            text
        });
        assert_eq!(texts.collect::<Vec<_>>(), ["inside", ""]);
    }
}
