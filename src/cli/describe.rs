//! `describe`: a pod as people read it, in the order and words of `kubectl describe pod`: what was asked, what is, what happened, and
//! what comes next. Made of the pod as an object: of secrets it says the names.

mod container;
mod events;
mod tree;
mod volume;

use crate::base::Now;
use crate::cli::args::PodArgs;
use crate::cli::exit::{DONE, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::{get, pods, report, why};
use crate::pod::{Event, Explanation};
use crate::store::{EVENTS, read_events};
use crate::sys;
use serde_json::Value;
use tree::Tree;

pub(super) fn describe(settings: &Settings, args: &PodArgs) -> Outcome {
    let mut texts = Vec::new();
    for name in &args.pods {
        let pod = pods::find(settings, name)?;
        let events = read_events(&pod.dir.file(EVENTS));
        let events = events.map_err(cannot("read the event log"))?;
        let now = sys::now();
        let explanations = why::explanations(&pod, now, Default::default()).unwrap_or_default();
        let mut object = get::object(&pod);
        if object["spec"]["nodeName"].is_null() {
            object["spec"]["nodeName"] = pod.plan.host.hostname.clone().into();
        }
        let made_by = [pod.plan.runtime.kind.quirks().name, pod.plan.sandbox.name()];
        texts.push(text(&object, made_by, &events, &explanations, now));
    }
    report::data(texts.join("\n\n").trim_end());
    DONE
}

/// The report of one pod; its containers and its sandbox are `made_by` these two.
fn text(
    object: &Value,
    made_by: [&str; 2],
    events: &[Event],
    explanations: &[Explanation],
    now: Now,
) -> String {
    let (meta, spec, status) = (&object["metadata"], &object["spec"], &object["status"]);
    let mut head = Tree::default();
    head.line("Name", text_of(&meta["name"]));
    head.line("Namespace", text_of(&meta["namespace"]));
    head.line(
        "Service Account",
        or(&spec["serviceAccountName"], "default"),
    );
    let host = text_of(&status["hostIP"]);
    let node = [text_of(&spec["nodeName"]), host].join("/");
    head.line("Node", node.trim_matches('/'));
    head.line("Runtime", made_by[0]);
    head.line("Sandbox", made_by[1]);
    head.line("Start Time", date(&status["startTime"]));
    head.map("Labels", &meta["labels"], "=");
    head.map("Annotations", &meta["annotations"], ": ");
    match meta["deletionTimestamp"].is_string() && !is_over(status) {
        true => {
            let since = date(&meta["deletionTimestamp"]);
            head.line("Status", format!("Terminating (since {since})"));
            let grace = text_of(&meta["deletionGracePeriodSeconds"]);
            head.line("Termination Grace Period", format!("{grace}s"));
        }
        false => head.line("Status", text_of(&status["phase"])),
    }
    head.some("Reason", &status["reason"]);
    head.some("Message", &status["message"]);
    head.line("IP", or(&status["podIP"], "<none>"));
    let ips = list(&status["podIPs"]);
    if !ips.is_empty() {
        let mut tree = Tree::default();
        ips.iter()
            .for_each(|ip| tree.line("IP", text_of(&ip["ip"])));
        head.branch("IPs", tree);
    }
    container::sections(&mut head, object);
    head.branch("Conditions", conditions(status));
    volume::section(&mut head, spec);
    head.line("QoS Class", text_of(&status["qosClass"]));
    if let Some(selector) = spec["nodeSelector"].as_object().filter(|s| !s.is_empty()) {
        head.map("Node-Selectors", &Value::Object(selector.clone()), "=");
    }
    let mut next = Tree::default();
    for explanation in explanations {
        let subject = explanation.container.as_deref().unwrap_or("pod");
        for one in &explanation.next {
            next.line(subject, why::next_line(one, now));
        }
    }
    if !next.is_empty() {
        head.branch("Next", next);
    }
    events::section(&mut head, events, now);
    head.print()
}

fn conditions(status: &Value) -> Tree {
    let mut tree = Tree::default();
    let mut rows = vec![vec![
        "Type".to_owned(),
        "Status".to_owned(),
        "Reason".to_owned(),
    ]];
    for condition in list(&status["conditions"]) {
        let row = ["type", "status", "reason"].map(|field| text_of(&condition[field]));
        rows.push(row.to_vec());
    }
    tree.table(rows);
    tree
}

fn is_over(status: &Value) -> bool {
    matches!(status["phase"].as_str(), Some("Succeeded" | "Failed"))
}

/// The items of a list; none if it is no list.
fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A value as text; empty if it is null.
fn text_of(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "True".into(),
        Value::Bool(false) => "False".into(),
        Value::Number(_) | Value::Array(_) | Value::Object(_) => value.to_string(),
    }
}

/// A value as text, or what is said where it is not set.
fn or(value: &Value, absent: &str) -> String {
    match text_of(value) {
        text if text.is_empty() => absent.to_owned(),
        text => text,
    }
}

/// A moment as kubectl writes it: `Fri, 02 Jan 2026 15:04:05 +0000`.
fn date(value: &Value) -> String {
    let text = text_of(value);
    match text.parse::<jiff::Timestamp>() {
        Ok(at) => at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string(),
        Err(_) => text,
    }
}

#[cfg(test)]
mod tests;
