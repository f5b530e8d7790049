//! One function per request. What takes time becomes a job; everything else is answered at once.

use crate::base::Signal;
use crate::supervisor::task::checkpoint::LAST_PATIENCE;
use crate::supervisor::task::container::{Container, Exec, Process};
use crate::supervisor::task::create::create;
use crate::supervisor::task::delete::{EXEC_DRAIN_DEADLINE, delete};
use crate::supervisor::task::handle::{Reply, Request, Result, Target};
use crate::supervisor::task::place::Place;
use crate::supervisor::task::restore::restore;
use crate::supervisor::task::run::{Done, Loop};
use crate::supervisor::task::start::{exec, start};
use crate::supervisor::task::streams::Streams;
use crate::supervisor::task::types::{
    CreateTask, Ended, ExecTask, Refusal, Status, TaskError, TaskEvent,
};
use crate::sys;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

impl Loop {
    pub(super) fn handle(&mut self, request: Request) {
        match request {
            Request::Create(task, reply) => self.create(task, reply),
            Request::Start(target, reply) => self.start(target, reply),
            Request::Exec(task, reply) => answer(reply, self.exec(task)),
            Request::State(target, reply) => {
                let state = self.made(&target.id).and_then(|(c, _)| c.state(&target));
                answer(reply, state);
            }
            Request::Wait(target, reply) => match self.process(&target) {
                Ok(process) => process.wait(reply),
                Err(error) => answer(reply, Err(error)),
            },
            Request::Kill(target, signal, all, reply) => {
                answer(reply, self.kill(&target, signal, all));
            }
            Request::Delete(target, reply) if target.exec_id.is_empty() => {
                self.delete(&target.id, reply);
            }
            Request::Delete(target, reply) => self.delete_exec(&target, reply),
            Request::Pids(id, reply) => answer(reply, self.made(&id).map(|(c, _)| c.processes())),
            Request::Freeze(id, freeze, reply) => self.freeze(id, freeze, reply),
            Request::Update(id, resources, reply) => self.update(id, resources, reply),
            Request::Checkpoint(task, reply) => self.checkpoint(task, reply),
            Request::Resize(target, rows, columns, reply) => {
                let resized = self.process(&target).and_then(|process| {
                    let done = process.streams.as_ref().map(|s| s.resize(rows, columns));
                    done.unwrap_or(Ok(())).map_err(|e| TaskError::failed(&e))
                });
                answer(reply, resized);
            }
            Request::CloseInput(target, reply) => {
                let closed = self.process(&target).map(|process| {
                    if let Some(streams) = &mut process.streams {
                        streams.close_input();
                    }
                });
                answer(reply, closed);
            }
            Request::Cgroup(id, reply) => {
                let cgroup = self.made(&id).and_then(|(_, place)| {
                    place.cgroup.clone().ok_or_else(|| {
                        TaskError::not_found(format!("no cgroup of container `{id}`"))
                    })
                });
                answer(reply, cgroup);
            }
            Request::Pid(id, reply) => answer(reply, self.made(&id).map(|(c, _)| c.init.pid)),
            Request::Shutdown(reply) => {
                self.end_when_empty = true;
                self.end_now = self.containers.is_empty();
                answer(reply, Ok(()));
            }
        }
    }

    /// A container that has been made.
    pub(super) fn made(&mut self, id: &str) -> Result<(&mut Container, Arc<Place>)> {
        let container = self.containers.get_mut(id);
        container
            .and_then(|c| c.place.clone().map(|place| (c, place)))
            .ok_or_else(|| TaskError::not_found(format!("no container `{}`", id.escape_debug())))
    }

    fn process(&mut self, target: &Target) -> Result<&mut Process> {
        let (container, _) = self.made(&target.id)?;
        container.process_mut(&target.exec_id)
    }

    fn create(&mut self, task: Box<CreateTask>, reply: Reply<u32>) {
        if self.containers.contains_key(&task.id) {
            let text = format!("container `{}` exists", task.id.escape_debug());
            return answer(reply, Err(TaskError::new(Refusal::Exists, text)));
        }
        self.containers
            .insert(task.id.clone(), Container::new(&task));
        let context = Arc::clone(&self.context);
        self.jobs.spawn(async move {
            let made = create(context, &task).await.map(Box::new);
            Done::Created(task, made, reply)
        });
    }

