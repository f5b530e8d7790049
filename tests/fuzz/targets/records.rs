//! Any bytes as the exit record and as the event log, as a crash or a disk may leave them; what is appended afterwards is read back.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podshim::base::Now;
use podshim::store::{ExitRecord, append_exit, open_exits, read_events, read_exits};

fuzz_target!(|data: &[u8]| {
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let path = dir.path().join("file");
    std::fs::write(&path, data).expect("a file of ours");
    let _ = read_events(&path);
    let before = read_exits(&path).expect("any bytes are records");
    for record in &before {
        let _ = record.exit();
        assert_eq!(ExitRecord::from_bytes(&record.to_bytes()), Some(*record));
    }
    let file = open_exits(&path).expect("a file of ours");
    let record = ExitRecord { pid: 1, status: 7 << 8, at: Now::default() };
    append_exit(&file, record).expect("there is room");
    let after = read_exits(&path).expect("records");
    assert_eq!(after.split_last(), Some((&record, &before[..])), "nothing is misread");
});
