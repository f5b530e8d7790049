//! Checkpoints over the shim's own socket: what `ctr` cannot say to a runtime of this name, and runtimes that hang.

use crate::checkpoint::COUNTER;
use crate::direct::{Direct, NAMESPACE, any, connect, end, exec, run, shut_down, soon};
use crate::faults::is_running;
use crate::support::until;
use crate::versions::needs_criu;
use crate::wire::code;
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CreateTaskRequest, DeleteRequest, ExecProcessRequest, KillRequest,
    StartRequest, StateRequest, Status, UpdateTaskRequest, WaitRequest,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any as WireAny;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::{CheckpointOptions, Options};
use containerd_shim_protos::shim_async::TaskClient;
use containerd_shim_protos::ttrpc::Code;
use containerd_shim_protos::ttrpc::context::{self, Context};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

fn message<M: Message>(name: &str, message: &M) -> MessageField<WireAny> {
    MessageField::some(WireAny {
        type_url: format!("containerd.runc.v1.{name}"),
        value: message.write_to_bytes().expect("encoded"),
        ..WireAny::default()
    })
}

/// A request for a checkpoint below this directory.
fn request(
    id: &str,
    dir: &Path,
    edit: impl FnOnce(&mut CheckpointOptions),
) -> CheckpointTaskRequest {
    let mut options = CheckpointOptions::default();
    edit(&mut options);
    CheckpointTaskRequest {
        id: id.into(),
        path: dir.join("image").display().to_string(),
        options: message("CheckpointOptions", &options),
        ..CheckpointTaskRequest::default()
    }
}

/// A request to make a container of that checkpoint.
fn create(id: &str, bundle: &Path, dir: &Path, options: &Options) -> CreateTaskRequest {
    CreateTaskRequest {
        id: id.into(),
        bundle: bundle.display().to_string(),
        checkpoint: dir.join("image").display().to_string(),
        options: message("Options", options),
        ..CreateTaskRequest::default()
    }
}

macro_rules! of {
    ($request:ident, $id:expr) => {
        $request {
            id: $id.into(),
            ..$request::default()
        }
    };
}

async fn state(client: &TaskClient, id: &str) -> (Status, u32) {
    let state = client.state(soon(), &of!(StateRequest, id)).await;
    let state = state.expect("a state");
    (state.status.enum_value_or_default(), state.pid)
}

/// How far the container of a bundle has counted.
fn counted(bundle: &Path) -> Option<u32> {
    let text = fs::read_to_string(bundle.join("rootfs/n")).ok()?;
    text.trim().parse().ok()
}

fn counts_beyond(bundle: &Path, number: u32) {
    until(30, "it counts", || {
        let seen = counted(bundle);
        (seen > Some(number))
            .then_some(())
            .ok_or(format!("{seen:?}"))
    });
}

/// A bundle that counts on a file system that may be written.
fn counter(direct: &Direct, id: &str) -> PathBuf {
    let bundle = direct.bundle(id, COUNTER, |config| {
        config["root"]["readonly"] = false.into();
    });
    std::os::unix::fs::symlink("busybox", bundle.join("rootfs/bin/mv")).expect("a link");
    bundle
}

/// Container `a`, which has begun to count: its bundle, the address of its shim, and a client of that.
async fn counting(direct: &Direct) -> (PathBuf, String, TaskClient) {
    let bundle = counter(direct, "a");
    let address = direct.start(&bundle, "a");
    let c = connect(&address).await;
    run(&c, &bundle, "a").await;
    counts_beyond(&bundle, 2);
    (bundle, address, c)
}

