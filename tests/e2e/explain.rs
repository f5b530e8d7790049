//! What podshim says of a pod's past and future: replays, reasons, descriptions.

use crate::support::{Host, on_each_runtime, pod, sh, with};
use serde_json::{Value, json};

/// A pod that fails twice before it runs, and obeys.
fn stumbler() -> Value {
    let script = "echo x >>/d/runs; [ $(wc -l </d/runs) -ge 3 ] || exit 3; \
                  trap 'exit 0' TERM; while :; do sleep 0.05; done";
    let on_disk = json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}]});
    pod(json!({
        "restartPolicy": "OnFailure",
        "volumes": [{"name": "d", "emptyDir": {}}],
        "initContainers": [sh("init", "exit 0")],
        "containers": [with(sh("web", script), on_disk)],
    }))
}

fn replay(host: &Host) -> Value {
    let ran = host.podshim(["debug", "replay", "p", "-o", "json"]);
    ran.expect(0).json()
}

#[test]
fn a_recorded_life_replays_to_the_identical_state() {
    on_each_runtime(|host| {
        let pod = host.start(&stumbler());
        pod.until_restarted("web", 2);
        // It still writes: what it heard after the snapshot is not held against it.
        assert_eq!(replay(host)["identical"], true);
        pod.podshim("stop", &[]).expect(0);
        let replayed = replay(host);
        assert_eq!(replayed["identical"], true, "{replayed:#}");
        assert_eq!(replayed["behind"], 0);
        assert_eq!(replayed["fromStart"], true);
        assert_eq!(
            (&replayed["restarts"], &replayed["gaps"]),
            (&json!(0), &json!(0))
        );
        let timeline = replayed["timeline"].as_array().expect("moments");
        let ends = timeline.iter().filter(|m| m["what"] == "Exited");
        assert_eq!(
            ends.count(),
            4,
            "one init, two failures, one stop: {replayed:#}"
        );

        let directory = host.path("state/pods").join(&pod.uid);
        let secret = std::fs::read_to_string(directory.join("journal.jsonl")).expect("a journal");
        assert!(
            !secret.contains("trap 'exit 0'"),
            "it says what happened, not what was asked"
        );
        let copy = host.path("copy");
        std::fs::create_dir(&copy).expect("a directory of ours");
        for file in [
            "plan.json",
            "snapshot.json",
            "journal.jsonl",
            "events.jsonl",
        ] {
            std::fs::copy(directory.join(file), copy.join(file)).expect("a file of the pod");
        }
        let of_copy = |code| {
            let ran = host.podshim(["debug".as_ref(), "replay".as_ref(), copy.as_os_str()]);
            ran.expect(code)
        };
        let said = of_copy(0).text();
        assert!(
            said.contains("web") && said.contains("identical: "),
            "{said}"
        );

        let journal = copy.join("journal.jsonl");
        let text = std::fs::read_to_string(&journal).expect("a journal");
        let forged = text.replace(r#""exit":{"Code":3}"#, r#""exit":{"Code":4}"#);
        assert_ne!(text, forged);
        std::fs::write(&journal, forged).expect("a file of ours");
        let said = of_copy(1).stderr;
        assert!(
            said.contains("the replay differs") && !said.contains("hint"),
            "{said}"
        );
    });
}

/// The lines of an explanation that begin so.
fn lines<'a>(text: &'a str, start: &str) -> Vec<&'a str> {
    text.lines()
        .filter(|line| line.trim_start().starts_with(start))
        .collect()
}

#[test]
fn why_tells_the_chain_of_causes_the_rule_and_the_next_start() {
    on_each_runtime(|host| {
        let mut manifest = host.command(["run", "-d", "-f"]);
        let spec = json!({"restartPolicy": "Always", "containers": [sh("bad", "exit 3"), sh("good", "sleep 1000")]});
        manifest.arg(host.manifest(&[pod(spec)]));
        manifest.env("PODSHIM_BACKOFF_INITIAL", "100");
        manifest.env("PODSHIM_BACKOFF_MAX", "100");
        crate::support::run(&mut manifest).expect(0);
        let pod = host.pod("p");
        pod.until_waiting("bad", "CrashLoopBackOff");
        let said = crate::support::until(30, "what ended is removed", || {
            let said = host.podshim(["why", "p/bad"]).expect(0).text();
            match said.contains("next: what is left of it") {
                true => Err(said),
                false => Ok(said),
            }
        });
        assert!(
            said.starts_with("pod/p/bad is Waiting CrashLoopBackOff\n"),
            "{said}"
        );
        assert!(
            said.contains("Exited: Container bad ended: exit code 3"),
            "{said}"
        );
        assert!(
            said.contains("rule: restartPolicy Always restarts it"),
            "{said}"
        );
        let next = lines(&said, "next: ");
        assert!(
            next.len() == 1 && next[0].ends_with("it is created again: restart 2"),
            "{said}"
        );

        let whole = host.podshim(["why", "p"]).expect(0).text();
        assert!(
            whole.contains("containers with unready status: [bad]"),
            "{whole}"
        );
        assert!(
            !whole.contains("pod/p/good"),
            "what is well needs no reason: {whole}"
        );
        host.podshim(["why", "p/none"]).expect(3);
        host.podshim(["why", "none"]).expect(3);

        pod.podshim("stop", &[]).expect(0);
        let document = host.podshim(["why", "p", "-o", "json"]).expect(0).json();
        assert_eq!(document["supervisor"], "Ended");
        let of = |container: &Value| {
            let all = document["explanations"].as_array().expect("a list");
            all.iter()
                .find(|e| e["container"] == *container)
                .expect("one")
                .clone()
        };
        assert_eq!(of(&Value::Null)["state"], "Failed");
        assert_eq!(of(&json!("bad"))["state"], "Terminated Error 3");
        assert_eq!(
            of(&json!("good"))["next"],
            json!([]),
            "nothing comes after the end"
        );
    });
}

