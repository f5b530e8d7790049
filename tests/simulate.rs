//! `podshim simulate`: timelines, line for line. `BLESS=1 cargo test --test simulate` writes them anew; read the difference.

#[path = "support/golden.rs"]
mod golden;

use golden::assert_golden;
use serde_json::{Value, json};
use std::process::{Command, Output};
use tempfile::TempDir;

/// A manifest and perhaps a script, simulated.
struct Scene(TempDir);

impl Scene {
    /// A pod `p` of this spec.
    fn new(spec: &Value) -> Scene {
        let dir = tempfile::tempdir().expect("a directory");
        let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "uid": "6f1d5a3c-0b1e-4c7a-9d2b-8a5e4f3c2b10"}, "spec": spec});
        std::fs::write(dir.path().join("pod.json"), pod.to_string()).expect("a file of ours");
        Scene(dir)
    }

    fn run(&self, script: &str, args: &[&str]) -> Output {
        let path = |name| self.0.path().join(name);
        std::fs::write(path("script"), script).expect("a file of ours");
        let mut command = Command::new(env!("CARGO_BIN_EXE_podshim"));
        command.arg("simulate").args(args);
        command.arg("-f").arg(path("pod.json"));
        if !script.is_empty() {
            command.arg("--script").arg(path("script"));
        }
        command.output().expect("podshim runs")
    }

    #[track_caller]
    fn text(&self, script: &str, args: &[&str]) -> String {
        let output = self.run(script, args);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{stderr}");
        String::from_utf8(output.stdout).expect("text")
    }
}

fn container(name: &str) -> Value {
    json!({"name": name, "image": "img:1"})
}

#[test]
fn a_crash_loop_doubles_its_back_off_until_the_pod_is_stopped_in_it() {
    let scene = Scene::new(&json!({"containers": [container("web")]}));
    let script = "web exits 1 after 5s   # every time\nstop at 2m\n";
    assert_golden("simulate/crash-loop.txt", &scene.text(script, &[]));
}

#[test]
fn init_containers_and_sidecars_come_before_the_apps_and_sidecars_end_after_them() {
    let mut sidecar = container("proxy");
    sidecar["restartPolicy"] = "Always".into();
    let scene = Scene::new(&json!({
        "restartPolicy": "OnFailure",
        "initContainers": [container("setup"), sidecar],
        "containers": [container("job")],
    }));
    let script = "setup exits 3 after 2s once\njob exits 1 after 1m once\n";
    assert_golden("simulate/sidecar.txt", &scene.text(script, &[]));
}

#[test]
fn images_sandboxes_and_starts_that_fail_are_tried_again() {
    let scene = Scene::new(&json!({"containers": [container("a"), container("b")]}));
    let script = "image a fails 2 times\nsandbox fails once\nb cannot be started once\nimage b takes 500ms\n";
    assert_golden(
        "simulate/failures.txt",
        &scene.text(script, &["--until", "1m"]),
    );
}

#[test]
fn a_container_that_ignores_its_stop_signal_is_killed_when_the_grace_ends() {
    let scene = Scene::new(&json!({"containers": [container("deaf"), container("slow")]}));
    let script =
        "deaf never stops\nslow stops in 3s with 7\nstop at 10s grace 20\nstop at 15s grace 8s\n";
    assert_golden("simulate/stop.txt", &scene.text(script, &[]));
}

#[test]
fn a_simulation_is_the_same_every_time_and_its_json_says_the_same() {
    let scene = Scene::new(&json!({"restartPolicy": "Never", "containers": [container("a")]}));
    let script = "a runs out of memory after 1500ms\n";
    let runs: Vec<_> = (0..2)
        .map(|_| scene.text(script, &["-o", "json"]))
        .collect();
    assert_eq!(runs[0], runs[1]);
    let document: Value = serde_json::from_str(&runs[0]).expect("JSON");
    assert_eq!(document["status"]["phase"], "Failed");
    assert_eq!(
        (&document["exitCode"], &document["endMs"]),
        (&json!(137), &json!(1500))
    );
    let moments = document["timeline"].as_array().expect("moments");
    let end = moments
        .iter()
        .find(|m| m["what"] == "Terminated OOMKilled 137");
    assert_eq!(end.expect("it ended")["timeMs"], 1500);
}

#[test]
fn time_ends_where_it_was_told_to_and_not_before() {
    let scene = Scene::new(&json!({"containers": [container("a")]}));
    let script = "a exits 0 after 1s\n";
    let text = scene.text(script, &["--until", "90s"]);
    assert!(
        text.ends_with("t=90.0s: the end of the time: CrashLoopBackOff\n"),
        "{text}"
    );
    let text = scene.text("", &["--until", "90s"]);
    assert!(
        text.ends_with("t=0.0s: nothing more will happen: Running\n"),
        "{text}"
    );
}

