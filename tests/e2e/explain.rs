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
