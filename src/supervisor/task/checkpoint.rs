//! Writing a container to files. It may take as long as its memory is large, or for ever: whoever wants the container to die, and
//! whoever no longer wants the files, does not wait for it.

use crate::runtime::{CheckpointCall, is_plain_name};
use crate::supervisor::task::container::Checkpointing;
use crate::supervisor::task::handle::{Reply, Result};
use crate::supervisor::task::place::Place;
use crate::supervisor::task::run::{Done, Loop};
use crate::supervisor::task::types::{CheckpointTask, Refusal, Status, TaskError, TaskEvent};
use crate::sys;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// How long a checkpoint may still take when its container has ended and is to be deleted.
pub(super) const LAST_PATIENCE: Duration = Duration::from_secs(10);
/// What CRIU can do with cgroups. Source: runc.
const CGROUPS_MODES: [&str; 4] = ["soft", "full", "strict", "ignore"];

impl Loop {
    pub(super) fn checkpoint(&mut self, task: CheckpointTask, reply: Reply<()>) {
        let begun = self.made(&task.id).and_then(|(container, place)| {
            usable(&task)?;
            container.may_checkpoint()?;
            let (give_up, told) = oneshot::channel();
            let give_up = Some(give_up);
            container.checkpoint = Some(Checkpointing { give_up });
            let is_frozen = container.init.status == Status::Paused;
            Ok((place, Arc::clone(&container.gate), told, is_frozen))
        });
        match begun {
            Err(error) => drop(reply.send(Err(error))),
            Ok((place, gate, told, is_frozen)) => drop(self.jobs.spawn(async move {
                let mut reply = reply;
                let done = checkpoint(&place, &task, gate, told, is_frozen, &mut reply).await;
                Done::Checkpointed(task, done, reply)
            })),
        }
    }

    pub(super) fn checkpointed(
        &mut self,
        task: CheckpointTask,
        result: Result<()>,
        reply: Reply<()>,
    ) {
        let id = task.id.clone();
        if result.is_ok() {
            let image = task.image;
            self.tell(TaskEvent::Checkpointed { id: task.id, image });
        }
        // The caller may have given up.
        let _ = reply.send(result);
        if let Some(container) = self.containers.get_mut(&id) {
            container.checkpoint = None;
            if container.deleting.is_some() && container.init.ended.is_some() {
                self.delete_now(&id);
            }
        }
    }
}

fn usable(task: &CheckpointTask) -> Result<()> {
    let invalid = |what: String| Err(TaskError::new(Refusal::Invalid, what));
    for path in [Some(&task.image), task.work.as_ref()]
        .into_iter()
        .flatten()
    {
        if !path.is_absolute() {
            let path = path.display();
            return invalid(format!(
                "cannot write a checkpoint to `{path}`: it is no absolute path"
            ));
        }
    }
    let options = &task.options;
    let mode = options.cgroups_mode.as_str();
    if !mode.is_empty() && !CGROUPS_MODES.contains(&mode) {
        return invalid(format!(
            "cannot handle cgroups by `{}`: a checkpoint knows {}",
            mode.escape_debug(),
            CGROUPS_MODES.join(", ")
        ));
    }
    let mut namespaces = options.empty_namespaces.iter();
    match namespaces.find(|name| !is_plain_name(name)) {
        None => Ok(()),
        Some(name) => invalid(format!("no namespace `{}`", name.escape_debug())),
    }
}

async fn checkpoint(
    place: &Place,
    task: &CheckpointTask,
    gate: Arc<Semaphore>,
    told: oneshot::Receiver<Duration>,
    is_frozen: bool,
    reply: &mut Reply<()>,
) -> Result<()> {
    let own = place.bundle.join("work/criu-work");
    let work = task.work.as_deref().unwrap_or(&own);
    sys::create_dirs(work, 0o700).map_err(|e| TaskError::failed(&e))?;
    let log = place.log();
    let call = async {
        // Never closed.
        let _turn = gate.acquire().await;
        let call = CheckpointCall {
            id: &place.id,
            image: &task.image,
            work,
            log: &log,
            options: &task.options,
        };
        place.driver.checkpoint(&call).await
    };
    let given_up = async {
        // Dropped: the loop is over, and so is this.
        if let Ok(patience) = told.await {
            tokio::time::sleep(patience).await;
        }
    };
    let (done, is_wanted_frozen) = tokio::select! {
        biased;
        done = call => match done {
            Err(error) if error.is_hung() => (Err(TaskError::of_runtime(&error)), is_frozen),
            // It has tidied up after itself.
            done => {
                if task.work.is_none() {
                    // What stays goes with the bundle.
                    let _ = match done {
                        Ok(()) => std::fs::remove_dir_all(work),
                        Err(_) => std::fs::remove_dir(work),
                    };
                }
                return done.map_err(|e| TaskError::of_runtime(&e));
            }
        },
        () = given_up => (Err(unwanted("its container is to end")), false),
        () = reply.closed() => (Err(unwanted("nobody waits for it")), is_frozen),
    };
    if !is_wanted_frozen {
        // Whoever was cut off may have frozen it. Mostly it runs, which is an error here.
        let _ = place.driver.resume(&place.id, &log).await;
    }
    done
}

fn unwanted(why: &str) -> TaskError {
    let text = format!("cannot go on with the checkpoint: {why}");
    TaskError::new(Refusal::Failed, text)
}
