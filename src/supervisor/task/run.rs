//! The loop: one task that owns every container.

use crate::supervisor::Quiet;
use crate::supervisor::task::container::Container;
use crate::supervisor::task::create::{Context, Init, Made};
use crate::supervisor::task::exits::{watch, watch_oom};
use crate::supervisor::task::group::Group;
use crate::supervisor::task::handle::{
    MAX_WAITING_REQUESTS, Reply, Request, Result, Target, Tasks,
};
use crate::supervisor::task::start::Running;
use crate::supervisor::task::types::{
    CheckpointTask, CreateTask, Ended, Status, TaskError, TaskEvent,
};
use crate::sys;
use std::collections::BTreeMap;
use std::future::Future;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// How long the loop stays after its last container is gone, if it was once told to end: whoever deleted it may say so again.
const LAST_WORD: Duration = Duration::from_secs(3);

/// A job that is done.
pub(super) enum Done {
    Created(Box<CreateTask>, Result<Box<Made>>, Reply<u32>),
    Started(String, Result<()>, Reply<u32>),
    Execed(Target, Result<Box<Running>>, Reply<u32>),
    Restored(String, Result<Box<Made>>, Reply<u32>),
    Frozen(String, bool, Result<()>, Reply<()>),
    Checkpointed(CheckpointTask, Result<()>, Reply<()>),
    Deleted(String, Result<()>),
    /// Everything in a container has ended, or had its time to.
    Alone(String),
    Nothing,
}

/// Something that was waited for.
pub(super) enum Watched {
    Ended(Target, Ended),
    Oom(String, crate::runtime::OomWatch, bool),
}

/// All state.
pub(super) struct Loop {
    pub context: Arc<Context>,
    pub containers: BTreeMap<String, Container>,
    pub jobs: JoinSet<Done>,
    pub watches: JoinSet<Watched>,
    /// OOM kills that were told, per container.
    pub told_oom: BTreeMap<String, u64>,
    events: mpsc::UnboundedSender<TaskEvent>,
    /// Somebody asked to end when there was still a container.
    pub end_when_empty: bool,
    pub end_now: bool,
}

/// Makes the loop of one shim, and the way into it. `group` is its directory, `known` the file that remembers runtimes, `quiet` is
/// told when there is nothing to do. The loop ends when it is told to and has no container; dropped earlier, containers go on
/// without it.
pub fn run_tasks(
    group: Group,
    namespace: String,
    known: PathBuf,
    events: mpsc::UnboundedSender<TaskEvent>,
    quiet: Quiet,
) -> (Tasks, impl Future<Output = std::io::Result<()>>) {
    let (sender, requests) = mpsc::channel(MAX_WAITING_REQUESTS);
    let state = Loop {
        context: Arc::new(Context {
            group,
            namespace,
            known,
        }),
        containers: BTreeMap::new(),
        jobs: JoinSet::new(),
        watches: JoinSet::new(),
        told_oom: BTreeMap::new(),
        events,
        end_when_empty: false,
        end_now: false,
    };
    (Tasks(sender), state.run(requests, quiet))
}

impl Loop {
    async fn run(
        mut self,
        mut requests: mpsc::Receiver<Request>,
        quiet: Quiet,
    ) -> std::io::Result<()> {
        let mut children = signal(SignalKind::child())?;
        let mut end_at: Option<Instant> = None;
        while !self.end_now {
            let end = end_at;
            let event = tokio::select! {
                biased;
                Some(watched) = self.watches.join_next(), if !self.watches.is_empty() => Event::Watched(watched),
                Some(done) = self.jobs.join_next(), if !self.jobs.is_empty() => Event::Done(done),
                _ = children.recv() => Event::Child,
                Some(request) = requests.recv() => Event::Request(request),
                () = sleep_until(end.unwrap_or_else(Instant::now)), if end.is_some() => break,
                () = quiet.rest() => continue,
            };
            match event {
                Event::Watched(Ok(Watched::Ended(target, ended))) => self.ended(&target, ended),
                Event::Watched(Ok(Watched::Oom(id, watch, more))) => self.oom(id, watch, more),
                Event::Done(Ok(done)) => self.done(done),
                Event::Request(request) => self.handle(request),
                // A task that was cancelled or a child: there is nothing to say, but perhaps to reap.
                Event::Watched(Err(_)) | Event::Done(Err(_)) | Event::Child => {}
            }
            self.reap_strangers();
            let may_end = self.end_when_empty && self.containers.is_empty();
            end_at = match (may_end, end_at) {
                (true, None) => Some(Instant::now() + LAST_WORD),
                (true, set) => set,
                (false, _) => None,
            };
        }
        Ok(())
    }

    /// Something happened that the caller hears of.
    pub(super) fn tell(&self, event: TaskEvent) {
        // The receiver lives as long as the shim.
        let _ = self.events.send(event);
    }

