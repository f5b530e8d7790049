//! A pod's view as `core/v1` shows it: the `status` object, the columns of a list, the exit code. Source: `pod-semantics` 6.

use crate::base::Wall;
use crate::manifest::{Container, Pod, RecursiveReadOnly, Role};
use crate::pod::{Condition, ContainerState, ContainerView, Phase, PodView, Terminated, words};
use serde_json::{Map, Value, json};

/// What an instance id starts with in `containerID`.
const SCHEME: &str = "podshim://";

/// `status` of the pod; `qos_class` is `Guaranteed`, `Burstable` or `BestEffort`.
pub fn status_json(pod: &Pod, view: &PodView, host_ips: &[String], qos_class: &str) -> Value {
    let conditions: Vec<Value> = view.conditions.iter().map(condition).collect();
    let of = |roles: &[Role]| -> Vec<&ContainerView> {
        let all = view.containers.iter();
        all.filter(|c| roles.contains(&c.role)).collect()
    };
    let mut apps = of(&[Role::App]);
    apps.sort_by(|a, b| a.name.cmp(&b.name));
    let statuses = |views: &[&ContainerView]| -> Value {
        let pairs = views.iter().map(|view| (pod.container(&view.name), view));
        pairs.map(|(spec, view)| container(spec, view)).collect()
    };
    let pod_ips = match (pod.host_network, view.pod_ips.is_empty()) {
        (true, true) => host_ips,
        (true, false) | (false, _) => &view.pod_ips,
    };
    filled(json!({
        "phase": format!("{:?}", view.phase),
        "reason": view.reason,
        "message": view.message,
        "startTime": view.started_at.rfc3339(),
        "qosClass": qos_class,
        "hostIP": first(host_ips),
        "hostIPs": ips(host_ips),
        "podIP": first(pod_ips),
        "podIPs": ips(pod_ips),
        "conditions": conditions,
        "initContainerStatuses": statuses(&of(&[Role::Init, Role::Sidecar])),
        "containerStatuses": statuses(&apps),
        "ephemeralContainerStatuses": statuses(&of(&[Role::Ephemeral])),
    }))
}

/// The STATUS column: the one word that says most. Source: `kubectl get pods`.
pub fn status_column(view: &PodView) -> String {
    let is_over = matches!(view.phase, Phase::Succeeded | Phase::Failed);
    if view.deletion.is_some() && !is_over {
        return "Terminating".into();
    }
    let init = init_word(view);
    if let Some(word) = init.filter(|_| !is_true(view, "Initialized")) {
        return word;
    }
    let mut word = match view.reason.as_str() {
        "" => format!("{:?}", view.phase),
        reason => reason.to_owned(),
    };
    let mut someone_runs = false;
    for container in view.containers.iter().rev().filter(|c| c.role == Role::App) {
        match &container.state {
            ContainerState::Waiting { reason, .. } => word.clone_from(reason),
            ContainerState::Terminated(ended) => word.clone_from(&ended.reason),
            ContainerState::Running { .. } => someone_runs |= container.ready,
        }
    }
    match (word.as_str(), someone_runs) {
        (words::COMPLETED, true) if is_true(view, "Ready") => "Running".into(),
        (words::COMPLETED, true) => "NotReady".into(),
        (_, _) => word,
    }
}

/// The READY column: ready apps and sidecars of all of them, e.g. `1/2`.
pub fn ready_column(view: &PodView) -> String {
    let lasting = || {
        let all = view.containers.iter();
        all.filter(|c| [Role::App, Role::Sidecar].contains(&c.role))
    };
    let ready = lasting().filter(|c| c.ready).count();
    format!("{ready}/{}", lasting().count())
}

/// The RESTARTS column: of apps and sidecars, or of what initializes while it does.
pub fn restarts(view: &PodView) -> u32 {
    let counts = |role: Role| match init_word(view) {
        Some(_) if !is_true(view, "Initialized") => [Role::Init, Role::Sidecar].contains(&role),
        Some(_) | None => [Role::App, Role::Sidecar].contains(&role),
    };
    let counted = view.containers.iter().filter(|c| counts(c.role));
    counted.fold(0, |sum, c| sum.saturating_add(c.restart_count))
}

