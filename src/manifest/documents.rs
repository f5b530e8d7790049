//! What each document is: pods and configuration objects go on, other kinds are told.
//!
//! Files and Lists are only wrappers: the same objects mean the same however they are wrapped and in whatever order they come.

use crate::manifest::{
    Claim, ConfigObject, Finding, FindingKind, Findings, Node, ObjectKind, Strictness, Value,
    claims, decode, load, locate, objects, yaml,
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
    /// In the order of the input.
    pub claims: Vec<Claim>,
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
    Claim,
    List,
    /// Makes pods and is not supported; with the way out.
    Workload(&'static str),
}

/// The kinds that are known, with their `apiVersion`. All others are skipped with a warning.
const KINDS: [(&str, &str, Handling); 12] = {
    use Handling::{Claim, Config, List, Workload};
    const TEMPLATE: &str = "write its spec.template as a Pod";
    [
        ("Pod", "v1", Handling::Pod),
        ("ConfigMap", "v1", Config(ObjectKind::ConfigMap)),
        ("Secret", "v1", Config(ObjectKind::Secret)),
        ("List", "v1", List),
        ("PersistentVolumeClaim", "v1", Claim),
        ("ReplicationController", "v1", Workload(TEMPLATE)),
        ("Deployment", "apps/v1", Workload(TEMPLATE)),
        ("ReplicaSet", "apps/v1", Workload(TEMPLATE)),
        ("StatefulSet", "apps/v1", Workload(TEMPLATE)),
        ("DaemonSet", "apps/v1", Workload(TEMPLATE)),
        ("Job", "batch/v1", Workload(TEMPLATE)),
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
            Some(Handling::Claim) => {
                if let Some(claim) = claims::read(&node, &mut found) {
                    self.identify(&node, &claim.namespace, &claim.name, &mut found);
                    self.documents.claims.push(claim);
                }
                self.unknown_fields(&mut found);
            }
            // What does not say what it is may have been meant as a pod.
            None => self.has_workload |= found.has_errors(),
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
                // Written there often enough: podman issue 25081.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(texts: &[&str]) -> Vec<Source> {
        let named = texts.iter().enumerate().map(|(index, text)| Source {
            name: format!("{index}.yaml"),
            text: (*text).to_owned(),
        });
        named.collect()
    }

    fn read_as(texts: &[&str], strictness: Strictness) -> (Documents, Findings) {
        let mut findings = Findings::new();
        let documents = read(&sources(texts), strictness, &mut findings);
        findings.sort([]);
        (documents, findings)
    }

    /// The findings of one text.
    fn told(text: &str) -> String {
        read_as(&[text], Strictness::Strict).1.to_string()
    }

    const POD: &str =
        "apiVersion: v1\nkind: Pod\nmetadata: {name: p}\nspec: {containers: [{name: c}]}\n";
    const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\ndata: {k: eA==}\nstringData: {k: 'y'}\n";
    const MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {a: b}\n";

    #[test]
    fn a_list_means_the_same_as_its_documents() {
        let documents = [POD, SECRET, MAP].join("---\n");
        let (plain, findings) = read_as(&[&documents], Strictness::Strict);
        assert_eq!(findings.to_string(), "");
        let item = |text: &str| format!("- {}\n", text.trim_end().replace('\n', "\n  "));
        let list = |items: &str| format!("apiVersion: v1\nkind: List\nitems:\n{items}");
        let nested = list(&(item(POD) + &item(&list(&(item(SECRET) + &item(MAP))))));
        for text in [list(&(item(POD) + &item(SECRET) + &item(MAP))), nested] {
            let (listed, findings) = read_as(&[&text], Strictness::Strict);
            assert_eq!(findings.to_string(), "", "{text}");
            assert_eq!(listed.objects, plain.objects);
            assert_eq!(listed.pods[0].pod, plain.pods[0].pod);
            assert_eq!((listed.pods.len(), listed.objects.len()), (1, 2));
        }
        assert_eq!(plain.objects[0].data["k"], b"y");
    }

    #[test]
    fn files_are_read_together() {
        let (documents, findings) = read_as(&[MAP, POD, SECRET], Strictness::Strict);
        assert_eq!(findings.to_string(), "");
        assert_eq!((documents.pods.len(), documents.objects.len()), (1, 2));
        assert_eq!(documents.pods[0].source, "1.yaml");
    }

    #[test]
    fn other_kinds_are_skipped_with_one_warning_each() {
        let text = format!(
            "{POD}---\napiVersion: x/v1\nkind: Service\nmetadata: {{name: web}}\n---\napiVersion: v1\nkind: Namespace\n"
        );
        let (documents, findings) = read_as(&[&text], Strictness::Strict);
        assert!(!findings.has_errors());
        assert_eq!(
            findings.to_string(),
            "0.yaml:6:1: Service \"web\" is skipped, podshim runs pods\n\
             0.yaml:10:1: Namespace is skipped, podshim runs pods"
        );
        assert_eq!(documents.pods.len(), 1);
    }

    #[test]
    fn an_input_without_a_pod_is_an_error() {
        let none = "Required value: the input must hold at least one Pod";
        for text in [
            "",
            "# only a comment\n---\n---\n",
            "~",
            MAP,
            "apiVersion: v1\nkind: List\n",
        ] {
            assert_eq!(told(text), none, "{text}");
        }
        assert!(told("apiVersion: v1\nkind: Service\n").ends_with(none));
    }

    #[test]
    fn kinds_that_are_not_supported_are_refused_by_name() {
        let (_, findings) = read_as(
            &["apiVersion: batch/v1\nkind: CronJob\nmetadata: {name: nightly}\n"],
            Strictness::Strict,
        );
        assert_eq!(
            findings.to_string(),
            "0.yaml:2:7: kind: Forbidden: not supported: CronJob \"nightly\""
        );
        let hint = findings
            .iter()
            .next()
            .and_then(|finding| finding.hint.clone());
        assert_eq!(hint.as_deref(), Some("run a Pod from a systemd timer"));
    }

    #[test]
    fn kind_and_version_are_needed_and_checked() {
        let pod = "metadata: {name: p}\nspec: {containers: []}\n";
        assert_eq!(
            told(pod),
            "0.yaml:1:1: apiVersion: Required value\n0.yaml:1:1: kind: Required value"
        );
        assert_eq!(
            told("kind: Pod\n"),
            "0.yaml:1:1: apiVersion: Required value"
        );
        assert_eq!(
            told("kind: Pod\napiVersion: v2\n"),
            "0.yaml:2:13: apiVersion: Unsupported value: \"v2\": supported values: \"v1\""
        );
        assert_eq!(
            told("kind: 5\napiVersion: v1\n"),
            "0.yaml:1:7: kind: Invalid value: 5: must be a string, got integer"
        );
        assert_eq!(
            told("[a]"),
            "0.yaml:1:1: a document must be a mapping, got list"
        );
    }

    #[test]
    fn an_object_is_there_once_per_namespace() {
        let elsewhere = POD.replace("name: p", "name: p, namespace: other");
        let same = POD.replace("name: p", "name: p, namespace: default");
        assert_eq!(
            read_as(&[POD, &elsewhere], Strictness::Strict)
                .1
                .to_string(),
            ""
        );
        assert_eq!(
            read_as(&[POD, &same], Strictness::Strict).1.to_string(),
            "1.yaml:3:18: metadata.name: Duplicate value: \"p\""
        );
        let generated = POD.replace("name: p", "generateName: p-");
        assert_eq!(
            read_as(&[&generated, &generated], Strictness::Strict)
                .1
                .to_string(),
            ""
        );
    }

    #[test]
    fn strictness_decides_what_an_unknown_field_is() {
        let text = POD.replace("name: p", "name: p, restartPolicy: Never");
        let (_, strict) = read_as(&[&text], Strictness::Strict);
        assert!(strict.has_errors());
        let hint = strict
            .iter()
            .next()
            .and_then(|finding| finding.hint.as_deref());
        assert_eq!(hint, Some("restartPolicy belongs into spec"));
        let (_, warn) = read_as(&[&text], Strictness::Warn);
        assert!(!warn.has_errors());
        assert_eq!(
            warn.to_string(),
            "0.yaml:3:21: unknown field \"metadata.restartPolicy\""
        );
        assert_eq!(read_as(&[&text], Strictness::Ignore).1.to_string(), "");
    }
}
