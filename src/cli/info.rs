//! `info`: the settings with where each comes from, and what this machine has.

use crate::bundle::SandboxKind;
use crate::cli::args::{Global, OutputArgs};
use crate::cli::exit::{Code, DONE, Failed, Outcome};
use crate::cli::settings::Settings;
use crate::cli::{follow, host, report, table};
use crate::image;
use crate::runtime::{Layout, Runtime};
use crate::supervisor::list_pods;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, Command};
use serde_json::{Value, json};

/// The cgroup controllers that pods make use of.
const CONTROLLERS: [&str; 6] = ["cpu", "cpuset", "memory", "pids", "hugetlb", "io"];

pub(super) fn info(settings: &Settings, matches: &ArgMatches, args: &OutputArgs) -> Outcome {
    let as_json = table::is_json(&args.output, "table")?;
    let facts = host::facts(settings, &[])?;
    let layout = Layout::detect().map_err(|e| Failed::new(Code::Host, e))?;
    let (pods, broken) = list_pods(&settings.dirs);
    let of_kind = |kind| pods.iter().filter(|pod| pod.plan.sandbox == kind).count();
    let sandboxes = [SandboxKind::Runtime, SandboxKind::Native].into_iter();
    let sandboxes: Value = sandboxes.map(|kind| (kind.name(), of_kind(kind))).collect();
    let live = pods.iter().filter(|pod| !follow::has_ended(pod)).count();
    let images = image::list(&settings.dirs.data).map_or_else(
        |error| {
            report::warn(report::chain(&error));
            Value::Null
        },
        |images| images.len().into(),
    );
    let controllers = CONTROLLERS.into_iter().filter(|name| layout.has(name));
    let info = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "settings": origins(matches),
        "runtimes": host::runtimes(settings)?.iter().map(runtime).collect::<Value>(),
        "kernel": format!("{}.{}", facts.kernel.0, facts.kernel.1),
        "machine": facts.machine,
        "cgroups": {
            "mode": format!("{:?}", layout.mode()).to_lowercase(),
            "root": facts.cgroups.root,
            "controllers": controllers.collect::<Value>(),
        },
        "pods": {
            "total": pods.len() + broken.len(), "live": live, "unreadable": broken.len(), "sandboxes": sandboxes,
        },
        "images": images,
    });
    if as_json {
        report::data(format_args!("{info:#}"));
    } else {
        let mut rows = Vec::new();
        flatten("", &info, &mut rows);
        table::print(None, &rows);
    }
    DONE
}

/// Every global setting: `{name: {value, origin}}`.
fn origins(matches: &ArgMatches) -> Value {
    let grammar = Global::augment_args(Command::new(""));
    let setting = |id: &str| {
        let value = matches.get_raw(id).and_then(|mut values| values.next());
        let origin = match matches.value_source(id) {
            Some(ValueSource::CommandLine) => "flag",
            Some(ValueSource::EnvVariable) => "env",
            _ => "default",
        };
        json!({ "value": value.map(|value| value.to_string_lossy()), "origin": origin })
    };
    let ids = grammar.get_arguments().map(|arg| arg.get_id().as_str());
    ids.map(|id| (id.replace('_', "-"), setting(id))).collect()
}

fn runtime(runtime: &Runtime) -> Value {
    json!({
        "name": runtime.kind.quirks().name,
        "path": runtime.path,
        "version": runtime.version,
        "features": runtime.features,
    })
}

/// Rows of `path  value`; a setting is one row with its origin.
fn flatten(path: &str, value: &Value, rows: &mut Vec<Vec<String>>) {
    let below = |key: &str| match path {
        "" => key.to_owned(),
        path => format!("{path}.{key}"),
    };
    match value {
        Value::Object(fields) => {
            if let (Some(value), Some(origin)) = (fields.get("value"), fields.get("origin")) {
                let value = match value {
                    Value::Null => "<unset>".to_owned(),
                    value => plain(value),
                };
                rows.push(vec![path.to_owned(), value, plain(origin)]);
                return;
            }
            for (key, value) in fields {
                flatten(&below(key), value, rows);
            }
        }
        Value::Array(entries) if entries.iter().any(Value::is_object) => {
            for (index, entry) in entries.iter().enumerate() {
                flatten(&format!("{path}[{index}]"), entry, rows);
            }
        }
        Value::Array(entries) => {
            let words: Vec<_> = entries.iter().map(plain).collect();
            rows.push(vec![path.to_owned(), words.join(" "), String::new()]);
        }
        value => rows.push(vec![path.to_owned(), plain(value), String::new()]),
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => "unknown".to_owned(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_names_where_its_value_comes_from() {
        let grammar = Global::augment_args(Command::new("podshim"));
        let matches = grammar.get_matches_from(["podshim", "--state", "/s"]);
        let origins = origins(&matches);
        assert_eq!(origins["state"], json!({ "value": "/s", "origin": "flag" }));
        assert!(origins["log-level"]["value"].is_string(), "{origins}");
    }
}
