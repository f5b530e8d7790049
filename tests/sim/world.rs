//! A model of everything outside the machine: runtimes that fail and leave anything, processes that end when they like, a
//! supervisor that dies between any two actions.

mod crash;
mod effects;

use crate::random::Random;
use crate::rules::Rules;
use podshim::base::{Exit, InstanceId, Mono, Now, Signal, Wall};
use podshim::manifest::Pod;
use podshim::pod::{
    Action, Input, InstanceKind, Machine, OpId, Outcome, Request, RequestId, Settings, State,
};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// Difference of the two clocks: a mix-up shows.
const WALL: u64 = 1_700_000_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Being {
    Nothing,
    Created,
    Running,
    Ended(Exit),
    Removed,
}

/// What really is of an instance.
#[derive(Debug)]
pub struct Body {
    pub kind: InstanceKind,
    pub being: Being,
    /// How its process ended, if it had one and it ended.
    pub exit: Option<Exit>,
    /// Kills it survives, as a process in D state does.
    stubborn: u64,
}

#[derive(Debug, Clone)]
pub struct Flight {
    pub action: Action,
    outcome: Outcome,
    applied: bool,
}

#[derive(Debug)]
enum Event {
    /// An operation takes effect in the world.
    Effect(OpId),
    /// The supervisor of this life hears something.
    Hear(u64, Input),
    /// A process ends by itself.
    Die(InstanceId, Exit),
    Crash,
    Revive,
}

pub struct World<'a> {
    pub pod: &'a Pod,
    pub settings: Settings,
    pub random: Random,
    pub now: Now,
    pub machine: Option<Machine>,
    disk: State,
    /// Number of the supervisor's life.
    life: u64,
    queue: BinaryHeap<Reverse<(u64, u64)>>,
    events: BTreeMap<u64, Event>,
    next_event: u64,
    pub bodies: BTreeMap<InstanceId, Body>,
    pub flights: BTreeMap<OpId, Flight>,
    pub network_up: Option<InstanceId>,
    pub clean: bool,
    pub faults: bool,
    /// After this many more actions the supervisor dies.
    fuse: Option<u64>,
    pub rules: Rules,
    pub steps: u64,
    pub journal: Option<Vec<String>>,
}

pub type Check = Result<(), String>;

