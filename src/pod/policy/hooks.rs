//! Hooks: what is done when a container has started. Source: `pod-semantics` 4.1, 4.8.

use crate::base::InstanceId;
use crate::manifest::HookKind;
use crate::pod::engine::Presence;
use crate::pod::policy::{Turn, one_line};
use crate::pod::state::Hook;
use crate::pod::{Action, OpId, Outcome};
use std::time::Duration;

impl Turn<'_> {
    /// Begins a hook of the running container `k`.
    pub fn run_hook(
        &mut self,
        k: usize,
        instance: InstanceId,
        hook: HookKind,
        limit: Option<Duration>,
    ) -> OpId {
        let op = self.next_op();
        let container = self.spec.containers[k].name.clone();
        self.actions.push(Action::RunHook {
            op,
            instance,
            container,
            hook,
            limit,
        });
        op
    }

    /// The postStart hook of container `k`, once it runs.
    pub fn post_start(&mut self, k: usize) {
        let facts = &self.state.containers[k];
        let is_ahead = self.spec.containers[k].post_start && facts.post_start == Hook::Ahead;
        let instance = facts.slot.instance.as_ref().map(|i| i.id.clone());
        if let Some(instance) = instance.filter(|_| is_ahead) {
            let op = self.run_hook(k, instance, HookKind::PostStart, None);
            self.state.containers[k].post_start = Hook::Running(op);
        }
    }

    /// Whether an app container before `k` is on its way and has not done what it does at its start.
    pub fn waits_for_hook(&self, k: usize) -> bool {
        let is_busy = |j: usize| {
            let facts = &self.state.containers[j];
            let is_there = match facts.slot.presence() {
                Some(Presence::Absent | Presence::Created | Presence::Running) => true,
                Some(Presence::Unknown | Presence::Gone) | None => false,
            };
            self.spec.containers[j].post_start && facts.post_start != Hook::Over && is_there
        };
        let look = self.look();
        look.is_app(k) && (0..k).any(|j| look.is_app(j) && is_busy(j))
    }

    /// A hook of container `k` ended; `false` says the operation is none of its hooks.
    pub fn hook_done(&mut self, k: usize, op: OpId, outcome: &Outcome) -> bool {
        let facts = &mut self.state.containers[k];
        let failure = match outcome {
            Outcome::Failed(failure) => Some(one_line(&failure.message).to_owned()),
            Outcome::Ok
            | Outcome::Created { .. }
            | Outcome::ImageReady { .. }
            | Outcome::NetworkReady { .. } => None,
        };
        if facts.post_start == Hook::Running(op) {
            facts.post_start = Hook::Over;
            if let Some(text) = failure {
                self.post_start_failed(k, text);
            }
            return true;
        }
        let stopping = facts.stopping.as_mut();
        if let Some(stopping) = stopping.filter(|s| s.pre_stop == Hook::Running(op)) {
            stopping.pre_stop = Hook::Over;
            if let Some(text) = failure {
                self.warn("FailedPreStopHook", Some(k), &text);
            }
            return true;
        }
        false
    }

    fn post_start_failed(&mut self, k: usize, text: String) {
        self.warn("FailedPostStartHook", Some(k), &text);
        self.state.containers[k].hook_failure = Some(text);
        // One that is being stopped anyway keeps the grace that it has.
        if self.state.containers[k].stopping.is_none() {
            self.begin_stop(k, self.own_grace());
        }
    }
}
