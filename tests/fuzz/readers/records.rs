//! What podshim itself has written, after a disk has had its way with it: the records of a pod, and its logs.

use podshim::pod::replay;
use podshim::stdio::{self, LogQuery};
use podshim::store::{PodDir, read_events, read_exits, read_journal, read_json};
use podshim::supervisor::{Plan, Snapshot};
use std::fs;
use std::path::Path;

/// Files of a pod's state directory that are read back.
pub const RECORDS: [&str; 5] = [
    "plan.json",
    "snapshot.json",
    "journal.jsonl",
    "events.jsonl",
    "exits",
];

/// Reads everything of a pod that a command or a supervisor reads.
pub fn records(dir: &PodDir, good: &Plan) {
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

/// Reads a log in the ways that commands do; it is never an error.
pub fn log(directory: &Path, spoilt: &[u8]) {
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
