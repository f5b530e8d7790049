//! A pod on a virtual clock where every operation answers at once: for scenarios that are about rules, not about races.

use podshim::base::{Exit, InstanceId, Mono, Now, Signal, Wall};
use podshim::manifest::{Container, Handler, HookKind, Pod, ProbeKind};
use podshim::pod::{
    Action, ContainerState, DiskUse, Failure, FailureReason, Input, InstanceKind, Machine,
    Observed, OpId, Outcome, PodView, ProbeAnswer, Request, RequestId, Settings,
};
use std::collections::{BTreeMap, VecDeque};

/// What a container's process does.
#[derive(Clone, Copy, Debug)]
pub struct Life {
    /// Milliseconds until it ends by itself.
    pub length: u64,
    /// And how.
    pub exit: Exit,
    /// Milliseconds from a stop signal to its end; `None` ignores it, as a plain PID 1 does.
    pub on_signal: Option<u64>,
}

pub const FOREVER: u64 = 1 << 40;

impl Life {
    pub fn ends(seconds: u64, code: u8) -> Life {
        Life {
            length: seconds * 1000,
            exit: Exit::Code(code),
            on_signal: None,
        }
    }

    pub fn obeys(milliseconds: u64) -> Life {
        Life {
            length: FOREVER,
            exit: Exit::Code(0),
            on_signal: Some(milliseconds),
        }
    }
}

/// A pod and its clock.
pub struct Clock {
    pub machine: Machine,
    pub now: u64,
    /// What the clock on the wall shows, as milliseconds since 1970, while the other one shows this.
    pub wall: fn(u64) -> u64,
    /// Container → the lives of its instances; the last one repeats.
    lives: BTreeMap<String, Vec<Life>>,
    /// Container, `pause` or `network` → how its next creations fail; `start pause` → how its next starts do.
    pub failing: BTreeMap<String, VecDeque<FailureReason>>,
    /// Container and probe → from which millisecond of the clock on it says what; before the first, yes.
    pub health: BTreeMap<(String, ProbeKind), Vec<(u64, bool)>>,
    /// No probe answers.
    pub mute: bool,
    /// The instance whose start does not answer.
    pub stuck: Option<InstanceId>,
    /// The instance whose creation does not answer.
    pub hung: Option<InstanceId>,
    /// What does not answer.
    held: Option<OpId>,
    /// From which millisecond on which volume or container takes so much of the disk.
    pub disk: Vec<(u64, String, u64)>,
    /// Hooks that fail.
    pub bad_hooks: Vec<(String, HookKind)>,
    pod: Pod,
    /// Hooks in flight: when each ends.
    hooks: BTreeMap<u64, Vec<Input>>,
    /// Process → when it ends and how.
    running: BTreeMap<InstanceId, (u64, Exit, Option<u64>)>,
    /// What was done, with the second it was done: `create a-0`, `term a-0`, `kill a-0`, `exit a-0 1`, …
    pub log: Vec<(u64, String)>,
}

impl Clock {
    /// A pod that has begun.
    pub fn start(pod: &Pod, lives: &[(&str, &[Life])]) -> Clock {
        let mut clock = Clock::new(pod, lives);
        clock.begin();
        clock
    }

    /// A pod of which nothing exists yet.
    pub fn new(pod: &Pod, lives: &[(&str, &[Life])]) -> Clock {
        let lives = lives.iter().map(|(n, l)| ((*n).to_owned(), l.to_vec()));
        Clock {
            machine: Machine::new(pod, Settings::default(), at(0)),
            now: 0,
            wall: |mono| 1_700_000_000_000 + mono,
            lives: lives.collect(),
            failing: BTreeMap::new(),
            health: BTreeMap::new(),
            mute: false,
            stuck: None,
            hung: None,
            held: None,
            disk: Vec::new(),
            bad_hooks: Vec::new(),
            pod: pod.clone(),
            hooks: BTreeMap::new(),
            running: BTreeMap::new(),
            log: Vec::new(),
        }
    }

    pub fn begin(&mut self) -> &mut Clock {
        self.hear(Input::Timer);
        self
    }

    /// Lets time pass, in seconds.
    pub fn pass(&mut self, seconds: u64) -> &mut Clock {
        let end = self.now + seconds * 1000;
        loop {
            let exit = self
                .running
                .iter()
                .map(|(id, (at, ..))| (*at, id.clone()))
                .min();
            let timer = self.machine.next_deadline().map(|mono| mono.0);
            let hook = self.hooks.keys().next().copied();
            let next = [exit.as_ref().map(|(at, _)| *at), timer, hook];
            let Some(next) = next.into_iter().flatten().min().filter(|at| *at <= end) else {
                self.now = end;
                return self;
            };
            self.now = next;
            if let Some(done) = self.hooks.remove(&next) {
                done.into_iter().for_each(|input| self.hear(input));
                continue;
            }
            match exit.filter(|(at, _)| *at == next) {
                Some((_, id)) => self.end(&id),
                None => self.hear(Input::Timer),
            }
        }
    }

