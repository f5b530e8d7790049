//! Manifests in few words, and a pod as podshim shows it.

use super::{Host, IMAGE, Ran, pause_pid, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::path::PathBuf;

/// How long a pod may take to come to where it should, in seconds.
const SETTLE_SECONDS: u64 = 30;

/// A pod named `p` that never restarts anything, with a short grace; `spec` adds to that or overrides it.
pub fn pod(spec: Value) -> Value {
    let base = json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
        "spec": {"restartPolicy": "Never", "terminationGracePeriodSeconds": 2},
    });
    with(base, json!({"spec": spec}))
}

/// A container that runs a shell script in busybox.
pub fn sh(name: &str, script: &str) -> Value {
    json!({"name": name, "image": IMAGE, "command": ["sh", "-c", script]})
}

/// `base` with the fields of `over` set; objects merge, everything else is replaced.
pub fn with(mut base: Value, over: Value) -> Value {
    merge(&mut base, over);
    base
}

fn merge(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                merge(base.entry(key).or_insert(Value::Null), value);
            }
        }
        (base, over) => *base = over,
    }
}

/// The status of a container, of whatever role; null if there is none.
pub fn status<'a>(pod: &'a Value, container: &str) -> &'a Value {
    [
        "containerStatuses",
        "initContainerStatuses",
        "ephemeralContainerStatuses",
    ]
    .iter()
    .filter_map(|list| pod["status"][*list].as_array())
    .flatten()
    .find(|status| status["name"] == container)
    .unwrap_or(&Value::Null)
}

/// The one state of a container: `("waiting", {…})`, `("running", {…})` or `("terminated", {…})`; `("", null)` if none.
pub fn state<'a>(pod: &'a Value, container: &str) -> (&'a str, &'a Value) {
    let state = status(pod, container)["state"].as_object();
    state
        .and_then(|state| state.iter().next())
        .map_or(("", &Value::Null), |(kind, detail)| (kind.as_str(), detail))
}

/// The container of this name in the spec; null if there is none.
pub fn container<'a>(pod: &'a Value, name: &str) -> &'a Value {
    ["containers", "initContainers"]
        .iter()
        .filter_map(|list| pod["spec"][*list].as_array())
        .flatten()
        .find(|container| container["name"] == name)
        .unwrap_or(&Value::Null)
}

/// A pod that podshim knows.
pub struct Pod<'h> {
    host: &'h Host,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
}

