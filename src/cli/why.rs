//! `why`: why a pod and its containers are as they are, and what comes next and when. Read from the pod's directory: it works on
//! pods that are over, and with the supervisor dead.

use crate::base::{Mono, Now, Wall};
use crate::cli::args::WhyArgs;
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::{follow, pods, report, table};
use crate::pod::{Begun, Cause, Entry, Explanation, Known, Next, explain};
use crate::store::{EVENTS, read_events, read_journal};
use crate::supervisor::PodRecord;
use crate::sys;
use serde_json::{Value, json};
use std::fmt::Write;

pub(super) fn why(settings: &Settings, args: &WhyArgs) -> Outcome {
    let as_json = table::is_json(&args.output, "text")?;
    let since = args.since.as_deref().map(table::duration).transpose()?;
    let (pod, container) = pods::find_with_container(settings, &args.pod)?;
    if let Some(name) = &container {
        pods::container(&pod, Some(name))?;
    }
    let now = sys::now();
    let explanations = explanations(&pod, now, since.map_or(Wall(0), |since| before(now, since)))?;
    let state = Standing::of(&pod);
    if as_json {
        let chosen = explanations
            .iter()
            .filter(|e| container.is_none() || e.container == container);
        let document = json!({
            "pod": pods::shown(&pod),
            "supervisor": state.word(),
            "explanations": chosen.map(|e| document(e, now)).collect::<Vec<_>>(),
        });
        report::data(format_args!("{document:#}"));
        return DONE;
    }
    let chosen = match &container {
        Some(_) => Chosen::Container(container.as_deref()),
        None => Chosen::PodAndTroubled,
    };
    let mut out = text(&pod.plan.pod.name, &explanations, now, chosen);
    if let Some(note) = state.note() {
        out.push_str(&format!("\n{note}\n"));
    }
    report::data(out.trim_end());
    DONE
}

/// Which explanations are shown.
#[derive(Clone, Copy)]
pub(super) enum Chosen<'a> {
    /// That of one container.
    Container(Option<&'a str>),
    /// The pod, and the containers that are not as they should be.
    PodAndTroubled,
}

/// Why the pod and its containers are as its directory says.
pub(super) fn explanations(
    pod: &PodRecord,
    now: Now,
    since: Wall,
) -> Result<Vec<Explanation>, Failed> {
    let Some(snapshot) = &pod.snapshot else {
        let message = format!("pod `{}` has not begun", pod.plan.pod.name);
        return Err(Failed::new(Code::Failed, message)
            .hint("its supervisor.log says what keeps it from beginning"));
    };
    let events = read_events(&pod.dir.file(EVENTS)).map_err(cannot("read the event log"))?;
    let events: Vec<_> = events.into_iter().filter(|e| e.at.wall >= since).collect();
    // A journal that cannot be read takes one kind of cause away, not the answer.
    let journal = read_journal(&pod.dir)
        .unwrap_or_default()
        .unwrap_or_default();
    let restarts = journal.iter().filter_map(|entry| match entry {
        Entry::Begin {
            why: Begun::Restart,
            at,
            ..
        } if at.wall >= since => Some(at.wall),
        Entry::Begin { .. } | Entry::Heard { .. } | Entry::Torn => None,
    });
    let restarts: Vec<Wall> = restarts.collect();
    Ok(explain(Known {
        pod: &pod.plan.pod,
        settings: &pod.plan.settings(),
        state: &snapshot.state,
        now,
        events: &events,
        restarts: &restarts,
    }))
}

/// Explanations as people read them.
pub(super) fn text(
    pod: &str,
    explanations: &[Explanation],
    now: Now,
    chosen: Chosen<'_>,
) -> String {
    let is_shown = |e: &&Explanation| match chosen {
        Chosen::Container(name) => e.container.as_deref() == name,
        Chosen::PodAndTroubled => e.container.is_none() || !e.is_well,
    };
    let mut out = String::new();
    for explanation in explanations.iter().filter(is_shown) {
        let separator = if out.is_empty() { "" } else { "\n" };
        let subject = match &explanation.container {
            None => format!("pod/{pod}"),
            Some(container) => format!("pod/{pod}/{container}"),
        };
        // A String takes everything.
        let _ = writeln!(out, "{separator}{subject} is {}", explanation.state);
        for cause in &explanation.because {
            let _ = writeln!(out, "  {}", cause_line(cause));
        }
        for next in &explanation.next {
            let _ = writeln!(out, "  next: {}", next_line(next, now));
        }
    }
    out
}

