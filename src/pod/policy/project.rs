//! From facts to what faces show. Source: `pod-semantics` 4.5, 4.13.

use crate::manifest::Role;
use crate::pod::policy::{Look, Turn};
use crate::pod::state::{Cause, Facts, Flip, Why};
use crate::pod::view::SANDBOX_READY;
use crate::pod::{
    Condition, ContainerState, ContainerView, FailureReason, Phase, PodView, SandboxView,
    Terminated, words,
};

/// The condition while all containers are started again. Source: Kubernetes `core/v1`, PodConditionType.
const ALL_RESTARTING: &str = "AllContainersRestarting";

impl Turn<'_> {
    /// Notes since when each condition is what it is.
    pub fn note_conditions(&mut self) {
        let now = self.now.wall;
        let facts = self.look().conditions();
        let flips = &mut self.state.conditions;
        flips.resize(facts.len(), Flip::new(false, self.state.started.wall));
        for (flip, fact) in flips.iter_mut().zip(facts) {
            if flip.is_true != fact.is_true {
                *flip = Flip::new(fact.is_true, now);
            }
        }
    }
}

impl Look<'_> {
    /// The whole pod.
    pub fn view(&self) -> PodView {
        let verdict = self.state.verdict.as_ref();
        let word = |pick: fn(&crate::pod::state::Verdict) -> &String| {
            verdict.map(pick).cloned().unwrap_or_default()
        };
        PodView {
            phase: self.phase(),
            reason: word(|verdict| &verdict.reason),
            message: word(|verdict| &verdict.message),
            started_at: self.state.started.wall,
            deletion: self.state.deletion,
            conditions: self.conditions(),
            containers: (0..self.spec.containers.len())
                .map(|k| self.container(k))
                .collect(),
            sandbox: self.sandbox(),
            pod_ips: self.state.sandbox.pod_ips.clone(),
            settled: self.state.settled,
        }
    }

    fn sandbox(&self) -> Option<SandboxView> {
        let pause = self.state.sandbox.pause.instance.as_ref();
        let pause = pause.filter(|_| self.has_namespaces())?;
        Some(SandboxView {
            pause: pause.id.clone(),
            pid: pause.pid?,
            attempt: self.state.sandbox.attempt,
        })
    }

    fn container(&self, k: usize) -> ContainerView {
        let facts = &self.state.containers[k];
        let spec = &self.spec.containers[k];
        let (state, last_state) = self.state_of(k, facts);
        let is_running = facts.slot.is_running();
        let instance = facts.slot.instance.as_ref();
        let is_past_init = spec.role == Role::Init && self.has_succeeded(k);
        let last = facts.last_end();
        // The instance that ended is counted; one that may still run is the next.
        let is_next = instance.is_some() && facts.ended.is_none();
        ContainerView {
            name: spec.name.clone(),
            role: spec.role,
            ready: self.is_ready(k) || is_past_init,
            started: self.is_started(k),
            restart_count: facts.attempts.saturating_sub(u32::from(!is_next)),
            image_id: facts.image.id.clone(),
            instance: instance
                .map(|instance| instance.id.clone())
                .or_else(|| last.map(|ended| ended.instance.clone()))
                .filter(|id| !id.0.is_empty()),
            pid: instance.filter(|_| is_running).and_then(|i| i.pid),
            state,
            last_state,
        }
    }

    /// `state` and `lastState`.
    fn state_of(&self, k: usize, facts: &Facts) -> (ContainerState, Option<Terminated>) {
        if let Some(started) = self.runs_since(k) {
            let started_at = started.wall;
            let state = ContainerState::Running { started_at };
            return (state, facts.previous.clone());
        }
        let Some(ended) = &facts.ended else {
            return (self.waiting(k, facts), facts.previous.clone());
        };
        if self.is_done(k) {
            let state = ContainerState::Terminated(ended.clone());
            return (state, facts.previous.clone());
        }
        match self.held(k, facts) {
            Some(waiting) => (waiting, Some(ended.clone())),
            None if facts.hook_failure.is_some() => (self.waiting(k, facts), Some(ended.clone())),
            None if ended.reason == words::START_ERROR => {
                let state = waiting(words::RUN_ERROR, ended.message.clone());
                (state, Some(ended.clone()))
            }
            None => {
                let state = ContainerState::Terminated(ended.clone());
                (state, facts.previous.clone())
            }
        }
    }

    fn waiting(&self, k: usize, facts: &Facts) -> ContainerState {
        self.held(k, facts).unwrap_or_else(|| {
            if let Some(text) = &facts.hook_failure {
                return waiting(words::POST_START_ERROR, text.clone());
            }
            let word = if self.spec.has_init() {
                words::POD_INITIALIZING
            } else {
                words::CONTAINER_CREATING
            };
            waiting(word, String::new())
        })
    }

    /// What keeps a container from being created, if something does.
    fn held(&self, k: usize, facts: &Facts) -> Option<ContainerState> {
        let spec = &self.spec.containers[k];
        match facts.hold.as_ref().map(|hold| (&hold.why, hold.until)) {
            Some((Why::Failed(failure), _)) => {
                return Some(waiting(failure.reason.as_str(), failure.message.clone()));
            }
            Some((Why::CrashLoop(delay), until)) if self.now < until => {
                let text = format!(
                    "back-off {} restarting failed container={} pod={}",
                    go_duration(delay.as_secs()),
                    spec.name,
                    self.spec.title
                );
                return Some(waiting(words::CRASH_LOOP, text));
            }
            Some((Why::CrashLoop(_) | Why::Together, _)) | None => {}
        }
        let failure = facts.image.failure.as_ref()?;
        let again = failure.reason == FailureReason::ErrImagePull && facts.image.failures > 1;
        Some(if again {
            let text = format!(
                "Back-off pulling image \"{}\": {}",
                spec.image, failure.message
            );
            waiting(words::IMAGE_BACKOFF, text)
        } else {
            waiting(failure.reason.as_str(), failure.message.clone())
        })
    }

    /// `status.conditions`, each with its last transition.
    pub fn conditions(&self) -> Vec<Condition> {
        let phase = self.phase();
        let names = |bad: &dyn Fn(usize) -> bool, roles: &[Role]| {
            (0..self.spec.containers.len())
                .filter(|k| roles.contains(&self.spec.containers[*k].role) && bad(*k))
                .map(|k| self.spec.containers[k].name.as_str())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let ever_ran = |k: usize| self.runs(k) || self.state.containers[k].last_end().is_some();
        let incomplete = |k: usize| match self.spec.containers[k].role {
            Role::Init => !self.has_succeeded(k),
            Role::Sidecar | Role::App | Role::Ephemeral => !self.is_started(k),
        };
        let incomplete = names(&incomplete, &[Role::Init, Role::Sidecar]);
        let initialized = match phase {
            Phase::Succeeded => (true, "PodCompleted", String::new()),
            Phase::Pending | Phase::Running | Phase::Failed
                if incomplete.is_empty() || self.of_role(Role::App).any(ever_ran) =>
            {
                (true, "", String::new())
            }
            Phase::Pending | Phase::Running | Phase::Failed => {
                let text = format!("containers with incomplete status: [{incomplete}]");
                (false, "ContainersNotInitialized", text)
            }
        };
        let unready = names(&|k| !self.is_ready(k), &[Role::Sidecar, Role::App]);
        let containers_ready = match phase {
            Phase::Succeeded => (false, "PodCompleted", String::new()),
            Phase::Failed => (false, "PodFailed", String::new()),
            Phase::Pending | Phase::Running if unready.is_empty() => (true, "", String::new()),
            Phase::Pending | Phase::Running => {
                let text = format!("containers with unready status: [{unready}]");
                (false, "ContainersNotReady", text)
            }
        };
        let ready = match self.state.deletion {
            Some(_) if containers_ready.0 => (
                false,
                "PodTerminating",
                "the pod is being stopped".to_owned(),
            ),
            Some(_) | None => containers_ready.clone(),
        };
        let plain = |is_true| (is_true, "", String::new());
        let trouble = self.state.sandbox.trouble.as_ref();
        let sandbox = match trouble {
            Some((reason, message)) => (self.has_network(), reason.as_str(), message.clone()),
            None => plain(self.has_network()),
        };
        let cause = self.state.teardown.map(|teardown| teardown.cause);
        let all_again = matches!(cause, Some(Cause::RestartAll { .. }));
        [
            (SANDBOX_READY, sandbox),
            ("Initialized", initialized),
            ("Ready", ready),
            ("ContainersReady", containers_ready),
            ("PodScheduled", plain(true)),
        ]
        .into_iter()
        .chain(
            self.spec
                .restarts_all()
                .then_some((ALL_RESTARTING, plain(all_again))),
        )
        .enumerate()
        .map(|(n, (kind, (is_true, reason, message)))| Condition {
            kind: kind.to_owned(),
            is_true,
            reason: reason.to_owned(),
            message,
            since: self
                .state
                .conditions
                .get(n)
                .map_or(self.state.started.wall, |flip| flip.since),
        })
        .collect()
    }
}

fn waiting(reason: &str, message: String) -> ContainerState {
    ContainerState::Waiting {
        reason: reason.to_owned(),
        message,
    }
}

/// Whole seconds as Go prints a duration: `40s`, `1m20s`, `5m0s`.
fn go_duration(seconds: u64) -> String {
    match (seconds / 60, seconds % 60) {
        (0, rest) => format!("{rest}s"),
        (minutes, rest) => format!("{minutes}m{rest}s"),
    }
}
