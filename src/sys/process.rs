//! Processes: a pid is not an identity, so signals and waits go by pidfd; only the keeper reaps, and it reaps everything.

use crate::base::{Exit, Signal};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::{SigSet, SigmaskHow, sigprocmask};
use nix::sys::signalfd::{SfdFlags, SignalFd as NixSignalFd};
use rustix::process::{Pid, PidfdFlags, WaitOptions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

/// A child that has ended and been reaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Child {
    /// Its process id, free from now on.
    pub pid: u32,
    /// Its status as `waitpid` gives it.
    pub status: i32,
}

/// Everybody else comes first from now on.
pub fn lower_priority() -> io::Result<()> {
    const LOWEST: i32 = 19;
    rustix::process::nice(LOWEST)?;
    Ok(())
}

/// From now on orphans below this process become its children.
pub fn become_subreaper() -> io::Result<()> {
    Ok(rustix::process::set_child_subreaper(Some(
        rustix::process::getpid(),
    ))?)
}

/// This process gets `signal` when its parent ends.
pub fn die_with_parent(signal: Signal) -> io::Result<()> {
    let signal = rustix::process::Signal::from_named_raw(signal.number())
        .ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::set_parent_process_death_signal(Some(
        signal,
    ))?)
}

/// Reaps one child that has ended, whichever it is; `None` when none has.
pub fn reap_any() -> Option<Child> {
    let (pid, status) = rustix::process::wait(WaitOptions::NOHANG).ok()??;
    Some(Child {
        pid: pid.as_raw_nonzero().get().cast_unsigned(),
        status: status.as_raw(),
    })
}

/// Reaps this child if it has ended; its status as `waitpid` gives it. `ECHILD` when it is not, or no longer, ours.
pub fn reap(pid: u32) -> io::Result<Option<i32>> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidInput)?;
    let ended = rustix::process::waitpid(Some(pid), WaitOptions::NOHANG)?;
    Ok(ended.map(|(_, status)| status.as_raw()))
}

/// A child that has ended and is not reaped yet, left as it is; `None` when there is none.
pub fn ended_child() -> Option<u32> {
    // SAFETY: an all-zero `siginfo_t` is valid, and waitid(2) writes no more than one; nothing is kept.
    let (result, pid) = unsafe {
        let mut info: nix::libc::siginfo_t = std::mem::zeroed();
        let flags = nix::libc::WEXITED | nix::libc::WNOHANG | nix::libc::WNOWAIT;
        let result = nix::libc::waitid(nix::libc::P_ALL, 0, &raw mut info, flags);
        (result, info.si_pid())
    };
    u32::try_from(pid)
        .ok()
        .filter(|pid| result == 0 && *pid != 0)
}

/// A descriptor for a process, which stays that process whatever becomes of its number. Non-blocking and closed on exec.
/// `ESRCH` when there is no such process.
pub fn pidfd(pid: u32) -> io::Result<OwnedFd> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidInput)?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?)
}

/// Sends a signal. `ESRCH` when the process has ended and been reaped.
pub fn signal_pidfd(pidfd: BorrowedFd<'_>, signal: Signal) -> io::Result<()> {
    // SAFETY: pidfd_send_signal takes any descriptor and number and answers with an error for wrong ones; no pointer is passed.
    let result = unsafe {
        nix::libc::syscall(
            nix::libc::SYS_pidfd_send_signal,
            pidfd.as_raw_fd(),
            signal.number(),
            std::ptr::null::<u8>(),
            0,
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(io::Error::last_os_error())
    }
}

/// Whether the process has not ended. A zombie has ended.
pub fn pidfd_is_alive(pidfd: BorrowedFd<'_>) -> bool {
    pidfd_outlives(pidfd, Duration::ZERO)
}

/// Waits for the end of a process; whether it has not ended by then.
pub fn pidfd_outlives(pidfd: BorrowedFd<'_>, patience: Duration) -> bool {
    let patience = PollTimeout::try_from(patience).unwrap_or(PollTimeout::MAX);
    let mut fds = [PollFd::new(pidfd, PollFlags::POLLIN)];
    matches!(poll(&mut fds, patience), Ok(0))
}

/// When a process started, in clock ticks since boot: with the pid, an identity. `None` when it is gone.
/// Source: proc_pid_stat(5), field 22.
pub fn start_time(pid: u32) -> Option<u64> {
    stat_field(pid, 22)
}

/// The parent of a process; `None` when it is gone. Source: proc_pid_stat(5), field 4.
pub fn parent(pid: u32) -> Option<u32> {
    stat_field(pid, 4)?.try_into().ok()
}

/// The session of a process; `None` when it is gone. Source: proc_pid_stat(5), field 6.
pub fn session(pid: u32) -> Option<u32> {
    stat_field(pid, 6)?.try_into().ok()
}

/// Whether a process is on its way out and not there yet: the first of a PID namespace waits for all others in it to be reaped.
/// Source: proc_pid_stat(5), field 9, `PF_EXITING` of `linux/sched.h`.
pub fn is_ending(pid: u32) -> bool {
    const EXITING: u64 = 4;
    let is_zombie = stat_text(pid, 3).is_none_or(|state| state == "Z" || state == "X");
    !is_zombie && stat_field(pid, 9).is_some_and(|flags| flags & EXITING != 0)
}

/// A number after the name of the program; fields count from 1.
fn stat_field(pid: u32, field: usize) -> Option<u64> {
    stat_text(pid, field)?.parse().ok()
}

fn stat_text(pid: u32, field: usize) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, from_third) = stat.rsplit_once(") ")?;
    from_third.split(' ').nth(field - 3).map(str::to_owned)
}