    pub fn stop(&mut self, grace_seconds: Option<u64>, force: bool) -> &mut Clock {
        let request = Request::Stop {
            grace_seconds,
            force,
        };
        let id = RequestId(1);
        self.hear(Input::Request { id, request });
        self
    }

    /// The supervisor dies, and what it was doing with it; the next one finds the processes.
    pub fn crash(&mut self) -> &mut Clock {
        let state = self.machine.state().clone();
        self.machine = Machine::restore(&self.pod, Settings::default(), state);
        self.hooks.clear();
        let seen = self.machine.instances().into_iter().map(|id| {
            let observed = match self.running.contains_key(&id) {
                true => Observed::Running { pid: 9 },
                false => Observed::Unknown,
            };
            (id, observed)
        });
        let seen = seen.collect();
        self.hear(Input::Recovered(seen));
        self
    }

    pub fn debug(&mut self, container: Container) -> &mut Clock {
        let container = Box::new(container);
        let request = Request::Debug { container };
        let id = RequestId(1);
        self.hear(Input::Request { id, request });
        self
    }

    /// What did not answer says now that it failed.
    pub fn fail_held(&mut self) -> &mut Clock {
        let outcome = Outcome::Failed(Failure {
            reason: FailureReason::StartError,
            message: "no".into(),
        });
        if let Some(op) = self.held.take() {
            self.hear(Input::Done { op, outcome });
        }
        self
    }

    /// A process dies of SIGKILL now.
    pub fn shoot(&mut self, id: &str) -> &mut Clock {
        let id = InstanceId(id.into());
        if let Some((_, exit, _)) = self.running.get_mut(&id) {
            *exit = Exit::Signal(Signal::KILL);
        }
        self.end(&id);
        self
    }

    pub fn view(&self) -> PodView {
        self.machine.view()
    }

    /// The moments, in milliseconds, of everything logged that starts so.
    pub fn times(&self, prefix: &str) -> Vec<u64> {
        let hits = self.log.iter().filter(|(_, what)| what.starts_with(prefix));
        hits.map(|(at, _)| *at).collect()
    }

    /// Everything logged that starts with one of these, in order.
    pub fn order(&self, prefixes: &[&str]) -> Vec<&str> {
        let all = self.log.iter().map(|(_, what)| what.as_str());
        all.filter(|what| prefixes.iter().any(|p| what.starts_with(p)))
            .collect()
    }

    /// The `state` of a container in a few words.
    pub fn state(&self, name: &str) -> String {
        let view = self.view();
        let Some(container) = view.containers.iter().find(|c| c.name == name) else {
            return "absent".into();
        };
        match &container.state {
            ContainerState::Waiting { reason, .. } => reason.clone(),
            ContainerState::Running { .. } => "Running".into(),
            ContainerState::Terminated(end) => format!("{} {}", end.reason, end.exit_code),
        }
    }

    fn end(&mut self, id: &InstanceId) {
        if let Some((_, exit, _)) = self.running.remove(id) {
            self.note(format!("exit {id} {}", exit.code()));
            self.hear(Input::Exited {
                instance: id.clone(),
                exit,
                oom_killed: false,
                message: String::new(),
            });
        }
    }

    fn note(&mut self, what: String) {
        self.log.push((self.now, what));
    }

    pub fn hear(&mut self, input: Input) {
        let mut inputs = VecDeque::from([input]);
        while let Some(input) = inputs.pop_front() {
            let mut now = at(self.now);
            now.wall = Wall((self.wall)(self.now));
            for action in self.machine.step(now, input) {
                inputs.extend(self.perform(action));
            }
        }
    }

