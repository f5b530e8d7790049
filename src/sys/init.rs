//! What a process does to itself before it becomes the first one of a sandbox.

use nix::sys::signal::{SigHandler, SigSet, SigmaskHow, Signal, signal, sigprocmask};
use nix::unistd::{ForkResult, fork};
use std::ffi::CStr;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::RawFd;

/// `KEYCTL_JOIN_SESSION_KEYRING`. Source: `linux/keyctl.h`.
const JOIN_SESSION_KEYRING: i64 = 1;

/// Splits this process in two that go on in the same code: gives the id of the child, and `None` in the child. Refused when there is
/// more than one thread: the child would have the locks of the others, but not them.
pub fn fork_alone() -> io::Result<Option<u32>> {
    if std::fs::read_dir("/proc/self/task")?.count() != 1 {
        return Err(io::Error::other("this process has more than one thread"));
    }
    // SAFETY: this is the only thread, so that no lock, of the allocator or another, is held by one that the child does not have:
    // it may do whatever its parent may.
    match unsafe { fork() }? {
        ForkResult::Parent { child } => Ok(Some(child.as_raw().cast_unsigned())),
        ForkResult::Child => Ok(None),
    }
}

/// Ends a child of [`fork_alone`] that becomes nothing: what its parent has left to do at its end is not the child's.
pub fn leave(code: u8) -> ! {
    // SAFETY: _exit(2) takes any number and does not return; nothing of this process is used any more.
    unsafe { nix::libc::_exit(code.into()) }
}

/// The next program gets nothing but the standard streams: every other descriptor is closed on exec.
pub fn close_others_on_exec() -> io::Result<()> {
    let entries = std::fs::read_dir("/proc/self/fd")?;
    let numbers = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    // The directory is one of them, and gone when its number is asked for.
    let numbers: Vec<RawFd> = numbers.filter(|fd| *fd > 2).collect();
    for fd in numbers {
        // SAFETY: fcntl(2) takes any number; FD_CLOEXEC changes what exec does with a descriptor and nothing for its owner now.
        let result = unsafe { nix::libc::fcntl(fd, nix::libc::F_SETFD, nix::libc::FD_CLOEXEC) };
        let error = io::Error::last_os_error();
        if result < 0 && error.raw_os_error() != Some(nix::libc::EBADF) {
            return Err(error);
        }
    }
    Ok(())
}

/// What whoever started this process lets it ignore (nohup does that with SIGHUP) does again what it does by default: containers
/// would ignore it, too, for an exec hands that on, and nothing would be heard of it. SIGPIPE stays: a program in Rust ignores it for
/// itself only.
pub fn heed_signals() {
    for number in 1..=31 {
        let mut now = MaybeUninit::<nix::libc::sigaction>::uninit();
        // SAFETY: sigaction(2) takes any number, reads nothing, and fills the struct if it says so; no handler is installed.
        unsafe {
            if nix::libc::sigaction(number, std::ptr::null(), now.as_mut_ptr()) == 0
                && now.assume_init_ref().sa_sigaction == nix::libc::SIG_IGN
                && number != nix::libc::SIGPIPE
            {
                nix::libc::signal(number, nix::libc::SIG_DFL);
            }
        }
    }
}

/// No signal is blocked, and SIGPIPE, which programs in Rust ignore, does what it does by default. The others do: an exec leaves
/// only what is ignored.
pub fn reset_signals() -> io::Result<()> {
    // SAFETY: no handler is installed, so that nothing runs asynchronously.
    unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) }?;
    Ok(sigprocmask(
        SigmaskHow::SIG_SETMASK,
        Some(&SigSet::empty()),
        None,
    )?)
}

/// A session keyring of its own, so that keys of whoever started us are not found. A kernel without keys has none to be found.
pub fn join_session_keyring(name: &CStr) -> io::Result<()> {
    // SAFETY: `name` is a string that ends with NUL and outlives the call, which copies it.
    let result = unsafe {
        nix::libc::syscall(
            nix::libc::SYS_keyctl,
            JOIN_SESSION_KEYRING,
            name.as_ptr(),
            0,
            0,
            0,
        )
    };
    match io::Error::last_os_error() {
        error if result < 0 && error.raw_os_error() != Some(nix::libc::ENOSYS) => Err(error),
        _ => Ok(()),
    }
}

/// From now on this process makes only the system calls that the program lets through: `(code, jump if true, jump if false,
/// constant)` each. It must not be able to gain privileges any more.
pub fn filter_system_calls(program: &[(u16, u8, u8, u32)]) -> io::Result<()> {
    let mut filter: Vec<nix::libc::sock_filter> = program
        .iter()
        .map(|&(code, jt, jf, k)| nix::libc::sock_filter { code, jt, jf, k })
        .collect();
    let program = nix::libc::sock_fprog {
        len: u16::try_from(filter.len()).map_err(|_| io::ErrorKind::InvalidInput)?,
        filter: filter.as_mut_ptr(),
    };
    // SAFETY: `program` points to `len` instructions, which outlive the call; the kernel checks and copies them.
    let result = unsafe {
        nix::libc::prctl(
            nix::libc::PR_SET_SECCOMP,
            nix::libc::SECCOMP_MODE_FILTER,
            &raw const program,
        )
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_threads_is_not_split() {
        // Each test runs in a thread of its own.
        assert!(fork_alone().is_err());
    }
}
