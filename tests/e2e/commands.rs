//! The verbs, as somebody at a terminal uses them.

use crate::support::{
    IMAGE, at_terminal, background, cgroups_of, images, on_each_runtime, pod, run, sh, state,
    until, with,
};
use k8s_openapi::api::core::v1 as core;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Command;

fn sleeper(name: &str) -> Value {
    let spec = json!({"shareProcessNamespace": true, "containers": [sh("c", "exec sleep 1000")]});
    with(pod(spec), json!({"metadata": {"name": name}}))
}

#[test]
fn a_taken_name_is_a_conflict_and_an_unknown_one_is_not_found() {
    on_each_runtime(|host| {
        let first = host.start(&sleeper("p"));
        first.until_running();
        let file = host.manifest(&[sleeper("p")]);
        host.podshim([
            "run".as_ref(),
            "-d".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
        ])
        .expect(5);
        assert_eq!(host.pod("p").uid, first.uid, "the first one is untouched");
        for verb in ["get", "logs", "stop", "delete", "events"] {
            host.podshim([verb, "unknown"]).expect(3);
        }
        host.podshim(["exec", "unknown", "--", "true"]).expect(125);
        host.podshim(["delete", "unknown", "--ignore-not-found"])
            .expect(0);
    });
}

#[test]
fn get_prints_a_pod_that_kubernetes_types_read() {
    on_each_runtime(|host| {
        let pod = host.start(&sleeper("p"));
        pod.until_running();
        let typed: core::Pod = serde_json::from_value(pod.json()).expect("a core/v1 Pod");
        let status = typed.status.expect("a status");
        assert_eq!(status.phase.as_deref(), Some("Running"));
        let container = &status.container_statuses.expect("containers")[0];
        assert!(container.ready && container.started == Some(true));
        let kinds: Vec<String> = status
            .conditions
            .expect("conditions")
            .into_iter()
            .map(|c| c.type_)
            .collect();
        for kind in [
            "PodReadyToStartContainers",
            "Initialized",
            "Ready",
            "ContainersReady",
            "PodScheduled",
        ] {
            assert!(kinds.iter().any(|k| k == kind), "no {kind} in {kinds:?}");
        }
        assert!(
            pod.json()["status"]["podIP"].is_null(),
            "a pod with loopback only has no address"
        );
        let row = host.podshim(["get", "--no-headers"]).text();
        let row: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(row[..4], ["p", "1/1", "Running", "0"]);
        assert_eq!(host.podshim(["get", "-o", "name"]).word(), "pod/p");
    });
}

#[test]
fn exec_passes_input_output_and_the_exit_code() {
    on_each_runtime(|host| {
        let pod = host.start(&sleeper("p"));
        pod.until_running();
        for code in [0, 1, 42, 255] {
            pod.exec("c", &format!("exit {code}")).expect(code);
        }
        pod.exec("c", "kill -9 $$").expect(137);
        let ran = pod.exec("c", "echo out; echo err >&2").expect(0);
        assert_eq!(
            (ran.stdout.as_str(), ran.stderr.as_str()),
            ("out\n", "err\n")
        );
        let cat = ["exec", "-i", "p", "-c", "c", "--", "cat"];
        assert_eq!(
            host.podshim_with_input(cat, "through\n").text(),
            "through\n"
        );
        let without = ["exec", "p", "-c", "c", "--", "cat"];
        assert_eq!(
            host.podshim_with_input(without, "ignored").text(),
            "",
            "no -i, no input"
        );
        for (program, code) in [
            ("/absent", 127),
            ("absent", 127),
            ("/etc/passwd/absent", 127),
            ("/etc/passwd", 126),
            ("/tmp", 126),
        ] {
            for flag in ["-i", "-t"] {
                host.podshim(["exec", flag, "p", "--", program])
                    .expect(code);
            }
        }
        pod.exec("c", "exit 126").expect(126);
        host.podshim(["exec", "p", "-c", "absent", "--", "true"])
            .expect(125);
        // A child that keeps the output open does not hold exec up.
        assert_eq!(pod.exec("c", "sleep 100 & echo parent").text(), "parent\n");
    });
}

#[test]
fn exec_gives_a_terminal() {
    on_each_runtime(|host| {
        host.start(&sleeper("p")).until_running();
        let size = match host.runtime().ends_with("youki") {
            // It does not know `consoleSize`: the size comes when we have the terminal, which may be after the command's first look.
            true => "until stty size 2>/dev/null | grep .; do sleep 0.1; done",
            false => "stty size",
        };
        let script = format!("tty; {size}; exit 7");
        let inner = host.command(["exec", "-it", "p", "-c", "c", "--", "sh", "-c", &script]);
        let ran = run(&mut at_terminal(&inner)).expect(7);
        assert!(
            ran.stdout.contains("/dev/pts/") && ran.stdout.contains("33 99"),
            "{}",
            ran.stdout
        );
    });
}

