//! A new supervisor looks at the world. Nothing is assumed: what a predecessor knew is compared with what is there.

use crate::base::{Exit, InstanceId};
use crate::pod::{Input, Machine, Observed};
use crate::store::{ExitRecord, read_exits};
use crate::supervisor::context::input_of;
use crate::supervisor::instance::Output;
use crate::supervisor::world::{Completion, Live, World, start_pump};
use crate::supervisor::{Process, mounts, pipes, sandbox};
use crate::sys;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// How long the exit of a process that has ended may take to be known: until its parent, whoever that is, has reaped it.
const REAP_DEADLINE: Duration = Duration::from_secs(1);

/// What is said when a keeper was found dead.
const TAKEN_OVER: &str = "Keeper and supervisor had died; new ones go on with what they found";
/// What is said of a container whose output nobody can read any more, like a terminal whose other side is gone.
const OUTPUT_LOST: &str =
    "What the container writes from now on is lost: its output died with the pod's keeper";

fn note(container: Option<String>, message: String) -> Input {
    Input::Noted {
        reason: "Recovered".into(),
        container,
        message,
    }
}

/// What a new supervisor sees.
pub(super) struct Sight {
    /// What became of every instance that the machine believes to exist.
    pub seen: Vec<(InstanceId, Observed)>,
    /// Those that ended while nobody looked. They are seen as running, so that their ends are told like any other: with the rest of
    /// their output and their last words.
    pub ended: Vec<(InstanceId, Exit)>,
    /// What the machine is to hear besides.
    pub notes: Vec<Input>,
}

/// How the process of an instance is found.
enum Found {
    /// It waits for its start or runs.
    Alive(Observed),
    /// It ended, and may have said something.
    Ended(Exit),
    /// It ended without having run.
    Gone(Observed),
}

impl World {
    /// Looks for every instance that the machine believes to exist. `held` is what the keeper kept open; `session` is that of the
    /// supervisor before: in another one its keeper has died, too, and with it what it kept.
    pub fn look(
        &mut self,
        machine: &Machine,
        mut held: HashMap<InstanceId, Vec<OwnedFd>>,
        session: u32,
    ) -> Sight {
        let mut notes = Vec::new();
        if session != self.session {
            notes.push(note(None, TAKEN_OVER.to_owned()));
            if let Err(error) = mounts::fetch(&self.context, &self.hands) {
                notes.push(note(None, error));
            }
            if !self.hands.volumes.is_empty() && !self.hands.processes.is_empty() {
                // What no container has any more is made anew, so that nothing is written where no volume is.
                match sandbox::prepare_volumes(&self.context) {
                    Ok(volumes) => self.hands.volumes = volumes,
                    Err(failure) => notes.push(note(None, failure.message)),
                }
            }
        }
        let records = read_exits(&self.context.dir.file("exits")).unwrap_or_default();
        self.exits_read = records.len();
        let (mut seen, mut ended) = (Vec::new(), Vec::new());
        for instance in machine.instances() {
            let Some(process) = self.hands.processes.get(&instance).copied() else {
                seen.push((instance.clone(), self.trace_of(&instance)));
                continue;
            };
            let (observed, pidfd) = match self.find(&instance, process, &records) {
                Found::Alive(observed) => (observed, sys::pidfd(process.pid).ok()),
                Found::Ended(exit) => {
                    ended.push((instance.clone(), exit));
                    (Observed::Running { pid: process.pid }, None)
                }
                Found::Gone(observed) => {
                    seen.push((instance, observed));
                    continue;
                }
            };
            let fds = match held.remove(&instance) {
                Some(fds) => Some(fds),
                None if pidfd.is_some() => self.find_output(&instance, process),
                None => None,
            };
            let input = held
                .remove(&input_of(&instance))
                .and_then(|mut fds| fds.pop());
            let output = fds.and_then(|fds| self.reopen(&instance, process.attempt, fds, input));
            if output.is_none()
                && let Some(container) = self.context.container_of(&instance)
            {
                notes.push(note(Some(container.name.clone()), OUTPUT_LOST.to_owned()));
            }
            let pump = output.map(start_pump);
            self.live.insert(instance.clone(), Live::new(pidfd, pump));
            if sys::parent(process.pid) != self.keeper {
                self.watch_orphan(&instance);
            }
            seen.push((instance, observed));
        }
        Sight { seen, ended, notes }
    }

