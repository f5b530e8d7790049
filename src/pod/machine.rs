//! The machine: a value that takes one input at a time and says what to do.

use crate::base::{InstanceId, Mono, Now};
use crate::manifest::{Container, Pod};
use crate::pod::policy::{Look, Turn};
use crate::pod::settings::Settings;
use crate::pod::spec::Spec;
use crate::pod::state::{Facts, State};
use crate::pod::{Action, Input, PodView, Refusal, Request};

/// The life of one pod. Nothing in it reads a clock or touches the world.
#[derive(Clone, Debug)]
pub struct Machine {
    spec: Spec,
    settings: Settings,
    state: State,
    now: Now,
    wake: Option<Mono>,
    is_idle: bool,
}

impl Machine {
    /// A pod of which nothing exists yet; `status.startTime` is `now`. The first `Input::Timer` starts it.
    pub fn new(pod: &Pod, settings: Settings, now: Now) -> Machine {
        let state = State::new(pod.containers.len(), now);
        Machine {
            now,
            ..Machine::restore(pod, settings, state)
        }
    }

    /// The machine that had this state; its next input is `Input::Recovered`. The pod must be the one it had then.
    pub fn restore(pod: &Pod, settings: Settings, mut state: State) -> Machine {
        let mut spec = Spec::of(pod);
        for container in &state.ephemeral {
            spec.add(pod.restart_policy, container);
        }
        let count = spec.containers.len();
        state.containers.resize_with(count, Facts::default);
        Machine {
            now: state.started,
            spec,
            settings,
            state,
            wake: None,
            is_idle: false,
        }
    }

    /// All that must survive the supervisor.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// Takes in what happened and answers what to do, in order. When facts changed that must survive, the first action is
    /// `Persist`. Any input at any time is allowed; what belongs to nothing known changes nothing.
    pub fn step(&mut self, now: Now, input: Input) -> Vec<Action> {
        self.now = now;
        let before = self.state.clone();
        let refused = match &input {
            Input::Request {
                request: Request::Debug { container },
                ..
            } => self.admit(container).err(),
            _ => None,
        };
        let mut turn = Turn {
            spec: &self.spec,
            settings: &self.settings,
            state: &mut self.state,
            now,
            actions: Vec::new(),
            wake: None,
            is_steady: matches!(input, Input::Timer),
        };
        match (refused, input) {
            (Some(refusal), Input::Request { id, .. }) => {
                let result = Err(refusal);
                turn.actions.push(Action::Reply { id, result });
            }
            (_, input) => turn.take(input),
        }
        let Turn {
            mut actions,
            wake,
            is_steady,
            ..
        } = turn;
        self.wake = wake;
        let looks = |a: &Action| matches!(a, Action::RunProbe { .. } | Action::MeasureDisk { .. });
        self.is_idle = is_steady && actions.iter().all(looks) && self.state == before;
        if self.state != before {
            actions.insert(0, Action::Persist);
        }
        actions
    }

    /// Adds a container for debugging.
    fn admit(&mut self, container: &Container) -> Result<(), Refusal> {
        if self.state.settled || self.state.is_ending() {
            return Err(Refusal::PodEnded);
        }
        let mut taken = self.spec.containers.iter();
        if taken.any(|other| other.name == container.name) {
            return Err(Refusal::NameTaken(container.name.clone()));
        }
        self.spec.add(self.spec.restart_policy, container);
        self.state.containers.push(Facts::default());
        self.state.ephemeral.push(container.clone());
        Ok(())
    }

    /// The containers that were added to the pod for debugging.
    pub fn ephemeral(&self) -> &[Container] {
        self.state.ephemeral()
    }

    /// `view().settled`: nothing will happen any more.
    pub fn is_settled(&self) -> bool {
        self.state.settled
    }

    /// Whether the last step was the everyday of probes and measurements that go well: a replay does without it.
    pub fn was_idle(&self) -> bool {
        self.is_idle
    }

    /// The instances of which something may exist: what a new supervisor has to look for before `Input::Recovered`.
    pub fn instances(&self) -> Vec<InstanceId> {
        let slots = self.state.containers.iter().map(|facts| &facts.slot);
        std::iter::once(&self.state.sandbox.pause)
            .chain(slots)
            .filter_map(|slot| slot.instance.as_ref().map(|instance| instance.id.clone()))
            .collect()
    }

    /// When the next `Input::Timer` is due; none while everything waits for something else.
    pub fn next_deadline(&self) -> Option<Mono> {
        self.wake
    }

    /// What faces show, as of the last step.
    pub fn view(&self) -> PodView {
        Look {
            spec: &self.spec,
            state: &self.state,
            now: self.now.mono,
        }
        .view()
    }
}
