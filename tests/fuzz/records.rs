//! What podshim itself has written, after a disk has had its way with it. Needs root: the records are those of a pod that has run.

use super::readers::{self, RECORDS};
use super::run::{keep, try_out};
use crate::support::{on_each_runtime, pod, sh};
use podshim::store::{PodDir, read_journal, read_json};
use podshim::supervisor::{Plan, Snapshot};
use serde_json::json;
use std::fs;

#[test]
fn records() {
    on_each_runtime(|host| {
        let manifest = host.manifest(&[pod(json!({
            "restartPolicy": "OnFailure",
            "initContainers": [sh("i", "echo prepared")],
            "containers": [
                sh("a", "echo one; printf two; exit 0"),
                sh("b", "[ -e /dev/shm/x ] || { echo >/dev/shm/x; exit 3; }"),
            ],
        }))]);
        host.podshim(["run", "-d", "-f", manifest.to_str().expect("a path")])
            .expect(0);
        let pod = host.pod("p");
        pod.until_phase("Succeeded");
        let state = host.path("state/pods").join(&pod.uid);
        let copy = tempfile::tempdir().expect("a directory");
        let dir = PodDir::new(copy.path(), copy.path());
        let files = RECORDS.map(|name| fs::read(state.join(name)).expect(name));
        let restore = || {
            for (name, bytes) in RECORDS.iter().zip(&files) {
                fs::write(copy.path().join(name), bytes).expect("ours");
            }
        };
        restore();
        let plan: Option<Plan> = read_json(&dir.file("plan.json")).expect("good");
        let plan = plan.expect("a plan");
        let journal = read_journal(&dir).expect("good").expect("a journal");
        assert!(journal.len() > 5, "the corpus is good");
        assert!(Snapshot::read(&dir).expect("good").is_some());
        for (name, bytes) in RECORDS.iter().zip(&files) {
            try_out(name, std::slice::from_ref(bytes), |spoilt| {
                fs::write(copy.path().join(name), spoilt).expect("ours");
                readers::records(&dir, &plan);
            });
            restore();
        }
        // The guided fuzzer has one reader for all: the first byte says which record it is.
        let all: Vec<Vec<u8>> = (0..)
            .zip(&files)
            .map(|(n, bytes)| [&[n], &bytes[..]].concat())
            .collect();
        keep("records", &all);
        let log = pod.log("a", 0).into_bytes();
        try_out("log", &[log], |spoilt| readers::log(copy.path(), spoilt));
    });
}
