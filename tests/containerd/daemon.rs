//! A containerd of its own for each test, and the look at what is left at the end.

use crate::support::{
    Background, Ran, background, cgroups_of, images, left_behind, proc_file, run, until,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};
use tempfile::TempDir;

/// busybox, as the tests name it.
pub const IMAGE: &str = "localhost/busybox:latest";
/// The runtime under test.
pub const PODSHIM: &str = "io.containerd.podshim.v1";
/// Where shims of every containerd have their sockets.
const SOCKETS: &str = "/run/containerd/s";

/// A containerd that is this test's alone.
pub struct Daemon {
    dir: TempDir,
    pub namespace: String,
    process: Option<Background>,
}

/// Runs a test with a containerd of its own. Nothing may be left of its containers afterwards. One at a time: the sockets of
/// all shims of a machine are in one directory, which is looked into.
pub fn with_containerd(test: impl FnOnce(&mut Daemon)) {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner());
    assert!(
        nix::unistd::geteuid().is_root(),
        "containerd needs root: sudo scripts/test"
    );
    let sockets = names(Path::new(SOCKETS));
    let mut daemon = Daemon::new();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        daemon.begin();
        test(&mut daemon);
        daemon.assert_nothing_left(&sockets);
    }));
    if outcome.is_err() {
        eprintln!("---- containerd said:\n{}", daemon.log());
    }
    daemon.sweep();
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl Daemon {
    fn new() -> Daemon {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let daemon = Daemon {
            dir: tempfile::Builder::new()
                .prefix("podshim-containerd-")
                .tempdir()
                .expect("a temporary directory"),
            namespace: format!("podshim-test-{}-{number}", std::process::id()),
            process: None,
        };
        let bin = daemon.path("bin");
        fs::create_dir(&bin).expect("a directory of ours");
        let program = std::env::var_os("PODSHIM_TEST_BIN");
        let program = program.unwrap_or(env!("CARGO_BIN_EXE_podshim").into());
        symlink(program, bin.join("containerd-shim-podshim-v1")).expect("a link");
        daemon
    }

    /// Starts it and loads the image.
    fn begin(&mut self) {
        self.start();
        let tar = self.path("image.tar");
        run(Command::new("tar")
            .args(["-C"])
            .arg(images().join("busybox"))
            .arg("-cf")
            .arg(&tar)
            .arg("."))
        .expect(0);
        let import = ["images", "import", "--base-name", "localhost/busybox"];
        run(self.ctr(&import).arg(&tar)).expect(0);
    }

    /// Starts containerd, the first time or again.
    pub fn start(&mut self) {
        let config = format!(
            "version = 2\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = [{1}]\n\
             [grpc]\naddress = \"{0}/c.sock\"\n[debug]\nlevel = \"debug\"\n",
            self.dir.path().display(),
            r#""io.containerd.grpc.v1.cri", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.zfs", "io.containerd.snapshotter.v1.aufs""#,
        );
        let file = self.path("config.toml");
        fs::write(&file, config).expect("a file of ours");
        let mut command = Command::new("containerd");
        command.arg("--config").arg(&file);
        self.environment(&mut command);
        self.process = Some(background(&mut command, b""));
        until(60, "containerd answers", || {
            let ran = run(&mut self.ctr(&["version"]));
            (ran.code == Some(0)).then_some(()).ok_or(ran.stderr)
        });
    }

    /// Ends containerd; its shims go on.
    pub fn stop(&mut self) {
        let Some(process) = self.process.take() else {
            return;
        };
        kill(Pid::from_raw(process.pid()), Signal::SIGTERM).expect("containerd runs");
        process.wait();
    }

    fn environment(&self, command: &mut Command) {
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env(
                "PATH",
                format!("{}:{path}:/usr/sbin", self.path("bin").display()),
            )
            .env("PODSHIM_STATE", self.path("podshim"));
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Its socket.
    pub fn socket(&self) -> PathBuf {
        self.path("c.sock")
    }

    pub fn log(&self) -> String {
        self.process
            .as_ref()
            .map(Background::stderr)
            .unwrap_or_default()
    }

    /// A `ctr` command for it.
    pub fn ctr(&self, args: &[&str]) -> Command {
        let mut command = Command::new("ctr");
        self.environment(&mut command);
        command
            .arg("--address")
            .arg(self.socket())
            .args(["--namespace", &self.namespace])
            .args(args);
        command
    }

    /// Runs `ctr` to its end.
    pub fn run(&self, args: &[&str]) -> Ran {
        run(&mut self.ctr(args))
    }

    /// `ctr run` on podshim: flags, id, shell script.
    pub fn sh(&self, flags: &[&str], id: &str, script: &str) -> Ran {
        let mut args = vec!["run", "--runtime", PODSHIM];
        args.extend(flags);
        args.extend([IMAGE, id, "sh", "-c", script]);
        self.run(&args)
    }

    /// The state of a task in the words of `ctr`; `None` if there is none.
    pub fn task(&self, id: &str) -> Option<String> {
        let listed = self.run(&["task", "ls"]).text();
        let line = listed
            .lines()
            .find(|line| line.split_whitespace().next() == Some(id))?;
        line.split_whitespace().nth(2).map(str::to_owned)
    }

    /// Ends and removes a container.
    pub fn remove(&self, id: &str) {
        self.run(&["task", "kill", "--signal", "KILL", id]);
        until(20, "the task has ended", || {
            match self.task(id).as_deref() {
                None | Some("STOPPED") => Ok(()),
                Some(other) => Err(other.to_owned()),
            }
        });
        self.run(&["task", "delete", id]);
        self.run(&["container", "delete", id]).expect(0);
    }

    /// The servers of this daemon's pods.
    pub fn shims(&self) -> Vec<i32> {
        let all = fs::read_dir("/proc").expect("/proc").flatten();
        all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|pid| {
                let line = proc_file(*pid, "cmdline");
                line.starts_with("containerd-shim-podshim-v1") && line.contains(&self.namespace)
            })
            .collect()
    }

    /// The bundle of a container.
    pub fn bundle(&self, id: &str) -> PathBuf {
        self.path("state")
            .join("io.containerd.runtime.v2.task")
            .join(&self.namespace)
            .join(id)
    }

    fn left(&self, sockets: &BTreeSet<String>) -> Vec<String> {
        let none = BTreeSet::new();
        let mut left = left_behind(self.dir.path(), &none);
        // The root file system of the image is mounted by nobody now; containerd itself still runs.
        let own = self.process.as_ref().map_or(0, Background::pid);
        left.retain(|line| !line.starts_with(&format!("process {own}:")));
        for cgroup in cgroups_of(&self.namespace) {
            for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    left.push(format!("cgroup {}", entry.path().display()));
                }
            }
        }
        for name in names(Path::new(SOCKETS)).difference(sockets) {
            left.push(format!("socket {name}"));
        }
        for name in names(&self.path("podshim/shim")) {
            if name != "runtimes.json" {
                left.push(format!("directory of a shim: {name}"));
            }
        }
        for name in names(&Path::new("/run/containerd/runc").join(&self.namespace)) {
            left.push(format!("container of the runtime: {name}"));
        }
        left
    }

    #[track_caller]
    fn assert_nothing_left(&self, sockets: &BTreeSet<String>) {
        until(20, "nothing is left", || {
            let left = self.left(sockets);
            left.is_empty().then_some(()).ok_or(left.join("\n"))
        });
    }

    /// Ends what is still there, by pid and path.
    fn sweep(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop();
        }
        for line in left_behind(self.dir.path(), &BTreeSet::from([self.namespace.clone()])) {
            let pid = line
                .strip_prefix("process ")
                .and_then(|rest| rest.split(':').next()?.parse().ok());
            if let Some(pid) = pid {
                let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
            }
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let own = self.dir.path().display().to_string();
        let targets = mounts.lines().rev().filter_map(|l| l.split(' ').nth(4));
        for target in targets.filter(|target| target.starts_with(&own)) {
            let _ = nix::mount::umount2(target, nix::mount::MntFlags::MNT_DETACH);
        }
        for cgroup in cgroups_of(&self.namespace).iter().rev() {
            for child in fs::read_dir(cgroup).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(child.path());
            }
            let _ = fs::remove_dir(cgroup);
        }
        let _ = fs::remove_dir_all(Path::new("/run/containerd/runc").join(&self.namespace));
    }
}

/// What is in a directory; nothing if there is none.
fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