#[test]
fn a_description_has_everything_but_the_secrets() {
    on_each_runtime(|host| {
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "vault"}, "stringData": {"word": "open-sesame"},
        });
        let key = json!({"secretKeyRef": {"name": "vault", "key": "word"}});
        let web = with(
            sh("web", "trap 'exit 0' TERM; while :; do sleep 0.05; done"),
            json!({
                "env": [{"name": "WORD", "valueFrom": key}],
                "resources": {"limits": {"memory": "32Mi"}},
                "volumeMounts": [{"name": "d", "mountPath": "/d"}],
            }),
        );
        let spec = json!({"containers": [web], "volumes": [{"name": "d", "emptyDir": {}}]});
        let pod = host.start_all(&[secret, pod(spec)]);
        pod.until_running();
        let said = pod.podshim("describe", &[]).expect(0).text();
        let words: Vec<Vec<&str>> = said
            .lines()
            .map(|line| line.split_whitespace().collect())
            .collect();
        for line in [
            "Name: p",
            "Status: Running",
            "State: Running",
            "memory: 32Mi",
            "WORD: <set to the key 'word' in secret 'vault'> Optional: false",
            "/d from d (rw)",
            "Ready True",
            "Type: EmptyDir (a temporary directory that shares a pod's lifetime)",
            "QoS Class: Burstable",
        ] {
            let line: Vec<&str> = line.split_whitespace().collect();
            assert!(words.contains(&line), "{line:?} in {said}");
        }
        assert!(!said.contains("open-sesame"), "{said}");
        let journal = host.path("state/pods").join(&pod.uid).join("journal.jsonl");
        let journal = std::fs::read_to_string(journal).expect("a journal");
        assert!(!journal.contains("open-sesame"), "{journal}");
        pod.podshim("stop", &[]).expect(0);
        let said = pod.podshim("describe", &[]).expect(0).text();
        assert!(
            said.contains("Stopping pod p") && said.contains("Terminated"),
            "{said}"
        );
        host.podshim(["describe", "none"]).expect(3);
    });
}

#[test]
fn a_start_tells_what_it_spent_its_time_with() {
    on_each_runtime(|host| {
        let slow = "sleep 0.3";
        let spec = json!({
            "initContainers": [sh("init", slow)],
            "containers": [sh("web", "exec sleep 1000")],
        });
        let file = host.manifest(&[pod(spec)]);
        let file = file.to_str().expect("a path");
        let ran = host
            .podshim(["run", "-d", "--timings", "-f", file])
            .expect(0);
        assert_eq!(ran.stdout, "pod/p\n");
        let ms = |word: &str| word.parse::<u64>().expect("a number");
        let rows = ran.stderr.lines().skip(1).map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [at, "ms", took, "ms", what @ ..] = &words[..] else {
                panic!("{}", ran.stderr);
            };
            (ms(at), ms(took), what.join(" "))
        });
        let rows: Vec<_> = rows.collect();
        let at = |wanted: &str| {
            let found = rows.iter().find(|(_, _, what)| what == wanted);
            found.unwrap_or_else(|| panic!("no `{wanted}`: {}", ran.stderr))
        };
        let (supervised, prepared) = (&rows[0], at("prepare cgroup, files and volumes"));
        assert!(supervised.0 + supervised.1 <= prepared.0, "{}", ran.stderr);
        let (init, web) = (at("start init-0"), at("create web-0"));
        assert!(web.0 >= init.0 + 300, "{}", ran.stderr);
        at("create pause-0");
        at("start web-0");
    });
}
