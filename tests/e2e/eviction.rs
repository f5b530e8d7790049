//! Pods that take more of the disk than they may, and those that do not.

use crate::support::{on_each_runtime, pod, sh, with};
use serde_json::{Value, json};

/// Says good-bye when it is told to stop.
const WAIT: &str = "trap 'echo bye; exit 0' TERM; while :; do sleep 0.1; done";

fn in_d(script: &str) -> Value {
    let mounts = json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}]});
    with(sh("c", &format!("{script}\n{WAIT}")), mounts)
}

fn limited(name: &str, script: &str) -> Value {
    let spec = json!({
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 30,
        "volumes": [{"name": "d", "emptyDir": {"sizeLimit": "1Mi"}}],
        "containers": [in_d(script)],
    });
    with(pod(spec), json!({"metadata": {"name": name}}))
}

#[test]
fn who_writes_more_than_a_volume_may_hold_is_evicted_and_nobody_else() {
    on_each_runtime(|host| {
        // A hole is no data, and two names are one file.
        let modest = "dd if=/dev/zero of=/d/f bs=1k count=600; ln /d/f /d/g
            dd if=/dev/zero of=/d/hole bs=1 count=1 seek=1000000000";
        let modest = host.start(&limited("modest", modest));
        let deep = "cd /d; i=0; while [ $i -lt 400 ]; do mkdir d && cd d; i=$((i+1)); done
            dd if=/dev/zero of=f bs=1k count=1100";
        let deep = host.start(&limited("deep", deep));
        let evicted = deep.until_phase("Failed");
        assert_eq!(evicted["status"]["reason"], "Evicted");
        let message = "Usage of EmptyDir volume \"d\" exceeds the limit \"1Mi\".";
        assert_eq!(evicted["status"]["message"], message);
        assert!(deep.output("c").ends_with("bye\n"), "{}", deep.log("c", 0));
        let events = deep.events();
        let told = events.iter().filter(|event| event["reason"] == "Evicted");
        assert_eq!(told.map(|e| &e["message"]).collect::<Vec<_>>(), [message]);
        let why = deep.podshim("why", &[]).text();
        assert!(
            why.contains("Failed Evicted") && why.contains(message),
            "{why}"
        );
        let replay = host.podshim(["debug", "replay", "deep", "-o", "json"]);
        assert_eq!(replay.expect(0).json()["identical"], true);
        assert_eq!(modest.json()["status"]["phase"], "Running");
        let warned = modest
            .events()
            .into_iter()
            .filter(|e| e["type"] == "Warning");
        assert_eq!(warned.collect::<Vec<_>>(), [] as [Value; 0]);
    });
}

#[test]
fn what_a_container_writes_anywhere_counts_for_its_limit() {
    on_each_runtime(|host| {
        let script = "dd if=/dev/zero of=/f bs=1k count=600
            dd if=/dev/zero bs=1k count=500 | tr '\\0' 'x' | fold -w 100";
        let limits = json!({"resources": {"limits": {"ephemeral-storage": "1Mi"}}});
        let pod = host.start(&pod(json!({
            "containers": [with(sh("c", &format!("{script}\n{WAIT}")), limits)],
        })));
        let evicted = pod.until_phase("Failed");
        assert_eq!(evicted["status"]["reason"], "Evicted");
        let message =
            "Pod ephemeral local storage usage exceeds the total limit of containers 1Mi.";
        assert_eq!(evicted["status"]["message"], message);
    });
}