    fn start(&mut self, target: Target, reply: Reply<u32>) {
        let is_init = target.exec_id.is_empty();
        let started = self.made(&target.id).and_then(|(container, place)| {
            if !is_init {
                container.takes_processes()?;
            }
            let gate = Arc::clone(&container.gate);
            let spec = container.execs.get_mut(&target.exec_id);
            let spec = spec.map(|exec| std::mem::take(&mut exec.spec));
            let process = container.process_mut(&target.exec_id)?;
            process.may_start()?;
            process
                .streams
                .as_mut()
                .map_or(Ok(()), Streams::open_input)?;
            process.starting = true;
            let (vain, is_vain) = oneshot::channel();
            process.start_is_vain = Some(vain);
            let init = process.pidfd.as_ref().and_then(|fd| fd.try_clone().ok());
            Ok((place, gate, init, spec, process.stdio.clone(), is_vain))
        });
        match started {
            Err(error) => answer(reply, Err(error)),
            Ok((place, gate, _, None, stdio, is_vain)) if place.restore.is_some() => {
                let context = Arc::clone(&self.context);
                self.jobs.spawn(async move {
                    let done = restore(context, place, stdio, gate, is_vain).await;
                    Done::Restored(target.id, done.map(Box::new), reply)
                });
            }
            Ok((place, gate, init, None, _, is_vain)) => drop(self.jobs.spawn(async move {
                let done = start(place, init, gate, is_vain).await;
                Done::Started(target.id, done, reply)
            })),
            Ok((place, _, _, Some(spec), stdio, _)) => drop(self.jobs.spawn(async move {
                let done = exec(place, &target.exec_id, &stdio, &spec).await;
                Done::Execed(target, done.map(Box::new), reply)
            })),
        }
    }

    fn exec(&mut self, task: ExecTask) -> Result<()> {
        let (container, _) = self.made(&task.id)?;
        container.takes_processes()?;
        if task.exec_id.is_empty() || container.execs.contains_key(&task.exec_id) {
            let text = format!("process `{}` exists", task.exec_id.escape_debug());
            return Err(TaskError::new(Refusal::Exists, text));
        }
        let process = Process::new(task.stdio);
        let spec = task.process;
        container
            .execs
            .insert(task.exec_id.clone(), Exec { process, spec });
        self.tell(TaskEvent::ExecAdded {
            id: task.id,
            exec_id: task.exec_id,
        });
        Ok(())
    }

    fn kill(&mut self, target: &Target, signal: Signal, all: bool) -> Result<()> {
        let (container, place) = self.made(&target.id)?;
        let is_frozen = matches!(container.init.status, Status::Paused | Status::Pausing);
        let process = container.process(&target.exec_id)?;
        let finished = || TaskError::not_found("process already finished");
        if process.ended.is_some() {
            return Err(finished());
        }
        let (is_init, is_deadly) = (target.exec_id.is_empty(), signal == Signal::KILL);
        if is_init && is_deadly && process.is_unmade() && process.starting {
            // What there is of it by now goes.
            container.kill_unmade();
            return Ok(());
        }
        match (&process.pidfd, &place.cgroup) {
            (_, Some(cgroup)) if is_init && all => {
                if cgroup.signal_all(signal) == 0 {
                    return Err(finished());
                }
            }
            (Some(pidfd), _) => {
                sys::signal_pidfd(pidfd.as_fd(), signal).map_err(|error| {
                    match error.raw_os_error() {
                        Some(nix::libc::ESRCH) => finished(),
                        _ => TaskError::failed(&error),
                    }
                })?;
            }
            (None, _) => return Err(TaskError::precondition("cannot kill: it is not started")),
        }
        // Whoever writes it to files freezes it, too, and lets go of it when that is given up.
        let is_held = is_deadly && is_init && container.hurry_checkpoint(Duration::ZERO);
        if is_frozen && is_deadly && !is_held {
            // What is frozen does not even die.
            self.jobs.spawn(async move {
                if let Err(error) = place.driver.resume(&place.id, &place.log()).await {
                    tracing::warn!(id = %place.id, %error, "cannot resume a container that was killed");
                }
                Done::Nothing
            });
        }
        Ok(())
    }

