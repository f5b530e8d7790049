//! The loop itself.

use crate::base::{Exit, InstanceId, Mono};
use crate::pod::{Action, Input, Machine, Outcome, PodView, Request, RequestId};
use crate::store::{CONTROL_SOCKET, Journal, PodDir, read_json};
use crate::supervisor::context::Context;
use crate::supervisor::handle::{Asked, Handle, handle};
use crate::supervisor::link::{self, HOST_MOUNTS, Message};
use crate::supervisor::logs::MAX_NOTES;
use crate::supervisor::names::Names;
use crate::supervisor::remnants;
use crate::supervisor::world::{Completion, Haste, World};
use crate::supervisor::{End, Hands, PLAN, Plan, Quiet, SNAPSHOT, Snapshot, SupervisorError};
use crate::sys;
use std::collections::HashMap;
use std::future::Future;
use std::os::fd::{AsFd, OwnedFd};
use std::pin::Pin;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};

/// How long a supervisor that is replaced waits for the operations that run: those of a runtime take tenths of a second. What is
/// cut off is found and done again by the next one.
const MAX_STAY: Duration = Duration::from_secs(10);
/// How long a supervisor that is replaced waits for its last answers to be taken.
const FAREWELL: Duration = Duration::from_millis(100);

/// Supervises one pod until it is settled. `keeper` is the socket to its keeper; `serve` answers the control socket.
pub fn supervise<S, F>(dir: PodDir, keeper: OwnedFd, serve: S) -> Result<End, SupervisorError>
where
    S: FnOnce(UnixListener, Handle) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (runtime, quiet) = Quiet::runtime().map_err(SupervisorError::Loop)?;
    runtime.block_on(boxed(dir, keeper, serve, quiet))
}

/// The loop behind a pointer: by value, each caller between here and its first poll would have a copy on the stack, and keep it.
#[inline(never)]
fn boxed<S, F>(
    dir: PodDir,
    keeper: OwnedFd,
    serve: S,
    quiet: Quiet,
) -> Pin<Box<impl Future<Output = Result<End, SupervisorError>>>>
where
    S: FnOnce(UnixListener, Handle) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    Box::pin(run(dir, keeper, serve, quiet))
}

async fn run<S, F>(
    dir: PodDir,
    keeper: OwnedFd,
    serve: S,
    quiet: Quiet,
) -> Result<End, SupervisorError>
where
    S: FnOnce(UnixListener, Handle) -> F,
    F: Future<Output = ()> + Send + 'static,
{
    let (listener, mut held) = greet(&keeper)?;
    let host_mounts = held.remove(&InstanceId(HOST_MOUNTS.to_owned()));
    let host_mounts = host_mounts.and_then(|mut fds| fds.pop());
    let plan_path = dir.file(PLAN);
    let plan: Option<Plan> = read_json(&plan_path).map_err(|source| SupervisorError::Read {
        path: plan_path,
        source,
    })?;
    let mut plan = plan.ok_or_else(|| SupervisorError::NoPlan(dir.state.clone()))?;
    // For those who show the pod; they read it from the file.
    plan.pod.object = serde_json::Value::Null;
    // A copy has no room to spare, as lists have that were read item by item.
    plan = plan.clone();
    let path = dir.file(SNAPSHOT);
    let snapshot = Snapshot::read(&dir).map_err(|source| SupervisorError::Read { path, source })?;
    let settings = plan.settings();
    let (notes, noted) = mpsc::channel(MAX_NOTES);
    let context = Context::new(dir, plan, keeper, host_mounts, notes)?;
    let pod = &context.plan.pod;
    let (machine, hands, earlier) = match snapshot {
        None => (
            Machine::new(pod, settings, sys::now()),
            Hands::default(),
            None,
        ),
        Some(snapshot) => {
            remnants::outlive(&context.dir, snapshot.session).map_err(SupervisorError::Remnant)?;
            (
                Machine::restore(pod, settings, snapshot.state),
                snapshot.hands,
                Some(snapshot.session),
            )
        }
    };
    let is_new = earlier.is_none();
    let mut world = World::new(context, hands)?;
    world.know(machine.ephemeral());
    let journal = Journal::open(&world.context.dir, is_new, sys::now(), machine.state());
    let (first, ended, notes) = match (earlier, world.context.plan.rejected.clone()) {
        (None, Some((reason, message))) => {
            (Input::Rejected { reason, message }, Vec::new(), Vec::new())
        }
        (None, None) => (Input::Timer, Vec::new(), Vec::new()),
        (Some(session), _) => {
            let sight = world.look(&machine, held, session);
            (Input::Recovered(sight.seen), sight.ended, sight.notes)
        }
    };
    let (handle, asked, shown) = handle(machine.view());
    let served = tokio::spawn(serve(listener, handle));
    let end = Loop {
        machine,
        journal,
        world,
        asked,
        shown,
        noted,
        requests: 0,
        terminations: 0,
        quiet,
        leave_by: None,
        late: Vec::new(),
    }
    .run(first, is_new, ended, notes)
    .await
    .map(|end| (end, served));
    let (end, served) = end?;
    // The last view is shown; the door closes by itself now that nobody receives requests.
    match end {
        End::Settled | End::Finished => drop(served.await),
        End::Replaced => drop(tokio::time::timeout(FAREWELL, served).await),
    }
    Ok(end)
}

