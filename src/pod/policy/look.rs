//! Judgements: questions about the facts whose answers change nothing. Source: `pod-semantics` 4.2, 4.3, 4.5, 4.12.

use crate::base::{Mono, Now};
use crate::manifest::{ProbeKind, RestartPolicy, Role};
use crate::pod::engine::Presence;
use crate::pod::spec::Spec;
use crate::pod::state::{Facts, Hook, Network, State};
use crate::pod::{Phase, Terminated};

/// The facts at one moment.
pub(in crate::pod) struct Look<'a> {
    pub spec: &'a Spec,
    pub state: &'a State,
    pub now: Mono,
}

impl<'a> Look<'a> {
    /// Indexes of the containers of one role, in order.
    pub fn of_role(&self, role: Role) -> impl Iterator<Item = usize> + use<'a> {
        let containers = &self.spec.containers;
        (0..containers.len()).filter(move |k| containers[*k].role == role)
    }

    /// Indexes of the containers that the manifest says, in order.
    pub fn without_ephemeral(&self) -> impl Iterator<Item = usize> + use<'a> {
        let containers = &self.spec.containers;
        (0..containers.len()).filter(move |k| containers[*k].role != Role::Ephemeral)
    }

    /// The facts of the app containers, in order.
    pub fn apps(&self) -> impl Iterator<Item = &'a Facts> + use<'a> {
        let state = self.state;
        self.of_role(Role::App).map(move |k| &state.containers[k])
    }

    pub fn is_app(&self, k: usize) -> bool {
        self.spec.containers[k].role == Role::App
    }

    /// Since when container `k` runs, with what is done at its start behind it.
    pub fn runs_since(&self, k: usize) -> Option<Now> {
        let facts = &self.state.containers[k];
        let is_past = !self.spec.containers[k].post_start || facts.post_start == Hook::Over;
        let instance = facts
            .slot
            .instance
            .as_ref()
            .filter(|_| facts.slot.is_running() && is_past && facts.hook_failure.is_none())?;
        instance.started
    }

    pub fn runs(&self, k: usize) -> bool {
        self.runs_since(k).is_some()
    }

    /// Whether the startup probe of container `k`, if it has one, has succeeded.
    pub fn has_started_up(&self, k: usize) -> bool {
        !self.has_probe(k, ProbeKind::Startup) || self.state.containers[k].health.started
    }

    /// `started` of container `k` (4.5).
    pub fn is_started(&self, k: usize) -> bool {
        self.runs(k) && self.has_started_up(k)
    }

    /// `ready` of a container that lasts (4.5).
    pub fn is_ready(&self, k: usize) -> bool {
        let says_so = self.state.containers[k].health.ready;
        self.is_started(k) && (says_so || !self.has_probe(k, ProbeKind::Readiness))
    }

    fn has_probe(&self, k: usize, kind: ProbeKind) -> bool {
        let mut probes = self.spec.containers[k].probes.iter();
        probes.any(|probe| probe.kind == kind)
    }

    /// Whether container `k` ended having done what it was for.
    pub fn has_succeeded(&self, k: usize) -> bool {
        self.state.containers[k]
            .ended
            .as_ref()
            .is_some_and(|ended| ended.is_success(self.is_app(k)))
    }

    /// Whether container `k`, having ended like this, starts again (4.3).
    pub fn restarts(&self, k: usize, ended: &Terminated) -> bool {
        if self.state.is_ending() {
            return false;
        }
        let success = ended.is_success(self.is_app(k));
        match self.spec.containers[k].role {
            Role::Sidecar => true,
            Role::Ephemeral => false,
            Role::Init if success => false,
            Role::Init | Role::App if self.rule(k, ended).is_some() => true,
            Role::Init | Role::App => match self.spec.containers[k].restart_policy {
                RestartPolicy::Always => true,
                RestartPolicy::OnFailure => !success,
                RestartPolicy::Never => false,
            },
        }
    }

    /// Whether container `k` ended and stays so.
    pub fn is_done(&self, k: usize) -> bool {
        let ended = self.state.containers[k].ended.as_ref();
        ended.is_some_and(|ended| !self.restarts(k, ended))
    }

    /// How many containers may be there now, in the order of the spec: init containers one after the other, app containers
    /// all at once after the last (4.2).
    pub fn reached(&self) -> usize {
        let all = self.spec.containers.len();
        if self.state.sandbox.apps_begun {
            return all;
        }
        // An app container may keep its end from the sandbox before.
        let begun = |k: usize| match self.spec.containers[k].role {
            Role::Init | Role::Sidecar => self.state.containers[k].is_begun(),
            Role::App | Role::Ephemeral => false,
        };
        for k in 0..all {
            let open = match self.spec.containers[k].role {
                Role::Init => self.has_succeeded(k),
                Role::Sidecar => self.is_started(k) || (k + 1..all).any(begun),
                Role::App | Role::Ephemeral => return all,
            };
            if !open {
                return k + 1;
            }
        }
        all
    }

    /// Whether the init containers are behind us, as far as their ends tell.
    pub fn was_initialized(&self) -> bool {
        self.state.sandbox.apps_begun
            || (0..self.spec.containers.len()).all(|k| match self.spec.containers[k].role {
                Role::Init => self.has_succeeded(k),
                Role::Sidecar => self.state.containers[k].is_begun(),
                Role::App | Role::Ephemeral => true,
            })
    }

    /// Pause has its namespaces: they are there to be joined before it runs.
    pub fn has_namespaces(&self) -> bool {
        let presence = self.state.sandbox.pause.presence();
        matches!(presence, Some(Presence::Created | Presence::Running))
    }

    /// Pause runs and its network is up.
    pub fn has_network(&self) -> bool {
        self.state.sandbox.pause.is_running() && self.state.sandbox.network == Network::Up
    }

    /// Pause ended, or what its creation left is unknown.
    pub fn has_spoiled_sandbox(&self) -> bool {
        let pause = &self.state.sandbox.pause;
        matches!(pause.presence(), Some(Presence::Gone | Presence::Unknown))
            || pause.has_ended_early()
    }

    /// `status.phase` (4.12).
    pub fn phase(&self) -> Phase {
        if let Some(verdict) = &self.state.verdict {
            return verdict.phase;
        }
        if self
            .of_role(Role::Init)
            .any(|k| self.has_failed_for_good(k))
        {
            return Phase::Failed;
        }
        let facts = |k: usize| &self.state.containers[k];
        let pending_init = self.of_role(Role::Init).any(|k| {
            let never_ended = facts(k).last_end().is_none();
            never_ended || facts(k).slot.is_running()
        });
        let never_ran = |k: usize| !self.runs(k) && facts(k).last_end().is_none();
        let is_starting = |k: usize| self.runs(k) && !self.has_started_up(k);
        let pending_sidecar = !self.state.sandbox.apps_begun
            && self
                .of_role(Role::Sidecar)
                .any(|k| is_starting(k) || never_ran(k));
        if pending_init || pending_sidecar || self.of_role(Role::App).any(never_ran) {
            return Phase::Pending;
        }
        // One that is being started may still run and end.
        let may_run = |f: &Facts| f.slot.instance.is_some() && f.ended.is_none();
        let someone_runs = self
            .of_role(Role::Sidecar)
            .chain(self.of_role(Role::App))
            .any(|k| may_run(facts(k)));
        if someone_runs {
            return Phase::Running;
        }
        let torn_down = self.state.teardown.is_some_and(|t| t.cause.is_final());
        if !torn_down && !self.of_role(Role::App).all(|k| self.is_done(k)) {
            return Phase::Running;
        }
        self.phase_of_ends()
    }

    /// Succeeded if every app container's last end was 0, else Failed; an end from before all containers started again counts
    /// only once the init containers are behind us again.
    pub fn phase_of_ends(&self) -> Phase {
        let is_initialized = self.was_initialized();
        let well = |facts: &Facts| {
            let before = facts.previous.as_ref().filter(|_| is_initialized);
            let end = facts.ended.as_ref().or(before);
            end.is_some_and(|end| end.exit_code == 0)
        };
        if self.apps().all(well) {
            Phase::Succeeded
        } else {
            Phase::Failed
        }
    }

    fn has_failed_for_good(&self, k: usize) -> bool {
        self.is_done(k) && !self.has_succeeded(k)
    }
}
