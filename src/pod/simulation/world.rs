//! The simulated world: what it does with each action, and when.

use super::script::{Happening, Life, OnStop, Script, Step, take};
use crate::base::{Exit, InstanceId, Mono, Now, Signal, Wall};
use crate::manifest::{HookKind, Pod};
use crate::pod::{
    Action, DiskUse, Event, Failure, FailureReason, Input, InstanceKind, Machine, Moment,
    MomentKind, OpId, Outcome, ProbeAnswer, Request, RequestId, Settings, Timeline,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// When simulated pods begin: 2026-01-01T00:00:00Z. Rules never look at it.
const EPOCH: u64 = 1_767_225_600_000;
/// Most steps of a simulation: a pod that crashes at once, for ten years.
const MAX_STEPS: usize = 1_000_000;
/// Where a simulated pod can be reached.
const POD_IP: &str = "10.0.0.2";
/// What a simulated image is.
const IMAGE_ID: &str = "sha256:simulated";

/// A pod in a simulated world.
#[derive(Debug)]
pub struct Simulation<'a> {
    pod: &'a Pod,
    script: Script,
    machine: Machine,
    now: u64,
    /// What will be, by moment and then in the order it was planned.
    plan: BTreeMap<(u64, u64), Next>,
    planned: u64,
    requests: u64,
    processes: BTreeMap<InstanceId, Process>,
    timeline: Timeline,
    moments: Vec<Moment>,
    events: Vec<Event>,
}

/// Why a simulation stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// The pod is over.
    Settled,
    /// Nothing will happen any more.
    AtRest,
    /// Its time was up.
    TimeUp,
    /// It did too much at once.
    TooMuch,
}

#[derive(Debug)]
enum Next {
    Hear(Input),
    Exit(InstanceId),
    Happen(Happening),
}

/// A process that runs.
#[derive(Debug)]
struct Process {
    container: Option<String>,
    exit: Exit,
    oom_killed: bool,
    /// Its place in the plan, if it is to end.
    ends: Option<(u64, u64)>,
}