/// What the keeper hands over first.
fn greet(
    keeper: &OwnedFd,
) -> Result<(UnixListener, HashMap<InstanceId, Vec<OwnedFd>>), SupervisorError> {
    let (mut listener, mut held) = (None, HashMap::new());
    loop {
        match link::receive(keeper.as_fd(), false).map_err(SupervisorError::Keeper)? {
            Some(Message::Listener(fd)) => listener = Some(fd),
            Some(Message::Hold(instance, fds)) => drop(held.insert(instance, fds)),
            Some(Message::Go) => break,
            Some(
                Message::Exits
                | Message::Unwritten(_)
                | Message::Drop(_)
                | Message::Program(_)
                | Message::Terminate,
            ) => {}
            None => return Err(SupervisorError::Keeper(nix::Error::EPIPE)),
        }
    }
    let listener = std::os::unix::net::UnixListener::from(
        listener.ok_or(SupervisorError::Keeper(nix::Error::EBADMSG))?,
    );
    listener
        .set_nonblocking(true)
        .map_err(SupervisorError::Loop)?;
    Ok((
        UnixListener::from_std(listener).map_err(SupervisorError::Loop)?,
        held,
    ))
}

struct Loop {
    machine: Machine,
    journal: Journal,
    world: World,
    asked: mpsc::Receiver<Asked>,
    shown: watch::Sender<PodView>,
    noted: mpsc::Receiver<Input>,
    requests: u64,
    terminations: u32,
    quiet: Quiet,
    /// Another program goes on with the pod: as soon as no operation runs, at the latest then.
    leave_by: Option<Mono>,
    /// Operations that failed while the sandbox was dying.
    late: Vec<Completion>,
}

