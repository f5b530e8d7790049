//! The runtime driver against a runtime that fails in every way, and against real ones.
//!
//! `PODSHIM_TEST_RUNTIMES` lists the real ones, by name or path, separated by commas; `runc` alone if it is not set. Tests
//! of real runtimes need root.

use podshim::base::{Exit, InstanceId, Signal};
use podshim::runtime::{
    CreateCall, Driver, ExecCall, ExecProcess, Features, InitIo, Kind, Layout, PodCgroup,
    PodCgroupValues, Runtime, RuntimeError, find,
};
use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, WaitId, WaitIdOptions};
use std::fs;
use std::io::{PipeReader, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::time::timeout;

/// Long for any machine; reached only when something is broken.
const PATIENCE: Duration = Duration::from_secs(60);
/// The deadline of calls that are to miss it.
const SHORT: Duration = Duration::from_millis(300);

/// A directory with a runtime that fails as told.
struct Faulty {
    dir: TempDir,
    driver: Driver,
}

impl Faulty {
    fn new(real: &Path) -> Faulty {
        let dir = tempfile::tempdir().expect("temporary directory");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faulty-runtime");
        let link = |from: &Path, name: &str| {
            std::os::unix::fs::symlink(from, dir.path().join(name)).expect("link");
        };
        link(&script, "runc");
        link(real, "real");
        for fifo in ["never", "reached", "go"] {
            let mode = nix::sys::stat::Mode::S_IRWXU;
            nix::unistd::mkfifo(&dir.path().join(fifo), mode).expect("fifo");
        }
        let runtime = Runtime {
            path: dir.path().join("runc"),
            kind: Kind::Runc,
            version: "0".into(),
            features: Features::default(),
        };
        let driver = Driver::new(runtime, dir.path().join("root"));
        Faulty { dir, driver }
    }

    /// With nothing real behind it.
    fn alone() -> Faulty {
        Faulty::new(Path::new("/nonexistent"))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn fault(&self, verb: &str, fault: &str) {
        fs::write(self.path(&format!("fault.{verb}")), format!("{fault}\n")).expect("written");
    }

    fn pids(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path("pids")).expect("pids of the faulty call");
        text.split_whitespace()
            .map(|pid| pid.parse().expect("a number"))
            .collect()
    }

    async fn create(&self, io: InitIo) -> Result<u32, RuntimeError> {
        let id = id("c-1");
        let (bundle, pid_file, log) = (self.path("bundle"), self.path("pid"), self.path("log"));
        let call = CreateCall {
            id: &id,
            bundle: &bundle,
            pid_file: &pid_file,
            log: &log,
            io,
        };
        timeout(PATIENCE, self.driver.create(call))
            .await
            .expect("create ends by itself")
    }

    async fn create_with(&self, fault: &str) -> Result<u32, RuntimeError> {
        self.fault("create", fault);
        self.create(stdio().0).await
    }

    async fn start(&self) -> Result<(), RuntimeError> {
        timeout(PATIENCE, self.driver.start(&id("c-1"), &self.path("log")))
            .await
            .expect("start ends by itself")
    }
}

fn id(name: &str) -> InstanceId {
    InstanceId(name.into())
}

/// Empty input, and one pipe for both outputs.
fn stdio() -> (InitIo, PipeReader) {
    let (output, end) = std::io::pipe().expect("pipe");
    let stdin = fs::File::open("/dev/null").expect("/dev/null");
    let pipes = InitIo::Pipes {
        stdin: stdin.into(),
        stdout: end.try_clone().expect("second end").into(),
        stderr: end.into(),
    };
    (pipes, output)
}

/// Everything until the last holder of the pipe is gone.
async fn drained(mut output: PipeReader) -> String {
    let reading = tokio::task::spawn_blocking(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).expect("text");
        text
    });
    timeout(PATIENCE, reading)
        .await
        .expect("every holder of the pipe is gone")
        .expect("read")
}

fn is_process(pid: i32) -> bool {
    Path::new(&format!("/proc/{pid}")).exists()
}

fn pidfd(pid: u32) -> OwnedFd {
    let pid = Pid::from_raw(i32::try_from(pid).expect("a pid")).expect("a pid");
    rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK).expect("the process exists")
}

