//! Images, creation and start of containers in their order. Source: `pod-semantics` 4.1, 4.2.

use crate::manifest::Role;
use crate::pod::engine::{Presence, Verb};
use crate::pod::policy::Turn;
use crate::pod::state::{Health, Hook, Why};
use crate::pod::{Action, InstanceKind};

impl Turn<'_> {
    /// What brings the pod closer to running.
    pub fn build_up(&mut self) {
        if self.state.teardown.is_some() {
            return;
        }
        self.raise_sandbox();
        self.watch_disk();
        for k in 0..self.spec.containers.len() {
            self.ensure_image(k);
        }
        if !self.look().has_namespaces() {
            return;
        }
        let reached = self.look().reached();
        for k in 0..self.spec.containers.len() {
            if k >= reached && self.spec.containers[k].role != Role::Ephemeral {
                continue;
            }
            match self.state.containers[k].slot.presence() {
                None => self.create(k),
                Some(Presence::Created) => self.start(k),
                Some(Presence::Gone | Presence::Unknown) => self.delete(k),
                Some(Presence::Running) => self.tend(k),
                Some(Presence::Absent) => {}
            }
        }
    }

    /// What a running container needs.
    fn tend(&mut self, k: usize) {
        self.post_start(k);
        self.run_probes(k);
        self.stop_step(k);
    }

    /// Removes what is left of the instance of container `k`.
    pub fn delete(&mut self, k: usize) {
        let Some(idle) = self.state.containers[k].slot.idle().cloned() else {
            return;
        };
        if self.is_due(idle.not_before) {
            let op = self.next_op();
            self.state.containers[k].slot.begin(Verb::Delete, op);
            let instance = idle.id;
            self.actions.push(Action::Delete { op, instance });
        }
    }

    /// Images come in parallel with the sandbox and with one another.
    fn ensure_image(&mut self, k: usize) {
        let image = &self.state.containers[k].image;
        let hold = self.state.containers[k].hold.as_ref();
        let not_before = hold.map_or(image.task.not_before, |h| {
            h.until.max(image.task.not_before)
        });
        let wanted = !image.ready && image.task.op.is_none() && !self.look().is_done(k);
        if wanted && self.is_due(not_before) {
            let op = self.next_op();
            self.state.containers[k].image.task.op = Some(op);
            let container = self.spec.containers[k].name.clone();
            self.actions.push(Action::EnsureImage { op, container });
        }
    }

    fn create(&mut self, k: usize) {
        let facts = &self.state.containers[k];
        let spec = &self.spec.containers[k];
        let lacks_address = spec.needs_address && !self.look().has_network();
        if !facts.image.ready || lacks_address || self.look().is_done(k) {
            return;
        }
        if let Some(until) = facts.hold.as_ref().map(|hold| hold.until)
            && !self.is_due(until)
        {
            return;
        }
        let op = self.next_op();
        let facts = &mut self.state.containers[k];
        if let Some(ended) = facts.ended.take() {
            facts.previous = Some(ended);
        }
        facts.hold = facts.hold.take().filter(|hold| match hold.why {
            Why::CrashLoop(_) | Why::Together => false,
            // Shown until it works.
            Why::Failed(_) => true,
        });
        facts.stopping = None;
        facts.post_start = Hook::Ahead;
        facts.hook_failure = None;
        facts.health = Health::default();
        let instance = facts.slot.create(&spec.name, op);
        let kind = InstanceKind::Container {
            name: spec.name.clone(),
            attempt: facts.attempts,
        };
        self.state.sandbox.apps_begun |= spec.role == Role::App;
        self.actions.push(Action::Create { op, instance, kind });
    }

    fn start(&mut self, k: usize) {
        if !self.look().has_network() || self.waits_for_hook(k) {
            return;
        }
        if let Some(instance) = self.state.containers[k].slot.idle().map(|i| i.id.clone()) {
            let op = self.next_op();
            self.state.containers[k].slot.begin(Verb::Start, op);
            self.actions.push(Action::Start { op, instance });
        }
    }
}
