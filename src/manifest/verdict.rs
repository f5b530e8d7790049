//! What podshim does with every field of a Pod: one table, from which refusals, warnings and `podshim check` all come.
//!
//! A field that the table does not have is refused: silence is never the answer to what is not known here.

mod table;

use crate::manifest::finding::Findings;
use serde_json::Value;
use std::collections::HashSet;
use std::fmt;
use table::Rule::{self, By, Fields, Ignored, Keys, Later, Refused, Supported};

/// What podshim does with a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does what Kubernetes does.
    Supported,
    /// Refused today, to come.
    SupportedLater,
    /// Accepted without effect; the reason says why that is harmless.
    Ignored,
    /// Refused for good on one machine.
    Refused,
}

impl fmt::Display for Verdict {
    /// One word for a table.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Verdict::Supported => "supported",
            Verdict::SupportedLater => "later",
            Verdict::Ignored => "ignored",
            Verdict::Refused => "refused",
        })
    }
}

/// The verdict on every field that is set in a Pod, with its path and, unless it is supported, the reason. What is not
/// supported is named once, without the fields below it.
pub fn verdicts(object: &Value) -> Vec<(String, Verdict, &'static str)> {
    let mut found = Vec::new();
    judge(
        &Fields(table::POD),
        object,
        &object["spec"],
        String::new(),
        &mut found,
    );
    found
}

fn judge(
    rule: &Rule,
    value: &Value,
    spec: &Value,
    path: String,
    found: &mut Vec<(String, Verdict, &'static str)>,
) {
    match (rule, value) {
        (_, Value::Null) => {}
        (_, Value::Array(entries)) if entries.is_empty() => {}
        (Later(reason), _) => found.push((path, Verdict::SupportedLater, reason)),
        (Ignored(reason), _) => found.push((path, Verdict::Ignored, reason)),
        (Refused(reason), _) => found.push((path, Verdict::Refused, reason)),
        (_, Value::Array(entries)) => {
            for (index, entry) in entries.iter().enumerate() {
                judge(rule, entry, spec, format!("{path}[{index}]"), found);
            }
        }
        (By(choose), _) => judge(choose(spec, value), value, spec, path, found),
        (Keys(choose), Value::Object(map)) => {
            for (key, value) in map {
                judge(choose(key), value, spec, format!("{path}[{key}]"), found);
            }
        }
        (Fields(_) | Supported, Value::Object(map)) if !map.is_empty() => {
            for (name, value) in map {
                let path = if path.is_empty() {
                    name.clone()
                } else {
                    format!("{path}.{name}")
                };
                judge(below(rule, name), value, spec, path, found);
            }
        }
        _ => found.push((path, Verdict::Supported, "")),
    }
}

fn below<'a>(rule: &'a Rule, name: &str) -> &'a Rule {
    match rule {
        Fields(fields) => fields
            .iter()
            .find(|(known, _)| *known == name)
            .map_or(&Refused("podshim does not know this field"), |(_, rule)| {
                rule
            }),
        other => other,
    }
}

/// Refuses by name what podshim does not do, unless a rule of Kubernetes already has refused that field, and warns once per
/// reason of what it ignores.
pub fn report(object: &Value, findings: &mut Findings) {
    let refused = findings.iter().filter(|known| !known.warning);
    let refused: HashSet<String> = refused.map(|known| known.path.clone()).collect();
    let mut ignored: Vec<(&str, Vec<String>)> = Vec::new();
    for (path, verdict, reason) in verdicts(object) {
        match verdict {
            Verdict::Supported => {}
            Verdict::SupportedLater | Verdict::Refused => {
                if !refused.contains(&path) {
                    findings.not_supported(path, reason);
                }
            }
            Verdict::Ignored => match ignored.iter_mut().find(|(known, _)| *known == reason) {
                Some((_, paths)) => paths.push(path),
                None => ignored.push((reason, vec![path])),
            },
        }
    }
    for (reason, mut paths) in ignored {
        let first = paths.remove(0);
        let detail = match paths.as_slice() {
            [] => format!("ignored: {reason}"),
            more => format!("ignored: {reason}; also {}", more.join(", ")),
        };
        findings.warn(first, detail);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_field_of_the_api_is_known_to_the_table() {
        let all: Value = serde_json::from_str(include_str!(
            "../../tests/fixtures/manifest/all-fields-pod.json"
        ))
        .expect("json");
        let unknown: Vec<_> = verdicts(&all)
            .into_iter()
            .filter(|(_, _, reason)| reason.contains("does not know"))
            .collect();
        assert_eq!(unknown, []);
    }

    #[test]
    fn each_field_gets_its_own_verdict_and_what_is_refused_is_named_once() {
        let pod = json!({"metadata": {"labels": {"a.b/c": "x"}, "managedFields": [], "uid": null}, "spec": {
            "hostUsers": false, "tolerations": [{"key": "a"}],
            "containers": [{"name": "c", "livenessProbe": {"exec": {"command": ["x"]}},
                "ports": [{"hostPort": 80}, {"hostPort": 0}],
                "resources": {"limits": {"cpu": "1", "x.y/gpu": "1"}}, "futureField": 1}],
            "volumes": [{"name": "v", "emptyDir": {}}, {"name": "w", "csi": {"driver": "d"}}]}});
        let lines: Vec<_> = verdicts(&pod)
            .into_iter()
            .map(|(path, verdict, _)| format!("{path} {verdict}"))
            .collect();
        let want = [
            "metadata.labels[a.b/c] supported",
            "spec.containers[0].futureField refused",
            "spec.containers[0].livenessProbe.exec.command[0] supported",
            "spec.containers[0].name supported",
            "spec.containers[0].ports[0].hostPort supported",
            "spec.containers[0].ports[1].hostPort supported",
            "spec.containers[0].resources.limits[cpu] supported",
            "spec.containers[0].resources.limits[x.y/gpu] refused",
            "spec.hostUsers later",
            "spec.tolerations ignored",
            "spec.volumes[0].emptyDir supported",
            "spec.volumes[0].name supported",
            "spec.volumes[1].csi refused",
            "spec.volumes[1].name supported",
        ];
        assert_eq!(lines, want);
    }

    #[test]
    fn what_is_ignored_for_one_reason_makes_one_warning() {
        let mut findings = Findings::new();
        report(
            &json!({"spec": {"nodeSelector": {"a": "b"}, "tolerations": [{}, {}], "priority": 1}}),
            &mut findings,
        );
        assert_eq!(
            findings.to_string(),
            "spec.nodeSelector: ignored: there is one machine and no scheduler; also spec.priority, spec.tolerations"
        );
        assert!(!findings.has_errors());
    }
}