impl<'a> World<'a> {
    pub fn new(pod: &'a Pod, seed: u64, journal: bool) -> World<'a> {
        let start = Now {
            mono: Mono(5_000),
            wall: Wall(WALL + 5_000),
        };
        let settings = Settings::default();
        let machine = Machine::new(pod, settings.clone(), start);
        World {
            pod,
            settings,
            random: Random::new(seed),
            now: start,
            disk: machine.state().clone(),
            machine: Some(machine),
            life: 0,
            queue: BinaryHeap::new(),
            events: BTreeMap::new(),
            next_event: 0,
            bodies: BTreeMap::new(),
            flights: BTreeMap::new(),
            network_up: None,
            clean: true,
            faults: true,
            fuse: None,
            rules: Rules::default(),
            steps: 0,
            journal: journal.then(Vec::new),
        }
    }

    /// A whole life: trouble, then a stop, then peace until it settles.
    pub fn live(&mut self) -> Check {
        let trouble = self.now.mono.0 + 1000 + self.random.span(22);
        for _ in 0..self.random.below(4) {
            let at = self.random.below(trouble);
            self.plan(at, Event::Crash);
        }
        let signal = Request::Signal {
            container: None,
            signal: Signal::from_number(10).expect("USR1"),
        };
        let at = self.random.below(trouble);
        self.hear_later(at, request(1, signal));
        self.step(Input::Timer)?;
        self.run_until(trouble)?;
        if self.random.chance(300) {
            self.faults = false;
            self.run_until(self.now.mono.0 + 900_000)?;
            self.rules.in_peace()?;
        }
        self.faults = self.random.chance(300);
        let mut request_id = 2;
        for _ in 0..3 {
            let stop = Request::Stop {
                grace_seconds: self.random.chance(700).then(|| self.random.below(40)),
                force: self.random.chance(100),
            };
            if self.machine.is_some() {
                self.step(request(request_id, stop))?;
                request_id += 1;
            }
            let pause = self.random.span(16);
            self.run_until(self.now.mono.0 + pause)?;
        }
        self.faults = false;
        if self.machine.is_none() {
            self.run_until(self.now.mono.0 + 60_000)?;
        }
        let stop = Request::Stop {
            grace_seconds: None,
            force: false,
        };
        self.step(request(request_id, stop))?;
        self.run_until(self.now.mono.0 + 3_600_000)?;
        self.rules.at_rest(self)
    }

    /// Lets time pass up to this moment.
    pub fn run_until(&mut self, end: u64) -> Check {
        loop {
            let event = self.queue.peek().map(|Reverse((at, _))| *at);
            let timer = self.machine.as_ref().and_then(Machine::next_deadline);
            let timer = timer.map(|mono| mono.0.max(self.now.mono.0));
            let next = [event, timer].into_iter().flatten().min();
            let Some(next) = next.filter(|at| *at <= end) else {
                self.set_time(end.max(self.now.mono.0));
                return Ok(());
            };
            self.set_time(next);
            if event == Some(next) {
                self.next_event()?;
            } else {
                self.step(Input::Timer)?;
            }
            if self.steps > 20_000 {
                return Err("the pod never comes to rest".into());
            }
        }
    }

    fn set_time(&mut self, mono: u64) {
        self.now = Now {
            mono: Mono(mono),
            wall: Wall(WALL + mono),
        };
    }

    fn plan(&mut self, at: u64, event: Event) {
        let number = self.next_event;
        self.next_event += 1;
        self.queue.push(Reverse((at.max(self.now.mono.0), number)));
        self.events.insert(number, event);
    }

    fn hear_later(&mut self, at: u64, input: Input) {
        self.plan(at, Event::Hear(self.life, input));
    }

    fn next_event(&mut self) -> Check {
        let Some(Reverse((_, number))) = self.queue.pop() else {
            return Ok(());
        };
        match self.events.remove(&number) {
            None => Ok(()),
            Some(Event::Effect(op)) => {
                self.take_effect(op);
                Ok(())
            }
            Some(Event::Hear(life, input)) => {
                let late = self.faults && self.random.chance(300);
                if self.machine.is_some() && (life == self.life || late) {
                    if let Input::Done { op, .. } = &input
                        && life == self.life
                    {
                        self.flights.remove(op);
                    }
                    if self.faults && self.random.chance(50) {
                        self.step(input.clone())?;
                        if self.machine.is_none() {
                            return Ok(());
                        }
                    }
                    self.step(input)
                } else {
                    Ok(())
                }
            }
            Some(Event::Die(id, exit)) => {
                self.die(&id, exit);
                Ok(())
            }
            Some(Event::Crash) => {
                if self.machine.is_some() {
                    self.fuse = Some(self.random.below(6));
                }
                Ok(())
            }
            Some(Event::Revive) => self.revive(),
        }
    }

    /// One step of the machine and its consequences.
    pub fn step(&mut self, input: Input) -> Check {
        self.steps += 1;
        self.note(|| format!("> {input:?}"));
        let Some(machine) = &mut self.machine else {
            return Ok(());
        };
        let actions = machine.step(self.now, input.clone());
        let mut rules = std::mem::take(&mut self.rules);
        let checked = rules.before_actions(self, &input, &actions);
        self.rules = rules;
        checked?;
        for action in actions {
            if self.fuse == Some(0) {
                self.crash();
                return Ok(());
            }
            self.fuse = self.fuse.map(|left| left - 1);
            self.note(|| format!("    < {action:?}"));
            let mut rules = std::mem::take(&mut self.rules);
            let checked = rules.on_action(self, &action);
            self.rules = rules;
            checked?;
            self.perform(action);
        }
        let mut rules = std::mem::take(&mut self.rules);
        let checked = rules.after_step(self, &self.disk);
        self.rules = rules;
        checked
    }

    pub fn note(&mut self, line: impl FnOnce() -> String) {
        if let Some(journal) = &mut self.journal {
            journal.push(format!("{:>9} {}", self.now.mono.0, line()));
        }
    }
}

fn request(id: u64, request: Request) -> Input {
    let id = RequestId(id);
    Input::Request { id, request }
}
