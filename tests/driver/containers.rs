//! The life of containers with every real runtime, and what is left of it: nothing.

use crate::faulty::Faulty;
use crate::processes::{drained, exit_of, pidfd, receive_fd, stdio};
use crate::world::{World, real_runtimes};
use crate::{PATIENCE, id};
use podshim::base::{Exit, Signal};
use podshim::runtime::{ExecCall, InitIo, Kind, PodCgroupValues, RuntimeError, read_pid_file};
use serde_json::json;
use std::fs;
use std::io::Read;
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::process::Command;
use tokio::time::timeout;

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
        assert_eq!(world.cgroup.write(&values).expect("written"), [""; 0]);
        let script = ["sh", "-c", "echo out; echo err >&2; exit 7"];
        let (pid, output) = world.create("web-1", &script).await.expect("created");
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
        let create = |name| world.create(name, &["sleep", "1000"]);
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
        let absent = ["/no/such/program"];
        // Runtimes differ in which of the two verbs finds out.
        let error = match world.create("x-1", &absent).await {
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
        let script = ["sh", "-c", "sleep 1000 & sleep 1000 & echo ready; wait"];
        let (pid, mut output) = world.create("k-1", &script).await.expect("created");
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
        let mut config = world.config("o-1", &["tail", "/dev/zero"]);
        config["linux"]["resources"]["memory"]["limit"] = json!(16 << 20);
        let created = world.create_from("o-1", &config, stdio().0).await;
        let pid = created.expect("created");
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
        let show = ["ip", "link", "show", "dev", "lo"];
        let (pid, output) = world.create("n-1", &show).await.expect("created");
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
        let created = world.create("q-1", &["sh", "-c", "exit 5"]).await;
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
async fn a_start_that_only_opens_a_gate_asks_no_runtime() {
    for runtime in real_runtimes().await {
        let faulty = Faulty::new(&runtime.path);
        let mut world = World::new(runtime).await;
        world.driver.runtime.path = faulty.driver.runtime.path.clone();
        let has_gate = matches!(world.driver.runtime.kind, Kind::Runc | Kind::Youki);
        for (name, has_hooks) in [("f-1", false), ("f-2", true)] {
            world.driver.has_hooks = has_hooks;
            let script = ["sh", "-c", "echo here; exit 5"];
            let (pid, output) = world.create(name, &script).await.expect("created");
            let init = pidfd(pid);
            assert!(world.driver.is_waiting_for_start(&id(name)));
            faulty.fault("start", "die");
            let started = timeout(PATIENCE, world.start_with(name, Some(pidfd(pid)))).await;
            let asked = match started.expect("it ends by itself") {
                Ok(()) => false,
                Err(RuntimeError::Died { .. }) => true,
                Err(other) => panic!("{other}"),
            };
            assert_eq!(asked, has_hooks || !has_gate, "{name}");
            faulty.fault("start", "none");
            if asked {
                world.start(name).await.expect("started");
            }
            assert_eq!(exit_of(init).await, Exit::Code(5));
            assert_eq!(drained(output).await, "here\n");
            assert!(!world.driver.is_waiting_for_start(&id(name)));
            world.delete(name, false).await.expect("deleted");
        }
        world.cgroup.remove().await.expect("removed");
    }
}

#[tokio::test]
async fn a_start_that_was_cut_off_before_it_was_written_down_is_done_again() {
    for runtime in real_runtimes().await {
        if runtime.kind != Kind::Youki {
            // The gate of others is gone, which says the same.
            continue;
        }
        let world = World::new(runtime).await;
        let created = world.create("w-1", &["sleep", "1000"]).await;
        let (pid, _output) = created.expect("created");
        let state = world.driver.root.join("w-1/state.json");
        let before = fs::read(&state).expect("state");
        for _ in 0..2 {
            fs::write(&state, &before).expect("as it was");
            assert!(world.driver.is_waiting_for_start(&id("w-1")));
            let started = timeout(PATIENCE, world.start_with("w-1", Some(pidfd(pid)))).await;
            started.expect("it ends by itself").expect("started");
            assert!(!world.driver.is_waiting_for_start(&id("w-1")));
        }
        world.cgroup.kill_all(&id("w-1")).await.expect("killed");
        world.delete("w-1", true).await.expect("deleted");
        world.cgroup.remove().await.expect("removed");
    }
}

#[tokio::test]
async fn nobody_waits_at_a_gate_for_a_process_that_has_ended() {
    for runtime in real_runtimes().await {
        let world = World::new(runtime).await;
        let created = world.create("d-1", &["sleep", "1000"]).await;
        let (pid, _output) = created.expect("created");
        let init = pidfd(pid);
        world.cgroup.kill_all(&id("d-1")).await.expect("killed");
        let started = timeout(PATIENCE, world.start_with("d-1", Some(init))).await;
        let error = started.expect("it ends by itself").expect_err("dead");
        assert!(!error.is_hung(), "{error}");
        world.delete("d-1", true).await.expect("deleted");
        world.cgroup.remove().await.expect("removed");
    }
}

#[tokio::test]
async fn what_a_create_that_was_cut_off_left_can_be_removed() {
    for runtime in real_runtimes().await {
        let faulty = Faulty::new(&runtime.path);
        let mut world = World::new(runtime).await;
        world.driver.runtime.path = faulty.driver.runtime.path.clone();
        // The real runtime creates the container; then the answer does not come.
        faulty.fault("create", "late");
        let reached = faulty.path("reached");
        let reading = tokio::task::spawn_blocking(move || fs::read_to_string(reached));
        tokio::select! {
            created = world.create("h-1", &["sleep", "1000"]) => panic!("{created:?}"),
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

#[tokio::test]
async fn a_terminal_is_given_to_who_listens_for_it() {
    for runtime in real_runtimes().await {
        let world = World::new(runtime).await;
        let script = "test -t 0 && test -t 1 && test -t 2 && echo terminal; exit 9";
        let mut config = world.config("t-1", &["sh", "-c", script]);
        config["process"]["terminal"] = json!(true);
        let socket = world.path("console");
        let listener = UnixListener::bind(&socket).expect("socket");
        let receiving = tokio::task::spawn_blocking(move || receive_fd(&listener));
        let console = InitIo::Console { socket };
        let created = world.create_from("t-1", &config, console).await;
        let init = pidfd(created.expect("created"));
        let mut terminal = fs::File::from(receiving.await.expect("a terminal"));
        world.start("t-1").await.expect("started");
        assert_eq!(exit_of(init).await, Exit::Code(9));
        let mut line = [0; 10];
        terminal.read_exact(&mut line).expect("its output");
        assert_eq!(&line, b"terminal\r\n");
        world.delete("t-1", false).await.expect("deleted");
        world.cgroup.remove().await.expect("removed");
    }
}

#[tokio::test]
async fn the_exec_command_line_runs_what_it_says() {
    for runtime in real_runtimes().await {
        let world = World::new(runtime).await;
        let created = world.create("e-1", &["sleep", "1000"]).await;
        let (pid, _output) = created.expect("created");
        let init = pidfd(pid);
        world.start("e-1").await.expect("started");
        let id = id("e-1");
        let place = tempfile::tempdir().expect("a temporary directory");
        let (process, pid_file) = (place.path().join("process"), place.path().join("pid"));
        let spoken = place.path().join("said");
        let said = std::fs::File::create(&spoken).expect("a file");
        let object = json!({
            "args": ["sh", "-c", "echo \"$A:$0:$1\"; pwd; exit 3", "-x", "--y"],
            "env": ["A=b c", "PATH=/bin"], "cwd": "/proc", "user": { "uid": 7, "gid": 8 },
        });
        std::fs::write(&process, object.to_string()).expect("written");
        let exec = ExecCall {
            id: &id,
            process: &process,
            pid_file: &pid_file,
            console: None,
        };
        let argv = world.driver.exec_argv(&exec).expect("argv");
        let mut command = Command::new(&argv[0]);
        command
            .args(&argv[1..])
            .stdin(std::process::Stdio::null())
            .stdout(said);
        let running = tokio::task::spawn_blocking(move || command.status());
        let ran = timeout(PATIENCE, running).await.expect("it ends");
        assert!(ran.expect("joined").expect("run").success());
        // The runtime has left it to the nearest subreaper: this process.
        let pid = read_pid_file(&pid_file).expect("a pid file");
        assert_eq!(exit_of(pidfd(pid)).await, Exit::Code(3));
        let printed = std::fs::read_to_string(&spoken).expect("text");
        assert_eq!(printed, "b c:-x:--y\n/proc\n");
        world.cgroup.kill_all(&id).await.expect("killed");
        exit_of(init).await;
        world.delete("e-1", false).await.expect("deleted");
        world.cgroup.remove().await.expect("removed");
    }
}

#[tokio::test]
async fn a_runtime_that_is_said_to_filter_system_calls_does() {
    for runtime in real_runtimes().await {
        let said = runtime.features.seccomp.expect("it is known");
        let world = World::new(runtime).await;
        let mut config = world.config("s-1", &["cat", "/proc/self/status"]);
        config["linux"]["seccomp"] = json!({
            "defaultAction": "SCMP_ACT_ALLOW",
            "syscalls": [{ "names": ["chroot"], "action": "SCMP_ACT_ERRNO" }],
        });
        let (io, output) = stdio();
        let created = world.create_from("s-1", &config, io).await;
        let init = pidfd(created.expect("created"));
        world.start("s-1").await.expect("started");
        exit_of(init).await;
        let status = drained(output).await;
        assert_eq!(status.contains("Seccomp:\t2"), said, "{status}");
        world.delete("s-1", false).await.expect("deleted");
        world.cgroup.remove().await.expect("removed");
    }
}
