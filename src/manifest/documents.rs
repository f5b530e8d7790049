//! What each document is: pods and configuration objects go on, other kinds are told.
//!
//! Files and Lists are only wrappers: the same objects mean the same however they are wrapped and in whatever order they come.

use crate::manifest::{
    ConfigObject, Finding, FindingKind, Findings, Node, ObjectKind, Strictness, Value, decode,
    load, locate, objects, yaml,
};
use k8s_openapi::api::core::v1::Pod;
use std::collections::HashSet;

/// One input. It may hold secrets and is not for printing.
#[derive(Clone)]
pub struct Source {
    /// As the user gave it; `-` is standard input.
    pub name: String,
    /// YAML or JSON.
    pub text: String,
}

/// The objects of all inputs.
#[derive(Debug, Default)]
pub struct Documents {
    /// In the order of the input.
    pub pods: Vec<RawPod>,
    /// In the order of the input.
    pub objects: Vec<ConfigObject>,
}

/// A decoded pod, neither defaulted nor validated.
#[derive(Debug)]
pub struct RawPod {
    /// The object; fields of a wrong type are left out.
    pub pod: Pod,
    /// The tree that it was made of, for locations.
    pub node: Node,
    /// The name of its input.
    pub source: String,
    /// Paths of the fields that are left out.
    pub refused: Vec<String>,
}

