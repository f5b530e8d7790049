//! Any bytes as a pod's snapshot: it is refused, or it is read the same again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podshim::store::PodDir;
use podshim::supervisor::{SNAPSHOT, Snapshot};
use std::path::Path;

fuzz_target!(|data: &[u8]| {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let pod = PodDir::new(dir.path(), Path::new("/nonexistent"));
    std::fs::write(pod.file(SNAPSHOT), data).expect("a file of ours");
    if let Ok(Some(snapshot)) = Snapshot::read(&pod) {
        let bytes = serde_json::to_vec(&snapshot).expect("it was JSON");
        std::fs::write(pod.file(SNAPSHOT), &bytes).expect("a file of ours");
        let again = Snapshot::read(&pod).expect("ours").expect("there");
        assert_eq!(serde_json::to_vec(&again).expect("JSON"), bytes);
    }
});
