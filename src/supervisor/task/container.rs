//! One container as the loop knows it. No effects: what may be done in which state, and who waits for what.

use crate::base::{Exit, Signal};
use crate::supervisor::task::handle::{Reply, Result, Target};
use crate::supervisor::task::place::Place;
use crate::supervisor::task::streams::Streams;
use crate::supervisor::task::types::{
    CreateTask, Ended, Status, TaskError, TaskProcess, TaskState, TaskStdio,
};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::AbortHandle;

/// A container: its init and the processes that were added.
#[derive(Debug)]
pub(super) struct Container {
    pub bundle: PathBuf,
    /// Absent while it is being made.
    pub place: Option<Arc<Place>>,
    pub init: Process,
    pub execs: BTreeMap<String, Exec>,
    /// The init has ended; it is told when all others have.
    pub ending: Option<Ended>,
    /// Being removed; who waits for that.
    pub deleting: Option<Vec<Reply<(u32, Ended)>>>,
    /// It is being written to files.
    pub checkpoint: Option<Checkpointing>,
    /// One call that changes the container at a time.
    pub gate: Arc<Semaphore>,
    /// Who waits for OOM kills. The kernel may say that the cgroup goes before it is gone, or not at all: it ends with the container.
    pub oom: Option<AbortHandle>,
}

/// A checkpoint that is being made.
#[derive(Debug)]
pub(super) struct Checkpointing {
    /// Tells the job how long it may still take; taken when it was told.
    pub give_up: Option<oneshot::Sender<Duration>>,
}

/// A process that was added.
#[derive(Debug)]
pub(super) struct Exec {
    pub process: Process,
    /// An OCI `process` object.
    pub spec: Vec<u8>,
}

/// A process.
#[derive(Debug)]
pub(super) struct Process {
    pub pid: u32,
    pub pidfd: Option<OwnedFd>,
    pub status: Status,
    pub stdio: TaskStdio,
    pub ended: Option<Ended>,
    /// The runtime was asked to start it and has not answered.
    pub starting: bool,
    /// Tells the job that starts it that it has ended meanwhile.
    pub start_is_vain: Option<oneshot::Sender<()>>,
    /// It ended while it was being started: told after the start.
    pub parked: Option<Ended>,
    pub streams: Option<Streams>,
    waiting: Vec<Reply<Ended>>,
}

impl Process {
    pub fn new(stdio: TaskStdio) -> Process {
        Process {
            pid: 0,
            pidfd: None,
            status: Status::Created,
            stdio,
            ended: None,
            starting: false,
            start_is_vain: None,
            parked: None,
            streams: None,
            waiting: Vec::new(),
        }
    }

    /// Answers at once if it has ended, else when it does.
    pub fn wait(&mut self, reply: Reply<Ended>) {
        match self.ended {
            Some(ended) => drop(reply.send(Ok(ended))),
            None => {
                self.waiting.retain(|waiting| !waiting.is_closed());
                self.waiting.push(reply);
            }
        }
    }

    /// It has ended: everybody hears of it.
    pub fn end(&mut self, ended: Ended) {
        self.ended = Some(ended);
        self.status = Status::Stopped;
        self.pidfd = None;
        for waiting in self.waiting.drain(..) {
            // Who no longer waits need not know.
            let _ = waiting.send(Ok(ended));
        }
    }

    /// Whether the runtime may be asked to start it.
    pub fn may_start(&self) -> Result<()> {
        match self.status {
            Status::Created if !self.starting => Ok(()),
            Status::Created => Err(TaskError::precondition("cannot start: it is being started")),
            Status::Stopped => Err(TaskError::precondition("cannot start: it has ended")),
            _ => Err(TaskError::precondition("cannot start: it runs already")),
        }
    }

    /// Whether it is the init of a container that is to be made of a checkpoint.
    pub fn is_unmade(&self) -> bool {
        self.pid == 0 && self.status == Status::Created
    }

    fn is_live(&self) -> bool {
        self.starting || (self.pid != 0 && self.ended.is_none())
    }
}

impl Container {
    /// A container that is about to be made.
    pub fn new(task: &CreateTask) -> Container {
        Container {
            bundle: task.bundle.clone(),
            place: None,
            init: Process::new(task.stdio.clone()),
            execs: BTreeMap::new(),
            ending: None,
            deleting: None,
            checkpoint: None,
            gate: Arc::new(Semaphore::new(1)),
            oom: None,
        }
    }

    /// Somebody cannot wait for the end of a checkpoint, or for no longer than this. Whether one is being made.
    pub fn hurry_checkpoint(&mut self, patience: Duration) -> bool {
        let Some(checkpoint) = &mut self.checkpoint else {
            return false;
        };
        if let Some(give_up) = checkpoint.give_up.take() {
            // The job may be done by now.
            let _ = give_up.send(patience);
        }
        true
    }

    /// It is being made of a checkpoint and shall not live: its end is told when that is over.
    pub fn kill_unmade(&mut self) {
        self.init.parked = Some(Ended {
            exit: Exit::Signal(Signal::KILL),
            at: crate::sys::now().wall,
        });
        let vain = self.init.start_is_vain.take();
        // The job may have its answer by now.
        vain.map(|vain| vain.send(()));
    }

    /// Whether it may be written to files.
    pub fn may_checkpoint(&self) -> Result<()> {
        let why = match (self.init.status, self.ending) {
            (_, Some(_)) | (Status::Stopped, _) => "has ended",
            (Status::Created, _) => "is not started",
            (Status::Pausing, _) => "is being paused",
            _ if self.checkpoint.is_some() => "is being checkpointed",
            _ => return Ok(()),
        };
        Err(TaskError::precondition(format!(
            "cannot checkpoint: the container {why}"
        )))
    }

