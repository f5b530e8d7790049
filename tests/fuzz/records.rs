//! What podshim itself has written, after a disk has had its way with it: the records of a pod, and its logs. Needs root: the
//! records are those of a pod that has run.

use super::run::try_out;
use crate::support::{on_each_runtime, pod, sh};
use podshim::pod::replay;
use podshim::stdio::{self, LogQuery};
use podshim::store::{PodDir, read_events, read_exits, read_journal, read_json};
use podshim::supervisor::{Plan, Snapshot};
use serde_json::json;
use std::fs;
use std::path::Path;

/// Files of a pod's state directory that are read back.
const FILES: [&str; 5] = [
    "plan.json",
    "snapshot.json",
    "journal.jsonl",
    "events.jsonl",
    "exits",
];

/// Reads everything of a pod that a command or a supervisor reads.
fn read(dir: &PodDir, good: &Plan) {
    let plan = read_json::<Plan>(&dir.file("plan.json"));
    let plan = plan.ok().flatten().unwrap_or_else(|| good.clone());
    let snapshot = Snapshot::read(dir).ok().flatten();
    let _ = read_events(&dir.file("events.jsonl"));
    for record in read_exits(&dir.file("exits")).unwrap_or_default() {
        let _ = record.exit();
    }
    if let Ok(Some(journal)) = read_journal(dir) {
        let state = snapshot.as_ref().map(|snapshot| &snapshot.state);
        let replayed = replay(
            &plan.pod,
            &plan.settings(),
            &journal,
            state,
            |_, _, _, _| {},
        );
        if let Some(state) = state {
            let _ = replayed.compare(state);
        }
    }
}

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
        let files = FILES.map(|name| fs::read(state.join(name)).expect(name));
        let restore = || {
            for (name, bytes) in FILES.iter().zip(&files) {
                fs::write(copy.path().join(name), bytes).expect("ours");
            }
        };
        restore();
        let plan: Option<Plan> = read_json(&dir.file("plan.json")).expect("good");
        let plan = plan.expect("a plan");
        let journal = read_journal(&dir).expect("good").expect("a journal");
        assert!(journal.len() > 5, "the corpus is good");
        assert!(Snapshot::read(&dir).expect("good").is_some());
        for (name, bytes) in FILES.iter().zip(&files) {
            try_out(name, std::slice::from_ref(bytes), |spoilt| {
                fs::write(copy.path().join(name), spoilt).expect("ours");
                read(&dir, &plan);
            });
            restore();
        }
        let log = pod.log("a", 0).into_bytes();
        try_out("log", &[log], |spoilt| read_log(copy.path(), spoilt));
    });
}

fn read_log(directory: &Path, spoilt: &[u8]) {
    let path = directory.join("0.log");
    fs::write(&path, spoilt).expect("ours");
    for tail in [None, Some(0), Some(2), Some(u64::MAX)] {
        let query = LogQuery {
            tail,
            timestamps: true,
            limit_bytes: Some(100),
            prefix: Some("p ".to_owned()),
            ..LogQuery::default()
        };
        let mut out = Vec::new();
        stdio::print(&path, &query, &mut out).expect("a log is never an error");
    }
    let last = stdio::last_lines(&path, 80, 2048).expect("a log is never an error");
    assert!(last.len() <= 3 * 2048, "{} bytes", last.len());
}
