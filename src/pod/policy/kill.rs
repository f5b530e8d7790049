//! How one container is stopped, whoever wants it: preStop, stop signal, SIGKILL. Source: `pod-semantics` 4.9.

use crate::base::{InstanceId, Mono, Signal};
use crate::manifest::HookKind;
use crate::pod::Action;
use crate::pod::policy::Turn;
use crate::pod::state::{Cause, Hook, Stopping};
use std::time::Duration;

/// What a container gets between its stop signal and SIGKILL at least, however short the grace. Source: kubelet.
const MIN_GRACE: Duration = Duration::from_secs(2);

impl Turn<'_> {
    /// Container `k` is to end, its grace at `until`; if it is being stopped already, its grace may only become shorter.
    pub fn begin_stop(&mut self, k: usize, until: Mono) {
        if let Some(stopping) = &mut self.state.containers[k].stopping {
            stopping.until = stopping.until.min(until);
            return;
        }
        self.state.containers[k].stopping = Some(Stopping {
            until,
            pre_stop: match self.spec.containers[k].pre_stop {
                true => Hook::Ahead,
                false => Hook::Over,
            },
            kill_at: None,
        });
        let text = format!("Stopping container {}", self.spec.containers[k].name);
        self.tell("Killing", Some(k), &text);
    }

    /// What brings the end of container `k` closer: the hook and then the signal once each, SIGKILL when the grace is over, again
    /// and again until the exit comes.
    pub fn stop_step(&mut self, k: usize) {
        let facts = &self.state.containers[k];
        let instance = facts.slot.instance.as_ref().map(|i| i.id.clone());
        let (Some(instance), Some(stopping)) = (instance, facts.stopping.clone()) else {
            return;
        };
        if let Some(kill_at) = stopping.kill_at {
            if self.is_due(kill_at) {
                self.kill_now(k, instance);
            }
            return;
        }
        if self.state.teardown.is_some_and(|teardown| teardown.force) {
            return self.kill_now(k, instance);
        }
        let in_time = !self.is_due(stopping.until);
        if in_time && stopping.pre_stop != Hook::Over {
            return self.pre_stop(k, instance, &stopping);
        }
        if in_time && self.is_ordered() && self.waits_for_others(k) {
            return;
        }
        let at = self.kill_moment(stopping.until);
        self.is_due(at);
        self.set_stopping(k, |stopping| {
            stopping.pre_stop = Hook::Over;
            stopping.kill_at = Some(at);
        });
        let signal = self.stop_signal(k);
        self.actions.push(Action::Signal { instance, signal });
    }

    /// A request that came later ends every grace here at the latest.
    pub fn shorten_stops(&mut self, until: Mono, force: bool) {
        let latest = match force {
            true => self.now.mono,
            false => self.kill_moment(until),
        };
        for facts in &mut self.state.containers {
            if let Some(stopping) = &mut facts.stopping {
                stopping.until = stopping.until.min(until);
                stopping.kill_at = stopping.kill_at.map(|at| at.min(latest));
            }
        }
    }

    fn pre_stop(&mut self, k: usize, instance: InstanceId, stopping: &Stopping) {
        if stopping.pre_stop != Hook::Ahead {
            return;
        }
        let limit = Some(stopping.until.since(self.now.mono));
        let op = self.run_hook(k, instance, HookKind::PreStop, limit);
        self.set_stopping(k, |stopping| stopping.pre_stop = Hook::Running(op));
    }

    fn kill_now(&mut self, k: usize, instance: InstanceId) {
        let again = self.now.mono + self.settings.kill_repeat;
        self.is_due(again);
        self.set_stopping(k, |stopping| stopping.kill_at = Some(again));
        self.actions.push(Action::Kill { instance });
    }

    fn set_stopping(&mut self, k: usize, change: impl FnOnce(&mut Stopping)) {
        if let Some(stopping) = &mut self.state.containers[k].stopping {
            change(stopping);
        }
    }

    /// When SIGKILL follows a stop signal sent now, if the grace ends at `until`.
    fn kill_moment(&self, until: Mono) -> Mono {
        until.max(self.now.mono + MIN_GRACE)
    }

    fn stop_signal(&self, k: usize) -> Signal {
        let of_image = self.state.containers[k].image.stop_signal;
        let own = self.spec.containers[k].stop_signal;
        own.or(of_image).unwrap_or(Signal::TERM)
    }

    /// Whether sidecars wait for the others: when the pod or its sandbox ends, not when one container is replaced.
    fn is_ordered(&self) -> bool {
        let teardown = self.state.teardown;
        teardown.is_some_and(|t| !matches!(t.cause, Cause::RestartAll { .. }))
    }
}
