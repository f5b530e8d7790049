//! `get`: pods as they are, read from their directories; no process is asked.

use crate::cli::args::GetArgs;
use crate::cli::exit::{Code, DONE, Failed, Outcome};
use crate::cli::pods::{self, Selector};
use crate::cli::report;
use crate::cli::settings::Settings;
use crate::cli::watch::Watch;
use crate::cli::{jsonpath, table, task_pods};
use crate::manifest::qos;
use crate::pod;
use crate::supervisor::PodRecord;
use crate::supervisor::task::{TaskPod, list_task_pods};
use crate::sys;
use serde_json::{Value, json};
use std::io::Write;
use std::time::Duration;

pub(super) fn get(settings: &Settings, args: &GetArgs) -> Outcome {
    let format = Format::parse(args)?;
    let (mut last, mut watch) = (Vec::new(), Watch::new());
    let mut pods = chosen(settings, args)?;
    loop {
        if args.watch {
            match args.pods.is_empty() {
                true => watch.all(settings),
                false => pods.iter().for_each(|pod| watch.pod(&pod.dir)),
            }
            // What has changed before it was watched.
            pods = chosen(settings, args)?;
        }
        let text = render(&pods, &of_containerd(settings, args), args, &format)?;
        if text != last {
            let mut out = std::io::stdout().lock();
            out.write_all(&text)?;
            out.flush()?;
            last = text;
        }
        if !args.watch {
            return DONE;
        }
        watch.wait();
    }
}

/// How pods are shown.
enum Format {
    Table { wide: bool },
    Json,
    JsonLines,
    Yaml,
    Name,
    Uid,
    JsonPath(String),
}

impl Format {
    fn parse(args: &GetArgs) -> Result<Format, Failed> {
        if args.quiet {
            return Ok(Format::Uid);
        }
        Ok(match args.output.as_str() {
            "table" => Format::Table { wide: false },
            "wide" => Format::Table { wide: true },
            "json" => Format::Json,
            "jsonl" => Format::JsonLines,
            "yaml" => Format::Yaml,
            "name" => Format::Name,
            other => match other.strip_prefix("jsonpath=") {
                Some(path) => Format::JsonPath(path.to_owned()),
                None => {
                    let message = format!("unknown output format `{other}`");
                    return Err(Failed::new(Code::Usage, message)
                        .hint("one of table, wide, json, yaml, name, jsonl, jsonpath=…"));
                }
            },
        })
    }
}

fn chosen(settings: &Settings, args: &GetArgs) -> Result<Vec<PodRecord>, Failed> {
    if args.pods.is_empty() {
        let selector = args.selector.as_deref().map(Selector::parse);
        return Ok(pods::all(settings, args.all_namespaces, selector.as_ref()));
    }
    args.pods
        .iter()
        .map(|name| pods::find(settings, name))
        .collect()
}

/// Those that containerd runs have no labels here, and namespaces of their own.
fn of_containerd(settings: &Settings, args: &GetArgs) -> Vec<TaskPod> {
    match args.all_namespaces && args.pods.is_empty() && args.selector.is_none() {
        true => list_task_pods(&settings.dirs.state),
        false => Vec::new(),
    }
}

fn render(
    pods: &[PodRecord],
    others: &[TaskPod],
    args: &GetArgs,
    format: &Format,
) -> Result<Vec<u8>, Failed> {
    let mut out = Vec::new();
    let objects = || {
        let own = pods.iter().map(object);
        own.chain(others.iter().map(task_pods::object))
    };
    let value = || match pods {
        [one] if args.pods.len() == 1 => object(one),
        _ => {
            json!({ "apiVersion": "v1", "kind": "List", "metadata": {}, "items": objects().collect::<Vec<_>>() })
        }
    };
    match format {
        Format::Table { wide } => {
            let rows: Vec<_> = pods
                .iter()
                .map(|pod| row(pod, args.all_namespaces, *wide))
                .chain(others.iter().map(|pod| task_pods::row(pod, *wide)))
                .collect();
            if rows.is_empty() {
                report::say(format_args!("no pods found"));
            } else {
                let heading = heading(args.all_namespaces, *wide);
                table::write(&mut out, (!args.no_headers).then_some(&heading), &rows)?;
            }
        }
        Format::Json => writeln!(out, "{:#}", value())?,
        Format::JsonLines => objects().try_for_each(|object| writeln!(out, "{object}"))?,
        Format::Yaml => out.extend_from_slice(serde_saphyr::to_string(&value())?.as_bytes()),
        // These two are for commands that do something with pods.
        Format::Name => pods
            .iter()
            .try_for_each(|pod| writeln!(out, "{}", pods::shown(pod)))?,
        Format::Uid => pods
            .iter()
            .try_for_each(|pod| writeln!(out, "{}", pod.plan.pod.uid))?,
        Format::JsonPath(path) => {
            let text = jsonpath::print(path, &value()).map_err(|e| Failed::new(Code::Usage, e))?;
            writeln!(out, "{text}")?;
        }
    }
    Ok(out)
}

/// The pod as a `core/v1` object with its status.
pub(super) fn object(pod: &PodRecord) -> Value {
    let mut object = pod.plan.pod.object.clone();
    if let Some(view) = pods::view(pod) {
        if let Some((at, grace)) = view.deletion {
            object["metadata"]["deletionTimestamp"] = at.rfc3339().into();
            object["metadata"]["deletionGracePeriodSeconds"] = grace.into();
        }
        object["metadata"]["creationTimestamp"] = view.started_at.rfc3339().into();
        let qos = qos::qos_class(&pod.plan.pod).to_string();
        object["status"] = pod::status_json(&pod.plan.pod, view, &pod.plan.host.ips, &qos);
    } else {
        object["status"] = json!({ "phase": "Pending" });
    }
    object
}

fn heading(namespaces: bool, wide: bool) -> Vec<&'static str> {
    let mut heading = if namespaces {
        vec!["NAMESPACE"]
    } else {
        Vec::new()
    };
    heading.extend(["NAME", "READY", "STATUS", "RESTARTS", "AGE"]);
    if wide {
        heading.extend(["IP", "UID", "RUNTIME"]);
    }
    heading
}

fn row(pod: &PodRecord, namespaces: bool, wide: bool) -> Vec<String> {
    let spec = &pod.plan.pod;
    let mut row = if namespaces {
        vec![spec.namespace.clone()]
    } else {
        Vec::new()
    };
    row.push(spec.name.clone());
    let view = pods::view(pod);
    match view {
        Some(view) => {
            let age = sys::now().wall.0.saturating_sub(view.started_at.0);
            row.extend([
                pod::ready_column(view),
                pod::status_column(view),
                pod::restarts(view).to_string(),
                table::age(Duration::from_millis(age)),
            ]);
        }
        None => row.extend([
            format!("0/{}", spec.containers.len()),
            "Pending".into(),
            "0".into(),
            "0s".into(),
        ]),
    }
    if wide {
        let ip = view
            .and_then(|v| v.pod_ips.first())
            .map_or("<none>", String::as_str);
        row.extend([
            ip.to_owned(),
            spec.uid.to_string(),
            pod.plan.runtime.kind.quirks().name.to_owned(),
        ]);
    }
    row
}
