//! The keeper: parent of every container of one pod, so that no exit code is lost when the supervisor dies.
//!
//! It reaps whatever ends below it, writes that down before anyone hears of it, keeps open what a new supervisor must find
//! again, and starts the supervisor anew when it died. It parses nothing and its loop makes nothing that grows: the table of held
//! descriptors has a fixed capacity. It ends when the supervisor ends with success: then the pod is settled; or when the first
//! one fails before it has written a snapshot: then nothing of the pod exists. After one that says that no other could do better
//! it waits to be asked (SIGHUP): the containers run on, what they write waits in their pipes.

use crate::base::{Exit, InstanceId};
use crate::store::{ExitRecord, PodDir, append_exit, open_exits};
use crate::supervisor::link::{self, HOST_MOUNTS, LINK, Message};
use crate::supervisor::quiet::QUIET;
use crate::supervisor::{KeeperError, SNAPSHOT};
use crate::sys::{self, SignalFd};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::Signal;
use std::fs::File;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Instances whose descriptors are held at a time. A pod has a few dozen containers at most; each has one live instance.
const MAX_HELD: usize = 512;
/// Wait before a supervisor that died is started again: none at first, then doubling from 100 ms to 5 s, so that one that cannot
/// live costs nothing; one that lived for 10 s starts this over.
const RESTART: (Duration, Duration, Duration) = (
    Duration::from_millis(100),
    Duration::from_secs(5),
    Duration::from_secs(10),
);

struct Keeper {
    dir: PodDir,
    listener: OwnedFd,
    exits: File,
    signals: SignalFd,
    held: Vec<(InstanceId, Vec<OwnedFd>)>,
    supervisor: Option<Supervisor>,
    /// The program of supervisors to come, if it is to be another than this one.
    program: Option<OwnedFd>,
    restart_wait: Duration,
    restart_at: Option<crate::base::Mono>,
}

struct Supervisor {
    pid: u32,
    socket: OwnedFd,
    since: crate::base::Mono,
    /// It has closed its side: nothing more will be heard but its end.
    is_silent: bool,
}

/// Runs the keeper of one pod until the pod is settled. `listener` is its listening control socket. Standard output is the pod's
/// lock, taken: the supervisor inherits it, so that the pod is nobody else's while either lives.
pub fn keep(dir: PodDir, listener: OwnedFd) -> Result<(), KeeperError> {
    let call = |what| move |e: nix::Error| KeeperError::Call(what, e.into());
    sys::heed_signals();
    // A session of its own: a signal to the terminal's process group is not for the pod.
    let _ = nix::unistd::setsid();
    // What containers read, like their resolv.conf, must not depend on who ran us. Secrets say their mode, in directories of 0700.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    sys::become_subreaper().map_err(|e| KeeperError::Call("become a subreaper", e))?;
    let mut held = Vec::with_capacity(MAX_HELD);
    held.extend(host_mounts(&dir)?);
    sys::enter_private_mounts().map_err(call("enter a private mount namespace"))?;
    let path = dir.file("exits");
    let exits = open_exits(&path).map_err(|source| KeeperError::Open { path, source })?;
    let signals = sys::block_signals(&KEEPER_SIGNALS).map_err(call("block signals"))?;
    let mut keeper = Keeper {
        dir,
        listener,
        exits,
        signals,
        held,
        supervisor: None,
        program: None,
        restart_wait: Duration::ZERO,
        restart_at: Some(sys::now().mono),
    };
    while keeper.turn()? {}
    Ok(())
}

/// The mount namespace we leave, if the pod shares mounts with it.
fn host_mounts(dir: &PodDir) -> Result<Option<(InstanceId, Vec<OwnedFd>)>, KeeperError> {
    if !dir.file(HOST_MOUNTS).exists() {
        return Ok(None);
    }
    let path = PathBuf::from("/proc/self/ns/mnt");
    match File::open(&path) {
        Ok(file) => Ok(Some((
            InstanceId(HOST_MOUNTS.to_owned()),
            vec![file.into()],
        ))),
        Err(source) => Err(KeeperError::Open { path, source }),
    }
}

