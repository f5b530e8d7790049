//! A tree → a `core/v1` object, as strict as the API server, with every type mistake and unknown field found at once.
//!
//! A value of a wrong type is told, and the object is decoded without it.

use crate::manifest::from_node::FromNode;
use crate::manifest::node::{Entry, Node};
use crate::manifest::{Finding, FindingKind, Findings};
use serde::de::{self, DeserializeOwned, Expected, Unexpected};
use std::cell::RefCell;
use std::collections::HashSet;
use std::fmt::{self, Write};

/// Decodings of one object. Another one is needed after a value that only its type can refuse, such as a time.
const MAX_PASSES: usize = 20;
/// Bytes of an unknown field that is compared with the known ones, all of which are shorter.
const MAX_FIELD_BYTES: usize = 64;
/// Edits between an unknown field and the one that is offered instead.
const MAX_EDITS: usize = 2;

/// Whether findings may show values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Values {
    /// As written.
    Shown,
    /// Never: the object is a Secret.
    Hidden,
}

/// Decodes an object; paths begin with `prefix`. `None` only when nothing can be made of it: an object that was decoded
/// without its wrong values is still worth checking further.
pub fn decode<T: DeserializeOwned>(
    node: &Node,
    prefix: &str,
    findings: &mut Findings,
) -> Option<T> {
    decode_with(node, prefix, Values::Shown, findings)
}

/// The same, with the choice of whether findings show values.
pub fn decode_with<T: DeserializeOwned>(
    node: &Node,
    prefix: &str,
    values: Values,
    findings: &mut Findings,
) -> Option<T> {
    let state = RefCell::new(State {
        findings: Vec::new(),
        path: prefix.to_owned(),
        refused: HashSet::new(),
        unknown: HashSet::new(),
        values,
    });
    let mut object = None;
    for _ in 0..MAX_PASSES {
        let refused = state.borrow().refused.len();
        object = match T::deserialize(FromNode::new(node, &state)) {
            Ok(object) => Some(object),
            Err(failure) => {
                state.borrow_mut().refuse(node, failure);
                None
            }
        };
        if state.borrow().refused.len() == refused {
            break;
        }
    }
    findings.extend(state.into_inner().findings);
    object
}

/// What one decoding knows and finds.
pub struct State {
    findings: Vec<Finding>,
    /// The path of the value at hand.
    pub path: String,
    /// Values that are left out, by address.
    refused: HashSet<*const Node>,
    /// Unknown fields that are told, by address.
    unknown: HashSet<*const Entry>,
    values: Values,
}

impl State {
    /// Whether this value is left out.
    pub fn refuses(&self, node: &Node) -> bool {
        self.refused.contains(&std::ptr::from_ref(node))
    }

    /// Tells of a wrong value, once.
    pub fn refuse(&mut self, node: &Node, failure: Failure) {
        let Failure::Wrong(detail) = failure else {
            return;
        };
        if !self.refused.insert(node) {
            return;
        }
        let value = match self.values {
            Values::Shown => node.shown(),
            Values::Hidden => "(hidden)".to_owned(),
        };
        let kind = FindingKind::Invalid(value);
        let mut finding = Finding::new(self.path.clone(), kind, detail);
        finding.location = Some(node.place.location());
        self.findings.push(finding);
    }

    /// Goes into a part of the value at hand; the length of the path to come back to.
    pub fn enter(&mut self, segment: fmt::Arguments<'_>) -> usize {
        let outer = self.path.len();
        _ = self.path.write_fmt(segment);
        if outer == 0 && self.path.starts_with('.') {
            self.path.remove(0);
        }
        outer
    }

    /// Tells of an unknown field, once.
    pub fn unknown(&mut self, entry: &Entry, fields: &[&str]) {
        if !self.unknown.insert(entry) {
            return;
        }
        let outer = self.enter(format_args!(".{}", entry.key));
        let mut finding = Finding::new(self.path.clone(), FindingKind::Unknown, "");
        self.path.truncate(outer);
        finding.location = Some(entry.place.location());
        finding.hint = nearest(&entry.key, fields).map(|field| format!("did you mean {field:?}?"));
        self.findings.push(finding);
    }
}

