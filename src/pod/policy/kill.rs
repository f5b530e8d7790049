//! How one container is stopped, whoever wants it: preStop, stop signal, SIGKILL. Source: `pod-semantics` 4.9.

use crate::base::{InstanceId, Mono, Signal};
use crate::manifest::HookKind;
use crate::pod::Action;
use crate::pod::grace::Grace;
use crate::pod::policy::Turn;
use crate::pod::state::{Cause, Hook, Stopping};
use std::time::Duration;

/// What a container gets between its stop signal and SIGKILL at least, however short the grace. Source: kubelet.
const MIN_GRACE: Duration = Duration::from_secs(2);

impl Turn<'_> {
    /// Container `k` is to end; if it is being stopped already, its grace may only become shorter.
    pub fn begin_stop(&mut self, k: usize, grace: Grace) {
        if let Some(stopping) = &mut self.state.containers[k].stopping {
            return stopping.grace.shorten(grace);
        }
        self.state.containers[k].stopping = Some(Stopping {
            grace,
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
        let in_time = !self.is_due(stopping.grace.until());
        if in_time && stopping.pre_stop != Hook::Over {
            return self.pre_stop(k, instance, &stopping);
        }
        if in_time && self.is_ordered() && self.waits_for_others(k) {
            return;
        }
        let at = self.kill_moment(stopping.grace);
        self.is_due(at);
        self.set_stopping(k, |stopping| {
            stopping.pre_stop = Hook::Over;
            stopping.kill_at = Some(at);
        });
        let signal = self.stop_signal(k);
        self.actions.push(Action::Signal { instance, signal });
    }

    /// A request that came later ends every grace here at the latest.
    pub fn shorten_stops(&mut self, grace: Grace, force: bool) {
        let latest = match force {
            true => self.now.mono,
            false => self.kill_moment(grace),
        };
        for facts in &mut self.state.containers {
            if let Some(stopping) = &mut facts.stopping {
                stopping.grace.shorten(grace);
                stopping.kill_at = stopping.kill_at.map(|at| at.min(latest));
            }
        }
    }

    fn pre_stop(&mut self, k: usize, instance: InstanceId, stopping: &Stopping) {
        if stopping.pre_stop != Hook::Ahead {
            return;
        }
        let limit = Some(stopping.grace.until().since(self.now.mono));
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

    /// The pod's own grace, from now.
    pub fn own_grace(&self) -> Grace {
        self.grace(Duration::from_secs(self.spec.grace_seconds))
    }

    /// So much grace, from now.
    pub fn grace(&self, length: Duration) -> Grace {
        Grace::new(self.now.mono, length)
    }

    /// When SIGKILL follows a stop signal sent now.
    fn kill_moment(&self, grace: Grace) -> Mono {
        grace.until().max(self.now.mono + MIN_GRACE)
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
