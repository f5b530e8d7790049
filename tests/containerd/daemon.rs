//! A containerd of its own for each test, and the look at what is left at the end.

use crate::config::config;
use crate::cri::Cri;
use crate::support::{
    Background, Ran, background, cgroups_of, images, left_behind, proc_file, program, run, until,
};
use crate::versions::Version;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixStream;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};
use tempfile::TempDir;

/// busybox, as the tests name it.
pub const IMAGE: &str = "localhost/busybox:latest";
/// The runtime under test.
pub const PODSHIM: &str = "io.containerd.podshim.v1";
/// Where shims of every containerd have their sockets.
const SOCKETS: &str = "/run/containerd/s";
/// Where the CRI plugin has the network namespaces of its pods.
const NETWORKS: &str = "/run/netns";
/// The namespace of everything that the CRI plugin runs.
const CRI_NAMESPACE: &str = "k8s.io";

/// Starts containerd in a mount namespace of its own, which hears of the machine's mounts and is not heard.
const HIDE_UNIFIED: &str = "exec unshare --mount --propagation slave sh -c \
    'umount /sys/fs/cgroup/unified 2>/dev/null; exec containerd --config \"$0\"' \"$0\"";

/// A containerd that is this test's alone.
pub struct Daemon {
    pub version: Version,
    dir: TempDir,
    pub namespace: String,
    /// The cgroup that its containers are below.
    pub cgroup: String,
    process: Option<Background>,
    /// Where containerd sees only the first version of cgroups.
    is_without_unified: bool,
}

/// What tests of this machine share, as it was before.
struct Before {
    sockets: BTreeSet<String>,
    networks: BTreeSet<String>,
}

/// Runs a test with a containerd of its own. Nothing may be left of its containers afterwards.
pub fn with_containerd(on: Version, test: impl FnOnce(&mut Daemon)) {
    with(on, None, test);
}

/// The same with the CRI plugin, and a client of it.
pub fn with_cri(on: Version, test: impl FnOnce(&mut Daemon, &mut Cri)) {
    with(on, Some(CRI_NAMESPACE), |c| plugin(c, test));
}

/// The same where `/sys/fs/cgroup/unified` is not mounted.
pub fn with_cri_without_unified(on: Version, test: impl FnOnce(&mut Daemon, &mut Cri)) {
    with(on, Some(CRI_NAMESPACE), |c| {
        c.stop();
        c.is_without_unified = true;
        c.start();
        plugin(c, test);
    });
}

fn plugin(c: &mut Daemon, test: impl FnOnce(&mut Daemon, &mut Cri)) {
    let mut cri = Cri::new(&c.socket());
    until(60, "the CRI plugin is ready", || cri.is_ready());
    test(c, &mut cri);
}

/// One test at a time: the sockets of all shims of a machine are in one directory, which is looked into.
pub fn turn() -> MutexGuard<'static, ()> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    ONE_AT_A_TIME.lock().unwrap_or_else(|e| e.into_inner())
}

fn with(on: Version, namespace: Option<&str>, test: impl FnOnce(&mut Daemon)) {
    let _turn = turn();
    assert!(
        nix::unistd::geteuid().is_root(),
        "containerd needs root: sudo scripts/test"
    );
    let before = Before {
        sockets: names(Path::new(SOCKETS)),
        networks: names(Path::new(NETWORKS)),
    };
    let mut daemon = Daemon::new(on, namespace);
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        daemon.begin();
        test(&mut daemon);
        daemon.assert_nothing_left(&before);
    }));
    if outcome.is_err() {
        eprintln!("---- containerd said:\n{}", daemon.log());
    }
    daemon.sweep(&before);
    if let Err(panic) = outcome {
        resume_unwind(panic);
    }
}

impl Daemon {
    fn new(version: Version, namespace: Option<&str>) -> Daemon {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup = format!("podshim-test-{}-{number}", std::process::id());
        let daemon = Daemon {
            version,
            dir: tempfile::Builder::new()
                .prefix("podshim-containerd-")
                .tempdir()
                .expect("a temporary directory"),
            namespace: namespace.unwrap_or(&cgroup).to_owned(),
            cgroup,
            process: None,
            is_without_unified: false,
        };
        let bin = daemon.path("bin");
        fs::create_dir(&bin).expect("a directory of ours");
        symlink(program(), bin.join("containerd-shim-podshim-v1")).expect("a link");
        daemon
    }

    /// Starts it and loads the image.
    fn begin(&mut self) {
        self.start();
        self.import("busybox");
        if self.has_cri() {
            self.import("pause");
        }
    }