impl<'a> Simulation<'a> {
    /// A pod that is about to begin, and the world it will meet.
    pub fn new(pod: &'a Pod, settings: Settings, script: Script) -> Simulation<'a> {
        let mut simulation = Simulation {
            pod,
            machine: Machine::new(pod, settings, moment(0)),
            now: 0,
            plan: BTreeMap::new(),
            planned: 0,
            requests: 0,
            processes: BTreeMap::new(),
            timeline: Timeline::default(),
            moments: Vec::new(),
            events: Vec::new(),
            script,
        };
        simulation.plan(Duration::ZERO, Next::Hear(Input::Timer));
        for (at, happening) in std::mem::take(&mut simulation.script.moments) {
            simulation.plan(at, Next::Happen(happening));
        }
        simulation
    }

    /// Lets time pass until this long after the beginning, or until nothing is left to happen.
    pub fn run(&mut self, until: Duration) -> Stopped {
        let until = milliseconds(until);
        for _ in 0..MAX_STEPS {
            if self.machine.view().settled {
                return Stopped::Settled;
            }
            let planned = self.plan.first_key_value().map(|((at, _), _)| *at);
            let timer = self.machine.next_deadline().map(|at| at.0.max(self.now));
            let Some(next) = [planned, timer].into_iter().flatten().min() else {
                return Stopped::AtRest;
            };
            if next > until {
                self.now = until.max(self.now);
                return Stopped::TimeUp;
            }
            self.now = next;
            // What happens at the moment of a deadline happens before it: that is the order of the supervisor's loop.
            match self.plan.first_entry().filter(|e| e.key().0 == next) {
                Some(entry) => {
                    let next = entry.remove();
                    self.meet(next);
                }
                None => self.hear(Input::Timer),
            }
        }
        Stopped::TooMuch
    }

    /// The machine as it is now.
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// This moment.
    pub fn now(&self) -> Now {
        moment(self.now)
    }

    /// What was seen so far.
    pub fn moments(&self) -> &[Moment] {
        &self.moments
    }

    /// What was announced so far.
    pub fn events(&self) -> &[Event] {
        &self.events
    }

    fn plan(&mut self, delay: Duration, next: Next) -> (u64, u64) {
        let key = (self.now + milliseconds(delay), self.planned);
        self.planned += 1;
        self.plan.insert(key, next);
        key
    }

    fn meet(&mut self, next: Next) {
        match next {
            Next::Hear(input) => self.hear(input),
            Next::Exit(instance) => self.exit(&instance),
            Next::Happen(Happening::Request(request)) => self.ask(request),
            Next::Happen(Happening::PauseDies) => {
                let pause = self.processes.iter().find(|(_, p)| p.container.is_none());
                if let Some(instance) = pause.map(|(instance, _)| instance.clone()) {
                    self.note(None, "dies", "pause");
                    self.end(&instance, Duration::ZERO, Exit::Signal(Signal::KILL));
                }
            }
        }
    }

    fn ask(&mut self, request: Request) {
        match &request {
            Request::Stop {
                grace_seconds,
                force,
            } => {
                let grace = grace_seconds.map_or("of the pod".into(), |s| format!("{s}s"));
                let word = if *force { "force" } else { "stop" };
                self.note(None, word, &format!("grace {grace}"));
            }
            Request::Signal { container, signal } => {
                self.note(container.clone(), "signal", &signal.to_string());
            }
            // No script can ask for it.
            Request::Debug { .. } => {}
        }
        self.requests += 1;
        let id = RequestId(self.requests);
        self.hear(Input::Request { id, request });
    }

    fn exit(&mut self, instance: &InstanceId) {
        if let Some(process) = self.processes.remove(instance) {
            self.hear(Input::Exited {
                instance: instance.clone(),
                exit: process.exit,
                oom_killed: process.oom_killed,
                message: String::new(),
            });
        }
    }

    fn hear(&mut self, input: Input) {
        let now = moment(self.now);
        let actions = self.machine.step(now, input);
        let moments = self.timeline.after(now, self.machine.view(), &actions);
        self.moments.extend(moments);
        for action in actions {
            self.perform(action);
        }
    }

    fn perform(&mut self, action: Action) {
        match action {
            Action::Persist | Action::Reply { .. } => {}
            Action::Announce(event) => self.events.push(event),
            Action::Signal { instance, signal } => self.signal(&instance, signal),
            Action::Kill { instance } => {
                self.end(&instance, Duration::ZERO, Exit::Signal(Signal::KILL));
            }
            Action::EnsureImage { op, container } => {
                let ready = Outcome::ImageReady {
                    image_id: IMAGE_ID.into(),
                    stop_signal: None,
                };
                self.answer(op, Some(Step::Image(container)), ready);
            }
            Action::Create { op, kind, .. } => {
                let step = match kind {
                    InstanceKind::Pause => Step::Sandbox,
                    InstanceKind::Container { name, .. } => Step::Create(name),
                };
                self.answer(op, Some(step), Outcome::Created { pid: 0 });
            }
            Action::Start { op, instance } => self.start(op, instance),
            Action::RunHook {
                op,
                container,
                hook,
                limit,
                ..
            } => self.run_hook(op, container, hook, limit),
            Action::RunProbe {
                instance,
                container,
                kind,
            } => {
                let at = Duration::from_millis(self.now);
                let answer = match self.script.is_sick(&container, kind, at) {
                    true => ProbeAnswer::Failure(said(FailureReason::Other).into()),
                    false => ProbeAnswer::Success,
                };
                let probed = Input::Probed {
                    instance,
                    kind,
                    answer,
                };
                self.plan(Duration::ZERO, Next::Hear(probed));
            }
            Action::MeasureDisk { .. } => {
                let nothing = Input::Measured {
                    used: DiskUse::default(),
                    problem: None,
                };
                self.plan(Duration::ZERO, Next::Hear(nothing));
            }
            Action::SetUpNetwork { op, .. } => {
                let pod_ips = vec![POD_IP.into()];
                self.answer(op, Some(Step::Network), Outcome::NetworkReady { pod_ips });
            }
            Action::Delete { op, instance } => {
                if let Some(key) = self.processes.remove(&instance).and_then(|p| p.ends) {
                    self.plan.remove(&key);
                }
                self.answer(op, None, Outcome::Ok);
            }
            Action::Prepare { op }
            | Action::TearDownNetwork { op, .. }
            | Action::CleanUp { op } => {
                self.answer(op, None, Outcome::Ok);
            }
        }
    }

    /// The outcome of an operation, unless the script lets it fail.
    fn answer(&mut self, op: OpId, step: Option<Step>, well: Outcome) -> bool {
        let delay = step.as_ref().and_then(|s| self.script.delays.get(s));
        let delay = delay.copied().unwrap_or_default();
        let failures = step.and_then(|step| self.script.failures.get_mut(&step));
        let failed = failures.and_then(take);
        let is_well = failed.is_none();
        let outcome = failed.map_or(well, |reason| {
            Outcome::Failed(Failure {
                reason,
                message: said(reason).into(),
            })
        });
        self.plan(delay, Next::Hear(Input::Done { op, outcome }));
        is_well
    }

    /// A hook that takes longer than it may is cut off.
    fn run_hook(&mut self, op: OpId, container: String, hook: HookKind, limit: Option<Duration>) {
        let step = match hook {
            HookKind::PostStart => Step::PostStart(container),
            HookKind::PreStop => Step::PreStop(container),
        };
        let takes = self.script.delays.get(&step).copied().unwrap_or_default();
        match limit.filter(|limit| *limit < takes) {
            None => drop(self.answer(op, Some(step), Outcome::Ok)),
            Some(limit) => {
                let outcome = Outcome::Failed(Failure {
                    reason: FailureReason::Other,
                    message: "it took longer than it may".into(),
                });
                self.plan(limit, Next::Hear(Input::Done { op, outcome }));
            }
        }
    }

    fn start(&mut self, op: OpId, instance: InstanceId) {
        let container = self.container_of(&instance);
        let step = container.clone().map(Step::Start);
        if !self.answer(op, step, Outcome::Ok) {
            return;
        }
        let life = match &container {
            None => Life::FOREVER,
            Some(name) => {
                let scripted = self.script.lives.get_mut(name).and_then(take);
                scripted.unwrap_or_else(|| Life::well(self.pod, name))
            }
        };
        let ends = life
            .runs
            .map(|runs| self.plan(runs, Next::Exit(instance.clone())));
        let process = Process {
            container,
            exit: life.exit,
            oom_killed: life.oom_killed,
            ends,
        };
        self.processes.insert(instance, process);
    }

    /// What a process makes of a signal: of its stop signal what the script says; others that end a process end it.
    fn signal(&mut self, instance: &InstanceId, signal: Signal) {
        let name = self.container_of(instance);
        let spec = name.as_ref().and_then(|name| self.pod.container(name));
        let stop = spec.and_then(|c| c.stop_signal).unwrap_or(Signal::TERM);
        if signal == Signal::KILL {
            self.end(instance, Duration::ZERO, Exit::Signal(signal));
        } else if signal == stop {
            let scripted = name.and_then(|name| self.script.on_stop.get(&name));
            let on_stop = scripted.copied().unwrap_or(OnStop::WELL);
            if let Some(delay) = on_stop.ends_after {
                self.end(instance, delay, on_stop.exit(signal));
            }
        }
    }

    /// Lets a process end so, unless it ends earlier.
    fn end(&mut self, instance: &InstanceId, delay: Duration, exit: Exit) {
        let at = self.now + milliseconds(delay);
        let Some(process) = self.processes.get(instance) else {
            return;
        };
        if process.ends.is_some_and(|(ends, _)| ends <= at) {
            return;
        }
        if let Some(key) = process.ends {
            self.plan.remove(&key);
        }
        let key = self.plan(delay, Next::Exit(instance.clone()));
        if let Some(process) = self.processes.get_mut(instance) {
            process.ends = Some(key);
            process.exit = exit;
            process.oom_killed = false;
        }
    }

    /// The container of an instance; pause is none.
    fn container_of(&self, instance: &InstanceId) -> Option<String> {
        let (name, _) = instance.0.rsplit_once('-')?;
        self.pod.container(name).map(|c| c.name.clone())
    }

    fn note(&mut self, container: Option<String>, what: &str, detail: &str) {
        self.moments.push(Moment {
            at: moment(self.now),
            container,
            kind: MomentKind::World,
            what: what.to_owned(),
            detail: detail.to_owned(),
        });
    }
}

/// What a failure of the script says.
fn said(reason: FailureReason) -> &'static str {
    match reason {
        FailureReason::ErrImagePull => "the script lets the pull fail",
        FailureReason::InvalidImageName
        | FailureReason::ErrImageNeverPull
        | FailureReason::CreateContainerConfigError
        | FailureReason::CreateContainerError
        | FailureReason::StartError
        | FailureReason::RuntimeHung
        | FailureReason::Other => "the script lets it fail",
    }
}

fn moment(ms: u64) -> Now {
    Now {
        mono: Mono(ms),
        wall: Wall(EPOCH + ms),
    }
}

fn milliseconds(span: Duration) -> u64 {
    // Far enough that nothing overflows.
    u64::try_from(span.as_millis())
        .unwrap_or(u64::MAX)
        .min(u64::MAX / 4)
}
