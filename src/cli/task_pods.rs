//! How pods are shown that containerd runs on podshim. To look at them is all that podshim does with them.

use crate::cli::table;
use crate::supervisor::task::{TaskLife, TaskPod};
use serde_json::{Value, json};

/// Says in a pod's object whose it is.
const MANAGER: &str = "podshim.io/managed-by";

/// The columns of `get`.
pub(super) fn row(pod: &TaskPod, wide: bool) -> Vec<String> {
    let running = pod.containers.iter().filter(|c| c.life == TaskLife::Runs);
    let mut row = vec![
        pod.namespace.clone(),
        pod.name.clone(),
        format!("{}/{}", running.count(), pod.containers.len()),
        status(pod).to_owned(),
        "-".to_owned(),
        pod.age.map_or_else(|| "<unknown>".to_owned(), table::age),
    ];
    if wide {
        let uid = pod.uid.clone();
        row.extend([
            "<unknown>".to_owned(),
            uid.unwrap_or_else(|| "<none>".to_owned()),
            format!("{} (containerd)", pod.runtime),
        ]);
    }
    row
}

/// `STATUS`.
fn status(pod: &TaskPod) -> &'static str {
    let is = |wanted: fn(&TaskLife) -> bool| pod.containers.iter().any(|c| wanted(&c.life));
    match pod.containers.is_empty() {
        _ if pod.is_down => "NotReady",
        true => "Running",
        false if is(|life| *life == TaskLife::Runs) => "Running",
        false if is(|life| *life == TaskLife::Lost) => "Unknown",
        false if is(|life| matches!(life, TaskLife::Ended(ended) if ended.code() != 0)) => "Error",
        false => "Completed",
    }
}

/// The pod as a `core/v1` object, as far as it is known.
pub(super) fn object(pod: &TaskPod) -> Value {
    let phase = match status(pod) {
        "Completed" => "Succeeded",
        "Error" => "Failed",
        "Unknown" | "NotReady" => "Unknown",
        other => other,
    };
    let state = |life: TaskLife| match life {
        TaskLife::Runs => json!({ "running": {} }),
        TaskLife::Ended(ended) => {
            json!({"terminated": {"exitCode": ended.code(), "finishedAt": ended.at.rfc3339()}})
        }
        TaskLife::Lost => json!({ "waiting": {"reason": "ContainerStatusUnknown"} }),
    };
    let containers = pod.containers.iter();
    let statuses = containers.clone().map(|one| {
        json!({
            "name": one.name, "image": one.image, "imageID": "", "restartCount": 0,
            "containerID": format!("containerd://{}", one.id),
            "ready": one.life == TaskLife::Runs, "state": state(one.life),
        })
    });
    let mut metadata = json!({
        "namespace": pod.namespace, "name": pod.name, "annotations": { MANAGER: "containerd" },
    });
    if let Some(uid) = &pod.uid {
        metadata["uid"] = uid.as_str().into();
    }
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": metadata,
        "spec": {
            "containers": containers.map(|one| json!({"name": one.name, "image": one.image})).collect::<Vec<_>>(),
        },
        "status": {"phase": phase, "containerStatuses": statuses.collect::<Vec<_>>()},
    })
}