    fn has_cri(&self) -> bool {
        self.namespace == CRI_NAMESPACE
    }

    /// Loads an image of `scripts/images`.
    fn import(&self, name: &str) {
        let tar = self.path("image.tar");
        run(Command::new("tar")
            .args(["-C"])
            .arg(images().join(name))
            .arg("-cf")
            .arg(&tar)
            .arg("."))
        .expect(0);
        let base = format!("localhost/{name}");
        run(self
            .ctr(&["images", "import", "--base-name", &base])
            .arg(&tar))
        .expect(0);
    }

    /// Starts containerd, the first time or again.
    pub fn start(&mut self) {
        let config = config(self.version, self.dir.path(), self.has_cri());
        let file = self.path("config.toml");
        fs::write(&file, config).expect("a file of ours");
        let mut command = Command::new("sh");
        let script = match self.is_without_unified {
            true => HIDE_UNIFIED,
            false => "exec containerd --config \"$0\"",
        };
        command.arg("-c").arg(script).arg(&file);
        self.environment(&mut command);
        self.process = Some(background(&mut command, b""));
        // `ctr` waits for seconds before it tries a second time.
        until(60, "containerd listens", || {
            let connected = UnixStream::connect(self.socket());
            connected.map(drop).map_err(|e| e.to_string())
        });
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
        let path = format!("{}:{}", self.path("bin").display(), self.version.path());
        command
            .env("PATH", path)
            // containerd leaves the checkpoints there that it has unpacked.
            .env("TMPDIR", self.dir.path())
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
                line.starts_with("containerd-shim-podshim-v1")
                    && line.contains(&*self.socket().to_string_lossy())
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

    fn left(&self, before: &Before) -> Vec<String> {
        let none = BTreeSet::new();
        let mut left = left_behind(self.dir.path(), &none);
        // The root file system of the image is mounted by nobody now; containerd itself still runs.
        let own = self.process.as_ref().map_or(0, Background::pid);
        left.retain(|line| !line.starts_with(&format!("process {own}:")));
        for cgroup in cgroups_of(&self.cgroup) {
            for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
                if entry.path().is_dir() {
                    left.push(format!("cgroup {}", entry.path().display()));
                }
            }
        }
        for name in names(Path::new(SOCKETS)).difference(&before.sockets) {
            left.push(format!("socket {name}"));
        }
        for name in new_networks(before) {
            left.push(format!("network namespace {name}"));
        }
        // host-local has a file per address.
        for name in names(&self.path("addresses/pods")) {
            if name.starts_with(|c: char| c.is_ascii_digit()) {
                left.push(format!("address {name}"));
            }
        }
        for name in names(&self.path("podshim/shim")) {
            if name != "runtimes.json" {
                left.push(format!("directory of a shim: {name}"));
            }
        }
        for name in names(&Path::new("/run/containerd/runc").join(&self.namespace)) {
            // crun has this for itself and keeps it.
            if name != ".empty-directory" {
                left.push(format!("container of the runtime: {name}"));
            }
        }
        left
    }

    #[track_caller]
    fn assert_nothing_left(&self, before: &Before) {
        until(20, "nothing is left", || {
            let left = self.left(before);
            left.is_empty().then_some(()).ok_or(left.join("\n"))
        });
    }

    /// Ends what is still there, by pid and path.
    fn sweep(&mut self, before: &Before) {
        if let Some(mut process) = self.process.take() {
            process.stop();
        }
        for line in left_behind(self.dir.path(), &BTreeSet::from([self.cgroup.clone()])) {
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
        for name in new_networks(before) {
            let path = Path::new(NETWORKS).join(name);
            let _ = nix::mount::umount2(&path, nix::mount::MntFlags::MNT_DETACH);
            let _ = fs::remove_file(path);
        }
        for cgroup in cgroups_of(&self.cgroup).iter().rev() {
            for child in fs::read_dir(cgroup).into_iter().flatten().flatten() {
                let _ = fs::remove_dir(child.path());
            }
            let _ = fs::remove_dir(cgroup);
        }
        let _ = fs::remove_dir_all(Path::new("/run/containerd/runc").join(&self.namespace));
    }
}

/// Network namespaces of CRI pods that were not there before.
fn new_networks(before: &Before) -> Vec<String> {
    let now = names(Path::new(NETWORKS));
    let new = now.difference(&before.networks);
    new.filter(|name| name.starts_with("cni-"))
        .cloned()
        .collect()
}

/// What is in a directory; nothing if there is none.
fn names(dir: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect()
}
