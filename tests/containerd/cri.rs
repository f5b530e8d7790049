//! A client of containerd's CRI plugin.

use crate::daemon::Daemon;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

/// busybox for containers.
pub const IMAGE: &str = "localhost/busybox:latest";
/// What the sandboxes run.
pub const PAUSE: &str = "localhost/pause:latest";
/// `CONTAINER_RUNNING` and `CONTAINER_EXITED`.
pub const RUNNING: u64 = 1;
pub const EXITED: u64 = 2;
/// `SANDBOX_READY` and `SANDBOX_NOTREADY`.
pub const READY: u64 = 0;
pub const NOT_READY: u64 = 1;
/// `POD`, and `NODE` for the host's own network.
const POD: u64 = 0;

/// A client.
pub struct Cri {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What a call answers: its answer, or the status code and the message.
pub type Answer = Result<Value, (String, String)>;

impl Cri {
    pub fn new(socket: &Path) -> Cri {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/support/cri.py");
        // The distribution's Python, which has the distribution's gRPC.
        let mut child = Command::new("/usr/bin/python3")
            .arg(script)
            .arg(socket)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3-grpcio");
        let input = child.stdin.take().expect("piped");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        Cri {
            child,
            input,
            output,
        }
    }

    /// Calls a method.
    pub fn ask(&mut self, method: &str, request: &Value) -> Answer {
        writeln!(self.input, "{}", json!([method, request])).expect("the client runs");
        let mut line = String::new();
        self.output.read_line(&mut line).expect("the client runs");
        let mut answer: Value = serde_json::from_str(&line).expect("an answer");
        match answer["error"].take() {
            Value::Null => Ok(answer["ok"].take()),
            error => {
                let text = |at: usize| error[at].as_str().unwrap_or_default().to_owned();
                Err((text(0), text(1)))
            }
        }
    }

    /// Calls a method that must succeed.
    #[track_caller]
    pub fn call(&mut self, method: &str, request: Value) -> Value {
        match self.ask(method, &request) {
            Ok(answer) => answer,
            Err((code, message)) => panic!("{method} {request}: {code}: {message}"),
        }
    }

    /// Whether runtime, network and images are there.
    pub fn is_ready(&mut self) -> Result<(), String> {
        let status = self.ask("Status", &json!({}));
        let status = status.map_err(|e| format!("{e:?}"))?;
        // containerd 2.x has a third condition, that nothing of its configuration or its machine is out of date.
        for wanted in ["RuntimeReady", "NetworkReady"] {
            let conditions = status["status"]["conditions"].as_array();
            let is_met = |c: &Value| c["type"] == wanted && c["status"] == 1;
            if !conditions.is_some_and(|all| all.iter().any(is_met)) {
                return Err(status.to_string());
            }
        }
        for name in [IMAGE, PAUSE] {
            let known = self.ask("ImageStatus", &json!({"image": {"image": name}}));
            let known = known.map_err(|e| format!("{e:?}"))?;
            if known["image"]["id"].as_str().is_none_or(str::is_empty) {
                return Err(format!("no image {name}"));
            }
        }
        Ok(())
    }

    /// Begins a pod with this handler; `edit` changes its namespaces.
    #[track_caller]
    pub fn pod(
        &mut self,
        name: &str,
        handler: &str,
        c: &Daemon,
        edit: impl FnOnce(&mut Value),
    ) -> CriPod {
        let mut namespaces = json!({"pid": 1, "network": POD});
        edit(&mut namespaces);
        let config = json!({
            "metadata": {"name": name, "uid": format!("uid-{name}"), "namespace": "default", "attempt": 0},
            "hostname": name,
            "log_directory": c.path("logs").join(name),
            "linux": {"cgroup_parent": format!("/{}", c.cgroup), "security_context": {"namespace_options": namespaces}},
        });
        let request = json!({"config": config, "runtime_handler": handler});
        let answer = self.call("RunPodSandbox", request);
        CriPod {
            id: text(&answer["pod_sandbox_id"]),
            config,
        }
    }

    /// Makes and starts a container that runs a shell script; its id.
    #[track_caller]
    pub fn sh(&mut self, pod: &CriPod, name: &str, script: &str) -> String {
        self.container(pod, name, script, |_| {})
    }

    /// The same; `edit` changes its configuration.
    #[track_caller]
    pub fn container(
        &mut self,
        pod: &CriPod,
        name: &str,
        script: &str,
        edit: impl FnOnce(&mut Value),
    ) -> String {
        let namespaces = &pod.config["linux"]["security_context"]["namespace_options"];
        let mut config = json!({
            "metadata": {"name": name, "attempt": 0},
            "image": {"image": IMAGE},
            "command": ["sh", "-c", script],
            "envs": [{"key": "WHO", "value": name}],
            "log_path": format!("{name}.log"),
            "linux": {"resources": {}, "security_context": {"namespace_options": namespaces}},
        });
        edit(&mut config);
        let request =
            json!({"pod_sandbox_id": pod.id, "config": config, "sandbox_config": pod.config});
        let made = self.call("CreateContainer", request);
        let id = text(&made["container_id"]);
        self.call("StartContainer", json!({"container_id": id}));
        id
    }

    /// The status of a container.
    #[track_caller]
    pub fn status(&mut self, container: &str) -> Value {
        let mut answer = self.call("ContainerStatus", json!({"container_id": container}));
        answer["status"].take()
    }

    /// Runs a shell script in a container: exit code and output.
    #[track_caller]
    pub fn exec(&mut self, container: &str, script: &str) -> (i64, String) {
        let request =
            json!({"container_id": container, "cmd": ["sh", "-c", script], "timeout": 30});
        let answer = self.call("ExecSync", request);
        let code = answer["exit_code"].as_i64().expect("a number");
        (
            code,
            text(&answer["stdout"]) + answer["stderr"].as_str().unwrap_or_default(),
        )
    }

    /// Stops and removes a pod with all that is in it.
    #[track_caller]
    pub fn remove(&mut self, pod: &CriPod) {
        let request = json!({"pod_sandbox_id": pod.id});
        self.call("StopPodSandbox", request.clone());
        self.call("RemovePodSandbox", request);
    }

    /// `READY` or not.
    #[track_caller]
    pub fn pod_state(&mut self, pod: &CriPod) -> u64 {
        let answer = self.call("PodSandboxStatus", json!({"pod_sandbox_id": pod.id}));
        answer["status"]["state"].as_u64().expect("a number")
    }
}

impl Drop for Cri {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A pod of the CRI plugin.
pub struct CriPod {
    pub id: String,
    pub config: Value,
}

/// A text of an answer.
pub fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