/// The field that was probably meant.
fn nearest<'f>(key: &str, fields: &[&'f str]) -> Option<&'f str> {
    if key.len() > MAX_FIELD_BYTES {
        return None;
    }
    let key = key.to_lowercase();
    let edits = |field: &&&str| edits(&key, &field.to_lowercase());
    let field = fields.iter().min_by_key(edits)?;
    let close = edits(&field) <= MAX_EDITS.min(key.chars().count() / 2);
    close.then_some(field)
}

/// Levenshtein distance of two words; words of too different length are far apart.
fn edits(a: &str, b: &str) -> usize {
    if a.len().abs_diff(b.len()) > MAX_EDITS {
        return usize::MAX;
    }
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.chars().enumerate() {
            let replaced = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.chars().count()]
}

/// Why a value could not be made.
#[derive(Debug)]
pub enum Failure {
    /// The value at hand is wrong, for this reason.
    Wrong(String),
    /// A value inside it was wrong, and that is told.
    Told,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Wrong(reason) => f.write_str(reason),
            Failure::Told => f.write_str("has a wrong value inside"),
        }
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Failure {
        Failure::Wrong(message.to_string())
    }

    fn invalid_type(_: Unexpected<'_>, expected: &dyn Expected) -> Failure {
        Failure::Wrong(match expected.to_string().as_str() {
            "IntOrString" => "must be an integer or a string".to_owned(),
            "Quantity" => "must be a quantity: a string or a number".to_owned(),
            expected => format!("must be {expected}"),
        })
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Failure {
        Self::invalid_type(unexpected, expected)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Strictness, parse};
    use k8s_openapi::api::core::v1::{Container, Pod};
    use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

    fn decoded<T: DeserializeOwned>(text: &str) -> (Option<T>, Findings) {
        let mut findings = Findings::new();
        let nodes = parse("f", text, Strictness::Strict, &mut findings);
        let object = decode(&nodes[0], "", &mut findings);
        findings.sort([]);
        (object, findings)
    }

    /// The findings of a container with these fields, without their locations.
    fn told(fields: &str) -> Vec<String> {
        let (_, findings) = decoded::<Container>(&format!("{{name: c, {fields}}}"));
        findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn the_strict_errors_are_told_together_each_at_its_place() {
        let (pod, findings) = decoded::<Pod>(
            "apiVersion: v1
kind: Pod
spec:
  containers:
  - name: c
    image: b
    imagePullPolcy: Always
    env:
    - {name: A, value: yes}
    - {name: B, value: \"yes\"}
    ports:
    - containerPort: \"80\"
    env:
    - {name: A, value: yes}
    - {name: B, value: \"yes\"}
",
        );
        assert_eq!(
            findings.to_string(),
            "f:7:5: unknown field \"spec.containers[0].imagePullPolcy\"
f:12:22: spec.containers[0].ports[0].containerPort: Invalid value: \"80\": must be an integer, got string (remove the quotes)
f:13:5: duplicate field \"spec.containers[0].env\"
f:14:24: spec.containers[0].env[0].value: Invalid value: true: must be a string, got boolean (quote it)"
        );
        let hint = findings
            .iter()
            .next()
            .and_then(|finding| finding.hint.as_deref());
        assert_eq!(hint, Some("did you mean \"imagePullPolicy\"?"));
        let container = &pod.expect("a pod").spec.expect("a spec").containers[0];
        assert_eq!(container.image.as_deref(), Some("b"));
        let env = container.env.as_ref().expect("env");
        assert_eq!(env[0].value, None, "a wrong value is left out");
        assert_eq!(env[1].value.as_deref(), Some("yes"));
    }

    #[test]
    fn a_mode_means_the_same_in_each_way_to_write_it() {
        for (text, want) in [
            ("0400", 256),
            ("256", 256),
            ("0o400", 256),
            ("0x100", 256),
            ("0999", 999),
            ("512", 512),
        ] {
            let text =
                format!("spec: {{volumes: [{{name: v, configMap: {{defaultMode: {text}}}}}]}}");
            let (pod, findings) = decoded::<Pod>(&text);
            assert_eq!(findings.to_string(), "");
            let volumes = pod.and_then(|pod| pod.spec?.volumes).expect("volumes");
            let mode = volumes[0]
                .config_map
                .as_ref()
                .and_then(|map| map.default_mode);
            assert_eq!(mode, Some(want), "{text}");
        }
    }

    #[test]
    fn types_are_those_of_the_api() {
        assert_eq!(
            told("args: [a, 1, null]"),
            ["args[1]: Invalid value: 1: must be a string, got integer (quote it)"]
        );
        assert_eq!(
            told("args: a"),
            ["args: Invalid value: \"a\": must be a list, got string"]
        );
        assert_eq!(
            told("env: {a: b}"),
            ["env: Invalid value: {\"a\":\"b\"}: must be a list, got mapping"]
        );
        assert_eq!(
            told("env: [a]"),
            ["env[0]: Invalid value: \"a\": must be a mapping, got string"]
        );
        assert_eq!(
            told("tty: 'true'"),
            ["tty: Invalid value: \"true\": must be a boolean, got string"]
        );
        assert_eq!(
            told("ports: [{containerPort: 80.5}]"),
            ["ports[0].containerPort: Invalid value: 80.5: must be an integer, got number"]
        );
        assert_eq!(
            told("ports: [{containerPort: 80000000000}]"),
            [
                "ports[0].containerPort: Invalid value: 80000000000: must be between -2147483648 and 2147483647, inclusive"
            ]
        );
        assert_eq!(
            told("ports: [{containerPort: 8080.0, hostPort: 1e3}]"),
            [""; 0]
        );
        assert_eq!(told("args: ~, env: null, workingDir: , tty: ~"), [""; 0]);
    }

    #[test]
    fn quantities_and_ports_take_numbers_and_strings() {
        let text = "{name: c, resources: {limits: {cpu: 0.5, memory: 1e3, a/b: 1, c/d: 64Mi}},
            livenessProbe: {httpGet: {port: 80}}, readinessProbe: {httpGet: {port: '80'}}}";
        let (container, findings) = decoded::<Container>(text);
        assert_eq!(findings.to_string(), "");
        let container = container.expect("a container");
        let limits = container
            .resources
            .and_then(|resources| resources.limits)
            .expect("limits");
        let limits: Vec<_> = limits
            .values()
            .map(|quantity| quantity.0.as_str())
            .collect();
        assert_eq!(limits, ["1", "64Mi", "0.5", "1000"]);
        let port = |probe: Option<k8s_openapi::api::core::v1::Probe>| Some(probe?.http_get?.port);
        assert_eq!(port(container.liveness_probe), Some(IntOrString::Int(80)));
        assert_eq!(
            port(container.readiness_probe),
            Some(IntOrString::String("80".to_owned()))
        );
        assert_eq!(
            told("resources: {limits: {cpu: true}}, livenessProbe: {httpGet: {port: 1.5}}"),
            [
                "resources.limits[cpu]: Invalid value: true: must be a quantity: a string or a number",
                "livenessProbe.httpGet.port: Invalid value: 1.5: must be an integer or a string",
            ]
        );
    }

    #[test]
    fn a_value_that_only_its_type_can_refuse_does_not_hide_the_others() {
        let (pod, findings) = decoded::<Pod>(
            "metadata: {name: p, creationTimestamp: today, deletionTimestamp: 5}\nspec: {hostname: 7}\n",
        );
        let paths: Vec<_> = findings
            .iter()
            .map(|finding| finding.path.as_str())
            .collect();
        let want = [
            "metadata.creationTimestamp",
            "metadata.deletionTimestamp",
            "spec.hostname",
        ];
        assert_eq!(paths, want, "{findings}");
        assert_eq!(pod.and_then(|pod| pod.metadata.name).as_deref(), Some("p"));
    }

    #[test]
    fn a_refused_item_keeps_its_index() {
        let (pod, findings) = decoded::<Pod>("spec: {containers: [web, {name: b}]}");
        assert_eq!(findings.len(), 1);
        let containers = pod.and_then(|pod| pod.spec).expect("a spec").containers;
        let names: Vec<_> = containers
            .iter()
            .map(|container| container.name.as_str())
            .collect();
        assert_eq!(names, ["", "b"]);
    }

    #[test]
    fn a_hint_is_given_only_for_what_is_near() {
        let fields = &["image", "imagePullPolicy", "env", "envFrom"];
        assert_eq!(nearest("imagePullpolicy", fields), Some("imagePullPolicy"));
        assert_eq!(nearest("imgae", fields), Some("image"));
        assert_eq!(nearest("images", fields), Some("image"));
        assert_eq!(nearest("ENV", fields), Some("env"));
        assert_eq!(nearest("foo", fields), None);
        assert_eq!(nearest("", fields), None);
        assert_eq!(nearest("ä", fields), None);
    }
}
