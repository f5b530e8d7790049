//! The downward API: what a field or an amount of the pod is as text or number. One piece for environment and volumes.
//! Source: Kubernetes pkg/fieldpath, pkg/api/v1/resource.

use crate::base::Quantity;
use crate::manifest::{Container, FieldRef, Pod, ResourceRef};
use std::collections::BTreeMap;

/// What the machine adds to the pod.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// Addresses of the pod; empty if it has none yet.
    pub pod_ips: &'a [String],
    /// Addresses of the machine, the one of the default route first.
    pub host_ips: &'a [String],
    /// Name of the node, for pods that do not say one.
    pub node_name: &'a str,
    /// Milli-CPUs of the machine.
    pub cpu_milli: u64,
    /// Bytes of memory of the machine.
    pub memory_bytes: u64,
    /// Bytes of the file system that holds containers.
    pub storage_bytes: u64,
}

/// The text of a field; empty for a key or address that is not there.
pub fn field(field: &FieldRef, pod: &Pod, facts: &Facts<'_>) -> String {
    let first = |list: &[String]| list.first().cloned().unwrap_or_default();
    match field {
        FieldRef::Name => pod.name.clone(),
        FieldRef::Namespace => pod.namespace.clone(),
        FieldRef::Uid => pod.uid.to_string(),
        FieldRef::Labels => lines(&pod.labels),
        FieldRef::Annotations => lines(&pod.annotations),
        FieldRef::Label(key) => pod.labels.get(key).cloned().unwrap_or_default(),
        FieldRef::Annotation(key) => pod.annotations.get(key).cloned().unwrap_or_default(),
        FieldRef::NodeName => pod
            .node_name
            .as_deref()
            .unwrap_or(facts.node_name)
            .to_owned(),
        FieldRef::ServiceAccountName => pod.service_account.clone(),
        FieldRef::HostIp => first(facts.host_ips),
        FieldRef::HostIps => facts.host_ips.join(","),
        FieldRef::PodIp => first(facts.pod_ips),
        FieldRef::PodIps => facts.pod_ips.join(","),
    }
}

/// The amount, divided and rounded up; `None` if it names a container that the pod does not have. `asking` is the container
/// whose environment it is for; a volume has none.
pub fn resource(
    reference: &ResourceRef,
    pod: &Pod,
    asking: Option<&Container>,
    facts: &Facts<'_>,
) -> Option<i64> {
    let container = match &reference.container {
        Some(name) => pod.container(name)?,
        None => asking?,
    };
    let name = reference.resource.as_str();
    let zero = Quantity::from_units(0);
    let amount = if reference.limit {
        let set = |amounts: &BTreeMap<String, Quantity>| {
            amounts.get(name).copied().filter(|a| !a.is_zero())
        };
        let of_pod = || set(&pod.resources.as_ref()?.limits);
        set(&container.resources.limits)
            .or_else(of_pod)
            .or_else(|| capacity(name, facts))
            .unwrap_or(zero)
    } else {
        container
            .resources
            .requests
            .get(name)
            .copied()
            .unwrap_or(zero)
    };
    amount.divided_by(reference.divisor)
}

fn capacity(resource: &str, facts: &Facts<'_>) -> Option<Quantity> {
    let units = |n: u64| Some(Quantity::from_units(i64::try_from(n).unwrap_or(i64::MAX)));
    match resource {
        "cpu" => format!("{}m", facts.cpu_milli).parse().ok(),
        "memory" => units(facts.memory_bytes),
        "ephemeral-storage" => units(facts.storage_bytes),
        _ => None,
    }
}

/// `key="value"` lines in the order of their keys, without a line feed at the end.
fn lines(map: &BTreeMap<String, String>) -> String {
    let lines: Vec<_> = map
        .iter()
        .map(|(key, value)| format!("{key}={}", go_quoted(value)))
        .collect();
    lines.join("\n")
}

/// A string literal as Go's `strconv.Quote` writes it.
fn go_quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                out.push_str(&match code {
                    0..0x80 => format!("\\x{code:02x}"),
                    0x80..0x1_0000 => format!("\\u{code:04x}"),
                    _ => format!("\\U{code:08x}"),
                });
            }
        }
    }
    out.push('"');
    out
}

/// Letters, marks, numbers, punctuation, symbols and the space. Rust's own escape uses the same categories, except that it
/// also escapes a mark that begins a string: hence the letter in front.
fn is_printable(c: char) -> bool {
    c == '\'' || String::from_iter(['a', c]).escape_debug().count() == 2
}
