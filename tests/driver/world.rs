//! Containers of a real runtime.

use crate::id;
use crate::processes::stdio;
use podshim::runtime::{
    CreateCall, Driver, InitIo, Layout, Needs, PodCgroup, PodCgroupValues, Runtime, RuntimeError,
    find, preflight,
};
use serde_json::{Value, json};
use std::fs;
use std::io::PipeReader;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use tempfile::TempDir;

pub(crate) async fn real_runtimes() -> Vec<Runtime> {
    let names = std::env::var("PODSHIM_TEST_RUNTIMES").unwrap_or_else(|_| "runc".into());
    let mut runtimes = Vec::new();
    for name in names.split(',') {
        runtimes.push(find(Some(name)).await.expect("an OCI runtime"));
    }
    runtimes
}

/// Containers of one real runtime below one cgroup, in one directory; all removed in the end.
pub(crate) struct World {
    dir: TempDir,
    pub(crate) driver: Driver,
    pub(crate) cgroup: PodCgroup,
}

impl World {
    pub(crate) async fn new(runtime: Runtime) -> World {
        let problems = preflight(&runtime, &Needs::default());
        let fatal: Vec<_> = problems.iter().filter(|problem| problem.fatal).collect();
        assert!(fatal.is_empty(), "{fatal:?}");
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("subreaper");
        let dir = tempfile::tempdir().expect("temporary directory");
        let bin = dir.path().join("rootfs/bin");
        fs::create_dir_all(&bin).expect("rootfs");
        let busybox = which::which("busybox").expect("busybox");
        fs::copy(busybox, bin.join("busybox")).expect("copied");
        for applet in ["sh", "sleep", "cat", "tail", "ip"] {
            std::os::unix::fs::symlink("busybox", bin.join(applet)).expect("applet");
        }
        for directory in ["proc", "dev"] {
            fs::create_dir(dir.path().join("rootfs").join(directory)).expect("mount point");
        }
        let name = dir.path().file_name().and_then(|n| n.to_str());
        let name = name.expect("a name").trim_start_matches('.').to_owned();
        let layout = Layout::detect().expect("cgroups");
        let path = format!("/podshim-test-{name}/burstable/pod-{name}");
        let cgroup = PodCgroup::at(layout, &path).expect("plain names");
        let values = PodCgroupValues::default();
        assert_eq!(cgroup.create(&values).expect("cgroup"), [""; 0]);
        let driver = Driver {
            own: PathBuf::from(env!("CARGO_BIN_EXE_podshim")),
            ..Driver::new(runtime, dir.path().join("root"))
        };
        World {
            dir,
            driver,
            cgroup,
        }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn cgroup_path(&self) -> String {
        let name = self.dir.path().file_name().and_then(|n| n.to_str());
        let name = name.expect("a name").trim_start_matches('.');
        format!("/podshim-test-{name}/burstable/pod-{name}")
    }

    /// Directories of the pod's cgroup, and of those above that were made for it, that exist.
    pub(crate) fn cgroup_directories(&self) -> Vec<PathBuf> {
        let path = self.cgroup_path();
        let root = path.trim_start_matches('/').split('/').next();
        let root = root.expect("a root");
        let mounts = fs::read_dir("/sys/fs/cgroup").expect("cgroups").flatten();
        mounts
            .map(|entry| entry.path())
            .chain([PathBuf::from("/sys/fs/cgroup")])
            .filter(|mount| mount.join("cgroup.procs").exists())
            .map(|mount| mount.join(root))
            .filter(|directory| directory.exists())
            .collect()
    }

    /// A container in namespaces of its own. They share one root file system, so `/dev` is not in it.
    pub(crate) fn config(&self, name: &str, args: &[&str]) -> Value {
        let namespaces = ["pid", "mount", "ipc", "uts", "network"];
        let namespaces = namespaces.map(|kind| json!({ "type": kind }));
        json!({
            "ociVersion": "1.0.2",
            "root": { "path": self.path("rootfs"), "readonly": false },
            "process": {
                "args": args, "cwd": "/", "env": ["PATH=/bin"],
                "user": { "uid": 0, "gid": 0 },
                "noNewPrivileges": true,
            },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
                { "destination": "/dev/pts", "type": "devpts", "source": "devpts",
                  "options": ["newinstance", "ptmxmode=0666", "mode=0620"] },
            ],
            "linux": {
                "namespaces": namespaces,
                "cgroupsPath": format!("{}/{name}", self.cgroup_path()),
            },
        })
    }

    pub(crate) async fn create(
        &self,
        name: &str,
        args: &[&str],
    ) -> Result<(u32, PipeReader), RuntimeError> {
        let (io, output) = stdio();
        let pid = self.create_from(name, &self.config(name, args), io).await?;
        Ok((pid, output))
    }

    pub(crate) async fn create_from(
        &self,
        name: &str,
        config: &Value,
        io: InitIo,
    ) -> Result<u32, RuntimeError> {
        let bundle = self.path(&format!("bundle-{name}"));
        fs::create_dir(&bundle).expect("bundle");
        fs::write(bundle.join("config.json"), config.to_string()).expect("config");
        let call = CreateCall {
            id: &id(name),
            bundle: &bundle,
            pid_file: &self.path(&format!("{name}.pid")),
            log: &self.path(&format!("{name}.log")),
            io,
        };
        self.driver.create(call).await
    }

    /// Asks the runtime.
    pub(crate) async fn start(&self, name: &str) -> Result<(), RuntimeError> {
        self.start_with(name, None).await
    }

    /// Asks the runtime only if it must.
    pub(crate) async fn start_with(
        &self,
        name: &str,
        init: Option<OwnedFd>,
    ) -> Result<(), RuntimeError> {
        let log = self.path(&format!("{name}.log"));
        self.driver.start(&id(name), init, &log).await
    }

    pub(crate) async fn delete(&self, name: &str, force: bool) -> Result<(), RuntimeError> {
        let log = self.path(&format!("{name}.log"));
        self.driver.delete(&id(name), &log, force).await
    }
}

impl Drop for World {
    /// After a failed test; a good one has left nothing.
    fn drop(&mut self) {
        let states = fs::read_dir(&self.driver.root).into_iter().flatten();
        let ids: Vec<_> = states.flatten().map(|entry| entry.file_name()).collect();
        for id in &ids {
            let mut delete = std::process::Command::new(&self.driver.runtime.path);
            delete.arg("--root").arg(&self.driver.root);
            let _failed = delete.args(["delete", "--force"]).arg(id).status();
        }
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build();
                let _failed = runtime.map(|runtime| runtime.block_on(self.cgroup.remove()));
            });
        });
    }
}