#[test]
fn kill_sends_a_signal_to_the_main_process() {
    on_each_runtime(|host| {
        let script = "trap 'echo got USR1; exit 9' USR1; echo ready; while :; do sleep 0.1; done";
        let pod = host.start(&pod(json!({"containers": [sh("c", script)]})));
        until(10, "it has set its trap", || {
            match pod.podshim("logs", &[]).stdout {
                text if text == "ready\n" => Ok(()),
                text => Err(text),
            }
        });
        pod.podshim("kill", &["-s", "USR1"]).expect(0);
        assert_eq!(pod.until_terminated("c")["exitCode"], 9);
        assert_eq!(pod.podshim("logs", &[]).text(), "ready\ngot USR1\n");
    });
}

#[test]
fn stop_is_graceful_and_keeps_status_and_logs() {
    on_each_runtime(|host| {
        let script = "trap 'echo bye; exit 0' TERM; echo ready; while :; do sleep 0.1; done";
        let spec = json!({"restartPolicy": "Always", "containers": [sh("c", script)]});
        let pod = host.start(&pod(spec));
        until(10, "it has set its trap", || {
            match pod.podshim("logs", &[]).stdout {
                text if text == "ready\n" => Ok(()),
                text => Err(text),
            }
        });
        pod.podshim("stop", &[]).expect(0);
        let json = pod.until_phase("Succeeded");
        assert_eq!(state(&json, "c").1["exitCode"], 0);
        assert_eq!(pod.podshim("logs", &[]).text(), "ready\nbye\n");
        assert!(pod.log_file("c", 0).exists());
        pod.podshim("delete", &[]).expect(0);
        assert!(!pod.log_file("c", 0).exists());
        host.podshim(["get", "p"]).expect(3);
        host.assert_nothing_left();
    });
}

#[test]
fn wait_returns_when_it_is_so_and_says_when_time_is_up() {
    on_each_runtime(|host| {
        let script = "until test -e /tmp/go; do sleep 0.1; done; exit 4";
        let pod = host.start(&pod(json!({"containers": [sh("c", script)]})));
        pod.podshim("wait", &["--for=condition=Ready", "--timeout", "30s"])
            .expect(0);
        pod.podshim("wait", &["--for=phase=Failed", "--timeout", "1s"])
            .expect(4);
        let waiting = host.background(["wait", "p", "--for=exit"]);
        let deleted = host.background(["wait", "p", "--for=delete"]);
        pod.exec("c", "touch /tmp/go").expect(0);
        let codes = waiting.wait().text();
        assert!(codes.split_whitespace().any(|word| word == "4"), "{codes}");
        pod.podshim("wait", &["--for=phase=Failed", "--timeout", "30s"])
            .expect(0);
        pod.podshim("delete", &[]).expect(0);
        deleted.wait().expect(0);
        host.podshim(["wait", "p", "--for=phase=Failed"]).expect(3);
    });
}

#[test]
fn events_tell_what_happened_in_order_and_without_gaps() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [sh("c", "exit 5")]})));
        pod.until("the last event is told", |_| {
            pod.events().iter().any(|event| event["reason"] == "Ended")
        });
        let events = pod.events();
        let numbers: Vec<u64> = events
            .iter()
            .filter_map(|event| event["seq"].as_u64())
            .collect();
        assert_eq!(numbers.len(), events.len());
        assert!(
            numbers.windows(2).all(|pair| pair[1] == pair[0] + 1),
            "{numbers:?}"
        );
        let of_c: Vec<&str> = events
            .iter()
            .filter(|event| event["container"] == "c")
            .filter_map(|event| event["reason"].as_str())
            .collect();
        let place = |reason: &str| {
            let at = of_c.iter().position(|r| *r == reason);
            at.unwrap_or_else(|| panic!("no {reason} in {of_c:?}"))
        };
        assert!(
            place("Created") < place("Started") && place("Started") < place("Exited"),
            "{of_c:?}"
        );
        let text = pod.podshim("events", &[]).text();
        assert!(text.contains("Started"), "{text}");
    });
}

/// The files below a directory, by their path from there.
fn tree(root: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut files, mut pending) = (BTreeMap::new(), vec![root.to_owned()]);
    while let Some(directory) = pending.pop() {
        for entry in fs::read_dir(directory).expect("a directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let name = path
                    .strip_prefix(root)
                    .expect("below")
                    .to_string_lossy()
                    .into_owned();
                files.insert(name, fs::read(path).expect("a file"));
            }
        }
    }
    files
}