impl Loop {
    async fn run(
        mut self,
        first: Input,
        is_new: bool,
        ended: Vec<(InstanceId, Exit)>,
        notes: Vec<Input>,
    ) -> Result<End, SupervisorError> {
        let keeper = self
            .world
            .context
            .keeper
            .try_clone()
            .map_err(SupervisorError::Loop)?;
        let keeper = sys::watch(keeper).map_err(SupervisorError::Loop)?;
        let mut names = Names::watch(&self.world.context.plan);
        // Of what changed while nobody watched.
        self.world.tell_names();
        self.begin(first, is_new)?;
        notes.into_iter().for_each(|note| self.step(note));
        for (instance, exit) in ended {
            self.world.finish(instance, exit);
        }
        self.world.read_new_exits();
        while !self.machine.is_settled() || !self.world.tasks.is_empty() {
            if self
                .leave_by
                .is_some_and(|at| self.world.operations.is_empty() || sys::now().mono >= at)
            {
                return Ok(End::Replaced);
            }
            let deadline = self.machine.next_deadline();
            tokio::select! {
                // Exits before completions, so that a start that ended early is seen as ended; facts before wishes.
                biased;
                ready = keeper.readable(), if self.world.keeper.is_some() => {
                    if let Ok(mut ready) = ready {
                        self.listen(&keeper);
                        ready.clear_ready();
                    }
                }
                // Before the end of what they are about.
                Some(note) = self.noted.recv() => self.step(note),
                Some(done) = self.world.tasks.join_next() => {
                    if let Ok(completion) = done {
                        self.complete(completion);
                    }
                }
                Some(asked) = self.asked.recv() => match asked {
                    Asked::Request(request, reply) => self.ask(request, Some(reply)),
                    Asked::Attach(name, input, reply) => drop(reply.send(self.world.attach(&name, input))),
                    Asked::Replace(program, reply) => drop(reply.send(self.replace(&program))),
                },
                () = sleep_until(self.leave_by) => {}
                () = sleep_until(deadline) => self.step(Input::Timer),
                () = sleep_until(self.world.unseal_at) => self.world.unseal_runtime(),
                () = sleep_until(self.world.record.again_at) => {
                    drop(self.world.write_down(&self.machine));
                    self.world.read_new_exits();
                }
                () = names.changed() => self.world.tell_names(),
                () = self.quiet.rest() => {}
            }
        }
        Ok(match self.world.context.plan.remove_at_end {
            true => End::Finished,
            false => End::Settled,
        })
    }

    /// Makes way for a supervisor of another program; whether there is a keeper to start it.
    fn replace(&mut self, program: &OwnedFd) -> bool {
        let keeper = self.world.context.keeper.as_fd();
        let sent = link::send(keeper, b'P', "", &[program.as_fd()]);
        if self.world.keeper.is_none() || sent.is_err() {
            return false;
        }
        self.step(Input::Noted {
            reason: "SupervisorReplaced".into(),
            container: None,
            message: "Another program supervises the pod from now on".into(),
        });
        self.leave_by = Some(sys::now().mono + MAX_STAY);
        true
    }

    /// The first step. That of a new pod is only done if it can be written down: whoever comes after us finds nothing else.
    fn begin(&mut self, first: Input, is_new: bool) -> Result<(), SupervisorError> {
        let actions = self.hear(first);
        match self.world.write_down(&self.machine) {
            Err(source) if is_new => {
                let path = self.world.context.dir.file(SNAPSHOT);
                return Err(SupervisorError::Write { path, source });
            }
            _ => self.act(actions, self.machine.view()),
        }
        Ok(())
    }

    /// Everything the keeper has said. Without one the pod goes on: nothing is held for a successor any more, and exits are seen by
    /// pidfd.
    fn listen(&mut self, keeper: &AsyncFd<OwnedFd>) {
        loop {
            match link::receive(keeper.get_ref().as_fd(), true) {
                Ok(Some(Message::Exits)) => self.world.read_new_exits(),
                Ok(Some(Message::Unwritten(record))) => self.world.claim(usize::MAX, record),
                Ok(Some(Message::Terminate)) => self.terminate(),
                Ok(Some(
                    Message::Hold(..)
                    | Message::Drop(_)
                    | Message::Program(_)
                    | Message::Listener(_)
                    | Message::Go,
                )) => {}
                Ok(None) => {
                    tracing::error!("the keeper died; the pod goes on without it");
                    return self.world.lose_keeper();
                }
                Err(nix::Error::EAGAIN) => return,
                Err(error) => {
                    return tracing::error!(%error, "cannot understand the keeper");
                }
            }
        }
    }

    /// The keeper was told to end: the pod stops, the second time at once.
    fn terminate(&mut self) {
        self.terminations += 1;
        let force = self.terminations > 1;
        self.ask(
            Request::Stop {
                grace_seconds: force.then_some(0),
                force,
            },
            None,
        );
    }

