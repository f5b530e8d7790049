//! What the shim answers on its own wire, under both names of its service.

use crate::direct::{Direct, NAMESPACE, any, connect, end, exec, run, shut_down, soon};
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, CreateTaskRequest, DeleteRequest,
    ExecProcessRequest, KillRequest, PauseRequest, PidsRequest, ResizePtyRequest, ResumeRequest,
    StartRequest, StateRequest, StateResponse, StatsRequest, UpdateTaskRequest, WaitRequest,
};
use containerd_shim_protos::bootstrap_api::{BootstrapParams, BootstrapResult};
use containerd_shim_protos::cgroups::metrics::Metrics;
use containerd_shim_protos::protobuf::Message;
use containerd_shim_protos::shim_async::Client;
use containerd_shim_protos::ttrpc::{self, Code, Request};
use containerd_shim_protos::types::introspection::RuntimeInfo;
use serde_json::json;

pub fn code<T>(answer: ttrpc::Result<T>) -> Code {
    match answer {
        Ok(_) => Code::OK,
        Err(ttrpc::Error::RpcStatus(status)) => status.code.enum_value_or_default(),
        Err(other) => panic!("no status: {other}"),
    }
}

#[test]
fn info_tells_the_features_of_the_runtime_and_version_needs_nothing() {
    let direct = Direct::new();
    let call = |args: &[&str]| {
        let mut command = std::process::Command::new(direct.program());
        command.args(args).stdin(std::process::Stdio::null());
        let path = std::env::var("PATH").unwrap_or_default();
        command.env("PATH", format!("{path}:/usr/sbin"));
        command.env("PODSHIM_STATE", direct.dir.path());
        command.output().expect("the shim")
    };
    let output = call(&["-info"]);
    assert!(output.status.success());
    let info = RuntimeInfo::parse_from_bytes(&output.stdout).expect("RuntimeInfo");
    assert_eq!(info.name, "io.containerd.podshim.v1");
    let features: serde_json::Value =
        serde_json::from_slice(&info.features.value).expect("a document");
    assert!(features["mountOptions"].is_array());
    let output = call(&["-v"]);
    assert!(output.status.success() && output.stdout.starts_with(b"containerd-shim-podshim-v1"));
}

#[tokio::test]
async fn start_answers_each_caller_in_its_way_and_finds_a_server_that_is_there() {
    let direct = Direct::new();
    let bundle = direct.bundle("a", "exec sleep 1000", |_| {});
    let params = |id: &str| {
        BootstrapParams {
            instance_id: id.into(),
            namespace: NAMESPACE.into(),
            socket_dir: Some(direct.dir.path().join("s").display().to_string()),
            ..BootstrapParams::default()
        }
        .write_to_bytes()
        .expect("encoded")
    };
    let refused = direct.call(&bundle, "a", "start", &params("other"));
    assert!(!refused.status.success() && refused.stdout.is_empty());
    let started = direct.call(&bundle, "a", "start", &params("a"));
    let result = BootstrapResult::parse_from_bytes(&started.stdout).expect("a result");
    assert_eq!((result.version, result.protocol.as_str()), (3, "ttrpc"));
    let own = direct.dir.path().join("s").display().to_string();
    assert!(result.address.contains(&own), "{}", result.address);
    let again = direct.call(&bundle, "a", "start", &params("a"));
    assert_eq!(again.stdout, started.stdout, "the same server");
    shut_down(&connect(&result.address).await, &result.address).await;
}

