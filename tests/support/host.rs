//! A host of its own for each test and runtime: directories, environment, the look at what is left at the end.

use super::leftovers::{left_behind, processes_of};
use super::{Background, IMAGE, NGINX, Pod, Ran, background, images, run, run_with_input, until};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Most bytes of one state file that a failing test prints.
const MAX_DUMP_BYTES: usize = 4096;

/// The program of this build, or the one that `PODSHIM_TEST_BIN` names.
pub fn program() -> OsString {
    let named = std::env::var_os("PODSHIM_TEST_BIN");
    named.unwrap_or(env!("CARGO_BIN_EXE_podshim").into())
}

/// A host of its own: nothing of another test is in its directories, and nothing may be left when it goes.
pub struct Host {
    directory: TempDir,
    runtime: String,
    network: RefCell<Option<String>>,
    sandbox: RefCell<Option<String>>,
    cni_path: RefCell<Option<PathBuf>>,
    before: RefCell<Vec<String>>,
    uids: RefCell<BTreeSet<String>>,
    runs: RefCell<Vec<Background>>,
}

/// The runtimes to test: `PODSHIM_TEST_RUNTIMES`, names separated by commas; runc if unset.
pub fn runtimes() -> Vec<String> {
    let names = std::env::var("PODSHIM_TEST_RUNTIMES").unwrap_or_else(|_| "runc".to_owned());
    let names: Vec<String> = names
        .split(',')
        .map(|name| name.trim().to_owned())
        .collect();
    assert!(
        names.iter().all(|name| !name.is_empty()),
        "PODSHIM_TEST_RUNTIMES names no runtime"
    );
    names
}

/// Runs a test once for each runtime, each on a host of its own. Afterwards all pods are deleted and nothing may be left. A
/// test that fails says what podshim knew, and is swept up.
pub fn on_each_runtime(test: impl Fn(&Host)) {
    assert!(
        nix::unistd::geteuid().is_root(),
        "pods need root here: sudo scripts/test"
    );
    for runtime in runtimes() {
        let host = Host::new(&runtime);
        let outcome = catch_unwind(AssertUnwindSafe(|| {
            host.load_busybox();
            test(&host);
            host.podshim(["delete", "--all", "--grace-period", "0"])
                .expect(0);
            host.runs.borrow_mut().iter_mut().for_each(Background::stop);
            host.assert_nothing_left();
        }));
        if let Err(panic) = outcome {
            eprintln!("---- with {runtime}, podshim knew:\n{}", host.knowledge());
            host.sweep();
            resume_unwind(panic);
        }
    }
}

impl Host {
    /// A host that has no image yet.
    pub fn new(runtime: &str) -> Host {
        Host {
            directory: tempfile::Builder::new()
                .prefix("podshim-test-")
                .tempdir()
                .expect("a temporary directory"),
            runtime: runtime.to_owned(),
            network: RefCell::new(Some("none".to_owned())),
            sandbox: RefCell::default(),
            cni_path: RefCell::default(),
            before: RefCell::default(),
            uids: RefCell::default(),
            runs: RefCell::default(),
        }
    }

    /// The runtime this test runs with.
    pub fn runtime(&self) -> &str {
        &self.runtime
    }

    /// The network that pods get from now on; `None` means what podshim chooses. Without this they have loopback only, which is
    /// enough for most tests.
    pub fn set_network(&self, network: Option<&str>) {
        *self.network.borrow_mut() = network.map(str::to_owned);
    }

    /// Who makes the sandboxes of pods from now on; `None` means what podshim chooses, or who runs the tests.
    pub fn set_sandbox(&self, sandbox: Option<&str>) {
        *self.sandbox.borrow_mut() = sandbox.map(str::to_owned);
    }

    /// Where CNI plugins are looked for from now on.
    pub fn set_cni_path(&self, path: &Path) {
        *self.cni_path.borrow_mut() = Some(path.to_owned());
    }

    /// The words that stand before every podshim command from now on, like those of `nsenter`.
    pub fn set_before(&self, words: &[String]) {
        *self.before.borrow_mut() = words.to_vec();
    }