impl Keeper {
    /// One turn of the loop; false when the pod is settled.
    fn turn(&mut self) -> Result<bool, KeeperError> {
        let now = sys::now().mono;
        if self.restart_at.is_some_and(|at| at <= now) {
            self.restart_at = None;
            if let Err(error) = self.start_supervisor() {
                // The machine may be out of memory or processes; the containers still need their keeper.
                eprintln!("cannot start the supervisor: {error}");
                self.program = None;
                self.restart_later();
            }
        }
        let (signalled, spoken_to) = self.wait(self.restart_at.map(|at| at.since(now)))?;
        if spoken_to {
            self.listen_to_supervisor();
        }
        if signalled {
            while let Some(signal) = self.signals.take() {
                if signal == Signal::SIGCHLD as i32 {
                    continue;
                }
                if self.supervisor.is_none() {
                    self.restart_at = Some(now);
                }
                if signal != Signal::SIGHUP as i32 {
                    self.tell(|socket| link::send(socket, b'T', "", &[]));
                }
            }
        }
        self.reap()
    }

    /// Waits for a signal and for words of the supervisor: which of the two came. If neither does for a while, memory is given back.
    fn wait(&self, limit: Option<Duration>) -> Result<(bool, bool), KeeperError> {
        let socket = self
            .supervisor
            .as_ref()
            .filter(|supervisor| !supervisor.is_silent)
            .map_or(self.signals.as_fd(), |s| s.socket.as_fd());
        let mut fds = [self.signals.as_fd(), socket].map(|fd| PollFd::new(fd, PollFlags::POLLIN));
        let soon = limit.map_or(QUIET, |limit| limit.min(QUIET));
        for is_quiet in [false, true] {
            let time = match is_quiet {
                false => Some(soon),
                true => limit.map(|limit| limit - soon),
            };
            if is_quiet {
                // The last thing before the wait: what runs in between is mapped again.
                sys::release_idle();
            }
            let time = time.map_or(PollTimeout::NONE, |time| {
                PollTimeout::try_from(time).unwrap_or(PollTimeout::MAX)
            });
            match poll(&mut fds, time) {
                Ok(0) | Err(nix::Error::EINTR) => {}
                Ok(_) => break,
                Err(e) => return Err(KeeperError::Call("wait", e.into())),
            }
        }
        let [signalled, spoken_to] = fds.map(|fd| fd.any().unwrap_or(false));
        Ok((signalled, spoken_to))
    }

    /// Reaps everything that has ended. What a supervisor misses, it reads from the file.
    fn reap(&mut self) -> Result<bool, KeeperError> {
        while let Some(child) = sys::reap_any() {
            if self.supervisor.as_ref().is_some_and(|s| s.pid == child.pid) {
                if child.status == 0 {
                    return Ok(false);
                }
                self.supervisor_died(child.status)?;
                continue;
            }
            let record = ExitRecord {
                pid: child.pid,
                status: child.status,
                at: sys::now(),
            };
            // A full disk must not stop the pod: a living supervisor still hears of it.
            let written = append_exit(&self.exits, record).is_ok();
            self.tell(|socket| link::send_exit(socket, record, written));
        }
        Ok(true)
    }