    fn ask(
        &mut self,
        request: Request,
        reply: Option<tokio::sync::oneshot::Sender<Result<(), crate::pod::Refusal>>>,
    ) {
        self.requests += 1;
        let id = RequestId(self.requests);
        if let Request::Stop { force, .. } = request {
            self.world.hurry(match force {
                true => Haste::Kill,
                false => Haste::Leave,
            });
        }
        if let Some(reply) = reply {
            self.world.replies.insert(id, reply);
        }
        self.step(Input::Request { id, request });
    }

    fn complete(&mut self, completion: Completion) {
        if completion.has_failed() && self.world.is_sandbox_dying() {
            // Whatever was made in it failed for that: the machine hears of the cause first.
            return self.late.push(completion);
        }
        match completion {
            Completion::Done(op, result) => {
                self.world.operations.remove(&op);
                let outcome = self.world.absorb(result);
                self.step(Input::Done { op, outcome });
            }
            Completion::Created(op, result) => {
                self.world.operations.remove(&op);
                let outcome = self.world.absorb(result);
                self.step(Input::Done { op, outcome });
                self.world.creates_in_flight -= 1;
                self.world.claim_early_exits();
            }
            Completion::Unmade(op, instance, failure) => {
                self.world.operations.remove(&op);
                self.world.forget(&instance);
                let outcome = Outcome::Failed(failure);
                self.step(Input::Done { op, outcome });
                self.complete_late();
            }
            Completion::Pulling(op) => self.step(Input::Pulling(op)),
            Completion::Ended {
                instance,
                exit,
                oom_killed,
                message,
            } => {
                self.world.ending.remove(&instance);
                self.step(Input::Exited {
                    instance,
                    exit,
                    oom_killed,
                    message,
                });
                self.complete_late();
            }
            Completion::Probed {
                instance,
                kind,
                answer,
            } => self.step(Input::Probed {
                instance,
                kind,
                answer,
            }),
            Completion::Measured(used, problem) => self.step(Input::Measured { used, problem }),
            Completion::Vanished { instance, exit } => {
                if self.world.live.contains_key(&instance) {
                    self.world.finish(instance, exit);
                }
            }
        }
    }

    /// What had to wait until the machine has heard that the sandbox is gone.
    fn complete_late(&mut self) {
        for late in std::mem::take(&mut self.late) {
            self.complete(late);
        }
    }

    /// The machine hears an input. The journal has it before the snapshot shows what it did.
    fn hear(&mut self, input: Input) -> Vec<Action> {
        let now = sys::now();
        let heard = input.clone();
        let actions = self.machine.step(now, input);
        if !self.machine.was_idle() {
            let line = Journal::line(now, &heard);
            self.journal.hear(&line, now, self.machine.state());
        }
        actions
    }

    /// One step of the machine: what changed is written before anything is done about it.
    fn step(&mut self, input: Input) {
        tracing::debug!(?input, "step");
        let actions = self.hear(input);
        if self.machine.was_idle() {
            // What probes say every second costs no more than this.
            return self.world.perform(actions);
        }
        self.world.know(self.machine.ephemeral());
        let view = self.machine.view();
        if actions.first() == Some(&Action::Persist) || *self.shown.borrow() != view {
            // A full disk does not stop the pod; it is tried again.
            let _ = self.world.write_down(&self.machine);
        }
        self.act(actions, view);
    }

    fn act(&mut self, actions: Vec<Action>, view: PodView) {
        self.world.perform(actions);
        if view.settled {
            self.world.hurry(Haste::Leave);
            if view.deletion.is_none() {
                // It came to its end by itself: there is nothing to run again after a boot.
                let _ = std::fs::remove_file(self.world.context.dir.data.join(PLAN));
            }
            let _ = std::fs::remove_file(self.world.context.dir.file(CONTROL_SOCKET));
        }
        self.shown.send_if_modified(|shown| {
            let changed = *shown != view;
            *shown = view;
            changed
        });
    }
}

/// Waits until a moment of the machine's clock; for ever without one.
async fn sleep_until(deadline: Option<Mono>) {
    match deadline {
        None => std::future::pending().await,
        Some(deadline) => tokio::time::sleep(deadline.since(sys::now().mono)).await,
    }
}
