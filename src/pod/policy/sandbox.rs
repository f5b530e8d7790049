//! The sandbox goes up in order (prepare, pause, network) and down in the reverse order. Source: `pod-semantics` 4.1, 2.7.

use crate::base::InstanceId;
use crate::pod::engine::{Presence, Verb};
use crate::pod::policy::Turn;
use crate::pod::state::Network;
use crate::pod::{Action, InstanceKind};

/// How pause's instances are named: `pause-0`, `pause-1`, …
const PAUSE: &str = "pause";

impl Turn<'_> {
    /// The next step towards a sandbox with a network.
    pub fn raise_sandbox(&mut self) {
        if !self.state.sandbox.prepared {
            return self.prepare();
        }
        match self.state.sandbox.pause.presence() {
            None => self.create_pause(),
            Some(Presence::Created) => self.start_pause(),
            Some(Presence::Running) => self.raise_network(),
            Some(Presence::Absent | Presence::Unknown | Presence::Gone) => {}
        }
    }

    fn raise_network(&mut self) {
        match self.state.sandbox.network {
            Network::Down => self.set_up_network(),
            Network::Dirty => self.tear_down_network(),
            Network::Raising | Network::Up => {}
        }
    }

    /// The next step towards nothing; whether nothing is left.
    pub fn lower_sandbox(&mut self) -> bool {
        let sandbox = &self.state.sandbox;
        if sandbox.prepare.op.is_some() {
            return false;
        }
        if sandbox.network != Network::Down || sandbox.network_task.op.is_some() {
            self.tear_down_network();
            return false;
        }
        if sandbox.pause.instance.is_some() {
            self.delete_pause();
            return false;
        }
        true
    }

    fn prepare(&mut self) {
        let task = &self.state.sandbox.prepare;
        if task.op.is_none() && self.is_due(task.not_before) {
            let op = self.next_op();
            self.state.sandbox.prepare.op = Some(op);
            self.actions.push(Action::Prepare { op });
        }
    }

    fn create_pause(&mut self) {
        if self.is_due(self.state.sandbox.not_before) {
            if self.state.sandbox.attempt > 0 {
                // The first sandbox that dies is replaced at once, one that keeps dying now and then.
                self.state.sandbox.not_before = self.retry_at();
            }
            let op = self.next_op();
            let instance = self.state.sandbox.pause.create(PAUSE, op);
            let kind = InstanceKind::Pause;
            self.actions.push(Action::Create { op, instance, kind });
        }
    }

    fn start_pause(&mut self) {
        if let Some(instance) = self.state.sandbox.pause.idle().map(|i| i.id.clone()) {
            let op = self.next_op();
            self.state.sandbox.pause.begin(Verb::Start, op);
            self.actions.push(Action::Start { op, instance });
        }
    }

    fn delete_pause(&mut self) {
        let Some(idle) = self.state.sandbox.pause.idle().cloned() else {
            return;
        };
        if self.is_due(idle.not_before) {
            let op = self.next_op();
            self.state.sandbox.pause.begin(Verb::Delete, op);
            let instance = idle.id;
            self.actions.push(Action::Delete { op, instance });
        }
    }

    fn set_up_network(&mut self) {
        if let Some(pause) = self.free_network()
            && self.is_due(self.state.sandbox.network_not_before)
        {
            let op = self.next_op();
            self.state.sandbox.network_task.op = Some(op);
            self.state.sandbox.network = Network::Raising;
            self.actions.push(Action::SetUpNetwork { op, pause });
        }
    }

    /// From its first moment on, a removal leaves nothing that could be used.
    fn tear_down_network(&mut self) {
        if let Some(pause) = self.free_network()
            && self.is_due(self.state.sandbox.network_task.not_before)
        {
            let op = self.next_op();
            self.state.sandbox.network_task.op = Some(op);
            self.state.sandbox.network = Network::Dirty;
            self.actions.push(Action::TearDownNetwork { op, pause });
        }
    }

    /// The pause instance, if nothing is being done to its network.
    fn free_network(&self) -> Option<InstanceId> {
        let pause = self.state.sandbox.pause.instance.as_ref();
        let idle = self.state.sandbox.network_task.op.is_none();
        pause.filter(|_| idle).map(|pause| pause.id.clone())
    }
}