#[test]
fn a_script_that_cannot_be_understood_is_refused_by_its_line() {
    let scene = Scene::new(&json!({"containers": [container("web"), container("image")]}));
    for (line, complaint) in [
        (
            "db exits 1 after 5s",
            "`db` is neither a keyword nor a container of the pod, which has web, image",
        ),
        (
            "web exits 300 after 5s",
            "`300` is no exit code: they are 0 to 255",
        ),
        (
            "web exits 1 after soon",
            "`soon` is no time: write 300ms, 5s or 2m",
        ),
        (
            "web exits 1 after 5s 0 times",
            "a fact is so 1 to 1000000 times",
        ),
        (
            "web explodes",
            "cannot understand what `web` does: `explodes`",
        ),
        ("web dies of SIGNONE after 1s", "`SIGNONE` is no signal"),
        (
            "stop at 5s gently",
            "cannot understand the end of the line: `gently`",
        ),
        (
            "image exits 1 after 5s",
            "cannot understand `image exits 1 after 5s`",
        ),
    ] {
        let output = scene.run(&format!("# one\nweb runs\n\n{line}\n"), &[]);
        let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(
            stderr.contains(&format!("script:4: {complaint}\n")),
            "{line}: {stderr}"
        );
        assert!(stderr.contains("hint: "), "{stderr}");
    }
    scene.text("container image exits 1 after 5s once", &[]);
}

/// What follows the timeline and its last line.
#[track_caller]
fn reasons(scene: &Scene, script: &str, until: &str) -> String {
    let text = scene.text(script, &["--why", "--until", until]);
    let (_, reasons) = text.split_once("\n\n").expect("reasons");
    reasons.to_owned()
}

#[test]
fn the_reasons_of_a_crash_loop_are_its_events_its_rules_and_the_next_start() {
    let mut hungry = container("hungry");
    hungry["resources"] = json!({"limits": {"memory": "64Mi"}});
    let scene = Scene::new(&json!({"containers": [container("web"), hungry, container("fine")]}));
    let script = "web exits 1 after 5s\nhungry runs out of memory after 20s\n";
    assert_golden(
        "simulate/why-crash-loop.txt",
        &reasons(&scene, script, "85s"),
    );
}

#[test]
fn the_reasons_of_a_pod_that_waits_name_what_it_waits_for() {
    let mut init = container("setup");
    init["image"] = "registry/absent:1".into();
    let scene = Scene::new(&json!({
        "activeDeadlineSeconds": 600, "initContainers": [init], "containers": [container("web")],
    }));
    assert_golden(
        "simulate/why-image.txt",
        &reasons(&scene, "image setup fails\n", "75s"),
    );
    let scene = Scene::new(&json!({"containers": [container("web")]}));
    assert_golden(
        "simulate/why-sandbox.txt",
        &reasons(&scene, "sandbox fails\n", "15s"),
    );
}

#[test]
fn the_reasons_of_a_pod_that_ends_say_who_is_killed_when() {
    let mut sidecar = container("proxy");
    sidecar["restartPolicy"] = "Always".into();
    let scene =
        Scene::new(&json!({"initContainers": [sidecar], "containers": [container("deaf")]}));
    let script = "deaf never stops\nstop at 10s grace 20\n";
    assert_golden("simulate/why-stop.txt", &reasons(&scene, script, "12s"));
    let scene = Scene::new(&json!({
        "restartPolicy": "OnFailure", "activeDeadlineSeconds": 5, "containers": [container("job"), container("done")],
    }));
    let script = "job runs\ndone exits 0 after 1s\n";
    assert_golden("simulate/why-deadline.txt", &reasons(&scene, script, "1m"));
}

#[test]
fn a_probe_that_fails_and_a_hook_that_takes_its_time_are_seen() {
    let mut web = container("web");
    web["readinessProbe"] = json!({"tcpSocket": {"port": 80}, "periodSeconds": 5});
    web["livenessProbe"] =
        json!({"tcpSocket": {"port": 80}, "periodSeconds": 5, "terminationGracePeriodSeconds": 3});
    web["lifecycle"] = json!({"preStop": {"exec": {"command": ["true"]}}});
    let scene = Scene::new(&json!({"containers": [web]}));
    let script = "probe web readiness fails from 10s to 30s\nprobe web liveness fails from 40s to 53s\n\
                  hook web preStop takes 1s\nweb never stops\n";
    let text = scene.text(script, &["--until", "70s", "--why"]);
    let at = |start: &str| {
        text.lines().any(|line| {
            line.split_whitespace()
                .collect::<Vec<_>>()
                .join(" ")
                .starts_with(start)
        })
    };
    assert!(
        at("t=20.0s pod condition Ready False"),
        "the third failure decides: {text}"
    );
    assert!(at("t=30.0s pod condition Ready True"), "{text}");
    assert!(at("t=50.0s web event Killing"), "{text}");
    assert!(
        at("t=53.0s web state Terminated Error 137") || at("t=53.0s web event Exited"),
        "{text}"
    );
}
