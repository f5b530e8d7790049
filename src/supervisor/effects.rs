//! One function per action of the machine, of the same name. Those with an operation start a task and return at once.

use crate::base::{InstanceId, Signal};
use crate::manifest::{HookKind, ProbeKind};
use crate::pod::{Action, Failure, FailureReason, InstanceKind, OpId, Refusal, RequestId};
use crate::supervisor::context::runtime_failure;
use crate::supervisor::early::Rest;
use crate::supervisor::world::{Change, Completion, Haste, World};
use crate::supervisor::{Process, disk, exits, handlers, images, instance, network, sandbox};
use crate::sys;
use std::future::Future;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::AbortHandle;

impl World {
    /// Does what the machine asks, in its order.
    pub fn perform(&mut self, actions: Vec<Action>) {
        for action in actions {
            match action {
                // Every step is written down before its first action.
                Action::Persist => {}
                Action::Prepare { op } => self.prepare(op),
                Action::EnsureImage { op, container } => self.ensure_image(op, container),
                Action::Create { op, instance, kind } => self.create(op, instance, kind),
                Action::Start { op, instance } => self.start(op, instance),
                Action::SetUpNetwork { op, pause } => self.set_up_network(op, &pause),
                Action::TearDownNetwork { op, pause } => self.tear_down_network(op, &pause),
                Action::RunHook {
                    op,
                    instance,
                    container,
                    hook,
                    limit,
                } => self.run_hook(op, instance, &container, hook, limit),
                Action::RunProbe {
                    instance,
                    container,
                    kind,
                } => self.run_probe(instance, &container, kind),
                Action::MeasureDisk {
                    volumes,
                    containers,
                } => self.measure_disk(&volumes, &containers),
                Action::Delete { op, instance } => self.delete(op, instance),
                Action::Signal { instance, signal } => self.signal(&instance, signal),
                Action::Kill { instance } => self.kill(&instance),
                Action::CleanUp { op } => self.clean_up(op),
                Action::Reply { id, result } => self.reply(id, result),
                Action::Announce(event) => self.record.announce(event),
            }
        }
    }

    fn run(
        &mut self,
        op: OpId,
        work: impl Future<Output = Result<Change, Failure>> + Send + 'static,
    ) {
        self.operations.insert(op);
        self.tasks
            .spawn(async move { Completion::Done(op, work.await) });
    }