/// What is done with a kind.
#[derive(Clone, Copy)]
enum Handling {
    Pod,
    Config(ObjectKind),
    List,
    /// Makes pods and is not supported; with the way out.
    Workload(&'static str),
    /// Is needed by pods and not supported; with the way out.
    Refused(&'static str),
}

/// The kinds that are known, with their `apiVersion`. All others are skipped with a warning.
const KINDS: [(&str, &str, Handling); 12] = {
    use Handling::{Config, List, Refused, Workload};
    const TEMPLATE: &str = "write its spec.template as a Pod";
    [
        ("Pod", "v1", Handling::Pod),
        ("ConfigMap", "v1", Config(ObjectKind::ConfigMap)),
        ("Secret", "v1", Config(ObjectKind::Secret)),
        ("List", "v1", List),
        (
            "PersistentVolumeClaim",
            "v1",
            Refused("use a hostPath volume"),
        ),
        ("ReplicationController", "v1", Workload(TEMPLATE)),
        ("Deployment", "apps/v1", Workload(TEMPLATE)),
        ("ReplicaSet", "apps/v1", Workload(TEMPLATE)),
        ("StatefulSet", "apps/v1", Workload(TEMPLATE)),
        ("DaemonSet", "apps/v1", Workload(TEMPLATE)),
        (
            "Job",
            "batch/v1",
            Workload("write its spec.template as a Pod"),
        ),
        (
            "CronJob",
            "batch/v1",
            Workload("run a Pod from a systemd timer"),
        ),
    ]
};

/// Reads all inputs. Every finding has its location; they are in the order in which they were made.
pub fn read(sources: &[Source], strictness: Strictness, findings: &mut Findings) -> Documents {
    let mut reader = Reader {
        strictness,
        documents: Documents::default(),
        names: HashSet::new(),
        has_workload: false,
    };
    for source in sources {
        for node in yaml::parse(&source.name, &source.text, strictness, findings) {
            reader.document(source, node, findings);
        }
    }
    let unread = |finding: &Finding| {
        matches!(finding.kind, FindingKind::Syntax | FindingKind::TooLong)
            && finding.path.is_empty()
    };
    if !reader.has_workload && !findings.iter().any(unread) {
        let detail = "the input must hold at least one Pod";
        findings.push(Finding::new("", FindingKind::Required, detail));
    }
    reader.documents
}

struct Reader {
    strictness: Strictness,
    documents: Documents,
    /// Kind, namespace and name of what has been read.
    names: HashSet<(String, String, String)>,
    has_workload: bool,
}

impl Reader {
    /// Reads one document, or one item of a List.
    fn document(&mut self, source: &Source, node: Node, findings: &mut Findings) {
        let mut found = Findings::new();
        match handling(&node, &mut found) {
            Some(Handling::List) => return self.list(source, node, findings),
            Some(Handling::Pod) => {
                self.has_workload = true;
                if let Some(pod) = self.pod(source, &node, &mut found) {
                    self.documents.pods.push(pod);
                }
            }
            Some(Handling::Config(kind)) => {
                if let Some(object) = objects::read(kind, &node, &mut found) {
                    self.identify(&node, &object.namespace, &object.name, &mut found);
                    self.documents.objects.push(object);
                }
                self.unknown_fields(&mut found);
            }
            Some(Handling::Workload(hint)) => {
                self.has_workload = true;
                refuse(&node, hint, &mut found);
            }
            Some(Handling::Refused(hint)) => refuse(&node, hint, &mut found),
            None => {}
        }
        found.locate(|path| locate(&node, path));
        findings.extend(found);
    }

    fn list(&mut self, source: &Source, node: Node, findings: &mut Findings) {
        let location = node.place.location();
        let Value::Map(entries) = node.value else {
            return;
        };
        let items = entries.into_iter().find(|entry| entry.key == "items");
        match items.map(|entry| entry.node.value) {
            Some(Value::List(items)) => {
                for item in items {
                    self.document(source, item, findings);
                }
            }
            None | Some(Value::Null) => {}
            Some(_) => {
                let detail = "must be a list of objects";
                let finding = Finding::new("items", FindingKind::Syntax, detail);
                findings.push(finding).location = Some(location);
            }
        }
    }

    fn pod(&mut self, source: &Source, node: &Node, found: &mut Findings) -> Option<RawPod> {
        let pod: Option<Pod> = decode(node, "", found);
        let refused = load::refused(found);
        self.unknown_fields(found);
        let pod = pod?;
        let namespace = pod.metadata.namespace.as_deref().unwrap_or_default();
        let name = pod.metadata.name.as_deref().unwrap_or_default();
        self.identify(node, namespace, name, found);
        Some(RawPod {
            pod,
            node: node.clone(),
            source: source.name.clone(),
            refused,
        })
    }

    /// An object is there once. One without a name gets another from `generateName`, or has its own finding.
    fn identify(&mut self, node: &Node, namespace: &str, name: &str, found: &mut Findings) {
        let namespace = if namespace.is_empty() {
            "default"
        } else {
            namespace
        };
        let kind = node.get("kind").and_then(Node::as_str).unwrap_or_default();
        let identity = (kind.to_owned(), namespace.to_owned(), name.to_owned());
        if !name.is_empty() && !self.names.insert(identity) {
            found.duplicate("metadata.name", name);
        }
    }

    /// Makes of unknown fields what the user wants them to be.
    fn unknown_fields(&self, found: &mut Findings) {
        let warning = self.strictness.warning();
        let all = std::mem::take(found).into_iter();
        found.extend(all.filter_map(|mut finding| {
            if finding.kind == FindingKind::Unknown {
                finding.warning = warning?;
                // Other tools read it there: containers/podman#25081.
                if finding.path == "metadata.restartPolicy" {
                    finding.hint = Some("restartPolicy belongs into spec".to_owned());
                }
            }
            Some(finding)
        }));
    }
}

/// What to do with a document; `None` after a finding.
fn handling(node: &Node, found: &mut Findings) -> Option<Handling> {
    if !matches!(node.value, Value::Map(_)) {
        let detail = format!("a document must be a mapping, got {}", node.kind());
        found.push(Finding::new("", FindingKind::Syntax, detail));
        return None;
    }
    let api_version = text(node, "apiVersion", found);
    let kind = text(node, "kind", found)?;
    let Some((_, version, handling)) = KINDS.iter().find(|(name, ..)| *name == kind) else {
        let detail = format!("{} is skipped, podshim runs pods", describe(node));
        found.warn("", detail);
        return None;
    };
    if api_version? != *version {
        found.unsupported("apiVersion", api_version?, &[version]);
        return None;
    }
    Some(*handling)
}

/// A field that must be a string and not empty.
fn text<'a>(node: &'a Node, field: &str, found: &mut Findings) -> Option<&'a str> {
    match node.get(field).map(|node| (&node.value, node)) {
        None | Some((Value::Null, _)) => {
            found.required(field);
            None
        }
        Some((Value::String(text), _)) if text.is_empty() => {
            found.required(field);
            None
        }
        Some((Value::String(text), _)) => Some(text),
        Some((_, node)) => {
            let detail = format!("must be a string, got {}", node.kind());
            found.invalid(field, node.shown(), detail);
            None
        }
    }
}

fn refuse(node: &Node, hint: &str, found: &mut Findings) {
    found.not_supported("kind", describe(node)).hint = Some(hint.to_owned());
}

/// Kind and name, for messages.
fn describe(node: &Node) -> String {
    let kind = node.get("kind").and_then(Node::as_str).unwrap_or_default();
    let name = node
        .get("metadata")
        .and_then(|metadata| metadata.get("name"));
    match name.and_then(Node::as_str) {
        Some(name) => format!("{kind} {name:?}"),
        None => kind.to_owned(),
    }
}
