//! Mounts that show their files under other ids: the ids of a user namespace, which is made for that and holds nothing else.

use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::signal::{Signal, kill};
use nix::sys::wait::waitpid;
use nix::unistd::{ForkResult, fork, pipe2};
use rustix::io::{read, write};
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};

/// Ids of a user namespace, and those of this machine that they stand for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IdRange {
    /// First id in the namespace.
    pub inside: u32,
    /// First id outside.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// A new user namespace with these ids.
pub fn user_namespace(uids: &[IdRange], gids: &[IdRange]) -> io::Result<OwnedFd> {
    let (ready, tell) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
    // SAFETY: until its end the child calls only prctl(2), unshare(2), write(2), pause(2) and _exit(2), all async-signal-safe; nothing
    // allocates, takes a lock or runs a destructor.
    let holder = match unsafe { fork()? } {
        ForkResult::Parent { child } => child,
        ForkResult::Child => {
            let done =
                set_pdeathsig(Signal::SIGKILL).and_then(|()| unshare(CloneFlags::CLONE_NEWUSER));
            if done.is_ok() && write(&tell, &[1]).is_ok() {
                nix::unistd::pause();
            }
            // SAFETY: _exit(2) ends the process, nothing of which runs again.
            unsafe { nix::libc::_exit(1) }
        }
    };
    drop(tell);
    let made = (|| {
        if read(&ready, &mut [0; 1])? == 0 {
            // It has ended without a word.
            return Err(io::Error::other("no user namespace can be made"));
        }
        let process = format!("/proc/{holder}");
        fs::write(format!("{process}/uid_map"), lines(uids))?;
        fs::write(format!("{process}/gid_map"), lines(gids))?;
        Ok(File::open(format!("{process}/ns/user"))?.into())
    })();
    // It may have ended, and whoever reaps all children may have been first.
    let _ = kill(holder, Signal::SIGKILL);
    let _ = waitpid(holder, None);
    made
}

/// As `uid_map` has them.
fn lines(ranges: &[IdRange]) -> String {
    let line = |r: &IdRange| format!("{} {} {}\n", r.inside, r.outside, r.count);
    ranges.iter().map(line).collect()
}

/// Shows a mount that is attached nowhere under the ids of a user namespace.
pub fn map_ids(tree: BorrowedFd<'_>, namespace: BorrowedFd<'_>) -> io::Result<()> {
    let attr = nix::libc::mount_attr {
        attr_set: nix::libc::MOUNT_ATTR_IDMAP,
        attr_clr: 0,
        propagation: 0,
        userns_fd: u64::try_from(namespace.as_raw_fd()).map_err(|_| io::ErrorKind::InvalidInput)?,
    };
    // SAFETY: the path is an empty string with its zero, and the structure outlives the call, which reads as many bytes of it as
    // it is told; both descriptors are open as long as their borrows.
    let result = unsafe {
        nix::libc::syscall(
            nix::libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            nix::libc::AT_EMPTY_PATH,
            &raw const attr,
            size_of::<nix::libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}
