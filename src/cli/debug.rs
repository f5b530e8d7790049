//! `debug replay`: the journal of a pod is heard again by a new machine, which must come to the state that was found.

use crate::cli::args::{DebugArgs, DebugVerb, ReplayArgs};
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::{debug_container, pods, report, table, timeline};
use crate::pod::{Comparison, Difference, Moment, MomentKind, Replayed, Timeline, replay};
use crate::store::{EVENTS, PodDir, read_events, read_journal, read_json};
use crate::supervisor::{PLAN, Plan, PodRecord, Snapshot};
use serde_json::{Value, json};
use std::path::Path;

/// A replay that came to something else.
#[derive(Debug, thiserror::Error)]
#[error(
    "the replay differs after {} inputs: `{}` was {} and is {}",
    .0.after, .0.path, .0.recorded, .0.replayed
)]
struct Differs(Difference);

/// A directory or pod without what a replay needs.
#[derive(Debug, thiserror::Error)]
enum Lacks {
    #[error("`{0}` is not the directory of a pod: it has no plan.json")]
    Plan(String),
    #[error("pod `{0}` has no journal")]
    Journal(String),
    #[error("pod `{0}` has no snapshot to compare with")]
    Snapshot(String),
}

pub(super) fn debug(settings: &Settings, args: &DebugArgs) -> Outcome {
    match &args.verb {
        Some(DebugVerb::Replay(args)) => replay_one(settings, args),
        None => debug_container::debug(settings, &args.container),
    }
}

fn replay_one(settings: &Settings, args: &ReplayArgs) -> Outcome {
    let as_json = table::is_json(&args.output, "table")?;
    // The snapshot before the journal: a pod that lives writes them in the other order.
    let pod = recorded(settings, &args.pod)?;
    let name = || pod.plan.pod.name.clone();
    let lacks = |why: Lacks| Failed::new(Code::Failed, why);
    let found = pod.snapshot.as_ref();
    let found = found.ok_or_else(|| lacks(Lacks::Snapshot(name())))?;
    let journal = read_journal(&pod.dir).map_err(cannot("read the journal"))?;
    let journal = journal.ok_or_else(|| lacks(Lacks::Journal(name())))?;
    let (mut moments, mut line, mut start) = (Vec::new(), Timeline::default(), None);
    let (spec, rules) = (&pod.plan.pod, pod.plan.settings());
    let replayed = replay(
        spec,
        &rules,
        &journal,
        Some(&found.state),
        |at, machine, input, actions| {
            start.get_or_insert(at.mono);
            if let Some(input) = input.filter(|_| args.inputs) {
                moments.push(Moment {
                    at,
                    container: None,
                    kind: MomentKind::World,
                    what: "heard".into(),
                    detail: serde_json::to_string(input).unwrap_or_default(),
                });
            }
            moments.extend(line.after(at, machine.view(), actions));
        },
    );
    let events = read_events(&pod.dir.file(EVENTS)).unwrap_or_default();
    let verdict = match (
        replayed.compare(&found.state),
        replayed.compare_events(&events),
    ) {
        (Some(Comparison::Different(difference)), _) | (_, Some(difference)) => Err(difference),
        (Some(Comparison::Identical), None) => Ok(0),
        (Some(Comparison::Behind(inputs)), None) => Ok(inputs),
        (None, None) => return Err(lacks(Lacks::Journal(name()))),
    };
    let start = start.unwrap_or_default();
    if as_json {
        let mut document = document(&replayed, &verdict);
        document["timeline"] = timeline::document(&moments, start);
        report::data(format_args!("{document:#}"));
    } else {
        let mut out = std::io::stdout().lock();
        timeline::write(&mut out, &moments, start)?;
    }
    match verdict {
        Ok(_) if as_json => DONE,
        Ok(behind) => {
            report::data(told(&replayed, behind));
            DONE
        }
        Err(_) if as_json => Ok(Code::Failed as u8),
        Err(difference) => {
            let failed = Failed::new(Code::Failed, Differs(difference));
            Err(match replayed.version.as_str() {
                env!("CARGO_PKG_VERSION") => failed,
                other => failed.hint(format!("the journal was written by podshim {other}")),
            })
        }
    }
}

/// A pod by its name, or a copy of its directory.
fn recorded(settings: &Settings, what: &str) -> Result<PodRecord, Failed> {
    let path = Path::new(what);
    if !path.is_dir() {
        return pods::find(settings, what);
    }
    let dir = PodDir::new(path, path);
    let snapshot = Snapshot::read(&dir).map_err(cannot("read the pod's snapshot"))?;
    let plan: Option<Plan> = read_json(&dir.file(PLAN)).map_err(cannot("read the pod's plan"))?;
    let no_plan = || Failed::new(Code::Usage, Lacks::Plan(what.to_owned()));
    Ok(PodRecord {
        dir,
        plan: plan.ok_or_else(no_plan)?,
        snapshot,
    })
}

fn told(replayed: &Replayed, behind: usize) -> String {
    let inputs = count(replayed.inputs, "input");
    let mut text = format!("identical: {inputs} come to the state of the snapshot");
    if behind > 0 {
        let newer = count(behind, "input");
        text.push_str(&format!("; it has not seen the last {newer}"));
    }
    if replayed.restarts > 0 {
        let restarts = count(replayed.restarts, "new supervisor");
        text.push_str(&format!("; {restarts}"));
    }
    if replayed.gaps > 0 {
        let gaps = count(replayed.gaps, "gap");
        text.push_str(&format!("; {gaps}, where nothing could be compared"));
    }
    if !replayed.from_start {
        text.push_str("; what was before the journal is not known");
    }
    text
}

fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

fn document(replayed: &Replayed, verdict: &Result<usize, Difference>) -> Value {
    json!({
        "identical": verdict.is_ok(),
        "behind": verdict.as_ref().ok(),
        "difference": verdict.as_ref().err(),
        "inputs": replayed.inputs,
        "restarts": replayed.restarts,
        "gaps": replayed.gaps,
        "fromStart": replayed.from_start,
        "version": replayed.version,
    })
}
