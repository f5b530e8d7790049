//! What happens to a simulated pod. Where the script is silent everything goes well.

use crate::base::{Exit, Signal};
use crate::manifest::{Pod, ProbeKind, RestartPolicy, Role};
use crate::pod::{FailureReason, Request};
use std::collections::BTreeMap;
use std::time::Duration;

/// How long an init container runs that the script does not speak of.
const INIT_RUNS: Duration = Duration::from_secs(1);
/// How long an app container runs that the script does not speak of, in a pod that is to come to an end.
const TASK_RUNS: Duration = Duration::from_secs(10);

/// Facts of a simulated world.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Script {
    /// Container → the lives of its instances, in order.
    pub(super) lives: BTreeMap<String, Vec<Times<Life>>>,
    /// Container → what it does when it gets its stop signal.
    pub(super) on_stop: BTreeMap<String, OnStop>,
    /// Failures that wait for their turn.
    pub(super) failures: BTreeMap<Step, Vec<Times<FailureReason>>>,
    /// How long a step takes; otherwise no time at all.
    pub(super) delays: BTreeMap<Step, Duration>,
    /// When which probe of which container fails: from a moment on, and until another.
    pub(super) sick: Vec<Sickness>,
    /// What happens at a moment, whatever the pod does.
    pub(super) moments: Vec<(Duration, Happening)>,
}

/// A line of a script that cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct ScriptError {
    /// From 1.
    pub line: usize,
    /// What is wrong with it.
    pub message: String,
}

/// Something that is so a number of times; `None` means from then on.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Times<T> {
    pub what: T,
    pub times: Option<u32>,
}

/// How an instance lives.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Life {
    /// `None` means until it is stopped.
    pub runs: Option<Duration>,
    pub exit: Exit,
    pub oom_killed: bool,
}

/// What a process makes of its stop signal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct OnStop {
    /// `None` means that it ignores it.
    pub ends_after: Option<Duration>,
    /// `None` means that the signal ends it.
    pub code: Option<u8>,
}

/// Something the machine asks for that may fail or take its time.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Step {
    Image(String),
    Create(String),
    Start(String),
    PostStart(String),
    PreStop(String),
    Sandbox,
    Network,
}

/// A time in which a probe fails.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Sickness {
    pub container: String,
    pub kind: ProbeKind,
    pub from: Duration,
    /// `None` means for ever.
    pub to: Option<Duration>,
}

/// Something that comes from outside.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Happening {
    Request(Request),
    /// The pause process dies.
    PauseDies,
}

impl Life {
    /// Until it is stopped.
    pub const FOREVER: Life = Life {
        runs: None,
        exit: Exit::Code(0),
        oom_killed: false,
    };

    /// How an instance lives when all goes well.
    pub fn well(pod: &Pod, container: &str) -> Life {
        let spec = pod.container(container);
        let runs = spec.and_then(|spec| match spec.role {
            Role::Init => Some(INIT_RUNS),
            Role::Sidecar | Role::Ephemeral => None,
            Role::App => match pod.effective_restart_policy(spec) {
                RestartPolicy::Always => None,
                RestartPolicy::OnFailure | RestartPolicy::Never => Some(TASK_RUNS),
            },
        });
        Life {
            runs,
            ..Life::FOREVER
        }
    }
}

impl OnStop {
    /// It obeys and says that all is well.
    pub const WELL: OnStop = OnStop {
        ends_after: Some(Duration::ZERO),
        code: Some(0),
    };

    /// How the signal ends it.
    pub fn exit(self, signal: Signal) -> Exit {
        self.code.map_or(Exit::Signal(signal), Exit::Code)
    }
}

impl Script {
    /// Whether a probe fails at this moment.
    pub(super) fn is_sick(&self, container: &str, kind: ProbeKind, at: Duration) -> bool {
        self.sick.iter().any(|sick| {
            (sick.container.as_str(), sick.kind) == (container, kind)
                && sick.from <= at
                && sick.to.is_none_or(|to| at < to)
        })
    }
}

/// Takes the next of a list that is used up in order; a last one without a number stays.
pub(super) fn take<T: Clone>(list: &mut Vec<Times<T>>) -> Option<T> {
    let is_last = list.len() == 1;
    let first = list.first_mut()?;
    let what = first.what.clone();
    match &mut first.times {
        Some(left) if *left > 1 => *left -= 1,
        None if is_last => {}
        Some(_) | None => drop(list.remove(0)),
    }
    Some(what)
}