/// Waits for a container's init, which is our child: this process is a subreaper.
async fn exit_of(pidfd: OwnedFd) -> Exit {
    let waiting = tokio::task::spawn_blocking(move || {
        let mut polled = [PollFd::new(&pidfd, PollFlags::IN)];
        let patience = Timespec::try_from(PATIENCE).expect("a time");
        let ended = rustix::event::poll(&mut polled, Some(&patience));
        assert_eq!(ended, Ok(1), "the process ends");
        rustix::process::waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED)
    });
    let status = waiting.await.expect("joined");
    let status = status.expect("our child").expect("it ended");
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => Exit::Code(u8::try_from(code).expect("0-255")),
        (_, Some(signal)) => Exit::Signal(Signal::from_number(signal).expect("a signal")),
        _ => Exit::Unknown,
    }
}

#[tokio::test]
async fn a_call_that_hangs_is_killed_with_all_it_started() {
    let mut faulty = Faulty::alone();
    faulty.fault("create", "hang");
    faulty.driver.deadlines.create = SHORT;
    let (io, output) = stdio();
    let error = faulty.create(io).await.expect_err("it hangs");
    assert!(
        matches!(error, RuntimeError::Hung { deadline, .. } if deadline == SHORT),
        "{error}"
    );
    assert!(error.is_hung());
    assert!(!is_process(faulty.pids()[0]), "the leader is reaped");
    assert_eq!(drained(output).await, "", "nobody holds the pipe");
}

#[tokio::test]
async fn start_and_delete_are_given_up_too() {
    let mut faulty = Faulty::alone();
    faulty.driver.deadlines.start = SHORT;
    faulty.driver.deadlines.delete = SHORT;
    faulty.fault("start", "hang");
    faulty.fault("delete", "hang");
    let error = faulty.start().await.expect_err("it hangs");
    assert!(matches!(error, RuntimeError::Hung { .. }), "{error}");
    assert!(!is_process(faulty.pids()[0]));
    fs::create_dir_all(faulty.driver.root.join("c-1")).expect("state");
    let deleting = faulty
        .driver
        .delete(&id("c-1"), &faulty.path("log"), true)
        .await;
    let error = deleting.expect_err("it hangs");
    assert!(matches!(error, RuntimeError::Hung { .. }), "{error}");
    assert!(!is_process(faulty.pids()[0]));
}

#[tokio::test]
async fn a_call_that_is_dropped_is_killed() {
    let faulty = Faulty::alone();
    faulty.fault("create", "hang");
    let (io, output) = stdio();
    let given_up = timeout(SHORT, faulty.create(io)).await;
    assert!(given_up.is_err());
    assert_eq!(drained(output).await, "", "nobody holds the pipe");
}

#[tokio::test]
async fn a_call_that_dies_of_a_signal_leaves_the_unknown() {
    let error = Faulty::alone().create_with("die").await;
    let error = error.expect_err("it dies");
    assert!(
        matches!(&error, RuntimeError::Died { signal, .. } if *signal == Signal::KILL),
        "{error}"
    );
    assert!(error.is_hung());
}

#[tokio::test]
async fn a_yes_without_a_process_id_is_not_believed() {
    let faulty = Faulty::alone();
    fs::write(faulty.path("pid"), "4242").expect("a file of an earlier call");
    for fault in ["ok", "pid-garbage", "pid-empty", "pid-negative", "pid-fifo"] {
        let error = faulty.create_with(fault).await.expect_err(fault);
        assert!(
            matches!(error, RuntimeError::PidFile { .. }),
            "{fault}: {error}"
        );
        assert!(error.is_hung(), "{fault}");
    }
}

#[tokio::test]
async fn the_reason_of_a_refusal_is_the_last_error_of_the_log() {
    let faulty = Faulty::alone();
    let error = faulty.create_with("log-error").await.expect_err("refused");
    assert_eq!(error.reason(), "no such thing");
    assert!(!error.is_hung());
    let RuntimeError::Refused(refused) = error else {
        panic!("{error}")
    };
    assert_eq!(refused.exit, Exit::Code(1));
    assert!(
        refused.argv.contains(" create --bundle "),
        "{}",
        refused.argv
    );
    assert_eq!(refused.stderr, "", "that was the container's");

    let error = faulty
        .create_with("log-garbage")
        .await
        .expect_err("refused");
    assert_eq!(
        error.reason(),
        "exit code 3",
        "an earlier call's reason is not this one's"
    );
}

