//! `events`: what happened to a pod, in order, from its event log.

use crate::cli::args::EventsArgs;
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::report;
use crate::cli::settings::Settings;
use crate::cli::watch::Watch;
use crate::cli::{follow, pods, table};
use crate::pod::Event;
use crate::store::{EVENTS, read_events};
use crate::supervisor::{PLAN, PodRecord};
use crate::sys;
use serde_json::json;
use std::collections::BTreeMap;

pub(super) fn events(settings: &Settings, args: &EventsArgs) -> Outcome {
    let json = match args.output.as_str() {
        "table" => false,
        "jsonl" | "json" => true,
        other => {
            return Err(
                Failed::new(Code::Usage, format!("unknown output format `{other}`"))
                    .hint("table or jsonl"),
            );
        }
    };
    let since = args.since.as_deref().map(table::duration).transpose()?;
    let mut pods = match &args.pod {
        Some(name) => vec![pods::find(settings, name)?],
        None => pods::all(settings, true, None),
    };
    let (mut next, mut watch) = (BTreeMap::new(), Watch::new());
    loop {
        if args.follow && args.pod.is_none() {
            watch.all(settings);
            pods = pods::all(settings, true, None);
        } else if args.follow {
            watch.pod(&pods[0].dir);
        }
        // Asked before the events are read: those of the end are among them.
        let is_over = args.pod.is_some() && is_over(&pods[0])?;
        let mut new = Vec::new();
        for pod in &pods {
            let seen = next.entry(pod.plan.pod.uid.clone()).or_insert(0);
            let events =
                read_events(&pod.dir.file(EVENTS)).map_err(cannot("read the event log"))?;
            for event in events
                .into_iter()
                .filter(|event| event.seq >= *seen)
                .collect::<Vec<_>>()
            {
                *seen = event.seq + 1;
                new.push((pod.plan.pod.name.clone(), event));
            }
        }
        // By the clock that nobody sets: what a pod tells stays in its order.
        new.sort_by_key(|(_, event)| event.at.mono);
        let oldest = since.map(|since| {
            sys::now()
                .wall
                .0
                .saturating_sub(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
        });
        new.retain(|(_, event)| oldest.is_none_or(|oldest| event.at.wall.0 >= oldest));
        print(&new, json)?;
        if !args.follow || is_over {
            return DONE;
        }
        watch.wait();
    }
}

fn is_over(pod: &PodRecord) -> Result<bool, Failed> {
    Ok(!pod.dir.file(PLAN).exists() || follow::has_ended(&follow::reread(pod)?))
}

fn print(events: &[(String, Event)], json: bool) -> Result<(), Failed> {
    if json {
        for (pod, event) in events {
            let line = json!({
                "pod": pod, "seq": event.seq, "time": event.at.wall.rfc3339(), "timeMs": event.at.wall.0, "monoMs": event.at.mono.0,
                "type": kind(event), "reason": event.reason, "container": event.container, "message": event.message,
            });
            report::data(format_args!("{line}"));
        }
        return Ok(());
    }
    let rows: Vec<Vec<String>> = events
        .iter()
        .map(|(pod, event)| {
            let object = event
                .container
                .as_ref()
                .map_or_else(|| pod.clone(), |container| format!("{pod}/{container}"));
            vec![
                event.at.wall.rfc3339(),
                kind(event).into(),
                event.reason.clone(),
                object,
                event.message.clone(),
            ]
        })
        .collect();
    if !rows.is_empty() {
        table::print(
            Some(&["TIME", "TYPE", "REASON", "OBJECT", "MESSAGE"]),
            &rows,
        );
    }
    Ok(())
}

fn kind(event: &Event) -> &'static str {
    if event.warning { "Warning" } else { "Normal" }
}