#[tokio::test]
async fn a_container_ends_with_its_checkpoint_and_goes_on_from_there() {
    needs_criu();
    let direct = Direct::new();
    let dir = direct.dir.path();
    let (bundle, address, c) = counting(&direct).await;
    let last = request("a", dir, |options| {
        options.exit = true;
        options.work_path = dir.join("work").display().to_string();
    });
    c.checkpoint(soon(), &last).await.expect("written");
    let ended = c.wait(soon(), &of!(WaitRequest, "a")).await.expect("ended");
    assert_eq!(ended.exit_status, 137);
    let deleted = c.delete(soon(), &of!(DeleteRequest, "a")).await;
    assert_eq!(deleted.expect("deleted").exit_status, 137);
    assert!(dir.join("image/inventory.img").exists() && dir.join("work/dump.log").exists());
    let at = counted(&bundle).expect("it has counted");

    // One that is never started has no process, and is deleted all the same.
    let again = create("a", &bundle, dir, &Options::default());
    for _ in 0..2 {
        let created = c.create(soon(), &again).await.expect("created");
        assert_eq!(created.pid, 0);
        assert_eq!(state(&c, "a").await, (Status::CREATED, 0));
        let kill = of!(KillRequest, "a");
        let kill = KillRequest { signal: 9, ..kill };
        assert_eq!(code(c.kill(soon(), &kill).await), Code::FAILED_PRECONDITION);
        assert_eq!(
            code(c.checkpoint(soon(), &last).await),
            Code::FAILED_PRECONDITION
        );
        let exec = ExecProcessRequest {
            exec_id: "e".into(),
            spec: any(serde_json::json!({})),
            ..of!(ExecProcessRequest, "a")
        };
        assert_eq!(code(c.exec(soon(), &exec).await), Code::FAILED_PRECONDITION);
        let update = of!(UpdateTaskRequest, "a");
        assert_eq!(
            code(c.update(soon(), &update).await),
            Code::FAILED_PRECONDITION
        );
        let deleted = c.delete(soon(), &of!(DeleteRequest, "a")).await;
        let deleted = deleted.expect("deleted");
        assert_eq!((deleted.pid, deleted.exit_status), (0, 0));
    }
    assert_eq!(counted(&bundle), Some(at), "nothing has run");

    c.create(soon(), &again).await.expect("created");
    let started = c.start(soon(), &of!(StartRequest, "a")).await;
    let pid = started.expect("started").pid;
    assert_eq!(state(&c, "a").await, (Status::RUNNING, pid));
    assert_eq!(
        code(c.start(soon(), &of!(StartRequest, "a")).await),
        Code::FAILED_PRECONDITION
    );
    counts_beyond(&bundle, at);
    let starts = fs::read_to_string(bundle.join("rootfs/starts")).expect("a file");
    assert_eq!(starts, "x\n", "it has not begun anew");
    assert_eq!(exec(&c, "a", "e", "exit 5").await, 5);
    // And a second generation.
    let next = request("a", &dir.join("image"), |_| {});
    c.checkpoint(soon(), &next).await.expect("written");
    let at = counted(&bundle).expect("it has counted");
    counts_beyond(&bundle, at);
    assert!(
        !bundle.join("work/criu-work").exists(),
        "nothing to read in it"
    );
    let term = KillRequest {
        signal: 15,
        ..of!(KillRequest, "a")
    };
    c.kill(soon(), &term).await.expect("told to end");
    let ended = c.wait(soon(), &of!(WaitRequest, "a")).await.expect("ended");
    assert_eq!(ended.exit_status, 7);
    let deleted = c.delete(soon(), &of!(DeleteRequest, "a")).await;
    let deleted = deleted.expect("deleted");
    assert_eq!((deleted.pid, deleted.exit_status), (pid, 7));
    shut_down(&c, &address).await;
}

