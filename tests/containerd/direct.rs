//! The shim without containerd: started as containerd starts it, spoken to over its own socket.

use crate::daemon::turn;
use crate::support::program;
use crate::versions::Version;
use containerd_shim_protos::api::{
    ConnectRequest, CreateTaskRequest, DeleteRequest, ExecProcessRequest, KillRequest,
    ShutdownRequest, StartRequest, WaitRequest,
};
use containerd_shim_protos::protobuf::MessageField;
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::shim_async::{Client, TaskClient};
use containerd_shim_protos::ttrpc::context::{self, Context};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::MutexGuard;
use std::time::Duration;
use tempfile::TempDir;

/// The namespace of containerd that these tests pretend to be in.
pub const NAMESPACE: &str = "podshim-direct";

/// A place for bundles and sockets, and the shims that were started there.
pub struct Direct {
    pub dir: TempDir,
    /// Their ids, and where their sockets are, are the same for all.
    _turn: MutexGuard<'static, ()>,
}

/// A deadline for a call.
pub fn soon() -> Context {
    context::with_duration(Duration::from_secs(60))
}

impl Direct {
    pub fn new() -> Direct {
        let dir = tempfile::Builder::new().prefix("podshim-direct-").tempdir();
        let direct = Direct {
            dir: dir.expect("a temporary directory"),
            _turn: turn(),
        };
        symlink(program(), direct.program()).expect("a link");
        direct
    }

    pub fn program(&self) -> PathBuf {
        self.dir.path().join("containerd-shim-podshim-v1")
    }

    /// Makes a bundle that runs a shell script; `edit` changes its configuration.
    pub fn bundle(&self, id: &str, script: &str, edit: impl FnOnce(&mut Value)) -> PathBuf {
        let bundle = self.dir.path().join(id);
        let bin = bundle.join("rootfs/bin");
        fs::create_dir_all(&bin).expect("a directory of ours");
        let busybox = which::which("busybox").expect("busybox-static");
        fs::copy(busybox, bin.join("busybox")).expect("busybox");
        for name in ["sh", "sleep", "cat", "true"] {
            symlink("busybox", bin.join(name)).expect("a link");
        }
        let mut spec = Command::new("runc");
        let made = spec.args(["spec", "--bundle"]).arg(&bundle).status();
        assert!(made.expect("runc").success());
        let file = bundle.join("config.json");
        let mut config: Value =
            serde_json::from_slice(&fs::read(&file).expect("a spec")).expect("JSON");
        config["process"]["terminal"] = json!(false);
        config["process"]["args"] = json!(["/bin/sh", "-c", script]);
        config["linux"]["cgroupsPath"] = json!(format!("/{NAMESPACE}/{id}"));
        edit(&mut config);
        fs::write(&file, config.to_string()).expect("a file of ours");
        bundle
    }

    /// Calls the program as containerd does.
    pub fn call(&self, bundle: &Path, id: &str, action: &str, input: &[u8]) -> Output {
        let mut child = Command::new(self.program())
            .args(["-namespace", NAMESPACE, "-address"])
            .arg(self.dir.path().join("containerd.sock"))
            .args(["-publish-binary", "/usr/bin/containerd", "-id", id])
            .args(["-bundle"])
            .arg(bundle)
            .arg(action)
            .current_dir(bundle)
            .env("PODSHIM_STATE", self.dir.path().join("podshim"))
            .env("PATH", Version::Installed.path())
            .env_remove("TTRPC_ADDRESS")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the shim");
        let mut stdin = child.stdin.take().expect("piped");
        stdin.write_all(input).expect("read to the end");
        drop(stdin);
        child.wait_with_output().expect("the shim")
    }

    /// Starts a shim; its address.
    #[track_caller]
    pub fn start(&self, bundle: &Path, id: &str) -> String {
        let output = self.call(bundle, id, "start", b"");
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{errors}");
        assert_eq!(errors, "");
        String::from_utf8(output.stdout).expect("an address")
    }
}

/// A client at this address.
pub async fn connect(address: &str) -> TaskClient {
    TaskClient::new(Client::connect(address).await.expect("the shim listens"))
}

