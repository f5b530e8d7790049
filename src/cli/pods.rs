//! Finding pods by what people type: `[namespace/]name[/container]`, a UID, or the beginning of a UID.

use crate::base::PodUid;
use crate::cli::exit::{Code, Failed, cannot};
use crate::cli::report;
use crate::cli::settings::Settings;
use crate::manifest::{Container, Role};
use crate::pod::{ContainerView, PodView};
use crate::store::find_name;
use crate::supervisor::task::{TaskPod, list_task_pods};
use crate::supervisor::{PodRecord, Process, list_pods, read_pod};
use std::collections::BTreeMap;

/// Shortest beginning of a UID that is taken for one.
const MIN_UID_PREFIX: usize = 4;
/// Names the container that verbs take when several could be meant. Source: kubectl.
const DEFAULT_CONTAINER: &str = "kubectl.kubernetes.io/default-container";

/// A pod that does not exist.
#[derive(Debug, thiserror::Error)]
#[error("pod `{0}` not found")]
struct NoSuchPod(String);

/// A container that does not exist.
#[derive(Debug, thiserror::Error)]
enum NoSuchContainer {
    #[error("container `{container}` not found in pod `{pod}`")]
    Named { pod: String, container: String },
    #[error("a container name must be specified for pod `{pod}`, choose one of: [{choices}]")]
    Several { pod: String, choices: String },
}

/// The pod that `text` names.
pub(super) fn find(settings: &Settings, text: &str) -> Result<PodRecord, Failed> {
    find_with_container(settings, text).map(|(pod, _)| pod)
}

/// The pod that `text` names, and the container if it names one too.
pub(super) fn find_with_container(
    settings: &Settings,
    text: &str,
) -> Result<(PodRecord, Option<String>), Failed> {
    let text = text.strip_prefix("pod/").unwrap_or(text);
    let parts: Vec<&str> = text.split('/').collect();
    let readings: Vec<(&str, &str, Option<&str>)> = match parts[..] {
        [name] => vec![(settings.namespace.as_str(), name, None)],
        // `a/b` is a pod of a namespace, else a container of a pod.
        [a, b] => vec![(a, b, None), (settings.namespace.as_str(), a, Some(b))],
        [namespace, name, container] => vec![(namespace, name, Some(container))],
        _ => Vec::new(),
    };
    for (namespace, name, container) in &readings {
        let uid = find_name(&settings.dirs, namespace, name);
        if let Some(pod) = uid.and_then(|uid| read_pod(&settings.dirs, &uid).transpose()) {
            let pod = pod.map_err(|e| unreadable(text, e))?;
            return Ok((pod, container.map(str::to_owned)));
        }
    }
    let (uid, container) = text
        .split_once('/')
        .map_or((text, None), |(uid, c)| (uid, Some(c.to_owned())));
    match by_uid(settings, uid)? {
        Some(pod) => Ok((pod, container)),
        None => {
            let others = list_task_pods(&settings.dirs.state);
            let is_it = |pod: &TaskPod| readings.iter().any(|(_, name, _)| *name == pod.name);
            let hint = match others.iter().any(is_it) {
                true => "containerd runs a pod of that name: ask it, with crictl or ctr",
                false => "`podshim get -A` lists all pods",
            };
            Err(Failed::new(Code::NotFound, NoSuchPod(text.to_owned())).hint(hint))
        }
    }
}

fn by_uid(settings: &Settings, prefix: &str) -> Result<Option<PodRecord>, Failed> {
    if prefix.len() < MIN_UID_PREFIX {
        return Ok(None);
    }
    let (mut pods, mut broken) = list_pods(&settings.dirs);
    pods.retain(|pod| pod.plan.pod.uid.0.starts_with(prefix));
    broken.retain(|(uid, _)| uid.0.starts_with(prefix));
    match (pods.len(), broken.pop()) {
        (0, Some((uid, error))) if broken.is_empty() => Err(unreadable(&uid.0, error)),
        (1, None) => Ok(pods.pop()),
        _ => Ok(None),
    }
}

/// What is written of a pod cannot be understood. Its containers may well run.
fn unreadable(name: &str, error: std::io::Error) -> Failed {
    let what = cannot(format!("read pod `{name}`"))(error);
    Failed::from(what).hint(format!(
        "its containers run on; `podshim delete --force {name}` ends and removes it all the same"
    ))
}

/// The pod that `text` names by its name or UID, though it cannot be read.
pub(super) fn find_unreadable(settings: &Settings, text: &str) -> Option<PodUid> {
    let text = text.strip_prefix("pod/").unwrap_or(text);
    let (namespace, name) = text.split_once('/').unwrap_or((&settings.namespace, text));
    let named = find_name(&settings.dirs, namespace, name);
    let (_, broken) = list_pods(&settings.dirs);
    let is_it = |uid: &PodUid| match &named {
        Some(named) => named == uid,
        None => text.len() >= MIN_UID_PREFIX && uid.0.starts_with(text),
    };
    let mut found = broken.into_iter().map(|(uid, _)| uid).filter(is_it);
    found.next().filter(|_| found.next().is_none())
}