#[tokio::test]
async fn output_and_terminal_of_a_restored_container_are_those_of_its_caller() {
    needs_criu();
    let direct = Direct::new();
    let dir = direct.dir.path();
    let script =
        "n=0; trap 'echo over; exit 7' TERM; while :; do n=$((n+1)); echo at $n; sleep 0.05; done";
    for terminal in [false, true] {
        let id = if terminal { "t" } else { "p" };
        let bundle = direct.bundle(id, script, |config| {
            config["process"]["terminal"] = terminal.into();
        });
        let address = direct.start(&bundle, id);
        let c = connect(&address).await;
        let output = |name: &str| dir.join(format!("{id}-{name}"));
        let dir = dir.join(format!("{id}-of"));
        fs::create_dir(&dir).expect("a directory of ours");
        let restored = CreateTaskRequest {
            terminal,
            stdout: format!("file://{}", output("second").display()),
            ..create(id, &bundle, &dir, &Options::default())
        };
        let first = CreateTaskRequest {
            stdout: format!("file://{}", output("first").display()),
            checkpoint: String::new(),
            ..restored.clone()
        };
        c.create(soon(), &first).await.expect("created");
        let started = c.start(soon(), &of!(StartRequest, id)).await;
        started.expect("started");
        let lines = |name: &str| fs::read_to_string(output(name)).unwrap_or_default();
        writes(|| lines("first").contains("at 3"), "the first").await;
        let last = request(id, &dir, |options| options.exit = true);
        c.checkpoint(soon(), &last).await.expect("written");
        end(&c, id).await;
        c.create(soon(), &restored).await.expect("created");
        let started = c.start(soon(), &of!(StartRequest, id)).await;
        started.expect("restored");
        writes(|| lines("second").lines().count() > 3, "the second").await;
        let term = KillRequest {
            signal: 15,
            ..of!(KillRequest, id)
        };
        c.kill(soon(), &term).await.expect("told to end");
        let ended = c.wait(soon(), &of!(WaitRequest, id)).await.expect("ended");
        assert_eq!(ended.exit_status, 7);
        c.delete(soon(), &of!(DeleteRequest, id))
            .await
            .expect("deleted");
        let (first, second) = (lines("first"), lines("second"));
        assert!(
            !second.contains("at 1\n") && !second.contains("at 1\r"),
            "{second}"
        );
        assert!(second.trim_end().ends_with("over"), "{second}");
        assert!(!first.contains("over"), "{first}");
        shut_down(&c, &address).await;
    }
}

#[tokio::test]
async fn what_cannot_be_done_is_refused_with_its_code() {
    needs_criu();
    let direct = Direct::new();
    let dir = direct.dir.path();
    let (bundle, address, c) = counting(&direct).await;
    type Edit = fn(&mut CheckpointTaskRequest, &mut CheckpointOptions);
    let edits: [Edit; 4] = [
        |request, _| request.path.clear(),
        |request, _| request.path = "image".into(),
        |_, options| options.cgroups_mode = "sideways".into(),
        |_, options| options.empty_namespaces = vec!["-x".into()],
    ];
    for edit in edits {
        let mut options = CheckpointOptions::default();
        let mut bad = request("a", dir, |_| {});
        edit(&mut bad, &mut options);
        bad.options = message("CheckpointOptions", &options);
        let answer = code(c.checkpoint(soon(), &bad).await);
        assert_eq!(answer, Code::INVALID_ARGUMENT, "{bad:?}");
    }
    let at = counted(&bundle).expect("it has counted");
    counts_beyond(&bundle, at);
    end(&c, "a").await;
    // Neither a runtime without checkpoints nor a machine without CRIU can make one of what is there.
    for (binary, criu_path, wanted) in [
        ("youki", "", Code::UNIMPLEMENTED),
        ("runc", "/no/such/criu", Code::FAILED_PRECONDITION),
        ("runc", "", Code::UNKNOWN),
    ] {
        let mut options = Options {
            binary_name: binary.into(),
            ..Options::default()
        };
        let unknown = options.special_fields.mut_unknown_fields();
        unknown.add_length_delimited(8, criu_path.into());
        let request = create("a", &bundle, &dir.join("none"), &options);
        c.create(soon(), &request).await.expect("created");
        for _ in 0..2 {
            let answer = code(c.start(soon(), &of!(StartRequest, "a")).await);
            assert_eq!(answer, wanted, "{binary} {criu_path}");
        }
        assert_eq!(state(&c, "a").await, (Status::CREATED, 0));
        let deleted = c.delete(soon(), &of!(DeleteRequest, "a")).await;
        deleted.expect("deleted");
    }
    shut_down(&c, &address).await;
}

/// Whether a container takes another process.
async fn may_exec(client: &TaskClient, id: &str, exec_id: &str) -> bool {
    let process = serde_json::json!({
        "cwd": "/", "args": ["/bin/true"], "user": {"uid": 0, "gid": 0}, "env": ["PATH=/bin"],
    });
    let exec = ExecProcessRequest {
        exec_id: exec_id.into(),
        spec: any(process),
        ..of!(ExecProcessRequest, id)
    };
    client.exec(soon(), &exec).await.expect("announced");
    let start = StartRequest {
        exec_id: exec_id.into(),
        ..of!(StartRequest, id)
    };
    client.start(soon(), &start).await.is_ok()
}

