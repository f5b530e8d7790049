//! The machine goes down, orderly or not, and comes up again; pods that delete themselves.

use super::processes::{Life, assert_counted, contents, counter};
use crate::support::{Host, Pod, on_each_runtime, pod, sh, state, status, until, with};
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, SystemTime};

/// What a crash of the machine leaves: no process, and state that names another boot, or none where it was in memory.
#[track_caller]
fn crash_machine(host: &Host, pods: &[&Pod], keeps_state: bool) {
    pods.iter().for_each(|pod| pod.crash_with_machine());
    if !keeps_state {
        std::fs::remove_dir_all(host.path("state")).expect("it was in memory");
    }
}

fn sleeper(name: &str, policy: &str) -> Value {
    let base = pod(
        json!({"restartPolicy": policy, "containers": [sh("c", "echo up; trap 'exit 0' TERM; while :; do sleep 0.05; done")]}),
    );
    with(base, json!({"metadata": {"name": name}}))
}

/// Makes a directory old.
fn age(path: &Path) {
    let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let dir = std::fs::File::open(path).expect("a directory of a pod");
    dir.set_modified(long_ago).expect("ours");
}

fn after_a_crash(keeps_state: bool) {
    on_each_runtime(|host| {
        let volume = json!({"volumes": [{"name": "d", "emptyDir": {}}]});
        let mut again = with(sleeper("again", "Always"), json!({"spec": volume}));
        again["spec"]["containers"][0]["volumeMounts"] = json!([{"name": "d", "mountPath": "/d"}]);
        let again = host.start(&again);
        let never = host.start(&sleeper("never", "Never"));
        let stopped = host.start(&sleeper("stopped", "Always"));
        for pod in [&again, &never, &stopped] {
            pod.until_running();
        }
        again.exec("c", "echo kept >/d/file").expect(0);
        stopped.podshim("stop", &[]).expect(0);
        crash_machine(host, &[&again, &never], keeps_state);
        if !keeps_state {
            // Of this pod only its directories are left, which `up` clears away as soon as they are not young.
            for dir in [
                host.path("data/pods").join(&stopped.uid),
                stopped
                    .log_file("c", 0)
                    .ancestors()
                    .nth(2)
                    .expect("two")
                    .to_owned(),
            ] {
                age(&dir);
            }
        }
        let told = host.podshim(["up"]).text();
        assert!(told.contains("pod/again started\n"), "{told}");
        assert!(told.contains("pod/never has failed"), "{told}");
        assert!(!told.contains("pod/stopped"), "{told}");
        again.until_running();
        assert_eq!(
            again.exec("c", "cat /d/file").word(),
            "kept",
            "its data lives on"
        );
        assert_eq!(contents(&again.log("c", 0)), "up\nup\n");
        let json = never.until_phase("Failed");
        assert_eq!(json["status"]["reason"], "MachineRebooted");
        let told = host.podshim(["up"]).text();
        assert_eq!(told, "", "there is nothing left to do");
        // Its exit code is about the runtime, too.
        let doctor = host.podshim(["doctor"]).stdout;
        assert!(
            doctor.contains("nothing is left of pods that are gone"),
            "{doctor}"
        );
    });
}

#[test]
fn after_a_crash_of_the_machine_pods_run_again_as_their_policies_say() {
    after_a_crash(true);
}

#[test]
fn after_a_crash_that_took_the_state_pods_run_again_as_their_policies_say() {
    after_a_crash(false);
}

#[test]
fn pods_run_again_once_though_several_ask_for_it_at_a_time() {
    on_each_runtime(|host| {
        let pods = ["a", "b"].map(|name| host.start(&sleeper(name, "Always")));
        for pod in &pods {
            pod.until_running();
            pod.crash_with_machine();
        }
        let ups = [(); 4].map(|()| host.background(["up"]));
        let told: String = ups.map(|up| up.wait().text()).concat();
        for pod in &pods {
            let line = format!("pod/{} started", pod.name);
            assert_eq!(told.matches(&line).count(), 1, "{told}");
            let json = pod.until_running();
            assert_eq!(status(&json, "c")["restartCount"], 0);
            assert_eq!(
                contents(&pod.log("c", 0)),
                "up\nup\n",
                "it ran once before and once after"
            );
        }
    });
}

#[test]
fn up_brings_pods_back_under_a_keeper_and_harms_nobody() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [counter("a")]})));
        pod.until_running();
        assert_eq!(host.podshim(["up"]).text(), "");
        let pid = pod.pid("a");
        Life::Keeper.kill_of(&pod);
        Life::Supervisor.kill_of(&pod);
        assert_eq!(host.podshim(["up"]).text(), "pod/p goes on\n");
        Life::Supervisor.of_but(&pod, 0);
        pod.podshim("wait", &["--for", "phase=Running"]).expect(0);
        assert_eq!(pod.pid("a"), pid);
        pod.podshim("stop", &[]).expect(0);
        assert_counted(&pod.log("a", 0));
    });
}

