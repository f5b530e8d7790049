//! One container.

use super::pod::sort;
use super::{Cause, Explanation, Next, Subject};
use crate::manifest::{ProbeKind, Role};
use crate::pod::engine::{Instance, Presence, Verb};
use crate::pod::state::{Facts, Hook, Stopping, Teardown, Why};
use crate::pod::{ContainerState, ContainerView, Terminated, words};

impl Subject<'_> {
    /// Why container `k` is as it is.
    pub fn container(&self, k: usize) -> Explanation {
        let facts = &self.known.state.containers[k];
        let view = self.look.view().containers.swap_remove(k);
        let mut chain = Chain {
            because: self.recorded(Some(&view.name)),
            next: Vec::new(),
        };
        if let Some(failure) = &facts.hook_failure {
            chain
                .because
                .push(Cause::Fact(format!("its postStart hook failed: {failure}")));
        }
        if let Some(ended) = facts.last_end() {
            chain.because.extend(self.end_facts(&view.name, ended));
        }
        let teardown = self.known.state.teardown;
        match (&facts.slot.instance, teardown) {
            (Some(instance), Some(teardown)) => self.ending(k, instance, teardown, &mut chain),
            (Some(instance), None) => self.standing(k, instance, &mut chain),
            (None, Some(teardown)) => self.gone(k, facts, teardown, &mut chain),
            (None, None) => self.waiting(k, facts, &mut chain),
        }
        sort(&mut chain.next);
        Explanation {
            is_well: is_well(&view) && teardown.is_none_or(|_| self.known.state.settled),
            state: word(&view),
            container: Some(view.name),
            because: chain.because,
            next: chain.next,
        }
    }

    /// What an end says beyond its event.
    fn end_facts(&self, name: &str, ended: &Terminated) -> Vec<Cause> {
        let mut facts = Vec::new();
        if ended.reason == words::OOM_KILLED {
            let spec = self.known.pod.container(name);
            let limit = spec.and_then(|spec| spec.resources.limits.get("memory"));
            facts.push(Cause::Fact(match limit {
                Some(limit) => format!("its memory limit is {limit}"),
                None => "it has no memory limit of its own: the pod's or the machine's was reached"
                    .into(),
            }));
        }
        let last_words = ended.message.lines().next().unwrap_or_default().trim();
        if !last_words.is_empty() && ended.reason != words::START_ERROR {
            facts.push(Cause::Fact(format!("its last words: {last_words}")));
        }
        facts
    }

    /// There is an instance, and it may stay.
    fn standing(&self, k: usize, instance: &Instance, chain: &mut Chain) {
        match (instance.presence, instance.flight.map(|(_, verb)| verb)) {
            (Presence::Running, _) => {
                match &self.known.state.containers[k].stopping {
                    Some(stopping) => self.stopping(k, stopping, chain),
                    None => self.health(k, chain),
                }
                if let Some(ended) = self.known.state.containers[k].last_end() {
                    chain.rule(self.restart_rule(k, ended));
                }
            }
            (_, Some(Verb::Delete)) => chain.then("what is left of it is removed"),
            (_, Some(Verb::Start)) => chain.then("it starts"),
            (_, Some(Verb::Create)) => chain.then("it is created"),
            (Presence::Created, None) => {
                chain.because.push(Cause::Fact(
                    "it is created and waits for the network".into(),
                ));
                chain.next.extend(self.sandbox());
            }
            (Presence::Absent | Presence::Unknown | Presence::Gone, None) => {
                let text = "what is left of it is removed, before the next instance";
                chain.next.push(self.at(instance.not_before, text));
            }
        }
        if let Some(ended) = &self.known.state.containers[k].ended {
            self.again(k, ended, chain);
        }
    }

    /// There is an instance, and everything is taken down.
    fn ending(&self, k: usize, instance: &Instance, teardown: Teardown, chain: &mut Chain) {
        chain.rule(self.end_rule(teardown.cause));
        if instance.presence != Presence::Running {
            let text = "what is left of it is removed";
            return chain.next.push(self.at(instance.not_before, text));
        }
        match &self.known.state.containers[k].stopping {
            Some(stopping) => self.stopping(k, stopping, chain),
            None => chain.then("it is asked to end"),
        }
    }

    /// It runs and is on its way out.
    fn stopping(&self, k: usize, stopping: &Stopping, chain: &mut Chain) {
        let ordered = self.known.state.teardown.is_some();
        match (stopping.kill_at, stopping.pre_stop) {
            (Some(at), _) => {
                let text = "it is killed, if it has not ended by itself";
                chain.next.push(self.at(at, text));
            }
            (None, Hook::Running(_)) => {
                chain
                    .because
                    .push(Cause::Fact("its preStop hook runs".into()));
                let text = "it is asked to end, even if its preStop hook has not ended";
                chain.next.push(self.at(stopping.grace.until(), text));
            }
            (None, _) if ordered && self.look.spec.containers[k].role == Role::Sidecar => {
                chain.rule("a sidecar is stopped after the app containers and the sidecars declared after it".into());
                let text = "it is asked to end, even if others still run";
                chain.next.push(self.at(stopping.grace.until(), text));
            }
            (None, Hook::Ahead | Hook::Over) => chain.then("it is asked to end"),
        }
    }

    /// It runs and may stay: what its hook and its probes say.
    fn health(&self, k: usize, chain: &mut Chain) {
        let facts = &self.known.state.containers[k];
        if let Hook::Running(_) = facts.post_start {
            chain
                .rule("a container runs, for all others, once its postStart hook has ended".into());
            chain.then("its postStart hook ends");
        }
        let is_started = self.look.has_started_up(k);
        for (n, probe) in self.look.spec.containers[k].probes.iter().enumerate() {
            let probing = facts.health.probes.0.get(n);
            let failures = probing.map_or(0, |probing| probing.failures);
            let (is_silent, text) = match probe.kind {
                ProbeKind::Startup => (is_started, "its startup probe has not succeeded"),
                ProbeKind::Readiness => (
                    !is_started || facts.health.ready,
                    "its readiness probe does not say that it is ready",
                ),
                ProbeKind::Liveness => (failures == 0, "its liveness probe fails"),
            };
            if is_silent {
                continue;
            }
            chain.because.push(Cause::Fact(text.into()));
            if failures > 0 {
                chain.rule(format!(
                    "{} failures in a row decide, {} successes mend: so far {failures} failed",
                    probe.failures, probe.successes,
                ));
            }
            if let Some(next) = probing.and_then(|probing| probing.next) {
                let kind = format!("{:?}", probe.kind).to_lowercase();
                chain
                    .next
                    .push(self.at(next, format!("its {kind} probe runs")));
            }
        }
    }

    /// There is none, and there will be none while everything is taken down.
    fn gone(&self, k: usize, facts: &Facts, teardown: Teardown, chain: &mut Chain) {
        match &facts.ended {
            Some(ended) if self.look.is_done(k) => chain.rule(self.restart_rule(k, ended)),
            Some(_) | None => {}
        }
        if !self.known.state.settled {
            chain.rule(self.end_rule(teardown.cause));
        } else if facts.last_end().is_none() {
            chain.because.push(Cause::Fact("it never ran".into()));
        }
    }

    /// There is none: it ended, or something comes before it.
    fn waiting(&self, k: usize, facts: &Facts, chain: &mut Chain) {
        if let Some(ended) = &facts.ended {
            self.again(k, ended, chain);
            if self.look.is_done(k) {
                return;
            }
        }
        if let Some(hold) = &facts.hold {
            let until = hold.until;
            match &hold.why {
                Why::CrashLoop(delay) if !delay.is_zero() => {
                    chain.rule(self.backoff_rule(*delay));
                    let text = format!("it is created again: restart {}", facts.attempts);
                    chain.next.push(self.at(until, text));
                }
                Why::CrashLoop(_) => {}
                Why::Together => {
                    chain.rule(
                        "all containers start again, after the back-off of the one that wanted it"
                            .into(),
                    );
                    chain.next.push(self.at(until, "it is created again"));
                }
                Why::Failed(failure) => {
                    chain.because.push(Cause::Fact(failure.message.clone()));
                    chain.rule("what could not be configured or created is tried again; that is no restart".into());
                    chain.next.push(self.at(until, "it is tried again"));
                }
            }
        }
        self.image(k, facts, chain);
        if k >= self.look.reached() && self.look.spec.containers[k].role != Role::Ephemeral {
            let before = self.look.reached().saturating_sub(1);
            let first = &self.look.spec.containers[before].name;
            chain.rule(
                "init containers run one after the other, app containers after the last of them"
                    .into(),
            );
            chain.then(&format!("`{first}` is done first: see `why` of it"));
        } else if !self.look.has_namespaces() {
            chain.next.extend(self.sandbox());
        }
    }

    fn image(&self, k: usize, facts: &Facts, chain: &mut Chain) {
        if facts.image.ready {
            return;
        }
        let image = &self.look.spec.containers[k].image;
        if facts.image.task.op.is_some() {
            return chain.then(&format!("the image `{image}` comes"));
        }
        if facts.image.failures > 0 {
            let settings = self.known.settings;
            chain.rule(format!(
                "an image that does not come is tried again after {} doubling to {}, whatever the restartPolicy; this was try {}",
                super::rule::span(settings.image_backoff_initial),
                super::rule::span(settings.image_backoff_max),
                facts.image.failures,
            ));
            let text = format!("the image `{image}` is tried again");
            chain.next.push(self.at(facts.image.task.not_before, text));
        }
    }

    /// What follows from an end.
    fn again(&self, k: usize, ended: &Terminated, chain: &mut Chain) {
        chain.rule(self.restart_rule(k, ended));
        if self.look.is_done(k) {
            chain.because.push(Cause::Fact("it stays as it is".into()));
        }
    }
}

/// An explanation in the making.
struct Chain {
    because: Vec<Cause>,
    next: Vec<Next>,
}

impl Chain {
    fn rule(&mut self, text: String) {
        self.because.push(Cause::Rule(text));
    }

    fn then(&mut self, text: &str) {
        self.next.push(Next::then(text));
    }
}

fn is_well(view: &ContainerView) -> bool {
    match &view.state {
        ContainerState::Waiting { .. } => false,
        ContainerState::Running { .. } => view.ready,
        ContainerState::Terminated(end) => end.exit_code == 0,
    }
}

fn word(view: &ContainerView) -> String {
    match &view.state {
        ContainerState::Waiting { reason, .. } => format!("Waiting {reason}"),
        ContainerState::Running { .. } if view.ready => "Running".into(),
        ContainerState::Running { .. } => "Running, not ready".into(),
        ContainerState::Terminated(end) => format!("Terminated {} {}", end.reason, end.exit_code),
    }
}
