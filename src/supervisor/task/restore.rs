//! Starting a container of a checkpoint: it is made only now, and runs at once. Until then it has no process, and while it is made it
//! can only be killed as a whole.

use crate::base::{Exit, Signal};
use crate::supervisor::task::create::{Context, Made, make, undo};
use crate::supervisor::task::handle::{Reply, Result};
use crate::supervisor::task::place::Place;
use crate::supervisor::task::run::Loop;
use crate::supervisor::task::streams::Streams;
use crate::supervisor::task::types::{Ended, Refusal, Status, TaskError, TaskEvent, TaskStdio};
use crate::sys;
use std::os::fd::AsFd;
use std::sync::Arc;
use tokio::sync::{Semaphore, oneshot};

/// Makes a container of its checkpoint. `is_vain` says that it shall not live.
pub(super) async fn restore(
    context: Arc<Context>,
    place: Arc<Place>,
    stdio: TaskStdio,
    gate: Arc<Semaphore>,
    is_vain: oneshot::Receiver<()>,
) -> Result<Made> {
    let call = async {
        // Never closed.
        let _turn = gate.acquire().await;
        let ready = place.restore.as_ref().map_or(Ok(()), |restore| {
            sys::create_dirs(&restore.work, 0o700)?;
            context.group.write(&place.record)
        });
        ready.map_err(|e| TaskError::failed(&e))?;
        let mut made = make(&context, Place::clone(&place), &stdio).await?;
        let streams = made.init.as_mut().map(|init| &mut init.streams);
        match streams.map_or(Ok(()), Streams::open_input) {
            Ok(()) => Ok(made),
            Err(error) => {
                // It runs and cannot be spoken to.
                undo(&place, true).await;
                Err(error)
            }
        }
    };
    tokio::select! {
        biased;
        done = call => done,
        // Dropped: the loop is over, and so is this.
        _ = is_vain => {
            undo(&place, true).await;
            Err(TaskError::new(
                Refusal::Failed,
                "cannot restore container: it was killed",
            ))
        }
    }
}

impl Loop {
    /// A container was made of its checkpoint, or was not.
    pub(super) fn restored(&mut self, id: &str, result: Result<Box<Made>>, reply: Reply<u32>) {
        let Some(container) = self.containers.get_mut(id) else {
            return;
        };
        container.init.starting = false;
        container.init.start_is_vain = None;
        let killed = container.init.parked.take();
        let answer = match result.map(|made| *made) {
            Ok(Made {
                place,
                init: Some(init),
            }) => {
                let pid = init.pid;
                if killed.is_some() {
                    // It was faster. Its own end is what is told.
                    let _ = sys::signal_pidfd(init.pidfd.as_fd(), Signal::KILL);
                }
                container.place = Some(Arc::new(place));
                container.init.status = Status::Running;
                self.adopt(id, init);
                self.tell(TaskEvent::Started {
                    id: id.to_owned(),
                    pid,
                });
                Ok(pid)
            }
            Ok(_) => Err(TaskError::precondition("cannot start: it was not made")),
            Err(error) => Err(error),
        };
        let is_absent = answer.is_err();
        // The caller may have given up.
        let _ = reply.send(answer);
        if let Some(ended) = killed.filter(|_| is_absent) {
            self.init_ended(id, ended);
        }
    }

    /// A container that has no process yet is over.
    pub(super) fn end_unmade(&mut self, id: &str) {
        // As of a process that was only announced. Source: containerd.
        let exit = Exit::Code(0);
        let at = sys::now().wall;
        self.init_ended(id, Ended { exit, at });
    }
}