/// A runtime that does this instead of one of its verbs, with its arguments as `$@` and the container's id as `$id`.
fn hanging(direct: &Direct, verb: &str, script: &str) -> Options {
    let program = direct.dir.path().join("runtime");
    let text = format!(
        "#!/bin/sh\nfor id; do :; done\nfor word; do case $word in {verb}) {script}; exec sleep 1002;; esac; done\nexec runc \"$@\"\n"
    );
    fs::write(&program, text).expect("a program of ours");
    fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).expect("a program of ours");
    Options {
        binary_name: program.display().to_string(),
        ..Options::default()
    }
}

/// Waits for the file that says that the runtime hangs; whoever asked it is a task of this thread.
async fn hangs(file: &Path) {
    writes(|| file.exists(), "the runtime").await;
}

/// Waits until somebody has written what is looked for, and lets other tasks go on meanwhile.
async fn writes(is_there: impl Fn() -> bool, who: &str) {
    for _ in 0..1500 {
        if is_there() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{who} does not write");
}

#[tokio::test]
async fn a_checkpoint_that_hangs_holds_up_nobody_and_the_container_dies_out_of_it() {
    needs_criu();
    let direct = Direct::new();
    let dir = direct.dir.path();
    let group = |config: &mut serde_json::Value| {
        config["annotations"] = serde_json::json!({"io.containerd.runc.v2.group": "g"});
    };
    let bundles = ["a", "b"].map(|id| direct.bundle(id, "exec sleep 1000", group));
    let mark = dir.join("hangs");
    // As CRIU would leave it: frozen, or still running.
    let freeze = format!(
        "[ $id = b ] || runc --root \"$2\" pause $id; >{}",
        mark.display()
    );
    let options = hanging(&direct, "checkpoint", &freeze);
    let address = direct.start(&bundles[0], "a");
    let c = connect(&address).await;
    for (id, bundle) in ["a", "b"].into_iter().zip(&bundles) {
        let create = CreateTaskRequest {
            checkpoint: String::new(),
            ..create(id, bundle, dir, &options)
        };
        c.create(soon(), &create).await.expect("created");
        let started = c.start(soon(), &of!(StartRequest, id)).await;
        started.expect("started");
    }
    let pid = async |id| i32::try_from(state(&c, id).await.1).expect("a pid");
    let checkpoint = request("a", dir, |_| {});
    let ask = |id: &str, deadline: Context| {
        let (address, checkpoint) = (address.clone(), request(id, dir, |_| {}));
        tokio::spawn(async move {
            let c = connect(&address).await;
            c.checkpoint(deadline, &checkpoint).await
        })
    };

    // Nobody waits for it any more: it is over, and what it froze goes on.
    let brief = context::with_duration(Duration::from_secs(3));
    let asking = ask("a", brief);
    assert!(asking.await.expect("no panic").is_err());
    for number in 0.. {
        assert!(number < 1500, "the container is still frozen");
        if may_exec(&c, "a", &format!("r{number}")).await {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }

    // Meanwhile everybody else is answered, and who wants it to die does not wait.
    let _ = fs::remove_file(&mark);
    let asking = ask("a", soon());
    hangs(&mark).await;
    assert_eq!(state(&c, "a").await.0, Status::RUNNING);
    assert_eq!(exec(&c, "b", "e", "exit 5").await, 5);
    assert_eq!(
        code(c.checkpoint(soon(), &checkpoint).await),
        Code::FAILED_PRECONDITION,
        "one at a time"
    );
    assert!(is_running(pid("a").await) && !asking.is_finished());
    let deadly = KillRequest {
        signal: 9,
        ..of!(KillRequest, "a")
    };
    c.kill(soon(), &deadly).await.expect("killed");
    let ended = c.wait(soon(), &of!(WaitRequest, "a")).await.expect("ended");
    assert_eq!(ended.exit_status, 137);
    let answer = asking.await.expect("no panic");
    let error = answer.expect_err("given up").to_string();
    assert!(error.contains("its container is to end"), "{error}");
    end(&c, "a").await;

    // One whose container has ended by itself has a last time, then it is deleted.
    fs::remove_file(&mark).expect("it has hung");
    let asking = ask("b", soon());
    hangs(&mark).await;
    kill(Pid::from_raw(pid("b").await), Signal::SIGKILL).expect("it runs");
    end(&c, "b").await;
    let answer = asking.await.expect("no panic");
    assert!(answer.is_err(), "given up");
    shut_down(&c, &address).await;
}

#[tokio::test]
async fn a_restore_that_hangs_is_killed_with_all_that_it_made() {
    needs_criu();
    let direct = Direct::new();
    let dir = direct.dir.path();
    let bundle = direct.bundle("a", "exec sleep 1000", |_| {});
    let mark = dir.join("hangs");
    // As CRIU would leave it: a process in the container's cgroup, and in no group of the runtime's.
    let all = Path::new("/sys/fs/cgroup");
    let pids = all.join("pids").join(NAMESPACE);
    let own = match all.join("cgroup.controllers").exists() {
        true => all.join(NAMESPACE),
        false => pids,
    };
    let cgroup = own.join("a");
    let begin = format!(
        "cgroup={}; mkdir -p $cgroup; setsid sleep 1003 & echo $! >$cgroup/cgroup.procs; echo $! $$ >{1}.new; mv {1}.new {1}",
        cgroup.display(),
        mark.display()
    );
    let options = hanging(&direct, "restore", &begin);
    for is_shim_killed in [false, true] {
        let address = direct.start(&bundle, "a");
        let c = connect(&address).await;
        let _ = fs::remove_file(&mark);
        let create = create("a", &bundle, dir, &options);
        c.create(soon(), &create).await.expect("created");
        let asking = tokio::spawn({
            let c = connect(&address).await;
            async move { c.start(soon(), &of!(StartRequest, "a")).await }
        });
        hangs(&mark).await;
        let text = fs::read_to_string(&mark).expect("two numbers");
        let mut numbers = text.split_whitespace().map(|n| n.parse::<i32>());
        let mut next = || numbers.next().expect("two").expect("a number");
        let (part, runtime) = (next(), next());
        assert!(is_running(part));
        assert_eq!(state(&c, "a").await, (Status::CREATED, 0));
        assert!(!asking.is_finished());
        if is_shim_killed {
            let connect = containerd_shim_protos::api::ConnectRequest::default();
            let shim = c.connect(soon(), &connect).await.expect("alive").shim_pid;
            let shim = Pid::from_raw(i32::try_from(shim).expect("a pid"));
            kill(shim, Signal::SIGKILL).expect("it runs");
            assert!(asking.await.expect("no panic").is_err());
            let deleted = direct.call(&bundle, "a", "delete", b"");
            assert!(deleted.status.success(), "{deleted:?}");
            // A real one would see that its work is gone.
            kill(Pid::from_raw(runtime), Signal::SIGKILL).expect("it runs");
        } else {
            let waiting = tokio::spawn({
                let c = connect(&address).await;
                async move { c.wait(soon(), &of!(WaitRequest, "a")).await }
            });
            let kill = KillRequest {
                signal: 9,
                all: true,
                ..of!(KillRequest, "a")
            };
            c.kill(soon(), &kill).await.expect("killed");
            let answer = asking.await.expect("no panic");
            let error = answer.expect_err("given up").to_string();
            assert!(error.contains("it was killed"), "{error}");
            let ended = waiting.await.expect("no panic").expect("ended");
            assert_eq!(ended.exit_status, 137);
            let deleted = c.delete(soon(), &of!(DeleteRequest, "a")).await;
            assert_eq!(deleted.expect("deleted").exit_status, 137);
            shut_down(&c, &address).await;
        }
        until(20, "all of it is gone", || {
            let is_gone = !is_running(part) && !cgroup.exists();
            is_gone.then_some(()).ok_or(format!("{part}"))
        });
    }
}