impl<'h> Pod<'h> {
    #[track_caller]
    pub(super) fn new(host: &'h Host, name: &str) -> Pod<'h> {
        let mut pod = Pod {
            host,
            name: name.to_owned(),
            uid: String::new(),
        };
        let uid = pod.json()["metadata"]["uid"].as_str().map(str::to_owned);
        pod.uid = uid.expect("a pod has a uid");
        pod
    }

    /// A podshim verb about this pod, with what follows its name.
    #[track_caller]
    pub fn podshim(&self, verb: &str, args: &[&str]) -> Ran {
        self.host
            .podshim([&[verb, self.name.as_str()], args].concat())
    }

    /// `get -o json`.
    #[track_caller]
    pub fn json(&self) -> Value {
        self.podshim("get", &["-o", "json"]).json()
    }

    /// Waits until the pod is as asked, and gives it.
    #[track_caller]
    pub fn until(&self, what: &str, is: impl Fn(&Value) -> bool) -> Value {
        until(SETTLE_SECONDS, what, || {
            let pod = self.json();
            if is(&pod) {
                Ok(pod)
            } else {
                Err(pod["status"].to_string())
            }
        })
    }

    /// Waits for a phase.
    #[track_caller]
    pub fn until_phase(&self, phase: &str) -> Value {
        self.until(phase, |pod| pod["status"]["phase"] == phase)
    }

    /// Waits until every container of the pod runs.
    #[track_caller]
    pub fn until_running(&self) -> Value {
        self.until("every container runs", |pod| {
            let statuses = pod["status"]["containerStatuses"].as_array();
            statuses.is_some_and(|all| {
                !all.is_empty() && all.iter().all(|s| !s["state"]["running"].is_null())
            })
        })
    }

    /// Waits until a container ended for good or for now, and gives what `state` says.
    #[track_caller]
    pub fn until_terminated(&self, container: &str) -> Value {
        let pod = self.until("it ends", |pod| state(pod, container).0 == "terminated");
        state(&pod, container).1.clone()
    }

    /// Waits until a container waits for this reason, and gives its message.
    #[track_caller]
    pub fn until_waiting(&self, container: &str, reason: &str) -> String {
        let pod = self.until(reason, |pod| {
            let (kind, detail) = state(pod, container);
            kind == "waiting" && detail["reason"] == reason
        });
        state(&pod, container).1["message"]
            .as_str()
            .unwrap_or("")
            .to_owned()
    }

    /// Waits until a container has been restarted this often, and runs.
    #[track_caller]
    pub fn until_restarted(&self, container: &str, count: u64) -> Value {
        self.until("it restarts", |pod| {
            let count_now = status(pod, container)["restartCount"].as_u64();
            count_now == Some(count) && state(pod, container).0 == "running"
        })
    }

    /// Runs a shell script in a container by `exec`.
    #[track_caller]
    pub fn exec(&self, container: &str, script: &str) -> Ran {
        self.podshim("exec", &["-c", container, "--", "sh", "-c", script])
    }

    /// What a container has written, once it ended: the contents of its log file, put together as a reader of the CRI
    /// format does it.
    #[track_caller]
    pub fn output(&self, container: &str) -> String {
        self.until_terminated(container);
        let log = self.log(container, 0);
        let contents = log.lines().map(|record| {
            let words: Vec<&str> = record.splitn(4, ' ').collect();
            match words[..] {
                [_, _, "F", content] => format!("{content}\n"),
                [_, _, "P", content] => content.to_owned(),
                _ => panic!("no record: {record}"),
            }
        });
        contents.collect()
    }

    /// The log file of a container's instance. Source: `pod-semantics` 7, kubelet's layout.
    pub fn log_file(&self, container: &str, attempt: u32) -> PathBuf {
        let directory = format!("default_{}_{}", self.name, self.uid);
        self.host
            .logs()
            .join(directory)
            .join(container)
            .join(format!("{attempt}.log"))
    }

    /// The raw log of a container's instance.
    #[track_caller]
    pub fn log(&self, container: &str, attempt: u32) -> String {
        let path = self.log_file(container, attempt);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// The events, oldest first.
    #[track_caller]
    pub fn events(&self) -> Vec<Value> {
        let text = self.podshim("events", &["-o", "jsonl"]).text();
        text.lines()
            .map(|line| serde_json::from_str(line).expect("an event is JSON"))
            .collect()
    }

    /// The OCI container id of a container's current instance.
    #[track_caller]
    pub fn instance(&self, container: &str) -> String {
        let pod = self.json();
        let id = status(&pod, container)["containerID"].as_str();
        let id = id.and_then(|id| id.strip_prefix("podshim://"));
        id.unwrap_or_else(|| panic!("{container} has no instance: {}", pod["status"]))
            .to_owned()
    }

    /// The process of a container's init, seen from the host.
    #[track_caller]
    pub fn pid(&self, container: &str) -> i32 {
        let instance = self.instance(container);
        let pids = super::instance_pids(&self.uid, &instance);
        *pids
            .first()
            .unwrap_or_else(|| panic!("no process in the cgroup of {instance}"))
    }

    /// The process of pause, seen from the host.
    #[track_caller]
    pub fn pause(&self) -> i32 {
        let pod = self.json();
        let ids = ["containerStatuses", "initContainerStatuses"]
            .iter()
            .filter_map(|list| pod["status"][*list].as_array())
            .flatten()
            .filter_map(|status| {
                Some(
                    status["containerID"]
                        .as_str()?
                        .trim_start_matches("podshim://")
                        .to_owned(),
                )
            });
        pause_pid(&self.uid, &ids.collect::<Vec<_>>())
    }

    /// What a crash of the machine does to the pod: its processes die, and what is written of it is of another boot.
    #[track_caller]
    pub fn crash_with_machine(&self) {
        for verb in ["__keeper", "__supervisor"] {
            until(30, &format!("{verb} is dead"), || {
                match super::life_of(verb, &self.uid) {
                    None => Ok(()),
                    Some(pid) => {
                        // It may just have ended.
                        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
                        Err(pid.to_string())
                    }
                }
            });
        }
        let cgroups = super::cgroups_of(&self.uid).into_iter();
        for directory in cgroups.flat_map(|pod| fs::read_dir(pod).into_iter().flatten().flatten()) {
            let pids = fs::read_to_string(directory.path().join("cgroup.procs"));
            for pid in pids.unwrap_or_default().lines() {
                let _ = kill(Pid::from_raw(pid.parse().expect("a pid")), Signal::SIGKILL);
            }
        }
        let directory = self.host.path("state/pods").join(&self.uid);
        for name in ["snapshot.json", "snapshot.before.json"] {
            let path = directory.join(name);
            let text = fs::read(&path).expect("a snapshot");
            let mut snapshot: Value = serde_json::from_slice(&text).expect("JSON");
            snapshot["boot_id"] = "of another boot".into();
            fs::write(&path, snapshot.to_string()).expect("a file of ours");
        }
    }
}