    /// The output of a running container that nobody kept open: its pipes are still in its own hands. From now on the keeper
    /// keeps them, too.
    fn find_output(&self, instance: &InstanceId, process: Process) -> Option<Vec<OwnedFd>> {
        let mut pids = vec![process.pid];
        pids.extend(self.context.cgroup.pids(instance).unwrap_or_default());
        let fds = pipes::find(&pids, process.pipes?)?;
        let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
        self.context.hold(instance, &borrowed);
        Some(fds)
    }

    /// An instance whose create was not heard of to the end.
    fn trace_of(&self, instance: &InstanceId) -> Observed {
        let context = &self.context;
        let has_processes = context
            .cgroup
            .pids(instance)
            .is_ok_and(|pids| !pids.is_empty());
        let exists = has_processes
            || context.driver.knows(instance)
            || context.dir.bundle(instance).exists();
        if exists {
            Observed::Unknown
        } else {
            Observed::Absent
        }
    }

    fn find(&self, instance: &InstanceId, process: Process, records: &[ExitRecord]) -> Found {
        let context = &self.context;
        let pid = process.pid;
        let recorded = records
            .iter()
            .skip(process.exits_before)
            .find(|record| record.pid == pid)
            .map(|record| record.exit());
        let has_run = process.started || !context.driver.is_waiting_for_start(instance);
        let lives = recorded.is_none() && sys::start_time(pid) == Some(process.start_time);
        // A pause may be known before it is made, and who made it has come to no end.
        let is_whole = process.started || context.pid_file(instance).exists();
        match (lives, has_run) {
            _ if !is_whole => Found::Gone(Observed::Unknown),
            (true, true) => Found::Alive(Observed::Running { pid }),
            (true, false) => Found::Alive(Observed::Created { pid }),
            (false, true) if context.container_of(instance).is_some() => {
                Found::Ended(recorded.unwrap_or(Exit::Unknown))
            }
            // Pause says nothing, and nothing may be created in what it leaves.
            (false, _) => Found::Gone(Observed::Gone {
                exit: recorded.unwrap_or(Exit::Unknown),
                oom_killed: context.cgroup.oom_kills(instance).is_ok_and(|n| n > 0),
            }),
        }
    }

    /// The output of an instance that a predecessor read.
    fn reopen(
        &self,
        instance: &InstanceId,
        attempt: u32,
        fds: Vec<OwnedFd>,
        input: Option<OwnedFd>,
    ) -> Option<Output> {
        let container = self.context.container_of(instance)?;
        let log = self.context.open_log(&container.name, attempt).ok()?;
        let mut fds = fds.into_iter();
        let stdout = fds.next()?;
        let terminal = container.tty.then(|| stdout.try_clone().ok()).flatten();
        Some(Output {
            input: terminal.or(input),
            stdout,
            stderr: fds.next().filter(|_| !container.tty),
            log,
        })
    }

    /// Nobody reaps for us any more. What the keeper has written is read first: it knew exits that the kernel does not tell.
    pub fn lose_keeper(&mut self) {
        self.read_new_exits();
        self.keeper = None;
        let orphans: Vec<_> = self.live.keys().cloned().collect();
        for instance in orphans {
            self.watch_orphan(&instance);
        }
    }

    /// A process that is not our keeper's child: its pidfd tells that it ended, and a new kernel also how.
    pub fn watch_orphan(&mut self, instance: &InstanceId) {
        let pidfd = self.live.get(instance).and_then(|live| live.pidfd.as_ref());
        let Some(Ok(fd)) = pidfd.map(OwnedFd::try_clone) else {
            return;
        };
        let instance = instance.clone();
        self.tasks.spawn(async move {
            let exit = match sys::watch(fd) {
                Ok(fd) => exit_of_orphan(&fd).await,
                Err(_) => Exit::Unknown,
            };
            Completion::Vanished { instance, exit }
        });
    }
}

/// Waits for the end of a process that another reaps; never guesses how it ended.
async fn exit_of_orphan(fd: &AsyncFd<OwnedFd>) -> Exit {
    let _ = fd.readable().await;
    let told = tokio::time::timeout(REAP_DEADLINE, async {
        loop {
            if let Some(exit) = sys::pidfd_exit(fd.get_ref().as_fd()) {
                return exit;
            }
            match fd.readable().await {
                // It hangs up once more when it is reaped.
                Ok(mut ready) => ready.clear_ready(),
                Err(_) => return Exit::Unknown,
            }
        }
    });
    told.await.unwrap_or(Exit::Unknown)
}