#[tokio::test]
async fn a_flood_of_output_is_cut_and_its_end_kept() {
    let faulty = Faulty::alone();
    faulty.fault("start", "flood");
    let error = faulty.start().await.expect_err("refused");
    assert_eq!(error.reason(), "the end");
    let RuntimeError::Refused(refused) = error else {
        panic!("{error}")
    };
    assert_eq!(refused.exit, Exit::Code(4));
    assert!(refused.stderr.len() <= 4096, "{}", refused.stderr.len());
}

#[tokio::test]
async fn output_that_stays_open_holds_up_nothing() {
    let faulty = Faulty::alone();
    faulty.fault("start", "leak");
    faulty.start().await.expect("its exit is its end");
    let survivor = faulty.pids()[0];
    assert!(is_process(survivor), "it holds our pipe");
    drop(
        fs::OpenOptions::new()
            .write(true)
            .open(faulty.path("never")),
    );
}

#[tokio::test]
async fn nothing_of_our_environment_reaches_a_runtime_but_what_it_needs() {
    let faulty = Faulty::alone();
    faulty.fault("start", "env");
    faulty.start().await.expect("it prints its environment");
    let text = fs::read_to_string(faulty.path("env")).expect("environment");
    let names: Vec<_> = text.lines().filter_map(|l| l.split_once('=')).collect();
    assert!(names.iter().any(|(name, _)| *name == "PATH"));
    assert!(
        std::env::vars().any(|(name, _)| name.starts_with("CARGO_")),
        "cargo gives us some that must not pass"
    );
    // The last three are the shell's own.
    let expected = [
        "PATH",
        "HOME",
        "TMPDIR",
        "XDG_RUNTIME_DIR",
        "DBUS_SESSION_BUS_ADDRESS",
        "PWD",
        "SHLVL",
        "_",
    ];
    for (name, _) in names {
        assert!(expected.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn an_id_that_is_no_plain_name_reaches_no_program() {
    let faulty = Faulty::alone();
    faulty.fault("start", "hang");
    for bad in ["../x", "--force", "", "a/b"] {
        let error = faulty.driver.start(&id(bad), &faulty.path("log")).await;
        assert!(
            matches!(error, Err(RuntimeError::InvalidId { .. })),
            "{bad}"
        );
        assert!(!faulty.driver.knows(&id(bad)));
    }
}

#[tokio::test]
async fn a_program_that_is_absent_or_no_runtime_is_named() {
    let absent = find(Some("/nonexistent/runc")).await;
    assert!(matches!(absent, Err(RuntimeError::NotFound { .. })));
    let other = find(Some("/bin/echo")).await;
    assert!(matches!(other, Err(RuntimeError::Version { .. })));
    let failing = find(Some("/bin/false")).await;
    assert!(matches!(failing, Err(RuntimeError::Refused(_))));
}

#[tokio::test]
async fn exec_argv_says_all_and_ends_in_the_command() {
    let faulty = Faulty::alone();
    let args = ["sh".to_owned(), "-c".to_owned(), "echo $A".to_owned()];
    let env = ["A=b c".to_owned()];
    let id = id("c-1");
    let exec = ExecCall {
        id: &id,
        process: ExecProcess::Command {
            args: &args,
            tty: true,
            env: &env,
            user: Some("1:2"),
            cwd: Some("/tmp"),
        },
    };
    let argv = faulty.driver.exec_argv(&exec).expect("argv");
    let root = faulty.driver.root.as_os_str();
    assert_eq!(argv[0], faulty.path("runc"));
    assert_eq!(argv[1..4], ["--root".as_ref(), root, "exec".as_ref()]);
    assert_eq!(
        argv[4..],
        [
            "--tty", "--env", "A=b c", "--user", "1:2", "--cwd", "/tmp", "c-1", "sh", "-c",
            "echo $A"
        ]
    );
}

/// Containers of one real runtime below one cgroup, in one directory; all removed in the end.
struct World {
    dir: TempDir,
    driver: Driver,
    cgroup: PodCgroup,
}

impl World {
    async fn new(runtime: Runtime) -> World {
        rustix::process::set_child_subreaper(Some(rustix::process::getpid())).expect("subreaper");
        let dir = tempfile::tempdir().expect("temporary directory");
        let bin = dir.path().join("rootfs/bin");
        fs::create_dir_all(&bin).expect("rootfs");
        let busybox = which::which("busybox").expect("busybox");
        fs::copy(busybox, bin.join("busybox")).expect("copied");
        for applet in ["sh", "sleep", "cat", "tail", "ip", "echo"] {
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
        let driver = Driver::new(runtime, dir.path().join("root"));
        World {
            dir,
            driver,
            cgroup,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn cgroup_path(&self) -> String {
        let name = self.dir.path().file_name().and_then(|n| n.to_str());
        let name = name.expect("a name").trim_start_matches('.');
        format!("/podshim-test-{name}/burstable/pod-{name}")
    }

    /// Directories of the pod's cgroup, and of those above that were made for it, that exist.
    fn cgroup_directories(&self) -> Vec<PathBuf> {
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

    fn bundle(&self, name: &str, args: &[&str], memory: Option<i64>) -> PathBuf {
        let bundle = self.path(&format!("bundle-{name}"));
        fs::create_dir(&bundle).expect("bundle");
        let namespaces = ["pid", "mount", "ipc", "uts", "network"];
        let namespaces = namespaces.map(|kind| serde_json::json!({ "type": kind }));
        let config = serde_json::json!({
            "ociVersion": "1.0.2",
            "root": { "path": self.path("rootfs"), "readonly": false },
            "process": {
                "args": args, "cwd": "/", "env": ["PATH=/bin"],
                "user": { "uid": 0, "gid": 0 },
                "noNewPrivileges": true,
            },
            // A /dev of its own: they share the rootfs, and runtimes make device nodes.
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
            ],
            "linux": {
                "namespaces": namespaces,
                "cgroupsPath": format!("{}/{name}", self.cgroup_path()),
                "resources": { "memory": memory.map(|limit| serde_json::json!({ "limit": limit })) },
            },
        });
        fs::write(bundle.join("config.json"), config.to_string()).expect("config");
        bundle
    }

    async fn create(
        &self,
        name: &str,
        args: &[&str],
        memory: Option<i64>,
    ) -> Result<(u32, PipeReader), RuntimeError> {
        let (io, output) = stdio();
        let call = CreateCall {
            id: &id(name),
            bundle: &self.bundle(name, args, memory),
            pid_file: &self.path(&format!("{name}.pid")),
            log: &self.path(&format!("{name}.log")),
            io,
        };
        self.driver.create(call).await.map(|pid| (pid, output))
    }

    async fn start(&self, name: &str) -> Result<(), RuntimeError> {
        let log = self.path(&format!("{name}.log"));
        self.driver.start(&id(name), &log).await
    }

    async fn delete(&self, name: &str, force: bool) -> Result<(), RuntimeError> {
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

async fn real_runtimes() -> Vec<Runtime> {
    let names = std::env::var("PODSHIM_TEST_RUNTIMES").unwrap_or_else(|_| "runc".into());
    let mut runtimes = Vec::new();
    for name in names.split(',') {
        runtimes.push(find(Some(name)).await.expect("an OCI runtime"));
    }
    runtimes
}

#[tokio::test]
async fn a_container_lives_from_create_to_delete_and_leaves_nothing() {
    for runtime in real_runtimes().await {
        let world = World::new(runtime).await;
        let values = PodCgroupValues {
            cpu_shares: Some(256),
            cpu_quota: Some(50_000),
            memory_limit: Some(256 << 20),
            pids_limit: None,
        };
        assert_eq!(world.cgroup.create(&values).expect("cgroup"), [""; 0]);
        let script = ["sh", "-c", "echo out; echo err >&2; exit 7"];
        let (pid, output) = world.create("web-1", &script, None).await.expect("created");
        let init = pidfd(pid);
        assert!(world.driver.knows(&id("web-1")));
        assert_eq!(world.cgroup.pids(&id("web-1")).expect("pids"), [pid]);
        let stats = world.cgroup.stats(Some(&id("web-1"))).expect("stats");
        assert!(
            stats.pids >= Some(1) && stats.memory_usage_bytes > Some(0),
            "{stats:?}"
        );
        world.start("web-1").await.expect("started");
        assert_eq!(exit_of(init).await, Exit::Code(7));
        assert_eq!(drained(output).await, "out\nerr\n");
        world.delete("web-1", false).await.expect("deleted");
        world.delete("web-1", false).await.expect("nothing to do");
        assert!(!world.driver.knows(&id("web-1")));
        let stats = world.cgroup.stats(None).expect("stats of the pod");
        assert!(stats.cpu_ns > Some(0), "{stats:?}");
        world.cgroup.remove().await.expect("removed");
        world.cgroup.remove().await.expect("nothing to do");
        assert_eq!(world.cgroup_directories(), [""; 0].map(PathBuf::from));
    }
}

#[tokio::test]
async fn parallel_creates_below_one_pod_cgroup_all_succeed() {
    for runtime in real_runtimes().await {
        let world = World::new(runtime).await;
        let values = PodCgroupValues::default();
        world.cgroup.create(&values).expect("cgroup");
        let create = |name| world.create(name, &["sleep", "1000"], None);
        let created = tokio::join!(create("a-1"), create("b-1"), create("c-1"), create("d-1"));
        let created = [created.0, created.1, created.2, created.3];
        for (name, created) in ["a-1", "b-1", "c-1", "d-1"].into_iter().zip(created) {
            let (pid, _output) = created.expect(name);
            let init = pidfd(pid);
            world.cgroup.kill_all(&id(name)).await.expect("killed");
            assert_eq!(exit_of(init).await, Exit::Signal(Signal::KILL));
            world.delete(name, true).await.expect("deleted");
            let left = world.cgroup.remove_container(&id(name)).await;
            left.expect("removed");
        }
        world.cgroup.remove().await.expect("removed");
        assert_eq!(world.cgroup_directories(), [""; 0].map(PathBuf::from));
    }
}

#[tokio::test]
async fn a_refusal_carries_the_reason_of_the_real_runtime() {
    for runtime in real_runtimes().await {
        let world = World::new(runtime).await;
        world
            .cgroup
            .create(&PodCgroupValues::default())
            .expect("cgroup");
        let absent = ["/no/such/program"];
        // Runtimes differ in which of the two verbs finds out.
        let error = match world.create("x-1", &absent, None).await {
            Err(error) => error,
            Ok((pid, _output)) => {
                let init = pidfd(pid);
                let error = world.start("x-1").await.expect_err("no such program");
                exit_of(init).await;
                error
            }
        };
        assert!(
            matches!(&error, RuntimeError::Refused(refused) if refused.log.is_some()),
            "{error:?}"
        );
        assert!(error.reason().contains("/no/such/program"), "{error}");
        world.delete("x-1", true).await.expect("deleted");
        world.cgroup.remove().await.expect("removed");
    }
}

#[tokio::test]
async fn everything_in_a_cgroup_is_killed_and_the_cgroup_removed() {
    for runtime in real_runtimes().await {
        let world = World::new(runtime).await;
        world
            .cgroup
            .create(&PodCgroupValues::default())
            .expect("cgroup");
        let script = ["sh", "-c", "sleep 1000 & sleep 1000 & echo ready; wait"];
        let (pid, mut output) = world.create("k-1", &script, None).await.expect("created");
        let init = pidfd(pid);
        world.start("k-1").await.expect("started");
        let mut ready = [0; 6];
        output.read_exact(&mut ready).expect("it is ready");
        assert_eq!(world.cgroup.pids(&id("k-1")).expect("pids").len(), 3);
        world.cgroup.kill_all(&id("k-1")).await.expect("killed");
        assert_eq!(world.cgroup.pids(&id("k-1")).expect("pids"), [0; 0]);
        assert_eq!(exit_of(init).await, Exit::Signal(Signal::KILL));
        world.cgroup.kill_all(&id("k-1")).await.expect("none left");
        world.delete("k-1", true).await.expect("deleted");
        world.cgroup.remove().await.expect("removed");
        assert_eq!(world.cgroup_directories(), [""; 0].map(PathBuf::from));
    }
}

#[tokio::test]
async fn an_oom_kill_is_counted_before_the_cgroup_goes() {
    for runtime in real_runtimes().await {
        let world = World::new(runtime).await;
        world
            .cgroup
            .create(&PodCgroupValues::default())
            .expect("cgroup");
        let greedy = ["tail", "/dev/zero"];
        let created = world.create("o-1", &greedy, Some(16 << 20)).await;
        let (pid, _output) = created.expect("created");
        let init = pidfd(pid);
        assert_eq!(world.cgroup.oom_kills(&id("o-1")).expect("count"), 0);
        world.start("o-1").await.expect("started");
        assert_eq!(exit_of(init).await, Exit::Signal(Signal::KILL));
        assert_eq!(world.cgroup.oom_kills(&id("o-1")).expect("count"), 1);
        world.delete("o-1", true).await.expect("deleted");
        assert_eq!(world.cgroup.oom_kills(&id("o-1")).expect("count"), 0);
        world.cgroup.remove().await.expect("removed");
    }
}

#[tokio::test]
async fn the_table_knows_whose_loopback_is_up() {
    for runtime in real_runtimes().await {
        let expected = runtime.kind.quirks().loopback_up;
        let world = World::new(runtime).await;
        world
            .cgroup
            .create(&PodCgroupValues::default())
            .expect("cgroup");
        let show = ["ip", "link", "show", "dev", "lo"];
        let (pid, output) = world.create("n-1", &show, None).await.expect("created");
        let init = pidfd(pid);
        world.start("n-1").await.expect("started");
        exit_of(init).await;
        let shown = drained(output).await;
        assert_eq!(shown.contains("LOOPBACK,UP"), expected, "{shown}");
        world.delete("n-1", true).await.expect("deleted");
        world.cgroup.remove().await.expect("removed");
    }
}

#[tokio::test]
async fn a_container_may_end_before_its_start_has_answered() {
    for runtime in real_runtimes().await {
        let faulty = Faulty::new(&runtime.path);
        let mut world = World::new(runtime).await;
        world.driver.runtime.path = faulty.driver.runtime.path.clone();
        world
            .cgroup
            .create(&PodCgroupValues::default())
            .expect("cgroup");
        let created = world.create("q-1", &["sh", "-c", "exit 5"], None).await;
        let (pid, output) = created.expect("created");
        let init = pidfd(pid);
        faulty.fault("start", "late");
        let (reached, go) = (faulty.path("reached"), faulty.path("go"));
        let meanwhile = async {
            let waiting = tokio::task::spawn_blocking(move || fs::read_to_string(reached));
            waiting.await.expect("joined").expect("start did its work");
            assert_eq!(exit_of(init).await, Exit::Code(5));
            assert_eq!(drained(output).await, "");
            let letting_go = tokio::task::spawn_blocking(move || fs::write(go, "go\n"));
            letting_go.await.expect("joined").expect("start answers");
        };
        let (started, ()) = timeout(PATIENCE, async {
            tokio::join!(world.start("q-1"), meanwhile)
        })
        .await
        .expect("both end");
        started.expect("a late yes is a yes");
        world.delete("q-1", false).await.expect("deleted");
        world.cgroup.remove().await.expect("removed");
    }
}

#[tokio::test]
async fn what_a_create_that_was_cut_off_left_can_be_removed() {
    for runtime in real_runtimes().await {
        let faulty = Faulty::new(&runtime.path);
        let mut world = World::new(runtime).await;
        world.driver.runtime.path = faulty.driver.runtime.path.clone();
        world
            .cgroup
            .create(&PodCgroupValues::default())
            .expect("cgroup");
        // The real runtime creates the container; then the answer does not come.
        faulty.fault("create", "late");
        let reached = faulty.path("reached");
        let reading = tokio::task::spawn_blocking(move || fs::read_to_string(reached));
        tokio::select! {
            created = world.create("h-1", &["sleep", "1000"], None) => panic!("{created:?}"),
            read = reading => read.expect("joined").map(|_| ()).expect("create did its work"),
        }
        let pids = world.cgroup.pids(&id("h-1")).expect("pids");
        assert_eq!(pids.len(), 1, "its init is left");
        let init = pidfd(pids[0]);
        world.cgroup.kill_all(&id("h-1")).await.expect("killed");
        assert_eq!(exit_of(init).await, Exit::Signal(Signal::KILL));
        world.delete("h-1", true).await.expect("deleted");
        assert!(!world.driver.knows(&id("h-1")));
        world.cgroup.remove().await.expect("removed");
        assert_eq!(world.cgroup_directories(), [""; 0].map(PathBuf::from));
    }
}

#[tokio::test]
async fn state_that_the_runtime_cannot_read_can_be_forgotten() {
    for runtime in real_runtimes().await {
        let world = World::new(runtime).await;
        let state = world.driver.root.join("g-1");
        fs::create_dir_all(&state).expect("state");
        for file in ["state.json", "status"] {
            fs::write(state.join(file), "\u{1}garbage").expect("written");
        }
        // Whether the runtime can delete it or not, afterwards it is gone.
        let _refused = world.delete("g-1", true).await;
        world.driver.forget(&id("g-1")).expect("forgotten");
        assert!(!world.driver.knows(&id("g-1")));
        world.driver.forget(&id("g-1")).expect("nothing to do");
    }
}
