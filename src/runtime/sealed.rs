//! A runtime's program in memory that nobody can change any more. A runtime that wants to run from such a place copies itself there at
//! each call (youki 0.7.0: 11 MB, 11 of the 14 ms of its shortest call); who makes several calls makes one copy for all.

use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};
use rustix::io::Errno;
use std::fs::File;
use std::io::{self, Read, Seek};
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::timeout;

/// What a program begins with that needs no other to be executed: that one would find the copy closed. Source: elf(5).
const MAGIC: [u8; 4] = *b"\x7fELF";
/// Largest program that is copied, in bytes: several times the largest that is known.
const MAX_BYTES: u64 = 64 * 1024 * 1024;
/// How long a copy is waited for; a disk takes milliseconds. Without it the runtime makes its own.
const PATIENCE: Duration = Duration::from_secs(1);
/// Stack of the thread that copies.
const STACK_BYTES: usize = 64 * 1024;

/// A copy, or the thread that makes it. It takes as much memory as the program has bytes, until it is dropped.
#[derive(Clone, Debug)]
pub struct Sealed(watch::Receiver<Option<Copied>>);

/// `None` of a program that cannot be copied.
type Copied = Option<Arc<OwnedFd>>;

impl Sealed {
    /// Starts to copy a program.
    pub fn begin(program: &Path) -> Sealed {
        let (told, copied) = watch::channel(None);
        let program = program.to_owned();
        let copy = move || drop(told.send(Some(seal(&program).ok().map(Arc::new))));
        // Without the thread nobody tells, and nobody waits.
        let _ = thread::Builder::new().stack_size(STACK_BYTES).spawn(copy);
        Sealed(copied)
    }

    /// The copy, once it is there, if it comes in time, and its path for whoever executes it as a child of this process.
    pub(super) async fn program(&self) -> Option<(Arc<OwnedFd>, PathBuf)> {
        let mut copied = self.0.clone();
        let copied = timeout(PATIENCE, copied.wait_for(Option::is_some));
        let copy = copied.await.ok()?.ok()?.clone()??;
        let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
        Some((copy, path.into()))
    }
}

fn seal(program: &Path) -> io::Result<OwnedFd> {
    let mut file = File::open(program)?;
    let mut magic = [0; MAGIC.len()];
    file.read_exact(&mut magic)?;
    if magic != MAGIC || file.metadata()?.len() > MAX_BYTES {
        return Err(io::ErrorKind::Unsupported.into());
    }
    file.rewind()?;
    let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
    let copy = match memfd_create("runtime", flags | MemfdFlags::EXEC) {
        // Linux before 6.3, where all can be executed.
        Err(Errno::INVAL) => memfd_create("runtime", flags),
        made => made,
    };
    let mut copy = File::from(copy?);
    io::copy(&mut file.take(MAX_BYTES), &mut copy)?;
    let all = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
    fcntl_add_seals(&copy, all)?;
    Ok(copy.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[tokio::test]
    async fn a_program_runs_from_its_copy_and_a_script_does_not() {
        let sealed = Sealed::begin(Path::new("/bin/true"));
        let (copy, path) = sealed.program().await.expect("a copy");
        assert!(Command::new(path).status().expect("starts").success());
        assert!(
            File::from(copy.try_clone().expect("a copy"))
                .set_len(0)
                .is_err()
        );
        let dir = tempfile::tempdir().expect("a directory");
        let script = dir.path().join("script");
        std::fs::write(&script, "#!/bin/sh\n").expect("written");
        for other in [script.as_path(), dir.path(), Path::new("/absent")] {
            assert!(Sealed::begin(other).program().await.is_none(), "{other:?}");
        }
    }
}