/// Makes and starts a container; its init.
pub async fn run(client: &TaskClient, bundle: &Path, id: &str) -> u32 {
    let create = CreateTaskRequest {
        id: id.into(),
        bundle: bundle.display().to_string(),
        ..CreateTaskRequest::default()
    };
    let created = client.create(soon(), &create).await.expect("created");
    let start = StartRequest {
        id: id.into(),
        ..StartRequest::default()
    };
    let started = client.start(soon(), &start).await.expect("started");
    assert_eq!(created.pid, started.pid);
    started.pid
}

/// A document inside a message.
pub fn any(value: serde_json::Value) -> MessageField<Any> {
    MessageField::some(Any {
        type_url: "types.containerd.io/opencontainers/runtime-spec/1/Process".into(),
        value: value.to_string().into_bytes(),
        ..Any::default()
    })
}

/// Runs a shell script in a container, to its end; its exit code.
pub async fn exec(client: &TaskClient, id: &str, exec_id: &str, script: &str) -> u32 {
    let process = json!({
        "cwd": "/", "args": ["/bin/sh", "-c", script], "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"],
    });
    let (id, exec_id) = (id.to_owned(), exec_id.to_owned());
    let exec = ExecProcessRequest {
        id: id.clone(),
        exec_id: exec_id.clone(),
        spec: any(process),
        ..ExecProcessRequest::default()
    };
    client.exec(soon(), &exec).await.expect("announced");
    let wait = WaitRequest {
        id: id.clone(),
        exec_id: exec_id.clone(),
        ..WaitRequest::default()
    };
    let start = StartRequest {
        id: id.clone(),
        exec_id: exec_id.clone(),
        ..StartRequest::default()
    };
    let (waited, started) = tokio::join!(client.wait(soon(), &wait), client.start(soon(), &start));
    assert!(started.expect("started").pid > 0);
    let delete = DeleteRequest {
        id,
        exec_id,
        ..DeleteRequest::default()
    };
    client.delete(soon(), &delete).await.expect("deleted");
    waited.expect("ended").exit_status
}

/// Kills, deletes and ends it all; the exit status.
pub async fn end(client: &TaskClient, id: &str) -> u32 {
    let kill = KillRequest {
        id: id.into(),
        signal: 9,
        ..KillRequest::default()
    };
    // It may have ended.
    let _ = client.kill(soon(), &kill).await;
    let wait = WaitRequest {
        id: id.into(),
        ..WaitRequest::default()
    };
    let status = client.wait(soon(), &wait).await.expect("ended").exit_status;
    let delete = DeleteRequest {
        id: id.into(),
        ..DeleteRequest::default()
    };
    let deleted = client.delete(soon(), &delete).await.expect("deleted");
    assert_eq!(deleted.exit_status, status);
    status
}

/// Ends a shim without containers, and waits until it is gone.
pub async fn shut_down(client: &TaskClient, address: &str) {
    let connect = ConnectRequest::default();
    let pid = client
        .connect(soon(), &connect)
        .await
        .expect("alive")
        .shim_pid;
    let shutdown = client.shutdown(soon(), &ShutdownRequest::default()).await;
    shutdown.expect("told to end");
    let socket = address.strip_prefix("unix://").expect("a unix socket");
    for _ in 0..1000 {
        if !Path::new(socket).exists() && !Path::new(&format!("/proc/{pid}")).exists() {
            return;
        }
        // The server is a child of whoever reaps orphans here.
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("shim {pid} at {socket} does not end");
}

impl Drop for Direct {
    fn drop(&mut self) {
        let own = self.dir.path().display().to_string();
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        for pid in all.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok()) {
            let line = crate::support::proc_file(pid, "cmdline");
            if line.starts_with("containerd-shim-podshim-v1") && line.contains(&own) {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        // After a failure; the next test has the same ids.
        let root = Path::new("/run/containerd/runc").join(NAMESPACE);
        for left in fs::read_dir(&root).into_iter().flatten().flatten() {
            let mut delete = Command::new("runc");
            delete.arg("--root").arg(&root).args(["delete", "--force"]);
            let _ = delete.arg(left.file_name()).status();
        }
    }
}