    /// `work`, until the end of the pod is so urgent: what is given up is told to have failed for this reason.
    fn unless<T>(
        &self,
        urgent: Haste,
        reason: FailureReason,
        work: impl Future<Output = Result<T, Failure>> + Send + 'static,
    ) -> impl Future<Output = Result<T, Failure>> + Send + 'static {
        let mut haste = self.haste.subscribe();
        async move {
            tokio::select! {
                biased;
                done = work => done,
                Ok(_) = haste.wait_for(|now| *now >= urgent) => Err(Failure {
                    reason,
                    message: "given up: the pod is to end".into(),
                }),
            }
        }
    }

    fn prepare(&mut self, op: OpId) {
        self.seal_runtime();
        let context = Arc::clone(&self.context);
        self.run(op, async move {
            sandbox::prepare(&context).await.map(Change::Prepared)
        });
    }

    fn ensure_image(&mut self, op: OpId, container: String) {
        let context = Arc::clone(&self.context);
        let ready = images::ready(&context, &container);
        if ready.is_none() {
            self.tasks.spawn(async move { Completion::Pulling(op) });
        }
        let work = async move {
            let images = match ready {
                Some(images) => images,
                None => images::bring(&context, &container).await?,
            };
            Ok(Change::Images(container, images))
        };
        let reason = FailureReason::ErrImagePull;
        self.run(op, self.unless(Haste::Leave, reason, work));
    }

    fn create(&mut self, op: OpId, instance: InstanceId, kind: InstanceKind) {
        self.seal_runtime();
        let (context, hands, exits_before) = (
            Arc::clone(&self.context),
            self.hands.clone(),
            self.exits_read,
        );
        self.creates_in_flight += 1;
        self.operations.insert(op);
        let pause = context.pause(&hands);
        let work = async move {
            let created = instance::create(&context, &hands, &instance, &kind, exits_before).await;
            if created.is_err() {
                exits::outlast(pause).await;
            }
            created.map(|created| Change::Created(instance, kind, Box::new(created)))
        };
        let work = self.unless(Haste::Kill, FailureReason::RuntimeHung, work);
        self.tasks
            .spawn(async move { Completion::Created(op, work.await) });
    }

    fn start(&mut self, op: OpId, instance: InstanceId) {
        let context = Arc::clone(&self.context);
        let pause = context.pause(&self.hands);
        let live = self.live.get(&instance);
        let init = live.and_then(|live| live.pidfd.as_ref()?.try_clone().ok());
        let rest = self.rest_of(&instance);
        let hung = FailureReason::RuntimeHung;
        let rest = rest.map(|rest| self.unless(Haste::Kill, hung, rest.done()));
        let of = instance.clone();
        let work = async move {
            if context.is_native(&instance) {
                return Ok(Change::Started(instance));
            }
            let log = context.runtime_log(&instance);
            if let Err(error) = context.driver.start(&instance, init, &log).await {
                exits::outlast(pause).await;
                return Err(runtime_failure(&error));
            }
            Ok(Change::Started(instance))
        };
        let work = self.unless(Haste::Kill, hung, work);
        self.operations.insert(op);
        self.tasks.spawn(async move {
            if let Some(rest) = rest
                && let Err(failure) = rest.await
            {
                return Completion::Unmade(op, of, failure);
            }
            Completion::Done(op, work.await)
        });
    }

    /// What is still done to make an instance.
    fn rest_of(&mut self, instance: &InstanceId) -> Option<Rest> {
        self.live.get_mut(instance)?.rest.take()
    }

    fn run_hook(
        &mut self,
        op: OpId,
        instance: InstanceId,
        container: &str,
        hook: HookKind,
        limit: Option<Duration>,
    ) {
        let context = Arc::clone(&self.context);
        let pod = &self.context.plan.pod;
        let handler = pod
            .container(container)
            .and_then(|container| container.lifecycle.hook(hook))
            .cloned();
        let target = handlers::target(&self.context, &self.hands);
        let of = instance.clone();
        let task = self.tasks.spawn(async move {
            let ran = match &handler {
                Some(handler) => {
                    handlers::run_hook(&context, &instance, handler, &target, limit).await
                }
                None => Ok(()),
            };
            Completion::Done(op, ran.map(|()| Change::Nothing))
        });
        self.end_with(&of, task);
    }

    fn run_probe(&mut self, instance: InstanceId, container: &str, kind: ProbeKind) {
        let context = Arc::clone(&self.context);
        let pod = &self.context.plan.pod;
        let probe = pod
            .container(container)
            .and_then(|container| container.lifecycle.probe(kind));
        let Some(probe) = probe.cloned() else {
            return;
        };
        let target = handlers::target(&self.context, &self.hands);
        let of = instance.clone();
        let task = self.tasks.spawn(async move {
            let answer = handlers::run_probe(&context, &instance, &probe, &target).await;
            Completion::Probed {
                instance,
                kind,
                answer,
            }
        });
        self.end_with(&of, task);
    }

    fn measure_disk(&mut self, volumes: &[String], containers: &[String]) {
        let context = Arc::clone(&self.context);
        let wanted = disk::wanted(&context, &self.hands, volumes, containers);
        self.tasks.spawn(async move {
            let (used, problem) = disk::measure(&wanted).await;
            Completion::Measured(used, problem)
        });
    }

    /// Whatever is done in an instance ends with it.
    fn end_with(&mut self, instance: &InstanceId, task: AbortHandle) {
        if let Some(live) = self.live.get_mut(instance) {
            live.handlers.retain(|other| !other.is_finished());
            live.handlers.push(task);
        } else {
            task.abort();
        }
    }

    fn set_up_network(&mut self, op: OpId, pause: &InstanceId) {
        let (context, pause) = (Arc::clone(&self.context), self.process(pause));
        self.run(op, async move {
            network::set_up(&context, pause).await.map(Change::Network)
        });
    }

    fn tear_down_network(&mut self, op: OpId, pause: &InstanceId) {
        let (context, pause) = (Arc::clone(&self.context), self.process(pause));
        self.run(op, async move {
            network::tear_down(&context, pause).await?;
            Ok(Change::Nothing)
        });
    }

    /// The process of an instance, as far as it is known.
    fn process(&self, instance: &InstanceId) -> Option<Process> {
        self.hands.processes.get(instance).copied()
    }

    fn delete(&mut self, op: OpId, instance: InstanceId) {
        let context = Arc::clone(&self.context);
        let rest = self.rest_of(&instance);
        self.run(op, async move {
            if let Some(rest) = rest {
                rest.give_up().await;
            }
            instance::delete(&context, &instance).await?;
            Ok(Change::Deleted(instance))
        });
    }

    fn clean_up(&mut self, op: OpId) {
        let context = Arc::clone(&self.context);
        self.run(op, async move {
            sandbox::clean_up(&context).await.map(|()| Change::Nothing)
        });
    }

    fn signal(&mut self, instance: &InstanceId, signal: Signal) {
        if let Some(pidfd) = self.live.get(instance).and_then(|live| live.pidfd.as_ref()) {
            // A process that has ended needs no signal: its exit is on the way.
            let _ = sys::signal_pidfd(pidfd.as_fd(), signal);
        }
    }

    /// SIGKILL to the init. What it leaves behind with a shared PID namespace is killed when its end is told.
    fn kill(&mut self, instance: &InstanceId) {
        self.signal(instance, Signal::KILL);
    }

    fn reply(&mut self, id: RequestId, result: Result<(), Refusal>) {
        if let Some(reply) = self.replies.remove(&id) {
            // Whoever asked may have left.
            let _ = reply.send(result);
        }
    }
}
