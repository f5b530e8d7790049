//! A new supervisor looks at the world. Nothing is assumed: what a predecessor knew is compared with what is there.

use crate::base::{Exit, InstanceId};
use crate::pod::{Machine, Observed};
use crate::stdio::{self, LogFile, LogLimits};
use crate::store::{ExitRecord, read_exits};
use crate::supervisor::Process;
use crate::supervisor::instance::Output;
use crate::supervisor::world::{Completion, Live, World, start_pump};
use crate::sys;
use std::collections::HashMap;
use std::os::fd::{AsFd, OwnedFd};

impl World {
    /// What became of every instance that the machine believes to exist. `held` is what the keeper kept open.
    pub fn look(
        &mut self,
        machine: &Machine,
        mut held: HashMap<InstanceId, Vec<OwnedFd>>,
    ) -> Vec<(InstanceId, Observed)> {
        let records = read_exits(&self.context.dir.file("exits")).unwrap_or_default();
        self.exits_read = records.len();
        let mut seen = Vec::new();
        for instance in machine.instances() {
            let process = self.hands.processes.get(&instance).copied();
            let observed = match process {
                None => self.trace_of(&instance),
                Some(process) => self.state_of(&instance, process, &records),
            };
            if let Observed::Created { .. } | Observed::Running { .. } = observed {
                let attempt = process.map_or(0, |process| process.attempt);
                let output = held
                    .remove(&instance)
                    .and_then(|fds| self.reopen(&instance, attempt, fds));
                let pidfd = process.and_then(|process| sys::pidfd(process.pid).ok());
                if let (Some(process), Some(fd)) = (process, &pidfd) {
                    self.watch_orphan(&instance, process, fd);
                }
                self.live.insert(
                    instance.clone(),
                    Live {
                        pidfd,
                        pump: output.map(start_pump),
                    },
                );
            }
            seen.push((instance, observed));
        }
        seen
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

    fn state_of(
        &self,
        instance: &InstanceId,
        process: Process,
        records: &[ExitRecord],
    ) -> Observed {
        let recorded = records
            .iter()
            .skip(process.exits_before)
            .find(|record| record.pid == process.pid);
        if let Some(record) = recorded {
            let oom_killed = self
                .context
                .cgroup
                .oom_kills(instance)
                .is_ok_and(|kills| kills > 0);
            return Observed::Gone {
                exit: record.exit(),
                oom_killed,
            };
        }
        let pid = process.pid;
        if sys::start_time(pid) != Some(process.start_time) {
            return Observed::Gone {
                exit: Exit::Unknown,
                oom_killed: false,
            };
        }
        if process.started || !self.context.driver.is_waiting_for_start(instance) {
            return Observed::Running { pid };
        }
        Observed::Created { pid }
    }

    /// The output of an instance that a predecessor read.
    fn reopen(&self, instance: &InstanceId, attempt: u32, fds: Vec<OwnedFd>) -> Option<Output> {
        let container = self.context.container_of(instance)?;
        let plan = &self.context.plan;
        let log = stdio::container_log(&plan.dirs.logs, &plan.pod, &container.name, attempt);
        let log = LogFile::open(log, LogLimits::default()).ok()?;
        let mut fds = fds.into_iter();
        Some(Output {
            stdout: fds.next()?,
            stderr: fds.next().filter(|_| !container.tty),
            log,
        })
    }

    /// A process whose keeper died is not our keeper's child: its pidfd tells that it ended, and a new kernel also how.
    fn watch_orphan(&mut self, instance: &InstanceId, process: Process, pidfd: &OwnedFd) {
        if sys::parent(process.pid) == Some(std::os::unix::process::parent_id()) {
            return;
        }
        let Ok(fd) = pidfd.as_fd().try_clone_to_owned() else {
            return;
        };
        let instance = instance.clone();
        self.tasks.spawn(async move {
            let exit = match sys::watch(fd) {
                Ok(fd) => {
                    let _ = fd.readable().await;
                    sys::pidfd_exit(fd.get_ref().as_fd())
                }
                Err(_) => None,
            };
            Completion::Vanished {
                instance,
                exit: exit.unwrap_or(Exit::Unknown),
            }
        });
    }
}