/// Every pod that fits: of the namespace or all, with these labels. What cannot be read is warned of.
pub(super) fn all(
    settings: &Settings,
    all_namespaces: bool,
    selector: Option<&Selector>,
) -> Vec<PodRecord> {
    let (mut pods, broken) = list_pods(&settings.dirs);
    for (uid, error) in broken {
        report::warn(format!("cannot read pod `{uid}`: {error}"));
    }
    pods.retain(|pod| all_namespaces || pod.plan.pod.namespace == settings.namespace);
    pods.retain(|pod| selector.is_none_or(|selector| selector.fits(&pod.plan.pod.labels)));
    pods
}

/// Every pod of this installation, and why others cannot be read.
pub(super) fn everywhere(settings: &Settings) -> (Vec<PodRecord>, Vec<Failed>) {
    let (pods, broken) = list_pods(&settings.dirs);
    let broken = broken
        .into_iter()
        .map(|(uid, error)| unreadable(&uid.0, error));
    (pods, broken.collect())
}

/// The container that is meant: the one named, the only app container, or the annotated one.
pub(super) fn container<'a>(
    pod: &'a PodRecord,
    named: Option<&str>,
) -> Result<&'a Container, Failed> {
    let spec = &pod.plan.pod;
    let apps: Vec<_> = spec.of_role(Role::App).collect();
    let wanted = named.or_else(|| spec.annotations.get(DEFAULT_CONTAINER).map(String::as_str));
    let found = match (wanted, &apps[..]) {
        (Some(name), _) => spec.container(name).ok_or_else(|| NoSuchContainer::Named {
            pod: spec.name.clone(),
            container: name.to_owned(),
        }),
        (None, [only]) => Ok(*only),
        (None, _) => Err(NoSuchContainer::Several {
            pod: spec.name.clone(),
            choices: apps
                .iter()
                .map(|c| c.name.as_str())
                .collect::<Vec<_>>()
                .join(" "),
        }),
    };
    found.map_err(|e| Failed::new(Code::NotFound, e))
}

/// What is known of a container now; `None` before the pod's supervisor has begun.
pub(super) fn container_view<'a>(pod: &'a PodRecord, name: &str) -> Option<&'a ContainerView> {
    view(pod)?.containers.iter().find(|c| c.name == name)
}

/// What is known of a pod now.
pub(super) fn view(pod: &PodRecord) -> Option<&PodView> {
    pod.snapshot.as_ref().map(|snapshot| &snapshot.view)
}

/// `namespace/name`, as messages name a pod.
pub(super) fn shown(pod: &PodRecord) -> String {
    format!("pod/{}", pod.plan.pod.name)
}

/// The process that owns the pod's namespaces.
pub(super) fn pause(pod: &PodRecord) -> Option<Process> {
    let hands = &pod.snapshot.as_ref()?.hands;
    let sandbox = hands.sandbox.as_ref()?;
    let is_pause = |process: &&Process| sandbox.pause_proc == format!("/proc/{}", process.pid);
    hands.processes.values().find(is_pause).copied()
}

/// A label selector. Source: Kubernetes equality-based selectors.
#[derive(Debug)]
pub(super) struct Selector(Vec<(String, Rule)>);

#[derive(Debug)]
enum Rule {
    Exists,
    Absent,
    Is(String),
    IsNot(String),
}

impl Selector {
    /// Reads `key=value,key!=value,key,!key`.
    pub fn parse(text: &str) -> Selector {
        let rule = |term: &str| {
            let (key, rule) = if let Some((key, value)) = term.split_once("!=") {
                (key, Rule::IsNot(value.trim().to_owned()))
            } else if let Some((key, value)) = term.split_once('=') {
                (
                    key,
                    Rule::Is(value.trim_start_matches('=').trim().to_owned()),
                )
            } else if let Some(key) = term.strip_prefix('!') {
                (key, Rule::Absent)
            } else {
                (term, Rule::Exists)
            };
            (key.trim().to_owned(), rule)
        };
        Selector(
            text.split(',')
                .map(str::trim)
                .filter(|term| !term.is_empty())
                .map(rule)
                .collect(),
        )
    }

    fn fits(&self, labels: &BTreeMap<String, String>) -> bool {
        self.0
            .iter()
            .all(|(key, rule)| match (labels.get(key), rule) {
                (Some(_), Rule::Exists) | (None, Rule::Absent | Rule::IsNot(_)) => true,
                (Some(value), Rule::Is(wanted)) => value == wanted,
                (Some(value), Rule::IsNot(unwanted)) => value != unwanted,
                (Some(_), Rule::Absent) | (None, Rule::Exists | Rule::Is(_)) => false,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selectors_read_as_kubectl_reads_them() {
        let labels = BTreeMap::from([
            ("app".to_owned(), "web".to_owned()),
            ("tier".to_owned(), String::new()),
        ]);
        for (text, fits) in [
            ("app=web", true),
            ("app==web", true),
            ("app!=web", false),
            ("app", true),
            ("!app", false),
            ("!other,tier", true),
            ("other!=x", true),
            ("other=x", false),
            ("app=web,tier=", true),
            ("", true),
        ] {
            assert_eq!(Selector::parse(text).fits(&labels), fits, "{text}");
        }
    }
}