#[test]
fn shutdown_stops_every_pod_though_its_supervisors_are_dead_or_stopped() {
    on_each_runtime(|host| {
        let trap = "trap 'exit 7' TERM; while :; do sleep 0.05; done";
        let named = |name: &str| {
            let base = pod(json!({"containers": [sh("c", trap)]}));
            with(base, json!({"metadata": {"name": name}}))
        };
        let pods = ["alive", "orphan"].map(|name| host.start(&named(name)));
        for pod in &pods {
            pod.until_running();
        }
        for life in [Life::Keeper, Life::Supervisor] {
            life.kill_of(&pods[1]);
        }
        let mut told: Vec<String> = host
            .podshim(["shutdown", "--all"])
            .text()
            .lines()
            .map(str::to_owned)
            .collect();
        told.sort();
        assert_eq!(told, ["pod/alive stopped", "pod/orphan stopped"]);
        let json = pods[0].json();
        assert_eq!(state(&json, "c").1["exitCode"], 7);
        for pod in &pods {
            assert_eq!(pod.json()["status"]["phase"], "Failed");
            until(5, "its keeper has left", || match Life::Keeper.of(pod) {
                None => Ok(()),
                Some(pid) => Err(pid.to_string()),
            });
        }
    });
}

#[test]
fn what_a_shutdown_stopped_runs_again_after_the_boot() {
    on_each_runtime(|host| {
        let pod = host.start(&sleeper("p", "Always"));
        pod.until_running();
        host.podshim(["shutdown", "--all"]).expect(0);
        std::fs::remove_dir_all(host.path("state")).expect("it was in memory");
        assert_eq!(host.podshim(["up"]).text(), "pod/p started\n");
        let json = pod.until_running();
        assert_eq!(status(&json, "c")["restartCount"], 0);
    });
}

#[test]
fn a_detached_pod_that_is_to_be_removed_goes_by_itself() {
    on_each_runtime(|host| {
        let directory = host.path("shared");
        std::fs::create_dir(&directory).expect("ours");
        let script = "until [ -e /d/go ]; do sleep 0.01; done; exit 3";
        let mut c = sh("c", script);
        c["volumeMounts"] = json!([{"name": "d", "mountPath": "/d"}]);
        let manifest = host.manifest(&[pod(json!({
            "containers": [c], "volumes": [{"name": "d", "hostPath": {"path": directory}}],
        }))]);
        let manifest = manifest.to_str().expect("a path");
        host.podshim(["run", "-d", "--rm", "-f", manifest])
            .expect(0);
        host.pod("p").until_running();
        std::fs::write(directory.join("go"), "").expect("ours");
        until(30, "it is gone", || match host.podshim(["get", "p"]).code {
            Some(3) => Ok(()),
            other => Err(format!("{other:?}")),
        });
        host.assert_nothing_left();
    });
}

/// What systemd knows in the sections of a unit, as far as ours may use it. Source: systemd.unit(5), systemd.service(5),
/// systemd.exec(5), systemd.kill(5), systemd.resource-control(5).
const KNOWN: [(&str, &[&str]); 3] = [
    (
        "[Unit]",
        &["Description", "After", "Wants", "RequiresMountsFor"],
    ),
    (
        "[Service]",
        &[
            "Type",
            "RemainAfterExit",
            "Environment",
            "ExecStart",
            "ExecStop",
            "TimeoutStopSec",
            "KillMode",
            "Delegate",
            "TasksMax",
            "LimitNOFILE",
            "OOMPolicy",
        ],
    ),
    ("[Install]", &["WantedBy"]),
];

#[test]
fn the_unit_is_one_that_systemd_understands() {
    let host = Host::new("runc");
    let text = host.podshim(["generate", "unit"]).text();
    let mut section = None;
    for line in text.lines() {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        if let Some(known) = KNOWN.iter().find(|(name, _)| *name == line) {
            section = Some(known);
            continue;
        }
        let (key, value) = line.split_once('=').unwrap_or_else(|| panic!("{line}"));
        let (name, keys) = section.unwrap_or_else(|| panic!("{line} is in no section"));
        assert!(keys.contains(&key), "{key} in {name}");
        assert!(!value.is_empty(), "{line}");
    }
    let value = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key));
        line.unwrap_or_else(|| panic!("{key} in {text}"))
    };
    assert_eq!(value("Type="), "oneshot");
    assert_eq!(value("RemainAfterExit="), "yes");
    for (key, arguments) in [("ExecStart=", " up"), ("ExecStop=", " shutdown --all")] {
        let program = value(key).strip_suffix(arguments);
        let program = program.unwrap_or_else(|| panic!("{key} in {text}"));
        let program = Path::new(program.trim_matches('"'));
        assert!(program.is_absolute() && program.is_file(), "{text}");
    }
}