    /// Reaps orphans that were left to this process. Not while a job runs: a child of the runtime that it waits for, or the
    /// init of a container whose number is not known yet, may be among them.
    fn reap_strangers(&self) {
        while self.jobs.is_empty()
            && let Some(pid) = sys::ended_child()
            && !self.containers.values().any(|c| c.has_live(pid))
        {
            if sys::reap(pid).is_err() {
                return;
            }
        }
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Created(task, result, reply) => self.created(task, result, reply),
            Done::Started(id, result, reply) => self.started(&id, result, reply),
            Done::Execed(target, result, reply) => self.execed(target, result, reply),
            Done::Frozen(id, frozen, result, reply) => self.frozen(id, frozen, result, reply),
            Done::Restored(id, result, reply) => self.restored(&id, result, reply),
            Done::Checkpointed(task, result, reply) => self.checkpointed(task, result, reply),
            Done::Deleted(id, result) => self.deleted(&id, result),
            Done::Alone(id) => self.settle(&id, true),
            Done::Nothing => {}
        }
    }

    fn created(&mut self, task: Box<CreateTask>, result: Result<Box<Made>>, reply: Reply<u32>) {
        let id = task.id.clone();
        let answer = match (result, self.containers.get_mut(&id)) {
            (Ok(made), Some(container)) => {
                let Made { place, init } = *made;
                let pid = init.as_ref().map_or(0, |init| init.pid);
                container.place = Some(Arc::new(place));
                if let Some(init) = init {
                    self.adopt(&id, init);
                }
                self.tell(TaskEvent::Created { task, pid });
                Ok(pid)
            }
            (Err(error), _) => {
                self.containers.remove(&id);
                Err(error)
            }
            (Ok(_), None) => Err(TaskError::not_found("no such container")),
        };
        // The caller may have given up.
        let _ = reply.send(answer);
    }

    /// The init has a number: it is watched from now on.
    pub(super) fn adopt(&mut self, id: &str, init: Init) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let (id, exec_id) = (id.to_owned(), String::new());
        let target = Target {
            id: id.clone(),
            exec_id,
        };
        match init.pidfd.as_fd().try_clone_to_owned() {
            Ok(pidfd) => drop(self.watches.spawn(watch(target, init.pid, pidfd))),
            Err(error) => tracing::error!(id, %error, "cannot watch a container"),
        }
        let watched = init.oom.map(|oom| self.watches.spawn(watch_oom(id, oom)));
        container.oom = watched;
        container.init.pid = init.pid;
        container.init.pidfd = Some(init.pidfd);
        container.init.streams = Some(init.streams);
    }

    fn started(&mut self, id: &str, result: Result<()>, reply: Reply<u32>) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let init = &mut container.init;
        init.starting = false;
        init.start_is_vain = None;
        let (pid, parked) = (init.pid, init.parked.take());
        if result.is_ok() {
            init.status = Status::Running;
            self.tell(TaskEvent::Started {
                id: id.to_owned(),
                pid,
            });
        }
        let _ = reply.send(result.map(|()| pid));
        if let Some(ended) = parked {
            self.init_ended(id, ended);
        }
    }

    fn execed(&mut self, target: Target, result: Result<Box<Running>>, reply: Reply<u32>) {
        let Some(container) = self.containers.get_mut(&target.id) else {
            return;
        };
        let Some(exec) = container.execs.get_mut(&target.exec_id) else {
            return;
        };
        exec.process.starting = false;
        let answer = match result {
            Ok(running) => {
                let pid = running.pid;
                exec.process.pid = pid;
                exec.process.status = Status::Running;
                exec.process.streams = Some(running.streams);
                let watched = running.pidfd.as_fd().try_clone_to_owned();
                exec.process.pidfd = Some(running.pidfd);
                match watched {
                    Ok(pidfd) => drop(self.watches.spawn(watch(target.clone(), pid, pidfd))),
                    Err(error) => tracing::error!(%error, "cannot watch a process"),
                }
                self.tell(TaskEvent::ExecStarted {
                    id: target.id.clone(),
                    exec_id: target.exec_id,
                    pid,
                });
                Ok(pid)
            }
            Err(error) => {
                // Those who wait for its end must hear something; nothing of it ever ran. Source: containerd.
                let at = sys::now().wall;
                let exit = crate::base::Exit::Code(u8::MAX);
                exec.process.end(Ended { exit, at });
                Err(error)
            }
        };
        let _ = reply.send(answer);
        self.settle(&target.id, false);
    }

    fn frozen(&mut self, id: String, frozen: bool, result: Result<()>, reply: Reply<()>) {
        if let Some(container) = self.containers.get_mut(&id)
            && container.init.ended.is_none()
        {
            container.init.status = match frozen == result.is_ok() {
                true => Status::Paused,
                false => Status::Running,
            };
            if result.is_ok() {
                self.tell(match frozen {
                    true => TaskEvent::Paused { id },
                    false => TaskEvent::Resumed { id },
                });
            }
        }
        let _ = reply.send(result);
    }

    fn deleted(&mut self, id: &str, result: Result<()>) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        let waiting = container.deleting.take().unwrap_or_default();
        let (pid, ended) = (container.init.pid, container.init.ended);
        let answer = match (result, ended) {
            (Ok(()), Some(ended)) => {
                let gone = self
                    .containers
                    .remove(id)
                    .and_then(|container| container.oom);
                gone.inspect(AbortHandle::abort);
                self.told_oom.remove(id);
                self.tell(TaskEvent::Deleted {
                    id: id.to_owned(),
                    pid,
                    ended,
                });
                Ok((pid, ended))
            }
            (Err(error), _) => Err(error),
            (Ok(()), None) => Err(TaskError::precondition("cannot delete: it runs")),
        };
        for reply in waiting {
            let _ = reply.send(answer.clone());
        }
    }
}

enum Event {
    Watched(std::result::Result<Watched, tokio::task::JoinError>),
    Done(std::result::Result<Done, tokio::task::JoinError>),
    Child,
    Request(Request),
}