    /// A path for the test's own files.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A file of the test's own.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).expect("a file of ours");
        path
    }

    /// The directory for logs.
    pub fn logs(&self) -> PathBuf {
        self.path("logs")
    }

    /// A podshim command for this host.
    pub fn command<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Command {
        let program = program();
        let mut command = match &self.before.borrow()[..] {
            [] => Command::new(program),
            [first, rest @ ..] => {
                let mut command = Command::new(first);
                command.args(rest).arg(program);
                command
            }
        };
        command
            .env("PODSHIM_ROOT", self.path("data"))
            .env("PODSHIM_STATE", self.path("state"))
            .env("PODSHIM_LOGS", self.logs())
            .env("PODSHIM_RUNTIME", &self.runtime)
            .env("PODSHIM_BACKOFF_INITIAL", "1")
            .env("PODSHIM_BACKOFF_MAX", "1")
            .env_remove("PODSHIM_NETWORK")
            .env("NETCONFPATH", self.path("cni"))
            .args(args);
        if let Some(path) = &*self.cni_path.borrow() {
            command.env("CNI_PATH", path);
        }
        if let Some(network) = &*self.network.borrow() {
            command.env("PODSHIM_NETWORK", network);
        }
        if let Some(sandbox) = &*self.sandbox.borrow() {
            command.env("PODSHIM_SANDBOX", sandbox);
        }
        command
    }

    /// Runs a podshim command.
    #[track_caller]
    pub fn podshim<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Ran {
        run(&mut self.command(args))
    }

    /// Runs a podshim command with this on its standard input.
    #[track_caller]
    pub fn podshim_with_input<A: AsRef<OsStr>>(
        &self,
        args: impl IntoIterator<Item = A>,
        input: &str,
    ) -> Ran {
        run_with_input(&mut self.command(args), input.as_bytes())
    }

    /// Starts a podshim command beside the test.
    #[track_caller]
    pub fn background<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Background {
        background(&mut self.command(args), b"")
    }

    /// Writes a manifest, or several as the documents of one file, and gives its path.
    pub fn manifest(&self, documents: &[Value]) -> PathBuf {
        let text: Vec<String> = documents.iter().map(Value::to_string).collect();
        let number = fs::read_dir(self.directory.path())
            .expect("our directory")
            .count();
        self.file(&format!("manifest-{number}.yaml"), &text.join("\n---\n"))
    }

    /// `run -d`; the pod is known when this returns.
    #[track_caller]
    pub fn start(&self, pod: &Value) -> Pod<'_> {
        self.start_all(std::slice::from_ref(pod))
    }

    /// `run -d` of several documents, one of them a pod. The command itself goes on beside the test: it may wait for
    /// containers that, in this test, never start.
    #[track_caller]
    pub fn start_all(&self, documents: &[Value]) -> Pod<'_> {
        let file = self.manifest(documents);
        let name = pod_name(documents).expect("one of the documents is a pod");
        let mut run = self.background([
            "run".as_ref(),
            "-d".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
        ]);
        let pod = self.until_known(name, &mut run);
        let pod = pod.unwrap_or_else(|| panic!("run -d failed:\n{}", run.stderr()));
        self.runs.borrow_mut().push(run);
        pod
    }

    /// Waits until a pod that is being run is known; `None` if it failed before.
    #[track_caller]
    pub fn until_known(&self, name: &str, run: &mut Background) -> Option<Pod<'_>> {
        until(30, &format!("pod {name} is known"), || {
            let code = run.ended();
            if self.podshim(["get", name]).code == Some(0) {
                return Ok(Some(self.pod(name)));
            }
            match code {
                None | Some(0) => Err(run.stderr()),
                Some(_) => Ok(None),
            }
        })
    }

    /// A pod that exists.
    #[track_caller]
    pub fn pod(&self, name: &str) -> Pod<'_> {
        let pod = Pod::new(self, name);
        self.uids.borrow_mut().insert(pod.uid.clone());
        pod
    }

    /// At the end nothing may be left of the pod that had this UID, either.
    pub fn expect_nothing_of(&self, uid: String) {
        self.uids.borrow_mut().insert(uid);
    }

    /// Loads nginx as [`NGINX`].
    pub fn load_nginx(&self) {
        self.load(&images().join("nginx"), NGINX);
    }

    fn load_busybox(&self) {
        self.load(&images().join("busybox"), IMAGE);
    }

    /// Fails if anything of a pod of this host is left on the machine. The last process of a pod may need a moment to end
    /// after it has answered.
    #[track_caller]
    pub fn assert_nothing_left(&self) {
        self.assert_nothing_left_but("/dev/null");
    }

    /// The same while the test itself has something mounted there.
    #[track_caller]
    pub fn assert_nothing_left_but(&self, mounted: impl AsRef<Path>) {
        let own = format!(" {} ", mounted.as_ref().display());
        until(5, "nothing is left", || {
            let mut left = left_behind(self.directory.path(), &self.uids.borrow());
            left.retain(|line| !line.contains(&own));
            if left.is_empty() {
                Ok(())
            } else {
                Err(left.join("\n"))
            }
        });
    }

    /// What a failing test prints: status, events, logs, the small files of the state directory, and what is left.
    fn knowledge(&self) -> String {
        let mut text = String::new();
        for args in [vec!["get", "-A", "-o", "json"], vec!["events"]] {
            let printed = catch_unwind(AssertUnwindSafe(|| self.podshim(&args)));
            if let Ok(ran) = printed {
                text += &format!(
                    "$ podshim {}\n{}{}\n",
                    args.join(" "),
                    ran.stdout,
                    ran.stderr
                );
            }
        }
        for directory in [self.logs(), self.path("state")] {
            dump(&directory, &mut text);
        }
        text += &left_behind(self.directory.path(), &self.uids.borrow()).join("\n");
        text
    }

    /// Removes what a failed test left: its processes, mounts and cgroups, by pid and path.
    fn sweep(&self) {
        let uids = self.uids.borrow();
        let _ = catch_unwind(AssertUnwindSafe(|| {
            self.podshim(["delete", "--all", "--force"])
        }));
        for pid in processes_of(self.directory.path(), &uids) {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let directory = self.directory.path().to_string_lossy();
        for target in mounts
            .lines()
            .rev()
            .filter_map(|line| line.split(' ').nth(4))
        {
            if target.starts_with(&*directory) {
                let _ = nix::mount::umount2(target, nix::mount::MntFlags::MNT_DETACH);
            }
        }
        for uid in uids.iter() {
            remove_cgroups(uid);
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.runs.borrow_mut().iter_mut().for_each(Background::stop);
    }
}

/// The name of the first pod among some documents.
fn pod_name(documents: &[Value]) -> Option<&str> {
    documents
        .iter()
        .find_map(|document| match document["kind"].as_str()? {
            "Pod" => document["metadata"]["name"].as_str(),
            "List" => pod_name(document["items"].as_array()?),
            _ => None,
        })
}

/// Removes the cgroups of a pod whose processes are gone.
pub fn remove_cgroups(uid: &str) {
    for cgroup in super::cgroups_of(uid).iter().rev() {
        for child in fs::read_dir(cgroup).into_iter().flatten().flatten() {
            let _ = fs::remove_dir(child.path());
        }
        let _ = fs::remove_dir(cgroup);
    }
}

/// Appends every regular file below a directory, each cut to [`MAX_DUMP_BYTES`].
fn dump(directory: &Path, text: &mut String) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => dump(&path, text),
            Ok(kind) if kind.is_file() => {
                let bytes = fs::read(&path).unwrap_or_default();
                let tail = &bytes[bytes.len().saturating_sub(MAX_DUMP_BYTES)..];
                // Records may be binary; what cannot be printed is not.
                let tail = String::from_utf8_lossy(tail)
                    .replace(|c: char| c.is_control() && c != '\n', ".");
                *text += &format!("-- {}\n{tail}\n", path.display());
            }
            _ => {}
        }
    }
}
