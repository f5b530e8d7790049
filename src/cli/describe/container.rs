//! The containers of a pod: what was asked of each, and what became of it.

use super::{Tree, date, list, or, text_of};
use serde_json::Value;

/// Appends the init containers, the containers, and the ephemeral ones.
pub(super) fn sections(head: &mut Tree, object: &Value) {
    for (title, field, statuses) in [
        ("Init Containers", "initContainers", "initContainerStatuses"),
        ("Containers", "containers", "containerStatuses"),
        (
            "Ephemeral Containers",
            "ephemeralContainers",
            "ephemeralContainerStatuses",
        ),
    ] {
        let mut tree = Tree::default();
        for spec in list(&object["spec"][field]) {
            let all = list(&object["status"][statuses]).iter();
            let status = all.clone().find(|status| status["name"] == spec["name"]);
            let name = text_of(&spec["name"]);
            tree.branch(&name, container(spec, status.unwrap_or(&Value::Null)));
        }
        if !tree.is_empty() {
            head.branch(title, tree);
        }
    }
}

fn container(spec: &Value, status: &Value) -> Tree {
    let mut tree = Tree::default();
    tree.some("Container ID", &status["containerID"]);
    tree.line("Image", text_of(&spec["image"]));
    tree.some("Image ID", &status["imageID"]);
    let ports = list(&spec["ports"]);
    if !ports.is_empty() {
        let join = |field: &str| {
            let each = ports.iter().map(|port| {
                let number = or(&port[field], "0");
                let protocol = or(&port["protocol"], "TCP");
                match port["name"].as_str().filter(|_| field == "containerPort") {
                    Some(name) => format!("{number}/{protocol} ({name})"),
                    None => format!("{number}/{protocol}"),
                }
            });
            each.collect::<Vec<_>>().join(", ")
        };
        tree.line("Port", join("containerPort"));
        tree.line("Host Port", join("hostPort"));
    }
    tree.texts("Command", &spec["command"]);
    tree.texts("Args", &spec["args"]);
    tree.some("Restart Policy", &spec["restartPolicy"]);
    state(&mut tree, "State", &status["state"]);
    state(&mut tree, "Last State", &status["lastState"]);
    tree.line("Ready", or(&status["ready"], "False"));
    tree.line("Restart Count", or(&status["restartCount"], "0"));
    for (title, field) in [("Limits", "limits"), ("Requests", "requests")] {
        let mut amounts = Tree::default();
        for (name, amount) in spec["resources"][field].as_object().into_iter().flatten() {
            amounts.line(name, text_of(amount));
        }
        if !amounts.is_empty() {
            tree.branch(title, amounts);
        }
    }
    for (title, field) in [
        ("Liveness", "livenessProbe"),
        ("Readiness", "readinessProbe"),
        ("Startup", "startupProbe"),
    ] {
        if spec[field].is_object() {
            tree.line(title, probe(&spec[field]));
        }
    }
    for (title, field) in [("Post Start", "postStart"), ("Pre Stop", "preStop")] {
        if spec["lifecycle"][field].is_object() {
            tree.line(title, handler(&spec["lifecycle"][field]));
        }
    }
    tree.some("Stop Signal", &spec["lifecycle"]["stopSignal"]);
    environment(&mut tree, spec);
    let mut mounts = Tree::default();
    for mount in list(&spec["volumeMounts"]) {
        let mode = if mount["readOnly"] == true {
            "ro"
        } else {
            "rw"
        };
        let (path, volume) = (text_of(&mount["mountPath"]), text_of(&mount["name"]));
        let path_in = ["subPath", "subPathExpr"]
            .map(|field| text_of(&mount[field]))
            .concat();
        let part = match path_in.as_str() {
            "" => String::new(),
            part => format!(",path=\"{part}\""),
        };
        mounts.text(format!("{path} from {volume} ({mode}{part})"));
    }
    if mounts.is_empty() {
        tree.line("Mounts", "<none>");
    } else {
        tree.branch("Mounts", mounts);
    }
    tree
}