/// What `run` exits with once the pod is over: 0 when it succeeded, else the code of the first app container in the order of the
/// spec that failed, else that of the first failed init container, else 1.
pub fn exit_code(view: &PodView) -> i32 {
    if view.phase == Phase::Succeeded {
        return 0;
    }
    let failed = |role: Role| {
        let mut codes = view.containers.iter().filter_map(move |c| match &c.state {
            ContainerState::Terminated(end) if c.role == role => Some(end.exit_code),
            ContainerState::Terminated(_)
            | ContainerState::Waiting { .. }
            | ContainerState::Running { .. } => None,
        });
        codes.find(|code| *code != 0)
    };
    failed(Role::App)
        .or_else(|| failed(Role::Init))
        .unwrap_or(1)
}

/// `Init:…` while an init container or sidecar is not done.
fn init_word(view: &PodView) -> Option<String> {
    let inits = || {
        let all = view.containers.iter();
        all.filter(|c| [Role::Init, Role::Sidecar].contains(&c.role))
    };
    for (done, container) in inits().enumerate() {
        match &container.state {
            ContainerState::Terminated(end) if end.exit_code == 0 => {}
            ContainerState::Running { .. }
                if container.role == Role::Sidecar && container.started => {}
            ContainerState::Terminated(end) => return Some(format!("Init:{}", end.reason)),
            ContainerState::Waiting { reason, .. } if reason != words::POD_INITIALIZING => {
                return Some(format!("Init:{reason}"));
            }
            ContainerState::Waiting { .. } | ContainerState::Running { .. } => {
                return Some(format!("Init:{done}/{}", inits().count()));
            }
        }
    }
    None
}

fn is_true(view: &PodView, kind: &str) -> bool {
    view.conditions.iter().any(|c| c.kind == kind && c.is_true)
}

fn condition(condition: &Condition) -> Value {
    let mut value = filled(json!({
        "type": condition.kind,
        "status": if condition.is_true { "True" } else { "False" },
        "reason": condition.reason,
        "message": condition.message,
        "lastTransitionTime": condition.since.rfc3339(),
    }));
    value["lastProbeTime"] = Value::Null;
    value
}

fn container(spec: Option<&Container>, view: &ContainerView) -> Value {
    let mut value = filled(json!({
        "name": view.name,
        "ready": view.ready,
        "started": view.started,
        "restartCount": view.restart_count,
        "containerID": view.instance.as_ref().map(|id| format!("{SCHEME}{id}")),
        "resources": spec.map(|spec| filled(json!({
            "requests": spec.resources.requests,
            "limits": spec.resources.limits,
        }))),
        "allocatedResources": spec.map(|spec| json!(spec.resources.requests)),
        "volumeMounts": spec.map(volume_mounts),
    }));
    value["image"] = json!(spec.map_or("", |spec| spec.image.as_str()));
    value["imageID"] = json!(view.image_id);
    value["state"] = match &view.state {
        ContainerState::Waiting { reason, message } => {
            json!({"waiting": filled(json!({"reason": reason, "message": message}))})
        }
        ContainerState::Running { started_at } => {
            json!({"running": {"startedAt": started_at.rfc3339()}})
        }
        ContainerState::Terminated(end) => json!({"terminated": terminated(end)}),
    };
    value["lastState"] = match &view.last_state {
        Some(end) => json!({"terminated": terminated(end)}),
        None => json!({}),
    };
    value
}

fn terminated(end: &Terminated) -> Value {
    let id = &end.instance.0;
    let id = (!id.is_empty()).then(|| format!("{SCHEME}{id}"));
    filled(json!({
        "exitCode": end.exit_code,
        "reason": end.reason,
        "message": end.message,
        "startedAt": end.started_at.map(Wall::rfc3339),
        "finishedAt": end.finished_at.rfc3339(),
        "containerID": id,
    }))
}

fn volume_mounts(spec: &Container) -> Value {
    let mounts = spec.mounts.iter().map(|mount| {
        let mut value = json!({"name": mount.volume, "mountPath": mount.path});
        if mount.read_only {
            value["readOnly"] = json!(true);
            value["recursiveReadOnly"] = json!(match mount.recursive_read_only {
                RecursiveReadOnly::Disabled => "Disabled",
                RecursiveReadOnly::IfPossible => "IfPossible",
                RecursiveReadOnly::Enabled => "Enabled",
            });
        }
        value
    });
    mounts.collect()
}

fn first(ips: &[String]) -> &str {
    ips.first().map_or("", String::as_str)
}

fn ips(ips: &[String]) -> Value {
    ips.iter().map(|ip| json!({"ip": ip})).collect()
}

/// The object without what is empty or null.
fn filled(value: Value) -> Value {
    let Value::Object(fields) = value else {
        return value;
    };
    let is_full = |value: &Value| match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    };
    let full = fields.into_iter().filter(|(_, value)| is_full(value));
    Value::Object(full.collect::<Map<_, _>>())
}
