//! Probes: when each runs, what its answers amount to, and what follows. Source: `pod-semantics` 4.6.

use crate::base::InstanceId;
use crate::manifest::ProbeKind;
use crate::pod::policy::{Turn, one_line};
use crate::pod::spec::ProbeSpec;
use crate::pod::state::{Health, Probing};
use crate::pod::{Action, ProbeAnswer};

impl Turn<'_> {
    /// Runs the probes of container `k` that are due.
    pub fn run_probes(&mut self, k: usize) {
        let spec = self.spec;
        let started = match self.look().runs_since(k) {
            Some(started) => started.mono,
            None => return,
        };
        for (n, probe) in spec.containers[k].probes.iter().enumerate() {
            let facts = &self.state.containers[k];
            let mut probing = facts.health.probes.0.get(n).cloned().unwrap_or_default();
            if !self.is_wanted(k, probe.kind) || probing.in_flight {
                continue;
            }
            let next = probing.next.unwrap_or(started + probe.initial_delay);
            let is_due = self.is_due(next);
            if is_due {
                probing.in_flight = true;
                self.start_probe(k, probe.kind);
            }
            // A probe that takes longer than its period runs again at once, and the runs that were missed are not made up for.
            let after = self.now.mono + probe.period;
            probing.next = Some(if is_due { after } else { next });
            self.set_probing(k, n, probing);
        }
    }

    /// A probe of some instance was run once.
    pub fn probed(&mut self, instance: &InstanceId, kind: ProbeKind, answer: &ProbeAnswer) {
        let of_it = |k: &usize| {
            let current = self.state.containers[*k].slot.instance.as_ref();
            current.is_some_and(|current| current.id == *instance)
        };
        let Some(k) = (0..self.spec.containers.len()).find(of_it) else {
            return;
        };
        let spec = self.spec;
        let probes = &spec.containers[k].probes;
        let Some(n) = probes.iter().position(|probe| probe.kind == kind) else {
            return;
        };
        let probes_of = &self.state.containers[k].health.probes.0;
        let Some(mut probing) = probes_of.get(n).cloned() else {
            return;
        };
        probing.in_flight = false;
        let verdict = probing.count(&probes[n], answer);
        let is_news = probing.is_news(answer);
        probing.discarded = matches!(answer, ProbeAnswer::Discarded(_));
        self.is_steady = probing.successes > probes[n].successes;
        self.set_probing(k, n, probing);
        if let ProbeAnswer::Failure(text) | ProbeAnswer::Discarded(text) = answer
            && (is_news || verdict == Some(false))
            && self.is_wanted(k, kind)
        {
            let text = format!("{} probe failed: {}", word(kind), one_line(text));
            self.warn("Unhealthy", Some(k), &text);
        }
        if let Some(is_good) = verdict
            && self.is_wanted(k, kind)
        {
            self.judge_health(k, &probes[n], is_good);
        }
    }

    /// Whether this probe has still something to say: liveness and readiness wait for startup, and a container that is being
    /// stopped is not condemned again.
    fn is_wanted(&self, k: usize, kind: ProbeKind) -> bool {
        let facts = &self.state.containers[k];
        let stays = facts.stopping.is_none();
        let started = self.look().has_started_up(k);
        match kind {
            ProbeKind::Startup => stays && !started,
            ProbeKind::Liveness => stays && started,
            ProbeKind::Readiness => started,
        }
    }

    fn judge_health(&mut self, k: usize, probe: &ProbeSpec, is_good: bool) {
        match (probe.kind, is_good) {
            (ProbeKind::Startup, true) => {
                self.state.containers[k].health.started = true;
            }
            (ProbeKind::Readiness, is_ready) => {
                self.state.containers[k].health.ready = is_ready;
            }
            (ProbeKind::Liveness, true) => {}
            (ProbeKind::Startup | ProbeKind::Liveness, false) => {
                let name = &self.spec.containers[k].name;
                let kind = word(probe.kind).to_lowercase();
                let text = format!("Container {name} failed {kind} probe, will be stopped");
                self.tell("Killing", Some(k), &text);
                let of_probe = probe.grace.map(|length| self.grace(length));
                self.begin_stop(k, of_probe.unwrap_or_else(|| self.own_grace()));
            }
        }
    }

    fn start_probe(&mut self, k: usize, kind: ProbeKind) {
        let instance = self.state.containers[k].slot.instance.as_ref();
        if let Some(instance) = instance.map(|instance| instance.id.clone()) {
            let container = self.spec.containers[k].name.clone();
            self.actions.push(Action::RunProbe {
                instance,
                container,
                kind,
            });
        }
    }

    fn set_probing(&mut self, k: usize, n: usize, probing: Probing) {
        let count = self.spec.containers[k].probes.len();
        let probes = &mut self.state.containers[k].health.probes.0;
        probes.resize_with(count, Probing::default);
        probes[n] = probing;
    }
}

impl Probing {
    /// Takes in an answer; `Some` when enough of a kind came in a row.
    fn count(&mut self, probe: &ProbeSpec, answer: &ProbeAnswer) -> Option<bool> {
        match answer {
            ProbeAnswer::Success => {
                self.failures = 0;
                self.successes = self.successes.saturating_add(1);
                (self.successes >= probe.successes).then_some(true)
            }
            ProbeAnswer::Failure(_) => {
                self.successes = 0;
                self.failures = self.failures.saturating_add(1);
                (self.failures >= probe.failures).then_some(false)
            }
            ProbeAnswer::Discarded(_) => None,
        }
    }

    /// Whether an answer, already counted, is the first of its kind in a row: one event is enough for all of them.
    fn is_news(&self, answer: &ProbeAnswer) -> bool {
        match answer {
            ProbeAnswer::Success => false,
            ProbeAnswer::Failure(_) => self.failures == 1,
            ProbeAnswer::Discarded(_) => !self.discarded,
        }
    }
}

impl Health {
    /// The runs that were in flight are lost.
    pub fn forget_runs(&mut self) {
        for probing in &mut self.probes.0 {
            probing.in_flight = false;
        }
    }
}

/// The probe in an event.
fn word(kind: ProbeKind) -> &'static str {
    match kind {
        ProbeKind::Startup => "Startup",
        ProbeKind::Liveness => "Liveness",
        ProbeKind::Readiness => "Readiness",
    }
}
