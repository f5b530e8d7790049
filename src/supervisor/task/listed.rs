//! The pods that are run for containerd, as what their shims have written down tells. No process is asked: it is the same when
//! containerd is down, or the shim is dead. To be shown only; they are containerd's.

use crate::supervisor::task::config::annotations;
use crate::supervisor::task::group::{Group, TaskRecord};
use crate::supervisor::task::types::Ended;
use crate::sys;
use nix::unistd::{SysconfVar, sysconf};
use std::path::Path;
use std::time::Duration;

/// Directory of all shims in that of what runs.
pub const SHIMS: &str = "shim";
/// What the CRI plugin writes beside each container. Source: containerd, pkg/cri/annotations.
const CRI: &str = "io.kubernetes.cri.";

/// A pod that containerd runs on podshim: all that one shim has.
#[derive(Debug, Default)]
pub struct TaskPod {
    /// That of Kubernetes; of a container without a pod, containerd's.
    pub namespace: String,
    /// Of a container without a pod, its id.
    pub name: String,
    /// Kubernetes' UID.
    pub uid: Option<String>,
    /// Which runtime runs it.
    pub runtime: &'static str,
    /// All but the one that holds the namespaces.
    pub containers: Vec<TaskView>,
    /// The one that holds the namespaces does not run any more.
    pub is_down: bool,
    /// How long its first container has been there; `None` if the kernel did not say when that started.
    pub age: Option<Duration>,
}

/// One container of it.
#[derive(Debug)]
pub struct TaskView {
    /// Its id at containerd.
    pub id: String,
    /// Its name in the pod.
    pub name: String,
    /// Its image, if it is told.
    pub image: String,
    /// How it is.
    pub life: TaskLife,
}

/// How a container is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TaskLife {
    /// Its init is there; it may not have been started yet.
    Runs,
    /// It ended so.
    Ended(Ended),
    /// It is gone, and nobody has seen how it ended.
    Lost,
}

/// All of them, below the directory of what runs.
pub fn list_task_pods(state: &Path) -> Vec<TaskPod> {
    let shims = std::fs::read_dir(state.join(SHIMS));
    let groups = shims
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| Group { dir: entry.path() });
    let mut pods: Vec<TaskPod> = groups.filter_map(|group| pod(group.all())).collect();
    pods.sort_by(|a, b| (&a.namespace, &a.name).cmp(&(&b.namespace, &b.name)));
    pods
}

fn pod(mut records: Vec<TaskRecord>) -> Option<TaskPod> {
    records.sort_by_key(|record| record.started);
    let first = records.first()?;
    let mut pod = TaskPod {
        namespace: containerd_namespace(&first.bundle),
        name: shown(&first.id),
        runtime: first.runtime.kind.quirks().name,
        age: first.started.map(age),
        ..TaskPod::default()
    };
    for record in &records {
        let told = annotations(&record.bundle);
        let cri = |name: &str| told.get(&format!("{CRI}{name}")).map(|text| shown(text));
        if let (Some(namespace), Some(name)) = (cri("sandbox-namespace"), cri("sandbox-name")) {
            (pod.namespace, pod.name) = (namespace, name);
        }
        pod.uid = pod.uid.or_else(|| cri("sandbox-uid"));
        let life = life(record);
        if cri("container-type").as_deref() == Some("sandbox") {
            pod.is_down = life != TaskLife::Runs;
            continue;
        }
        pod.containers.push(TaskView {
            id: record.id.clone(),
            name: cri("container-name").unwrap_or_else(|| shown(&record.id)),
            image: cri("image-name").unwrap_or_default(),
            life,
        });
    }
    Some(pod)
}

fn life(record: &TaskRecord) -> TaskLife {
    match record.ended {
        Some(ended) => TaskLife::Ended(ended),
        None if record.started.is_some() && sys::start_time(record.pid) == record.started => {
            TaskLife::Runs
        }
        None => TaskLife::Lost,
    }
}

/// Nothing that it says can speak to a terminal.
fn shown(text: &str) -> String {
    text.escape_debug().to_string()
}

/// `<state>/io.containerd.runtime.v2.task/<namespace>/<id>`.
fn containerd_namespace(bundle: &Path) -> String {
    let namespace = bundle.parent().and_then(Path::file_name);
    shown(&namespace.unwrap_or_default().to_string_lossy())
}

/// How long ago that was, in clock ticks since boot.
fn age(started: u64) -> Duration {
    let per_second = sysconf(SysconfVar::CLK_TCK).ok().flatten();
    let per_second = per_second
        .and_then(|n| u64::try_from(n).ok())
        .unwrap_or(100);
    let since_boot = Duration::from_millis(sys::now().mono.0);
    let started = Duration::from_millis(started.saturating_mul(1000) / per_second.max(1));
    since_boot.saturating_sub(started)
}