/// The children of a process with one thread; none, where the kernel does not say. Source: proc_pid_children(5).
pub fn children(pid: u32) -> Vec<u32> {
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children"));
    let list = list.unwrap_or_default();
    list.split_whitespace()
        .filter_map(|child| child.parse().ok())
        .collect()
}

/// All processes that this process can see.
pub fn processes() -> impl Iterator<Item = u32> {
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

/// The first version of the kernel's `struct pidfd_info`, which has all we ask for.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    mask: u64,
    cgroup_id: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_INFO_EXIT`.
const PIDFD_INFO_EXIT: u64 = 1 << 3;
nix::ioctl_readwrite!(pidfd_get_info, 0xff, 11, PidfdInfo);

/// How a process ended that was not our child and has been reaped by another. `None` before it is reaped, and where the kernel
/// does not say (before 6.15). Source: `linux/pidfd.h`.
pub fn pidfd_exit(pidfd: BorrowedFd<'_>) -> Option<Exit> {
    let mut info = PidfdInfo {
        mask: PIDFD_INFO_EXIT,
        ..PidfdInfo::default()
    };
    // SAFETY: `info` is the struct that this request reads and writes, of the size that is part of its number.
    unsafe { pidfd_get_info(pidfd.as_raw_fd(), &raw mut info) }.ok()?;
    (info.mask & PIDFD_INFO_EXIT != 0).then(|| Exit::from_wait_status(info.exit_code))
}

/// Signals of this process, taken one by one from a descriptor.
#[derive(Debug)]
pub struct SignalFd(NixSignalFd);

/// Blocks these signals for this process and gives a descriptor that is readable when one has come.
pub fn block_signals(signals: &[nix::sys::signal::Signal]) -> nix::Result<SignalFd> {
    let set: SigSet = signals.iter().copied().collect();
    sigprocmask(SigmaskHow::SIG_BLOCK, Some(&set), None)?;
    Ok(SignalFd(NixSignalFd::with_flags(
        &set,
        SfdFlags::SFD_CLOEXEC | SfdFlags::SFD_NONBLOCK,
    )?))
}

/// Makes a child start with no signal blocked: it would inherit what this process blocks, and hand it on to containers.
pub fn with_no_signal_blocked(command: &mut Command) -> &mut Command {
    with_blocked(command, SigSet::empty())
}

/// Makes a child start with these signals blocked: one that comes before it can take it is not its end, but waits.
pub fn with_signals_blocked<'a>(
    command: &'a mut Command,
    signals: &[nix::sys::signal::Signal],
) -> &'a mut Command {
    with_blocked(command, signals.iter().copied().collect())
}

fn with_blocked(command: &mut Command, set: SigSet) -> &mut Command {
    // SAFETY: between fork and exec only pthread_sigmask(3) is called, which is async-signal-safe; nothing allocates or takes a
    // lock.
    unsafe { command.pre_exec(move || Ok(sigprocmask(SigmaskHow::SIG_SETMASK, Some(&set), None)?)) }
}

/// Makes a child that is killed when the thread that starts it ends, so that nothing goes on after its caller was killed.
pub fn with_death_of_parent(command: &mut Command) -> &mut Command {
    // SAFETY: between fork and exec only prctl(2), which is async-signal-safe; nothing allocates or takes a lock.
    unsafe { command.pre_exec(|| die_with_parent(Signal::KILL)) }
}

/// Makes a child start with these descriptors open, each under its number. Numbers must be at least 3 and below 16.
pub fn with_descriptors(command: &mut Command, mut fds: Vec<(OwnedFd, i32)>) -> &mut Command {
    /// Above every number that is asked for, so that no copy lands on one that is still to be copied.
    const ABOVE: i32 = 16;
    // SAFETY: between fork and exec only fcntl(2), dup2(2) and an error from errno, all async-signal-safe; `fds` was made before
    // the fork, is owned by the closure, and nothing of it is allocated, freed or locked here.
    unsafe {
        command.pre_exec(move || {
            for (fd, _) in &mut fds {
                let high = nix::libc::fcntl(fd.as_raw_fd(), nix::libc::F_DUPFD_CLOEXEC, ABOVE);
                if high < 0 {
                    return Err(io::Error::last_os_error());
                }
                // The child's copy of the old one stays open until exec, which closes it.
                std::mem::forget(std::mem::replace(fd, OwnedFd::from_raw_fd(high)));
            }
            for (fd, number) in &fds {
                if nix::libc::dup2(fd.as_raw_fd(), *number) < 0 {
                    return Err(io::Error::last_os_error());
                }
            }
            Ok(())
        })
    }
}

impl SignalFd {
    /// The next signal, if one has come.
    pub fn take(&mut self) -> Option<i32> {
        let info = self.0.read_signal().ok()??;
        i32::try_from(info.ssi_signo).ok()
    }
}

impl SignalFd {
    /// Waits for the next signal, at most this long; `None` when time is up.
    pub fn wait(&mut self, limit: Option<Duration>) -> Option<i32> {
        let time = limit.map_or(PollTimeout::NONE, |limit| {
            // Rounded up, lest the last millisecond spins.
            PollTimeout::try_from(limit + Duration::from_millis(1)).unwrap_or(PollTimeout::MAX)
        });
        let mut fds = [PollFd::new(self.0.as_fd(), PollFlags::POLLIN)];
        // Interrupted counts as nothing: the caller looks again.
        let _ = poll(&mut fds, time);
        self.take()
    }

    /// Waits for a signal or for something to read elsewhere, or its end; whether it is there.
    pub fn wait_or(&self, other: impl AsFd) -> bool {
        let mut fds = [self.0.as_fd(), other.as_fd()].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let ready = poll(&mut fds, PollTimeout::NONE);
        ready.is_ok() && fds[1].any().unwrap_or(false)
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pidfd_tells_when_its_process_has_ended_and_takes_any_signal() {
        let mut child = std::process::Command::new("sleep")
            .arg("1000")
            .spawn()
            .expect("sleep");
        let fd = pidfd(child.id()).expect("pidfd");
        assert!(pidfd_is_alive(fd.as_fd()));
        assert!(start_time(child.id()).is_some());
        signal_pidfd(
            fd.as_fd(),
            Signal::from_number(37).expect("a real-time signal"),
        )
        .expect("signal");
        assert_eq!(
            std::os::unix::process::ExitStatusExt::signal(&child.wait().expect("wait")),
            Some(37)
        );
        assert!(!pidfd_is_alive(fd.as_fd()));
        assert!(signal_pidfd(fd.as_fd(), Signal::TERM).is_err());
    }

    #[test]
    fn a_child_that_ended_is_seen_before_it_is_reaped() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "exit 9"])
            .spawn()
            .expect("sh");
        let fd = pidfd(child.id()).expect("pidfd");
        assert!(!pidfd_outlives(fd.as_fd(), Duration::from_secs(60)));
        // Other tests of this program have children, too.
        assert!(ended_child().is_some());
        assert_eq!(reap(child.id()).ok(), Some(Some(9 << 8)));
        assert!(reap(child.id()).is_err(), "once");
        assert!(child.wait().is_err(), "nothing is left to wait for");
    }

    #[test]
    fn the_exit_of_another_s_child_is_read_or_unknown_but_never_made_up() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "exit 7"])
            .spawn()
            .expect("sh");
        let fd = pidfd(child.id()).expect("pidfd");
        assert_eq!(parent(child.id()), Some(std::process::id()));
        child.wait().expect("reaped");
        assert!(matches!(pidfd_exit(fd.as_fd()), None | Some(Exit::Code(7))));
    }
}
