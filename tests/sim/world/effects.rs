//! What the runtimes and processes of the model world do with what is asked of them.

use super::{Being, Body, Event, Flight, World};
use podshim::base::{Exit, InstanceId, Signal};
use podshim::pod::{
    Action, DiskUse, Failure, FailureReason, Input, InstanceKind, OpId, Outcome, ProbeAnswer,
};

impl World<'_> {
    pub(super) fn perform(&mut self, action: Action) {
        match &action {
            Action::Persist => {
                if let Some(machine) = &self.machine {
                    self.disk = machine.state().clone();
                }
            }
            Action::Signal { instance, signal } => self.signal(instance.clone(), *signal),
            Action::Kill { instance } => {
                if let Some(body) = self.bodies.get_mut(instance) {
                    if body.stubborn > 0 {
                        body.stubborn -= 1;
                        return;
                    }
                    let at = self.now.mono.0 + self.random.below(50);
                    self.plan(at, Event::Die(instance.clone(), Exit::Signal(Signal::KILL)));
                }
            }
            Action::Reply { .. } | Action::Announce(_) => {}
            Action::RunProbe { instance, kind, .. } => {
                let answer = match self.random.below(10) {
                    0..=5 => ProbeAnswer::Success,
                    6..=8 => ProbeAnswer::Failure("no".into()),
                    _ => ProbeAnswer::Discarded("what".into()),
                };
                let at = self.now.mono.0 + self.random.span(11);
                let (instance, kind) = (instance.clone(), *kind);
                self.hear_later(
                    at,
                    Input::Probed {
                        instance,
                        kind,
                        answer,
                    },
                );
            }
            Action::MeasureDisk { volumes, .. } => {
                let is_over = self.faults && self.random.chance(15);
                let bytes = crate::pods::SIZE_LIMIT + u64::from(is_over);
                let problem = self.random.chance(50).then(|| "no".to_owned());
                let volumes = volumes.iter().map(|name| (name.clone(), bytes)).collect();
                let containers = Default::default();
                let used = DiskUse {
                    volumes,
                    containers,
                };
                let at = self.now.mono.0 + self.random.span(16);
                self.hear_later(at, Input::Measured { used, problem });
            }
            Action::Create {
                op, instance, kind, ..
            } => {
                let body = Body {
                    kind: kind.clone(),
                    being: Being::Nothing,
                    exit: None,
                    stubborn: 0,
                };
                self.bodies.insert(instance.clone(), body);
                self.launch(*op, action);
            }
            Action::Prepare { op }
            | Action::EnsureImage { op, .. }
            | Action::Start { op, .. }
            | Action::RunHook { op, .. }
            | Action::SetUpNetwork { op, .. }
            | Action::TearDownNetwork { op, .. }
            | Action::Delete { op, .. }
            | Action::CleanUp { op } => {
                self.launch(*op, action);
            }
        }
    }

    pub(super) fn launch(&mut self, op: OpId, action: Action) {
        let outcome = self.outcome(&action);
        let at = self.now.mono.0 + self.random.span(11);
        let flight = Flight {
            action,
            outcome,
            applied: false,
        };
        self.flights.insert(op, flight);
        self.plan(at, Event::Effect(op));
    }

    pub(super) fn outcome(&mut self, action: &Action) -> Outcome {
        if self.faults && self.random.chance(120) {
            let reason = match self.random.below(5) {
                0 => FailureReason::CreateContainerConfigError,
                1 => FailureReason::StartError,
                2 => FailureReason::RuntimeHung,
                3 => FailureReason::ErrImagePull,
                _ => FailureReason::Other,
            };
            let message = "made to fail".into();
            return Outcome::Failed(Failure { reason, message });
        }
        match action {
            Action::EnsureImage { .. } => Outcome::ImageReady {
                image_id: "sha256:1".into(),
                stop_signal: None,
            },
            Action::Create { .. } => Outcome::Created {
                pid: self.random.below(30_000) as u32 + 2,
            },
            Action::SetUpNetwork { .. } => Outcome::NetworkReady {
                pod_ips: vec!["10.0.0.2".into()],
            },
            _ => Outcome::Ok,
        }
    }

    /// The moment the runtime has done its work; the answer travels after it, and an exit may overtake the answer.
    pub(super) fn take_effect(&mut self, op: OpId) {
        let Some(mut flight) = self.flights.get(&op).cloned() else {
            return;
        };
        if flight.applied {
            return;
        }
        flight.applied = true;
        let failed = matches!(flight.outcome, Outcome::Failed(_));
        match flight.action.clone() {
            Action::Create { instance, .. } => self.create(&instance, failed),
            Action::Start { instance, .. } => {
                let started = self.start(&instance, failed);
                if !started && !failed {
                    flight.outcome = Outcome::Failed(Failure {
                        reason: FailureReason::StartError,
                        message: "cannot start what has stopped".into(),
                    });
                }
            }
            Action::Delete { instance, .. } if !failed => {
                self.die(&instance, Exit::Signal(Signal::KILL));
                if let Some(body) = self.bodies.get_mut(&instance) {
                    body.being = Being::Removed;
                }
            }
            Action::SetUpNetwork { pause, .. } if !failed || self.random.chance(500) => {
                self.network_up = Some(pause);
            }
            Action::TearDownNetwork { .. } if !failed => self.network_up = None,
            Action::Prepare { .. } => self.clean = false,
            Action::CleanUp { .. } if !failed => self.clean = true,
            _ => {}
        }
        let outcome = flight.outcome.clone();
        self.flights.insert(op, flight);
        let at = self.now.mono.0 + self.random.span(9);
        self.hear_later(at, Input::Done { op, outcome });
    }

    /// A runtime's create may leave anything when it fails.
    pub(super) fn create(&mut self, id: &InstanceId, failed: bool) {
        let leaves = if failed { self.random.below(3) } else { 1 };
        let dies = self.faults && self.random.chance(20);
        if let Some(body) = self.bodies.get_mut(id) {
            body.being = match leaves {
                0 => Being::Nothing,
                1 => Being::Created,
                _ => Being::Ended(Exit::Code(1)),
            };
        }
        if dies && leaves == 1 {
            let at = self.now.mono.0 + self.random.span(9);
            self.plan(at, Event::Die(id.clone(), Exit::Signal(Signal::KILL)));
        }
    }

    /// Whether there was something to start.
    pub(super) fn start(&mut self, id: &InstanceId, failed: bool) -> bool {
        let stubborn = if self.faults && self.random.chance(50) {
            3
        } else {
            0
        };
        let Some(body) = self.bodies.get_mut(id) else {
            return false;
        };
        if body.being != Being::Created {
            return false;
        }
        if failed && self.random.chance(500) {
            return true;
        }
        body.being = Being::Running;
        body.stubborn = stubborn;
        let is_pause = body.kind == InstanceKind::Pause;
        if stubborn > 0 && !is_pause {
            // What survives a kill ends by nothing else.
            return true;
        }
        if !is_pause || (self.faults && self.random.chance(200)) {
            let code = if self.random.chance(500) {
                0
            } else {
                1 + self.random.below(3) as u8
            };
            let length = if is_pause { 20 } else { 22 };
            let at = self.now.mono.0 + self.random.span(length);
            self.plan(at, Event::Die(id.clone(), Exit::Code(code)));
        }
        true
    }

    pub(super) fn signal(&mut self, id: InstanceId, signal: Signal) {
        if signal.number() == 10 || self.random.chance(400) {
            return;
        }
        let at = self.now.mono.0 + self.random.span(14);
        let exit = if self.random.chance(500) {
            Exit::Code(0)
        } else {
            Exit::Signal(signal)
        };
        self.plan(at, Event::Die(id, exit));
    }

    pub(super) fn die(&mut self, id: &InstanceId, exit: Exit) {
        let Some(body) = self.bodies.get_mut(id) else {
            return;
        };
        if !matches!(body.being, Being::Created | Being::Running) {
            return;
        }
        body.being = Being::Ended(exit);
        body.exit = Some(exit);
        let is_pause = body.kind == InstanceKind::Pause;
        let oom_killed = self.random.chance(30);
        self.note(|| format!("  {id} dies: {exit}"));
        let heard = Input::Exited {
            instance: id.clone(),
            exit,
            oom_killed,
            message: String::new(),
        };
        let at = self.now.mono.0 + self.random.span(9);
        self.hear_later(at, heard);
        if is_pause && self.pod.share_process_namespace {
            let others: Vec<_> = self.bodies.keys().cloned().collect();
            for other in others {
                self.die(&other, Exit::Signal(Signal::KILL));
            }
        }
    }
}