/// `state` or `lastState`: one word, and what belongs to it below.
fn state(tree: &mut Tree, title: &str, state: &Value) {
    let Some((kind, detail)) = state.as_object().and_then(|state| state.iter().next()) else {
        if title == "State" {
            tree.line(title, "Waiting");
        }
        return;
    };
    let word = match kind.as_str() {
        "running" => "Running",
        "terminated" => "Terminated",
        _ => "Waiting",
    };
    tree.line(title, word);
    // kubectl sets them in by two.
    tree.some("  Reason", &detail["reason"]);
    tree.some("  Message", &detail["message"]);
    if word == "Terminated" {
        tree.line("  Exit Code", text_of(&detail["exitCode"]));
    }
    for (title, field) in [("  Started", "startedAt"), ("  Finished", "finishedAt")] {
        if detail[field].is_string() {
            tree.line(title, date(&detail[field]));
        }
    }
}

/// `http-get http://:80/ delay=0s timeout=1s period=10s #success=1 #failure=3`.
fn probe(probe: &Value) -> String {
    let number = |field: &str, default: &str| or(&probe[field], default);
    format!(
        "{} delay={}s timeout={}s period={}s #success={} #failure={}",
        handler(probe),
        number("initialDelaySeconds", "0"),
        number("timeoutSeconds", "1"),
        number("periodSeconds", "10"),
        number("successThreshold", "1"),
        number("failureThreshold", "3"),
    )
}

fn handler(handler: &Value) -> String {
    if handler["exec"].is_object() {
        let words: Vec<_> = list(&handler["exec"]["command"])
            .iter()
            .map(text_of)
            .collect();
        return format!("exec [{}]", words.join(" "));
    }
    if let Some(http) = handler["httpGet"].as_object().map(|_| &handler["httpGet"]) {
        let scheme = or(&http["scheme"], "HTTP").to_lowercase();
        let (host, port, path) = (
            text_of(&http["host"]),
            text_of(&http["port"]),
            text_of(&http["path"]),
        );
        return format!("http-get {scheme}://{host}:{port}{path}");
    }
    if let Some(tcp) = handler["tcpSocket"]
        .as_object()
        .map(|_| &handler["tcpSocket"])
    {
        return format!(
            "tcp-socket {}:{}",
            text_of(&tcp["host"]),
            text_of(&tcp["port"])
        );
    }
    if let Some(grpc) = handler["grpc"].as_object().map(|_| &handler["grpc"]) {
        return format!(
            "grpc <pod>:{} {}",
            text_of(&grpc["port"]),
            text_of(&grpc["service"])
        )
        .trim_end()
        .to_owned();
    }
    match &handler["sleep"]["seconds"] {
        Value::Null => "unknown".into(),
        seconds => format!("sleep {}s", text_of(seconds)),
    }
}

fn environment(tree: &mut Tree, spec: &Value) {
    let mut from = Tree::default();
    for source in list(&spec["envFrom"]) {
        for (kind, field) in [("ConfigMap", "configMapRef"), ("Secret", "secretRef")] {
            if let Some(name) = source[field]["name"].as_str() {
                let prefix = match source["prefix"].as_str() {
                    Some(prefix) if !prefix.is_empty() => format!(" with prefix '{prefix}'"),
                    Some(_) | None => String::new(),
                };
                let optional = or(&source[field]["optional"], "False").to_lowercase();
                from.text(format!("{name}  {kind}{prefix}  Optional: {optional}"));
            }
        }
    }
    if !from.is_empty() {
        tree.branch("Environment Variables from", from);
    }
    let mut variables = Tree::default();
    for variable in list(&spec["env"]) {
        let value = match &variable["valueFrom"] {
            Value::Null => text_of(&variable["value"]),
            source => reference(source),
        };
        variables.line(&text_of(&variable["name"]), value);
    }
    if variables.is_empty() {
        tree.line("Environment", "<none>");
    } else {
        tree.branch("Environment", variables);
    }
}

/// Where a value comes from; never the value.
fn reference(source: &Value) -> String {
    for (field, what) in [
        ("secretKeyRef", "in secret"),
        ("configMapKeyRef", "of config map"),
    ] {
        let reference = &source[field];
        if reference.is_object() {
            return format!(
                "<set to the key '{}' {what} '{}'>  Optional: {}",
                text_of(&reference["key"]),
                text_of(&reference["name"]),
                or(&reference["optional"], "False").to_lowercase(),
            );
        }
    }
    if source["fieldRef"].is_object() {
        let version = or(&source["fieldRef"]["apiVersion"], "v1");
        return format!("({version}:{})", text_of(&source["fieldRef"]["fieldPath"]));
    }
    let resource = &source["resourceFieldRef"];
    let of = match resource["containerName"].as_str() {
        Some(container) => format!(" of {container}"),
        None => String::new(),
    };
    format!("({}{of})", text_of(&resource["resource"]))
}