    fn tell(&self, message: impl Fn(std::os::fd::BorrowedFd<'_>) -> nix::Result<()>) {
        if let Some(supervisor) = &self.supervisor {
            let _ = message(supervisor.socket.as_fd());
        }
    }

    fn supervisor_died(&mut self, status: i32) -> Result<(), KeeperError> {
        // What it said last is still to be heard.
        self.listen_to_supervisor();
        if !self.dir.file(SNAPSHOT).exists() {
            return Err(KeeperError::Unbegun(self.dir.state.clone()));
        }
        let (_, _, lived) = RESTART;
        let supervisor = self.supervisor.take();
        let exit = Exit::from_wait_status(status);
        if exit == Exit::Code(REPLACED)
            || supervisor.is_some_and(|s| sys::now().mono.since(s.since) >= lived)
        {
            self.restart_wait = Duration::ZERO;
        } else if exit != Exit::Signal(crate::base::Signal::KILL) && self.program.take().is_some() {
            // The new program cannot live here: back to the one that could.
            self.restart_wait = Duration::ZERO;
        } else if exit == Exit::Code(HOPELESS) {
            self.restart_wait = Duration::ZERO;
            return Ok(());
        }
        self.restart_later();
        Ok(())
    }

    fn restart_later(&mut self) {
        let (first, longest, _) = RESTART;
        self.restart_at = Some(sys::now().mono + self.restart_wait);
        self.restart_wait = (self.restart_wait * 2).clamp(first, longest);
    }

    /// Starts a supervisor and gives it all it must know: the control socket and what is held.
    fn start_supervisor(&mut self) -> std::io::Result<()> {
        let (ours, theirs) = sys::connected_pair()?;
        // `/proc/self/exe` stays this very program when the file is replaced.
        let mut command = match &self.program {
            Some(program) => Command::new(format!("/proc/self/fd/{}", program.as_raw_fd())),
            None => Command::new("/proc/self/exe"),
        };
        sys::with_no_signal_blocked(&mut command);
        let child = command
            .args([
                SUPERVISOR_VERB.as_ref(),
                self.dir.state.as_os_str(),
                self.dir.data.as_os_str(),
                LINK.as_ref(),
            ])
            .stdin(Stdio::from(theirs))
            .spawn()?;
        self.supervisor = Some(Supervisor {
            pid: child.id(),
            socket: ours,
            since: sys::now().mono,
            is_silent: false,
        });
        self.tell(|socket| link::send(socket, b'L', "", &[self.listener.as_fd()]));
        for (key, fds) in &self.held {
            let fds: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            self.tell(|socket| link::send(socket, b'H', &key.0, &fds));
        }
        self.tell(|socket| link::send(socket, b'G', "", &[]));
        Ok(())
    }

    fn listen_to_supervisor(&mut self) {
        let Some(supervisor) = &mut self.supervisor else {
            return;
        };
        loop {
            let message = match link::receive(supervisor.socket.as_fd(), true) {
                Ok(Some(message)) => message,
                Ok(None) => {
                    supervisor.is_silent = true;
                    return;
                }
                Err(_) => return,
            };
            match message {
                Message::Hold(key, fds) => {
                    self.held.retain(|(held, _)| *held != key);
                    if self.held.len() < MAX_HELD {
                        self.held.push((key, fds));
                    }
                }
                Message::Drop(key) => self.held.retain(|(held, _)| *held != key),
                Message::Program(program) => self.program = Some(program),
                Message::Listener(_)
                | Message::Go
                | Message::Exits
                | Message::Unwritten(_)
                | Message::Terminate => {}
            }
        }
    }
}

/// Exit code of a supervisor that cannot go on from what there is, as any other could not.
pub const HOPELESS: u8 = 3;
/// Exit code of a supervisor that another program is to follow at once.
pub const REPLACED: u8 = 4;
/// What a keeper is told by signals. Whoever starts one has them blocked in it from its first instant: it may be asked to hurry
/// before it listens.
pub const KEEPER_SIGNALS: [Signal; 4] = [
    Signal::SIGCHLD,
    Signal::SIGTERM,
    Signal::SIGINT,
    Signal::SIGHUP,
];
/// First argument of the program that makes it a keeper.
pub const KEEPER_VERB: &str = "__keeper";
/// First argument of the program that makes it a supervisor.
pub const SUPERVISOR_VERB: &str = "__supervisor";