fn cause_line(cause: &Cause) -> String {
    match cause {
        Cause::Event {
            at,
            count,
            reason,
            text,
        } => {
            let times = match count {
                1 => String::new(),
                count => format!(" ({count} times)"),
            };
            format!("{} {reason}: {text}{times}", at.rfc3339())
        }
        Cause::Fact(text) => format!("because {text}"),
        Cause::Rule(text) => format!("rule: {text}"),
    }
}

/// What comes next, with its moment.
pub(super) fn next_line(next: &Next, now: Now) -> String {
    match next.at {
        None => next.text.clone(),
        Some(at) => format!(
            "{} (in {}) {}",
            wall(at, now).rfc3339(),
            left(at, now),
            next.text
        ),
    }
}

/// What is left until a moment: tenths below ten seconds, whole seconds below two minutes.
fn left(at: Mono, now: Now) -> String {
    let left = at.since(now.mono);
    match left.as_millis() {
        0..10_000 => format!("{}.{}s", left.as_secs(), left.subsec_millis() / 100),
        _ => table::age(left),
    }
}

/// A moment to come on the clock on the wall.
fn wall(at: Mono, now: Now) -> Wall {
    Wall(now.wall.0.saturating_add(at.0.saturating_sub(now.mono.0)))
}

fn before(now: Now, span: std::time::Duration) -> Wall {
    let ms = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    Wall(now.wall.0.saturating_sub(ms))
}

/// An explanation as JSON.
pub(super) fn document(explanation: &Explanation, now: Now) -> Value {
    let because = explanation.because.iter().map(|cause| match cause {
        Cause::Event {
            at,
            count,
            reason,
            text,
        } => json!({"kind": "event", "time": at.rfc3339(), "timeMs": at.0, "count": count, "reason": reason, "text": text}),
        Cause::Fact(text) => json!({"kind": "fact", "text": text}),
        Cause::Rule(text) => json!({"kind": "rule", "text": text}),
    });
    let next = explanation.next.iter().map(|next| {
        let time = next.at.map(|at| wall(at, now).rfc3339());
        let ms = next.at.map(|at| at.0.saturating_sub(now.mono.0));
        json!({"time": time, "inMs": ms, "text": next.text})
    });
    json!({
        "container": explanation.container,
        "state": explanation.state,
        "isWell": explanation.is_well,
        "because": because.collect::<Vec<_>>(),
        "next": next.collect::<Vec<_>>(),
    })
}

/// Whether somebody does what is said to come next.
enum Standing {
    Supervised,
    Over,
    Unsupervised,
    OtherBoot,
}

impl Standing {
    fn of(pod: &PodRecord) -> Standing {
        let boot = pod.snapshot.as_ref().map(|s| s.boot_id.as_str());
        if follow::has_ended(pod) {
            Standing::Over
        } else if boot.is_some_and(|boot| boot != sys::boot_id()) {
            Standing::OtherBoot
        } else if follow::is_supervised(pod) {
            Standing::Supervised
        } else {
            Standing::Unsupervised
        }
    }

    fn word(&self) -> &'static str {
        match self {
            Standing::Supervised => "Running",
            Standing::Over => "Ended",
            Standing::Unsupervised => "Dead",
            Standing::OtherBoot => "OtherBoot",
        }
    }

    fn note(&self) -> Option<&'static str> {
        match self {
            Standing::Supervised | Standing::Over => None,
            Standing::Unsupervised => Some(
                "nobody supervises this pod: nothing comes next until `podshim wait`, `stop` or `delete` starts a supervisor",
            ),
            Standing::OtherBoot => {
                Some("this machine was started anew since: nothing of this pod runs any more")
            }
        }
    }
}