    fn perform(&mut self, action: Action) -> Option<Input> {
        let (op, outcome) = match action {
            Action::Reply {
                result: Err(refusal),
                ..
            } => {
                self.note(format!("refused {refusal:?}"));
                return None;
            }
            Action::Persist | Action::Reply { .. } => return None,
            Action::Announce(event) => {
                self.note(format!("event {}: {}", event.reason, event.message));
                return None;
            }
            Action::Signal { instance, signal } => {
                self.note(format!("term {instance}"));
                if let Some((at, exit, Some(delay))) = self.running.get_mut(&instance) {
                    *at = self.now + *delay;
                    *exit = Exit::Signal(signal);
                }
                return None;
            }
            Action::Kill { instance } => {
                self.note(format!("kill {instance}"));
                if let Some((at, exit, _)) = self.running.get_mut(&instance) {
                    *at = self.now;
                    *exit = Exit::Signal(Signal::KILL);
                }
                return None;
            }
            Action::MeasureDisk {
                volumes,
                containers,
            } => {
                self.note("measure".into());
                let now = self.now;
                let past = self.disk.iter().filter(|(at, ..)| *at <= now);
                let used: BTreeMap<_, _> = past.map(|(_, name, b)| (name.clone(), *b)).collect();
                let of = |names: Vec<String>| {
                    let names = names.into_iter();
                    let found = names.filter_map(|name| Some((name.clone(), *used.get(&name)?)));
                    found.collect()
                };
                let used = DiskUse {
                    volumes: of(volumes),
                    containers: of(containers),
                };
                let problem = None;
                return Some(Input::Measured { used, problem });
            }
            Action::RunProbe {
                instance,
                container,
                kind,
            } => {
                self.note(format!("probe {kind:?} {instance}"));
                if self.mute {
                    return None;
                }
                let said = self.health.get(&(container, kind));
                let said = said.and_then(|all| all.iter().rfind(|(at, _)| *at <= self.now));
                let answer = match said {
                    Some((_, false)) => ProbeAnswer::Failure("no".into()),
                    Some((_, true)) | None => ProbeAnswer::Success,
                };
                return Some(Input::Probed {
                    instance,
                    kind,
                    answer,
                });
            }
            Action::RunHook {
                op,
                instance,
                container,
                hook,
                limit,
            } => {
                self.note(format!("hook {hook:?} {instance}"));
                let of = self.pod.container(&container);
                let handler = of.and_then(|container| container.lifecycle.hook(hook));
                let length = match handler {
                    Some(Handler::Sleep(seconds)) => seconds * 1000,
                    Some(_) | None => 0,
                };
                let limit = limit.map_or(u64::MAX, |limit| limit.as_millis() as u64);
                let is_bad = self.bad_hooks.contains(&(container, hook));
                let outcome = match is_bad || length > limit {
                    true => Outcome::Failed(Failure {
                        reason: FailureReason::Other,
                        message: "no".into(),
                    }),
                    false => Outcome::Ok,
                };
                let done = Input::Done { op, outcome };
                let at = self.now + length.min(limit);
                self.hooks.entry(at).or_default().push(done);
                return None;
            }
            Action::EnsureImage { op, container } => {
                self.note(format!("image {container}"));
                let image_id = "sha256:1".into();
                let stop_signal = None;
                (
                    op,
                    Outcome::ImageReady {
                        image_id,
                        stop_signal,
                    },
                )
            }
            Action::Create { op, instance, kind } => {
                self.note(format!("create {instance}"));
                if self.hung.as_ref() == Some(&instance) {
                    self.held = Some(op);
                    return None;
                }
                (op, self.create(&kind))
            }
            Action::Start { op, instance } => {
                self.note(format!("start {instance}"));
                if self.stuck.as_ref() == Some(&instance) {
                    self.held = Some(op);
                    return None;
                }
                let (name, _) = instance.0.rsplit_once('-').unwrap_or_default();
                if let Some(failed) = self.failure(&format!("start {name}")) {
                    return Some(Input::Done {
                        op,
                        outcome: failed,
                    });
                }
                let life = self.life(&instance);
                let end = self.now + life.length;
                self.running
                    .insert(instance, (end, life.exit, life.on_signal));
                (op, Outcome::Ok)
            }
            Action::SetUpNetwork { op, .. } => {
                self.note("network up".into());
                let pod_ips = vec!["10.0.0.2".into()];
                let failed = self.failure("network");
                (op, failed.unwrap_or(Outcome::NetworkReady { pod_ips }))
            }
            Action::Delete { op, instance } => {
                self.running.remove(&instance);
                self.note(format!("delete {instance}"));
                (op, Outcome::Ok)
            }
            Action::TearDownNetwork { op, .. } => {
                self.note("network down".into());
                (op, Outcome::Ok)
            }
            Action::CleanUp { op } => {
                self.note("clean up".into());
                (op, Outcome::Ok)
            }
            Action::Prepare { op } => (op, Outcome::Ok),
        };
        Some(Input::Done { op, outcome })
    }

    fn create(&mut self, kind: &InstanceKind) -> Outcome {
        let name = match kind {
            InstanceKind::Pause => "pause",
            InstanceKind::Container { name, .. } => name,
        };
        self.failure(name).unwrap_or(Outcome::Created { pid: 9 })
    }

    /// The failure that is due.
    fn failure(&mut self, name: &str) -> Option<Outcome> {
        let reason = self.failing.get_mut(name)?.pop_front()?;
        let message = "no".into();
        Some(Outcome::Failed(Failure { reason, message }))
    }

    fn life(&self, id: &InstanceId) -> Life {
        let (name, _) = id.0.rsplit_once('-').unwrap_or((&id.0, ""));
        let nth = self.times(&format!("start {name}-")).len() - 1;
        let lives = self.lives.get(name).map_or(&[][..], Vec::as_slice);
        let life = lives.get(nth).or(lives.last()).copied();
        life.unwrap_or(Life::ends(FOREVER / 1000, 0))
    }
}

fn at(mono: u64) -> Now {
    Now {
        mono: Mono(mono),
        wall: Wall(1_700_000_000_000 + mono),
    }
}
