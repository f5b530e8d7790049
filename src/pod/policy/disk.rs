//! A pod that takes more of the disk than it may is evicted: measured now and then, only where something is limited.
//! Source: `pod-semantics` 5.1; kubelet, eviction manager.

use crate::base::Mono;
use crate::pod::policy::Turn;
use crate::pod::{Action, DiskUse, Phase, words};
use std::time::Duration;

/// A measurement takes at most one part in so many of the time.
const SHARE: u32 = 10;

impl Turn<'_> {
    /// Asks for a measurement when it is time for one.
    pub fn watch_disk(&mut self) {
        let Some(limits) = &self.spec.disk else {
            return;
        };
        if !self.state.sandbox.prepared || !self.state.ever_created {
            return;
        }
        let watch = &self.state.disk.0;
        if watch.since.is_some() {
            return;
        }
        let next = watch.next;
        let next = next.unwrap_or_else(|| self.after_a_while(Duration::ZERO));
        self.state.disk.0.next = Some(next);
        if self.is_due(next) {
            self.state.disk.0.since = Some(self.now.mono);
            let (volumes, containers) = limits.wanted.clone();
            self.actions.push(Action::MeasureDisk {
                volumes,
                containers,
            });
        }
    }

    /// A measurement has ended.
    pub fn measured(&mut self, used: &DiskUse, problem: Option<&str>) {
        let since = self.state.disk.0.since.take();
        let took = since.map_or(Duration::ZERO, |since| self.now.mono.since(since));
        self.state.disk.0.next = Some(self.after_a_while(took));
        self.is_steady = problem.is_none();
        if let Some(problem) = problem {
            let text = format!("Cannot measure all that the pod uses of the disk: {problem}");
            self.warn("FailedMeasure", None, &text);
        }
        let limits = self.spec.disk.as_ref();
        let exceeded = limits.and_then(|limits| limits.exceeded(used));
        if let Some(message) = exceeded.filter(|_| !self.state.is_ending()) {
            self.is_steady = false;
            self.decide(Phase::Failed, words::EVICTED, &message);
            self.warn(words::EVICTED, None, &message);
            self.evict();
        }
    }

    fn after_a_while(&self, took: Duration) -> Mono {
        self.now.mono + self.settings.disk_period.max(took * (SHARE - 1))
    }
}