    /// Whether an added process runs or is being started.
    pub fn has_live_execs(&self) -> bool {
        self.execs.values().any(|exec| exec.process.is_live())
    }

    /// Whether a process may be added or started in it.
    pub fn takes_processes(&self) -> Result<()> {
        let why = match (self.init.status, self.ending) {
            (_, Some(_)) | (Status::Stopped, _) => "has ended",
            (Status::Paused | Status::Pausing, _) => "is paused",
            _ if self.deleting.is_some() => "is being deleted",
            _ if self.init.is_unmade() => "is not started",
            _ => return Ok(()),
        };
        Err(TaskError::precondition(format!(
            "cannot exec: the container {why}"
        )))
    }

    /// One of its processes.
    pub fn process(&self, exec_id: &str) -> Result<&Process> {
        match exec_id {
            "" => Ok(&self.init),
            _ => self
                .execs
                .get(exec_id)
                .map(|exec| &exec.process)
                .ok_or_else(|| no_exec(exec_id)),
        }
    }

    /// The same to be changed.
    pub fn process_mut(&mut self, exec_id: &str) -> Result<&mut Process> {
        match exec_id {
            "" => Ok(&mut self.init),
            _ => self
                .execs
                .get_mut(exec_id)
                .map(|exec| &mut exec.process)
                .ok_or_else(|| no_exec(exec_id)),
        }
    }

    /// What is told of a process.
    pub fn state(&self, target: &Target) -> Result<TaskState> {
        let process = self.process(&target.exec_id)?;
        // A frozen container freezes all of them.
        let status = match (process.status, self.init.status) {
            (Status::Running, frozen @ (Status::Paused | Status::Pausing)) => frozen,
            (own, _) => own,
        };
        Ok(TaskState {
            bundle: self.bundle.clone(),
            pid: process.pid,
            status,
            stdio: process.stdio.clone(),
            ended: process.ended,
        })
    }

    /// All processes. Of a container that has ended, its init: a caller that comes back asks this to see whether there is
    /// anything to come back to, and forgets the exit of a container without a process.
    pub fn processes(&self) -> Vec<TaskProcess> {
        let cgroup = self.place.as_ref().and_then(|place| place.cgroup.as_ref());
        let mut pids = match (self.init.ended, cgroup) {
            (None, Some(cgroup)) => cgroup.pids(),
            _ => Vec::new(),
        };
        if pids.is_empty() {
            pids.push(self.init.pid);
        }
        let exec_of = |pid| {
            let exec = self.execs.iter().find(|(_, exec)| exec.process.pid == pid);
            exec.map(|(id, _)| id.clone())
        };
        let process = |pid| TaskProcess {
            pid,
            exec_id: exec_of(pid),
        };
        pids.into_iter().map(process).collect()
    }

    /// Whether this is a process of it that has not been told to have ended.
    pub fn has_live(&self, pid: u32) -> bool {
        let all = self.execs.values().map(|exec| &exec.process);
        all.chain([&self.init])
            .any(|process| process.pid == pid && process.ended.is_none())
    }
}

fn no_exec(exec_id: &str) -> TaskError {
    TaskError::not_found(format!("no process `{}`", exec_id.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Wall;
    use crate::supervisor::task::types::Refusal;

    const ENDED: Ended = Ended {
        exit: Exit::Code(7),
        at: Wall(1),
    };

    #[test]
    fn a_wait_before_and_after_the_end_hears_the_same() {
        let mut process = Process::new(TaskStdio::default());
        let (reply, mut before) = oneshot::channel();
        process.wait(reply);
        let (gone, _) = oneshot::channel();
        process.wait(gone);
        assert!(before.try_recv().is_err(), "it has not ended");
        process.end(ENDED);
        assert_eq!(before.try_recv(), Ok(Ok(ENDED)));
        let (reply, mut after) = oneshot::channel();
        process.wait(reply);
        assert_eq!(after.try_recv(), Ok(Ok(ENDED)));
        assert_eq!(
            process.may_start().map_err(|e| e.refusal),
            Err(Refusal::Precondition)
        );
    }

    fn container() -> Container {
        Container::new(&CreateTask {
            id: "c".into(),
            bundle: "/b".into(),
            mounts: Vec::new(),
            stdio: TaskStdio::default(),
            runtime: Default::default(),
            checkpoint: None,
        })
    }

    #[test]
    fn a_container_that_ends_or_is_frozen_takes_no_more_processes() {
        let mut container = container();
        container.init.status = Status::Running;
        assert!(container.takes_processes().is_ok());
        container.init.status = Status::Paused;
        assert!(container.takes_processes().is_err());
        container.init.status = Status::Running;
        container.ending = Some(ENDED);
        assert!(container.takes_processes().is_err());
    }

    #[test]
    fn a_frozen_container_freezes_what_was_added_and_an_ended_one_still_has_its_init() {
        let mut container = container();
        container.init.pid = 40;
        container.init.status = Status::Paused;
        let mut process = Process::new(TaskStdio::default());
        process.status = Status::Running;
        process.pid = 41;
        let spec = Vec::new();
        container.execs.insert("e".into(), Exec { process, spec });
        let target = |exec_id: &str| Target {
            id: "c".into(),
            exec_id: exec_id.into(),
        };
        let status = |c: &Container, e| c.state(&target(e)).map(|s| s.status);
        assert_eq!(status(&container, "e"), Ok(Status::Paused));
        assert!(container.has_live_execs() && container.has_live(41));
        container.init.end(ENDED);
        let init = TaskProcess {
            pid: 40,
            exec_id: None,
        };
        assert_eq!(container.processes(), [init]);
        assert_eq!(
            status(&container, "x").map_err(|e| e.refusal),
            Err(Refusal::NotFound)
        );
    }
}