#[tokio::test]
async fn two_starts_of_one_group_at_once_begin_one_server_even_over_a_stale_socket() {
    let direct = Direct::new();
    let group = |config: &mut serde_json::Value| {
        config["annotations"] = json!({"io.containerd.runc.v2.group": "g"});
    };
    let bundles = ["a", "b", "c", "d"].map(|id| (id, direct.bundle(id, "true", group)));
    let address = direct.start(&bundles[0].1, "a");
    let client = connect(&address).await;
    let request = ConnectRequest::default();
    let first = client
        .connect(soon(), &request)
        .await
        .expect("alive")
        .shim_pid;
    let first = nix::unistd::Pid::from_raw(i32::try_from(first).expect("a pid"));
    nix::sys::signal::kill(first, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    crate::support::until(20, "nobody listens", || {
        let socket = address.strip_prefix("unix://").expect("a unix socket");
        let refused = std::os::unix::net::UnixStream::connect(socket).is_err();
        refused.then_some(()).ok_or(String::new())
    });
    let started: Vec<String> = std::thread::scope(|scope| {
        let all: Vec<_> = bundles
            .iter()
            .map(|(id, bundle)| scope.spawn(|| direct.start(bundle, id)))
            .collect();
        all.into_iter()
            .map(|one| one.join().expect("started"))
            .collect()
    });
    assert!(started.iter().all(|one| *one == address), "{started:?}");
    let mut servers = Vec::new();
    for address in &started {
        let client = connect(address).await;
        servers.push(
            client
                .connect(soon(), &request)
                .await
                .expect("alive")
                .shim_pid,
        );
    }
    servers.dedup();
    assert_eq!(servers.len(), 1);
    shut_down(&connect(&address).await, &address).await;
}

#[tokio::test]
async fn every_method_answers_for_what_is_not_there_with_not_found() {
    let direct = Direct::new();
    let bundle = direct.bundle("a", "exec sleep 1000", |_| {});
    let address = direct.start(&bundle, "a");
    let c = connect(&address).await;
    let id = || "none".to_owned();
    macro_rules! not_found {
        ($($method:ident: $request:ident { $($field:ident: $value:expr),* };)*) => {
            $(
                let request = $request { id: id(), $($field: $value,)* ..$request::default() };
                let answer = code(c.$method(soon(), &request).await);
                assert_eq!(answer, Code::NOT_FOUND, stringify!($method));
            )*
        };
    }
    not_found! {
        state: StateRequest {};
        start: StartRequest {};
        delete: DeleteRequest {};
        pids: PidsRequest {};
        pause: PauseRequest {};
        resume: ResumeRequest {};
        kill: KillRequest { signal: 9 };
        exec: ExecProcessRequest { exec_id: "x".into(), spec: any(json!({})) };
        resize_pty: ResizePtyRequest {};
        close_io: CloseIORequest { stdin: true };
        update: UpdateTaskRequest {};
        wait: WaitRequest {};
        stats: StatsRequest {};
        checkpoint: CheckpointTaskRequest { path: "/none".into() };
    }
    let connected = c
        .connect(soon(), &ConnectRequest::default())
        .await
        .expect("alive");
    assert_eq!(connected.task_pid, 0);
    shut_down(&c, &address).await;
}

#[tokio::test]
async fn a_container_lives_under_both_names_of_the_service() {
    let direct = Direct::new();
    let bundle = direct.bundle("a", "exec sleep 1000", |_| {});
    let address = direct.start(&bundle, "a");
    let c = connect(&address).await;
    let pid = run(&c, &bundle, "a").await;
    let create = CreateTaskRequest {
        id: "a".into(),
        bundle: bundle.display().to_string(),
        ..CreateTaskRequest::default()
    };
    assert_eq!(code(c.create(soon(), &create).await), Code::ALREADY_EXISTS);
    let start = StartRequest {
        id: "a".into(),
        ..StartRequest::default()
    };
    assert_eq!(
        code(c.start(soon(), &start).await),
        Code::FAILED_PRECONDITION
    );
    let raw = Client::connect(&address).await.expect("the shim listens");
    for service in ["containerd.task.v2.Task", "containerd.task.v3.Task"] {
        let state = StateRequest {
            id: "a".into(),
            ..StateRequest::default()
        };
        let request = Request {
            service: service.into(),
            method: "State".into(),
            payload: state.write_to_bytes().expect("encoded"),
            ..Request::default()
        };
        let answer = raw.request(request).await.expect("an answer");
        let state = StateResponse::parse_from_bytes(&answer.payload).expect("a state");
        assert_eq!((state.pid, state.id.as_str()), (pid, "a"), "{service}");
    }
    let update = UpdateTaskRequest {
        id: "a".into(),
        resources: any(json!({"memory": {"limit": 64 << 20}})),
        ..UpdateTaskRequest::default()
    };
    c.update(soon(), &update).await.expect("updated");
    let stats = StatsRequest {
        id: "a".into(),
        ..StatsRequest::default()
    };
    let stats = c.stats(soon(), &stats).await.expect("measured").stats;
    if stats.type_url == "io.containerd.cgroups.v1.Metrics" {
        let metrics = Metrics::parse_from_bytes(&stats.value).expect("metrics");
        assert_eq!(metrics.memory.usage.limit, 64 << 20);
        assert!(metrics.memory.usage.usage > 0 && metrics.pids.current == 1);
    } else {
        assert_eq!(stats.type_url, "io.containerd.cgroups.v2.Metrics");
    }
    // Ended and not deleted: it can still be asked about, as one that comes back does.
    let kill = KillRequest {
        id: "a".into(),
        signal: 15,
        ..KillRequest::default()
    };
    let delete = DeleteRequest {
        id: "a".into(),
        ..DeleteRequest::default()
    };
    assert_eq!(
        code(c.delete(soon(), &delete).await),
        Code::FAILED_PRECONDITION
    );
    let kill_9 = KillRequest { signal: 9, ..kill };
    c.kill(soon(), &kill_9).await.expect("killed");
    let wait = WaitRequest {
        id: "a".into(),
        ..WaitRequest::default()
    };
    assert_eq!(c.wait(soon(), &wait).await.expect("ended").exit_status, 137);
    assert_eq!(code(c.kill(soon(), &kill_9).await), Code::NOT_FOUND);
    let pids = PidsRequest {
        id: "a".into(),
        ..PidsRequest::default()
    };
    let pids = c.pids(soon(), &pids).await.expect("its init").processes;
    assert_eq!(pids.iter().map(|p| p.pid).collect::<Vec<_>>(), [pid]);
    c.delete(soon(), &delete).await.expect("deleted");
    assert_eq!(code(c.delete(soon(), &delete).await), Code::NOT_FOUND);
    shut_down(&c, &address).await;
}

#[tokio::test]
async fn many_processes_at_once_each_give_their_own_exit_code_and_leave_no_zombie() {
    let direct = Direct::new();
    let bundle = direct.bundle("a", "exec sleep 1000", |_| {});
    let address = direct.start(&bundle, "a");
    let c = connect(&address).await;
    run(&c, &bundle, "a").await;
    let mut calls = tokio::task::JoinSet::new();
    for n in 1..=40_u32 {
        let c = c.clone();
        calls.spawn(async move {
            let code = exec(&c, "a", &format!("x{n}"), &format!("exit {n}")).await;
            assert_eq!(code, n);
        });
    }
    while let Some(done) = calls.join_next().await {
        done.expect("a call");
    }
    let connected = c
        .connect(soon(), &ConnectRequest::default())
        .await
        .expect("alive");
    let shim = connected.shim_pid;
    crate::support::until(20, "no zombie is left", || {
        let path = format!("/proc/{shim}/task/{shim}/children");
        let children = std::fs::read_to_string(path).expect("children");
        (children.split_whitespace().count() == 1)
            .then_some(())
            .ok_or(children)
    });
    assert_eq!(end(&c, "a").await, 137);
    shut_down(&c, &address).await;
}

#[tokio::test]
async fn a_container_that_ends_at_once_gives_its_exit_code() {
    let direct = Direct::new();
    for n in 0..10 {
        let id = format!("q{n}");
        let bundle = direct.bundle(&id, "exit 9", |_| {});
        let address = direct.start(&bundle, &id);
        let c = connect(&address).await;
        run(&c, &bundle, &id).await;
        let wait = WaitRequest {
            id: id.clone(),
            ..WaitRequest::default()
        };
        assert_eq!(c.wait(soon(), &wait).await.expect("ended").exit_status, 9);
        assert_eq!(end(&c, &id).await, 9);
        shut_down(&c, &address).await;
    }
}

#[tokio::test]
async fn delete_after_a_dead_shim_tells_the_exit_code_that_it_saw() {
    use containerd_shim_protos::api::DeleteResponse;
    let direct = Direct::new();
    let bundle = direct.bundle("a", "exit 9", |_| {});
    let address = direct.start(&bundle, "a");
    let c = connect(&address).await;
    let pid = run(&c, &bundle, "a").await;
    let wait = WaitRequest {
        id: "a".into(),
        ..WaitRequest::default()
    };
    assert_eq!(c.wait(soon(), &wait).await.expect("ended").exit_status, 9);
    let connected = c
        .connect(soon(), &ConnectRequest::default())
        .await
        .expect("alive");
    let shim = nix::unistd::Pid::from_raw(i32::try_from(connected.shim_pid).expect("a pid"));
    nix::sys::signal::kill(shim, nix::sys::signal::Signal::SIGKILL).expect("it runs");
    crate::support::until(20, "nobody listens", || {
        let socket = address.strip_prefix("unix://").expect("a unix socket");
        let refused = std::os::unix::net::UnixStream::connect(socket).is_err();
        refused.then_some(()).ok_or(String::new())
    });
    let output = direct.call(&bundle, "a", "delete", b"");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let response = DeleteResponse::parse_from_bytes(&output.stdout).expect("a response");
    assert_eq!((response.pid, response.exit_status), (pid, 9));
    let socket = address.strip_prefix("unix://").expect("a unix socket");
    assert!(!std::path::Path::new(socket).exists());
}
