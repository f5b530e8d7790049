//! From inputs to facts. What belongs to nothing known (late, doubled, foreign) changes nothing.

use crate::base::{InstanceId, Signal};
use crate::manifest::Role;
use crate::pod::engine::{Change, Ending};
use crate::pod::policy::Turn;
use crate::pod::state::{Hold, Network, Why};
use crate::pod::{Action, FailureReason, Input, Observed, OpId, Outcome, Phase, Refusal, Request};

/// Which slot a change is about.
#[derive(Clone, Copy)]
enum Whose {
    Pause,
    Container(usize),
}

impl Turn<'_> {
    /// Takes in one fact.
    pub fn absorb(&mut self, input: Input) {
        match input {
            Input::Timer => {}
            Input::Request { id, request } => {
                let result = self.request(request);
                self.actions.push(Action::Reply { id, result });
            }
            Input::Done { op, outcome } => self.done(op, outcome),
            Input::Pulling(op) => self.pulling(op),
            Input::Exited {
                instance,
                exit,
                oom_killed,
                message,
            } => {
                let ending = Ending {
                    exit,
                    oom_killed,
                    message,
                    at: self.now,
                };
                self.exited(&instance, &ending);
            }
            Input::Probed {
                instance,
                kind,
                answer,
            } => self.probed(&instance, kind, &answer),
            Input::Measured { used, problem } => self.measured(&used, problem.as_deref()),
            Input::Recovered(seen) => self.recovered(&seen),
            Input::Noted {
                reason,
                container,
                message,
            } => {
                let spec = self.spec;
                let k = container.and_then(|c| spec.containers.iter().position(|s| s.name == c));
                self.warn(&reason, k, &message);
            }
            Input::Rejected { reason, message } => {
                self.decide(Phase::Failed, &reason, &message);
                self.warn(&reason, None, &message);
            }
        }
    }

    fn request(&mut self, request: Request) -> Result<(), Refusal> {
        if self.state.settled {
            return Err(Refusal::PodEnded);
        }
        match request {
            Request::Stop {
                grace_seconds,
                force,
            } => {
                self.stop(grace_seconds, force);
                Ok(())
            }
            Request::Signal { container, signal } => self.signal(container, signal),
            // The machine has added it before this turn.
            Request::Debug { .. } => Ok(()),
        }
    }

    fn signal(&mut self, container: Option<String>, signal: Signal) -> Result<(), Refusal> {
        let chosen: Vec<usize> = match &container {
            None => (0..self.spec.containers.len())
                .filter(|k| match self.spec.containers[*k].role {
                    Role::App | Role::Sidecar => true,
                    Role::Init | Role::Ephemeral => false,
                })
                .collect(),
            Some(name) => {
                let found = self.spec.containers.iter().position(|c| c.name == *name);
                vec![found.ok_or_else(|| Refusal::NoSuchContainer(name.clone()))?]
            }
        };
        let mut reached = false;
        for k in chosen {
            let slot = &self.state.containers[k].slot;
            if let Some(instance) = slot.instance.as_ref().filter(|_| slot.is_running()) {
                reached = true;
                let instance = instance.id.clone();
                self.actions.push(Action::Signal { instance, signal });
            }
        }
        let nobody = || Refusal::NotRunning(container.unwrap_or_else(|| self.spec.name.clone()));
        if reached { Ok(()) } else { Err(nobody()) }
    }

    fn done(&mut self, op: OpId, outcome: Outcome) {
        let now = self.now;
        if let Some(changes) = self.state.sandbox.pause.done(op, &outcome, now) {
            return self.changed(Whose::Pause, changes);
        }
        for k in 0..self.state.containers.len() {
            if let Some(changes) = self.state.containers[k].slot.done(op, &outcome, now) {
                return self.changed(Whose::Container(k), changes);
            }
            if self.state.containers[k].image.task.op == Some(op) {
                return self.image_done(k, outcome);
            }
            if self.hook_done(k, op, &outcome) {
                return;
            }
        }
        if self.state.sandbox.prepare.op == Some(op) {
            self.prepare_done(outcome);
        } else if self.state.sandbox.network_task.op == Some(op) {
            self.network_done(outcome);
        } else if self.state.clean_up.op == Some(op) {
            self.clean_up_done(outcome);
        }
    }

    fn exited(&mut self, id: &InstanceId, ending: &Ending) {
        if let Some(changes) = self.state.sandbox.pause.exited(id, ending.clone()) {
            return self.changed(Whose::Pause, changes);
        }
        for k in 0..self.state.containers.len() {
            if let Some(changes) = self.state.containers[k].slot.exited(id, ending.clone()) {
                return self.changed(Whose::Container(k), changes);
            }
        }
    }

    fn recovered(&mut self, seen: &[(InstanceId, Observed)]) {
        let observed = |id: Option<&InstanceId>| {
            seen.iter()
                .find(|(other, _)| Some(other) == id)
                .map_or(Observed::Unknown, |(_, observed)| *observed)
        };
        let now = self.now;
        let pause = &mut self.state.sandbox.pause;
        let what = observed(pause.instance.as_ref().map(|i| &i.id));
        let changes = pause.recovered(what, now);
        self.changed(Whose::Pause, changes);
        for k in 0..self.state.containers.len() {
            let slot = &mut self.state.containers[k].slot;
            let what = observed(slot.instance.as_ref().map(|i| &i.id));
            let changes = slot.recovered(what, now);
            self.changed(Whose::Container(k), changes);
            self.state.containers[k].resume(now.mono);
        }
        if let Some(teardown) = &mut self.state.teardown {
            teardown.grace.renew(now.mono);
        }
        let sandbox = &mut self.state.sandbox;
        sandbox.prepare.op = None;
        sandbox.network_task.op = None;
        if sandbox.network == Network::Raising {
            sandbox.network = Network::Dirty;
        }
        self.state.clean_up.op = None;
        self.state.disk.0.since = None;
    }

    fn changed(&mut self, whose: Whose, changes: Vec<Change>) {
        for change in changes {
            match whose {
                Whose::Pause => self.pause_changed(change),
                Whose::Container(k) => self.container_changed(k, change),
            }
        }
    }

    fn pause_changed(&mut self, change: Change) {
        match change {
            Change::Created | Change::Started | Change::Vanished | Change::Deleted => {}
            Change::Ended(ending) => {
                self.warn("Exited", None, &format!("pause ended: {}", ending.exit));
            }
            Change::CreateFailed(failure) | Change::StartFailed(failure) => {
                self.state.sandbox.not_before = self.retry_at();
                self.sandbox_failed(&failure);
            }
            Change::DeleteFailed(failure) => {
                let at = self.retry_at();
                if let Some(instance) = &mut self.state.sandbox.pause.instance {
                    instance.not_before = at;
                }
                let text = format!("cannot remove pause: {}", failure.message);
                self.trouble("FailedKillPod", None, &text);
            }
        }
    }

    fn container_changed(&mut self, k: usize, change: Change) {
        let name = &self.spec.containers[k].name;
        match change {
            Change::Created => {
                self.state.ever_created |= self.look().has_network();
                self.state.containers[k].hold = None;
                self.tell("Created", Some(k), &format!("Created container {name}"));
            }
            Change::Started => {
                self.state.ever_created = true;
                self.tell("Started", Some(k), &format!("Started container {name}"));
            }
            Change::Ended(ending) => self.record_exit(k, ending),
            Change::CreateFailed(_) | Change::StartFailed(_)
                if self.look().has_spoiled_sandbox() =>
            {
                // Nothing can be made in it, whatever the container is like: it counts for nothing.
            }
            Change::CreateFailed(failure) => match failure.reason {
                FailureReason::StartError | FailureReason::RuntimeHung => {
                    self.record_start_error(k, failure);
                }
                FailureReason::ErrImagePull
                | FailureReason::InvalidImageName
                | FailureReason::ErrImageNeverPull
                | FailureReason::CreateContainerConfigError
                | FailureReason::CreateContainerError
                | FailureReason::Other => {
                    self.warn("Failed", Some(k), &format!("Error: {}", failure.message));
                    let until = self.retry_at();
                    let why = Why::Failed(failure);
                    self.state.containers[k].hold = Some(Hold { until, why });
                }
            },
            Change::StartFailed(failure) => self.record_start_error(k, failure),
            Change::Vanished | Change::Deleted => {}
            Change::DeleteFailed(failure) => {
                let at = self.retry_at();
                if let Some(instance) = &mut self.state.containers[k].slot.instance {
                    instance.not_before = at;
                }
                let text = format!("cannot remove container {name}: {}", failure.message);
                match self.state.is_ending() {
                    true => self.trouble("FailedKillPod", Some(k), &text),
                    false => self.warn("FailedKillPod", Some(k), &text),
                }
            }
        }
    }
}
