//! From a process that ended to an instance whose end is told: claim the record, drain the output, look for an OOM kill, read
//! the last words.

use crate::base::{Exit, InstanceId};
use crate::stdio::{self, Stop};
use crate::store::{ExitRecord, read_exits};
use crate::supervisor::Process;
use crate::supervisor::context::Context;
use crate::supervisor::world::{Completion, Live, Pump, World};
use crate::sys;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

/// Exits kept that may belong to a create in flight. Orphans of a shared PID namespace end at pause, so few come here.
const MAX_UNCLAIMED: usize = 4096;
/// Longest wait for the output of an instance that ended, above the pump's own limit: a disk may be slow.
const DRAIN_DEADLINE: Duration = Duration::from_secs(5);

/// Time between two looks at a pause on its way out: it is there within milliseconds, unless somebody keeps it.
const LOOK: Duration = Duration::from_millis(5);

impl World {
    /// Reads what the keeper has written since.
    pub fn read_new_exits(&mut self) {
        let records = match read_exits(&self.context.dir.file("exits")) {
            Ok(records) => records,
            Err(error) => {
                tracing::error!(%error, "cannot read the exit record");
                // Nobody will say again that there is something to read.
                return self.record.try_again();
            }
        };
        let from = self.exits_read.min(records.len());
        self.exits_read = records.len();
        for (index, record) in records.into_iter().enumerate().skip(from) {
            self.claim(index, record);
        }
    }

    /// Finds whose exit it is. One that is nobody's yet is kept while a create is in flight.
    pub fn claim(&mut self, index: usize, record: ExitRecord) {
        let owner = self.hands.processes.iter().find(|(id, process)| {
            process.pid == record.pid
                && index >= process.exits_before
                && self.live.contains_key(*id)
        });
        match owner.map(|(id, _)| id.clone()) {
            Some(instance) => self.finish(instance, record.exit()),
            None if self.creates_in_flight > 0 && self.unclaimed.len() < MAX_UNCLAIMED => {
                self.unclaimed.push((index, record));
            }
            None => {}
        }
    }

    /// After a create: its process may have ended before we knew its number.
    pub fn claim_early_exits(&mut self) {
        for (index, record) in std::mem::take(&mut self.unclaimed) {
            self.claim(index, record);
        }
    }

    /// Starts to tell the end of an instance. Its process is no longer live from now on, so this happens once.
    pub fn finish(&mut self, instance: InstanceId, exit: Exit) {
        let pump = self
            .live
            .remove(&instance)
            .and_then(|mut live| live.pump.take());
        self.ending.insert(instance.clone());
        let context = Arc::clone(&self.context);
        let attempt = self
            .hands
            .processes
            .get(&instance)
            .map_or(0, |process| process.attempt);
        self.tasks.spawn(async move {
            let (oom_killed, message) = last_words(&context, &instance, attempt, exit, pump).await;
            Completion::Ended {
                instance,
                exit,
                oom_killed,
                message,
            }
        });
    }

    /// Whether pause has ended and the machine has not heard of it.
    pub fn is_sandbox_dying(&self) -> bool {
        let is_pause = |id: &InstanceId| self.context.is_pause(id);
        let has_ended = |live: &Live| {
            let pidfd = live.pidfd.as_ref();
            pidfd.is_some_and(|pidfd| !sys::pidfd_is_alive(pidfd.as_fd()))
        };
        self.ending.iter().any(is_pause)
            || self
                .live
                .iter()
                .any(|(id, live)| is_pause(id) && has_ended(live))
    }
}

/// When something could not be made in a sandbox whose pause is on its way out: waits until it is there, so that the machine hears
/// of that first. It may be kept from it, for its namespace ends with the last process in it; nothing can be made until then.
pub(super) async fn outlast(pause: Option<Process>) {
    while pause.is_some_and(|pause| sys::is_ending(pause.pid)) {
        tokio::time::sleep(LOOK).await;
    }
}

async fn last_words(
    context: &Context,
    instance: &InstanceId,
    attempt: u32,
    exit: Exit,
    pump: Option<Pump>,
) -> (bool, String) {
    let pod = &context.plan.pod;
    let Some(container) = context.container_of(instance) else {
        return (false, String::new());
    };
    if pod.share_process_namespace || pod.host_pid || container.target.is_some() {
        // Its init was not PID 1 of a namespace: what it left behind lives on, and holds the output open.
        if let Err(error) = context.cgroup.kill_all(instance).await {
            tracing::error!(%error, "cannot kill what an ended container left behind");
        }
    }
    if let Some(pump) = pump {
        let _ = pump.stop.send(Stop::Ended);
        match tokio::time::timeout(DRAIN_DEADLINE, pump.task).await {
            Ok(Ok(report)) if report.lost_bytes > 0 => {
                context.tell_lost(&container.name, report.lost_bytes);
            }
            Ok(_) => {}
            Err(_) => tracing::error!(%instance, "the output of an ended container is not drained"),
        }
    }
    let oom_killed = context
        .cgroup
        .oom_kills(instance)
        .is_ok_and(|kills| kills > 0);
    let from_logs = !exit.is_success() && container.termination_message_from_logs;
    let log = from_logs
        .then(|| stdio::container_log(&context.plan.dirs.logs, pod, &container.name, attempt));
    let file = context.dir.bundle(instance).join("termination-log");
    let message = stdio::termination_message(&file, log.as_deref(), pod.containers.len());
    // Last words that cannot be read are none.
    (oom_killed, message.unwrap_or_default())
}