/// Runs a rendered bundle with the runtime alone: the pid filled in, a root file system beside it, and without the mounts
/// whose source podshim would only make when it runs the pod. It has to say `rendered`.
fn run_rendered(runtime: &str, bundle: &Path, config: &str, pause: i32, id: &str) {
    let filled = config.replace("@PAUSE_PID@", &pause.to_string());
    let mut config: Value = serde_json::from_str(&filled).expect("JSON");
    let mounts = config["mounts"].as_array_mut().expect("mounts");
    mounts.retain(|mount| {
        let bind = mount["options"]
            .as_array()
            .is_some_and(|o| o.iter().any(|o| o == "bind" || o == "rbind"));
        !bind || Path::new(mount["source"].as_str().unwrap_or("")).exists()
    });
    fs::create_dir_all(bundle.join("rootfs")).expect("a directory of ours");
    fs::write(bundle.join("config.json"), config.to_string()).expect("a file of ours");
    let blobs = fs::read_dir(images().join("busybox/blobs/sha256")).expect("the layout");
    let layer = blobs
        .flatten()
        .max_by_key(|b| b.metadata().map_or(0, |m| m.len()))
        .expect("a layer");
    run(Command::new("tar")
        .arg("-xzf")
        .arg(layer.path())
        .arg("-C")
        .arg(bundle.join("rootfs")))
    .expect(0);
    let state = bundle.join("runtime");
    // Detached: youki in the foreground sometimes waits for ever for what ends at once.
    let mut alone = Command::new(runtime);
    alone.arg("--root").arg(&state).args(["run", "--detach"]);
    let alone = background(alone.arg("--bundle").arg(bundle).arg(id), b"");
    until(10, "it says its word", || match alone.stdout().as_str() {
        "rendered\n" => Ok(()),
        other => Err(format!("{other:?}, {:?}", alone.stderr())),
    });
    alone.wait().expect(0);
    run(Command::new(runtime)
        .arg("--root")
        .arg(&state)
        .args(["delete", "--force", id]));
}

#[test]
fn render_is_the_same_every_time_and_the_runtime_alone_runs_it() {
    on_each_runtime(|host| {
        // Of this run alone: what a run that failed has left is none of its business.
        let uid = &format!("6f1d7c1e-0000-4000-8000-{:012x}", std::process::id());
        let manifest = with(
            pod(
                json!({"containers": [{"name": "c", "image": IMAGE, "command": ["echo", "rendered"]}]}),
            ),
            json!({"metadata": {"uid": uid}}),
        );
        let file = host.manifest(&[manifest]);
        let render = |directory: &str| {
            let out = host.path(directory);
            let args = [
                "render".as_ref(),
                "-f".as_ref(),
                file.as_os_str(),
                "-o".as_ref(),
                out.as_os_str(),
            ];
            host.podshim(args).expect(0);
            (tree(&out), out)
        };
        let (first, out) = render("first");
        let (second, _) = render("second");
        assert_eq!(
            first.keys().collect::<Vec<_>>(),
            second.keys().collect::<Vec<_>>()
        );
        for (name, bytes) in &first {
            let (one, two) = (
                String::from_utf8_lossy(bytes),
                String::from_utf8_lossy(&second[name]),
            );
            assert_eq!(
                one.replace("first", "_"),
                two.replace("second", "_"),
                "{name}"
            );
        }
        assert!(
            !host.path("state").join(uid).exists() && cgroups_of(uid).is_empty(),
            "nothing was changed"
        );

        let rendered = first.iter().find_map(|(name, bytes)| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            (name.ends_with("config.json") && text.contains("@PAUSE_PID@")).then_some((name, text))
        });
        let (name, config) = rendered.expect("a bundle that joins pause");
        let bundle = out.join(Path::new(name).parent().expect("a directory"));
        let mut namespaces = Command::new("unshare");
        namespaces.args(["--net", "--uts", "--ipc", "sleep", "1000"]);
        let mut pause = background(&mut namespaces, b"");
        let own = fs::read_link("/proc/self/ns/ipc").expect("our own");
        until(10, "it has its namespaces", || {
            let theirs = fs::read_link(format!("/proc/{}/ns/ipc", pause.pid()))
                .map_err(|e| e.to_string())?;
            if theirs == own {
                Err("still ours".to_owned())
            } else {
                Ok(())
            }
        });
        run_rendered(
            host.runtime(),
            &bundle,
            &config,
            pause.pid(),
            "podshim-test-rendered",
        );
        pause.stop();
        // The runtime has made the pod's cgroup, which podshim never saw.
        crate::support::remove_cgroups(uid);
    });
}
