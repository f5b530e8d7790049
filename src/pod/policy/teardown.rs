//! How a pod, or only its sandbox, ends: when, in which order, with which grace. Source: `pod-semantics` 2.7, 4.9 - 4.11.

use crate::base::InstanceId;
use crate::manifest::{RestartPolicy, Role};
use crate::pod::engine::{Presence, Slot};
use crate::pod::policy::Turn;
use crate::pod::state::{Cause, Sandbox, Teardown};
use crate::pod::{Action, Phase, Terminated, words};
use std::time::Duration;

/// The grace of a pod that takes more than it may, whatever its own. Source: kubelet, `immediateEvictionGracePeriodSeconds`.
const EVICTION_GRACE: Duration = Duration::from_secs(1);

impl Turn<'_> {
    /// Decides whether everything has to go, from the facts alone.
    pub fn judge(&mut self) {
        if self.state.is_ending() && self.state.teardown.is_some() {
            return;
        }
        if self.state.verdict.is_none()
            && let Some(limit) = self.spec.deadline
            && self.is_due(self.state.started.mono + limit)
        {
            self.decide(Phase::Failed, words::DEADLINE, words::DEADLINE_MESSAGE);
            self.warn(words::DEADLINE, None, words::DEADLINE_MESSAGE);
            return self.end(Cause::Deadline);
        }
        let apps_done = self
            .look()
            .of_role(Role::App)
            .all(|k| self.look().is_done(k));
        self.note_verdict();
        if self.state.verdict.is_some() || (apps_done && self.state.teardown.is_none()) {
            self.end(Cause::Completed);
        } else if self.state.teardown.is_some() {
            // It goes on; afterwards the rest is looked at.
        } else if let Some(trigger) = self.look().wants_all_again() {
            self.begin_restart_all(trigger);
        } else if self.look().has_spoiled_sandbox() {
            if self.state.ever_created {
                let text = "Pod sandbox changed, it will be killed and re-created.";
                self.tell("SandboxChanged", None, text);
            }
            self.end(Cause::SandboxLost);
        }
    }

    /// Begins a teardown with the pod's own grace, or changes the cause of the one that runs.
    pub fn end(&mut self, cause: Cause) {
        let grace = self.own_grace();
        match &mut self.state.teardown {
            Some(teardown) => teardown.cause = cause,
            None => {
                self.state.teardown = Some(Teardown {
                    cause,
                    grace,
                    force: false,
                });
            }
        }
    }

    /// A request to stop: begins a teardown, or shortens the one that runs.
    pub fn stop(&mut self, grace_seconds: Option<u64>, force: bool) {
        let seconds = grace_seconds.unwrap_or(self.spec.grace_seconds);
        let (at, shortest) = self.state.deletion.unwrap_or((self.now.wall, u64::MAX));
        self.state.deletion = Some((at, seconds.min(shortest)));
        let before = self.state.teardown;
        let cause = match before.map(|teardown| teardown.cause) {
            Some(cause @ (Cause::Deadline | Cause::Evicted)) => cause,
            Some(
                Cause::Stop | Cause::Completed | Cause::SandboxLost | Cause::RestartAll { .. },
            )
            | None => Cause::Stop,
        };
        self.end_within(cause, Duration::from_secs(seconds), force);
        if before.is_none() {
            let text = format!("Stopping pod {} within {seconds}s", self.spec.name);
            self.tell("Stopping", None, &text);
        }
    }

    /// The pod takes more than it may.
    pub fn evict(&mut self) {
        self.end_within(Cause::Evicted, EVICTION_GRACE, false);
    }

    /// Begins a teardown with this grace, or shortens the one that runs.
    fn end_within(&mut self, cause: Cause, length: Duration, force: bool) {
        let mut grace = self.grace(length);
        self.shorten_stops(grace, force);
        let before = self.state.teardown;
        if let Some(teardown) = before {
            grace.shorten(teardown.grace);
        }
        self.state.teardown = Some(Teardown {
            cause,
            grace,
            force: force || before.is_some_and(|teardown| teardown.force),
        });
    }

    /// What brings a teardown closer to its end.
    pub fn take_down(&mut self) {
        let Some(teardown) = self.state.teardown else {
            return;
        };
        for k in 0..self.spec.containers.len() {
            self.wind_down(k, teardown);
        }
        let mut slots = self.state.containers.iter().map(|facts| &facts.slot);
        if !slots.clone().all(Slot::is_over) {
            return;
        }
        let is_empty = slots.all(|slot| slot.instance.is_none());
        if let Cause::RestartAll { trigger } = teardown.cause {
            if is_empty {
                self.restart_all(trigger);
            }
            return;
        }
        // What is left of the containers is files: the sandbox goes meanwhile.
        if self.lower_sandbox() && is_empty {
            self.conclude(teardown.cause);
        }
    }

    fn wind_down(&mut self, k: usize, teardown: Teardown) {
        match self.state.containers[k].slot.presence() {
            None | Some(Presence::Absent) => {}
            Some(Presence::Created | Presence::Gone | Presence::Unknown) => self.delete(k),
            Some(Presence::Running) => {
                self.begin_stop(k, teardown.grace);
                self.run_probes(k);
                self.stop_step(k);
            }
        }
    }

    /// A sidecar outlives the app containers and the sidecars declared after it.
    pub fn waits_for_others(&self, k: usize) -> bool {
        let later = |other: usize| match self.spec.containers[other].role {
            Role::Init | Role::Ephemeral => false,
            Role::Sidecar => other > k,
            Role::App => true,
        };
        self.spec.containers[k].role == Role::Sidecar
            && (0..self.spec.containers.len())
                .any(|other| later(other) && !self.state.containers[other].slot.is_over())
    }

    /// Nothing is left of the sandbox: the pod is over, or a new sandbox follows (2.7).
    fn conclude(&mut self, cause: Cause) {
        if cause == Cause::SandboxLost && !self.is_over_without_sandbox() {
            self.state.teardown = None;
            return self.begin_anew();
        }
        let phase = self.look().phase_of_ends();
        self.close_statuses();
        self.decide(phase, "", "");
        let task = &self.state.clean_up;
        if task.op.is_none() && self.is_due(task.not_before) {
            let op = self.next_op();
            self.state.clean_up.op = Some(op);
            self.actions.push(Action::CleanUp { op });
        }
    }

    /// A pod with its terminal phase never gets a new sandbox.
    fn is_over_without_sandbox(&self) -> bool {
        self.state.verdict.is_some()
            || (self.spec.restart_policy == RestartPolicy::Never && self.state.ever_created)
    }

    /// Facts of the old sandbox go; init containers run again from the first.
    fn begin_anew(&mut self) {
        let before = &self.state.sandbox;
        self.state.sandbox = Sandbox {
            prepared: before.prepared,
            pause: before.pause.clone(),
            not_before: before.not_before,
            attempt: before.attempt.saturating_add(1),
            trouble: before.trouble.clone(),
            pod_ips: before.pod_ips.clone(),
            ..Sandbox::default()
        };
        for (facts, spec) in self.state.containers.iter_mut().zip(&self.spec.containers) {
            match spec.role {
                Role::Ephemeral => {}
                Role::Init | Role::Sidecar => {
                    facts.ended = None;
                    facts.previous = None;
                    facts.hold = None;
                }
                Role::App => {
                    let keep = spec.restart_policy == RestartPolicy::OnFailure;
                    let again = |ended: &mut Terminated| !(keep && ended.exit_code == 0);
                    if let Some(ended) = facts.ended.take_if(again) {
                        facts.previous = Some(ended);
                    }
                }
            }
        }
    }

    /// Every app container gets the end that will be shown for good.
    fn close_statuses(&mut self) {
        for facts in &mut self.state.containers {
            if facts.ended.is_none() {
                facts.ended = facts.previous.take();
            }
        }
        let initialized = self.look().was_initialized();
        let at = self.now.wall;
        for (facts, spec) in self.state.containers.iter_mut().zip(&self.spec.containers) {
            if facts.ended.is_none() && initialized && spec.role == Role::App {
                facts.ended = Some(Terminated {
                    exit_code: 137,
                    reason: words::STATUS_UNKNOWN.into(),
                    message: words::LOST_MESSAGE.into(),
                    started_at: None,
                    finished_at: at,
                    instance: InstanceId(String::new()),
                });
            }
        }
    }
}
