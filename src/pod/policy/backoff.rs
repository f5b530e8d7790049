//! How an end is recorded and how long the next start waits. Source: `pod-semantics` 4.7 and 4.13.

use crate::base::{Exit, InstanceId, Mono, Now};
use crate::pod::engine::Ending;
use crate::pod::policy::Turn;
use crate::pod::state::{Cause, Hold, Why};
use crate::pod::{Failure, Terminated, words};
use std::time::Duration;

/// The exit code of what was killed.
const KILLED: i32 = 137;

impl Turn<'_> {
    /// The process of container `k` ended.
    pub fn record_exit(&mut self, k: usize, ending: Ending) {
        let reason = match ending.exit {
            Exit::Unknown => words::STATUS_UNKNOWN,
            Exit::Code(_) | Exit::Signal(_) if ending.oom_killed => words::OOM_KILLED,
            Exit::Code(0) => words::COMPLETED,
            Exit::Code(_) | Exit::Signal(_) => words::ERROR,
        };
        // What was killed to start with the others again did not fail.
        let reason = match self.is_restarted_with_all(k) {
            true => words::RESTARTING_ALL,
            false => reason,
        };
        let name = &self.spec.containers[k].name;
        let text = match reason {
            words::OOM_KILLED => format!("Container {name} ran out of memory: {}", ending.exit),
            _ => format!("Container {name} ended: {}", ending.exit),
        };
        match ending.exit {
            Exit::Code(0) => self.tell("Exited", Some(k), &text),
            Exit::Code(_) | Exit::Signal(_) | Exit::Unknown => self.warn("Exited", Some(k), &text),
        }
        let started = self.started(k);
        let code = match reason {
            words::RESTARTING_ALL => KILLED,
            _ => ending.exit.code(),
        };
        let ended = self.ended(k, code, reason, ending.message, ending.at);
        self.record(k, ended, started);
    }

    /// The runtime could not create or start container `k`: exit code 128, counts as a restart.
    pub fn record_start_error(&mut self, k: usize, failure: Failure) {
        self.warn("Failed", Some(k), &format!("Error: {}", failure.message));
        let mut ended = self.ended(k, 128, words::START_ERROR, failure.message, self.now);
        ended.started_at = None;
        self.record(k, ended, None);
    }

    fn started(&self, k: usize) -> Option<Now> {
        let instance = self.state.containers[k].slot.instance.as_ref();
        instance.and_then(|instance| instance.started)
    }

    fn ended(&self, k: usize, code: i32, reason: &str, message: String, at: Now) -> Terminated {
        let instance = self.state.containers[k].slot.instance.as_ref();
        Terminated {
            exit_code: code,
            reason: reason.to_owned(),
            message,
            started_at: self.started(k).map(|started| started.wall),
            finished_at: at.wall,
            instance: instance.map_or_else(|| InstanceId(String::new()), |i| i.id.clone()),
        }
    }

    fn is_restarted_with_all(&self, k: usize) -> bool {
        let is_told = self.state.containers[k].stopping.is_some();
        let cause = self.state.teardown.map(|teardown| teardown.cause);
        is_told && matches!(cause, Some(Cause::RestartAll { .. }))
    }

    fn record(&mut self, k: usize, ended: Terminated, started: Option<Now>) {
        let long = started
            .is_some_and(|started| self.now.mono.since(started.mono) > self.settings.backoff_reset);
        let initial = self.settings.backoff_initial.min(self.settings.backoff_max);
        let facts = &mut self.state.containers[k];
        let (delay, next) = match facts.backoff.filter(|_| !long) {
            None => (Duration::ZERO, initial),
            Some(delay) => (delay, (delay * 2).min(self.settings.backoff_max)),
        };
        if ended.reason != words::RESTARTING_ALL {
            facts.backoff = Some(next);
        }
        facts.attempts = facts.attempts.saturating_add(1);
        facts.stopping = None;
        facts.image.ready &= !self.spec.containers[k].image_each_time;
        facts.hold = Some(Hold {
            until: self.now.mono + delay,
            why: Why::CrashLoop(delay),
        });
        facts.ended = Some(ended);
        self.state.ever_created = true;
        if !delay.is_zero() && !self.look().is_done(k) {
            let spec = &self.spec.containers[k];
            let text = format!(
                "Back-off restarting failed container {} in pod {}",
                spec.name, self.spec.title
            );
            self.warn("BackOff", Some(k), &text);
        }
    }

    /// The wait after this many failures in a row to bring an image.
    pub fn image_retry_at(&self, failures: u32) -> Mono {
        let doublings = failures.saturating_sub(1).min(16);
        let wait = self
            .settings
            .image_backoff_initial
            .saturating_mul(1 << doublings)
            .min(self.settings.image_backoff_max);
        self.now.mono + wait
    }
}