    fn delete(&mut self, id: &str, reply: Reply<(u32, Ended)>) {
        let container = match self.made(id) {
            Ok((container, _)) => container,
            Err(error) => return answer(reply, Err(error)),
        };
        if let Some(waiting) = &mut container.deleting {
            return waiting.push(reply);
        }
        match container.init.status {
            Status::Stopped => {
                container.deleting = Some(vec![reply]);
                if !container.hurry_checkpoint(LAST_PATIENCE) {
                    self.delete_now(id);
                }
            }
            // Never made: there is nothing to wait for.
            Status::Created if !container.init.starting && container.init.is_unmade() => {
                container.deleting = Some(vec![reply]);
                self.end_unmade(id);
            }
            // Never started: it is killed, and deleted when it has ended.
            Status::Created if !container.init.starting => {
                container.deleting = Some(vec![reply]);
                if let Some(pidfd) = &container.init.pidfd {
                    // It may have ended by itself; that is told soon.
                    let _ = sys::signal_pidfd(pidfd.as_fd(), Signal::KILL);
                }
            }
            _ => answer(
                reply,
                Err(TaskError::precondition("cannot delete: the container runs")),
            ),
        }
    }

    /// Begins to remove a container that has ended.
    pub(super) fn delete_now(&mut self, id: &str) {
        let Ok((container, place)) = self.made(id) else {
            return;
        };
        let streams = container.init.streams.take();
        let id = id.to_owned();
        let context = Arc::clone(&self.context);
        self.jobs.spawn(async move {
            let done = delete(context, place, streams).await;
            Done::Deleted(id, done)
        });
    }

    fn delete_exec(&mut self, target: &Target, reply: Reply<(u32, Ended)>) {
        let process = match self.process(target) {
            Ok(process) => process,
            Err(error) => return answer(reply, Err(error)),
        };
        let ended = match process.status {
            Status::Stopped => process.ended,
            // Never started: it was only announced.
            Status::Created if !process.starting => None,
            _ => {
                let error = TaskError::precondition("cannot delete: the process runs");
                return answer(reply, Err(error));
            }
        };
        let pid = process.pid;
        let ended = ended.unwrap_or(Ended {
            exit: crate::base::Exit::Code(0),
            at: sys::now().wall,
        });
        let streams = process.streams.take();
        if let Ok((container, _)) = self.made(&target.id) {
            container.execs.remove(&target.exec_id);
        }
        self.jobs.spawn(async move {
            if let Some(streams) = streams {
                streams.drain(EXEC_DRAIN_DEADLINE).await;
            }
            answer(reply, Ok((pid, ended)));
            Done::Nothing
        });
    }

    fn freeze(&mut self, id: String, freeze: bool, reply: Reply<()>) {
        let begun = self.made(&id).and_then(|(container, place)| {
            let (needed, then, verb) = match freeze {
                true => (Status::Running, Status::Pausing, "pause: it does not run"),
                false => (Status::Paused, Status::Paused, "resume: it is not paused"),
            };
            if container.init.status != needed || container.ending.is_some() {
                return Err(TaskError::precondition(format!("cannot {verb}")));
            }
            container.init.status = then;
            Ok((place, Arc::clone(&container.gate)))
        });
        match begun {
            Err(error) => answer(reply, Err(error)),
            Ok((place, gate)) => drop(self.jobs.spawn(async move {
                // Never closed.
                let _turn = gate.acquire().await;
                let (id_of, log) = (&place.id, place.log());
                let done = match freeze {
                    true => place.driver.pause(id_of, &log).await,
                    false => place.driver.resume(id_of, &log).await,
                };
                Done::Frozen(id, freeze, done.map_err(|e| TaskError::failed(&e)), reply)
            })),
        }
    }

    fn update(&mut self, id: String, resources: Vec<u8>, reply: Reply<()>) {
        let begun = self.made(&id).and_then(|(container, place)| {
            if container.init.status == Status::Stopped || container.ending.is_some() {
                return Err(TaskError::precondition("cannot update: it has ended"));
            }
            if container.init.is_unmade() {
                return Err(TaskError::precondition("cannot update: it is not started"));
            }
            Ok((place, Arc::clone(&container.gate)))
        });
        match begun {
            Err(error) => answer(reply, Err(error)),
            Ok((place, gate)) => drop(self.jobs.spawn(async move {
                // Never closed.
                let _turn = gate.acquire().await;
                answer(reply, update(&place, &resources).await);
                Done::Nothing
            })),
        }
    }
}

async fn update(place: &Place, resources: &[u8]) -> Result<()> {
    let file = place.bundle.join("resources.json");
    sys::write_atomic(&file, resources, 0o600).map_err(|e| TaskError::failed(&e))?;
    let updated = place.driver.update(&place.id, &place.log(), &file).await;
    // The bundle goes with the container.
    let _ = std::fs::remove_file(&file);
    updated.map_err(|e| TaskError::failed(&e))
}

fn answer<T>(reply: Reply<T>, answer: Result<T>) {
    // The caller may have given up.
    let _ = reply.send(answer);
}
