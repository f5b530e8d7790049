//! The event log of a pod: JSON lines, appended whole, numbered without gaps, read by anyone at any time.

use crate::base::to_json;
use crate::pod::Event;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Write};
use std::path::Path;

/// Its file in the pod's directory.
pub const EVENTS: &str = "events.jsonl";
/// Longest line that is read back, in bytes: an event is a few hundred, its longest message a runtime's last words.
const MAX_LINE_BYTES: u64 = 64 * 1024;

/// Appends one event with one write, whole or not at all: a torn line would take the next one with it. Pods have one writer.
pub fn append_event(mut file: &File, event: &Event) -> io::Result<()> {
    let mut line = to_json(event)?;
    line.push(b'\n');
    let before = file.metadata()?.len();
    let written = file.write_all(&line);
    if written.is_err() {
        file.set_len(before)?;
    }
    written
}

/// All events, oldest first; a torn last line is not read. Empty when there is no log.
pub fn read_events(path: &Path) -> io::Result<Vec<Event>> {
    let mut events = Vec::new();
    let mut reader = match File::open(path) {
        Ok(file) => BufReader::new(file),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(events),
        Err(e) => return Err(e),
    };
    let mut line = Vec::new();
    loop {
        line.clear();
        io::Read::by_ref(&mut reader)
            .take(MAX_LINE_BYTES)
            .read_until(b'\n', &mut line)?;
        match serde_json::from_slice(&line) {
            Ok(event) if line.ends_with(b"\n") => events.push(event),
            _ if line.is_empty() => return Ok(events),
            _ => {}
        }
    }
}

use std::io::Read as _;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::Now;

    #[test]
    fn events_read_back_in_order_and_a_torn_line_is_skipped() {
        let dir = tempfile::tempdir().expect("dir");
        let path = dir.path().join("events.jsonl");
        let event = |seq| Event {
            seq,
            at: Now::default(),
            warning: false,
            reason: "Started".into(),
            container: None,
            message: "line\nbreak".into(),
        };
        let mut file = File::options()
            .append(true)
            .create(true)
            .open(&path)
            .expect("open");
        append_event(&file, &event(0)).expect("append");
        append_event(&file, &event(1)).expect("append");
        file.write_all(b"{\"seq\":2").expect("torn");
        assert_eq!(read_events(&path).expect("read"), [event(0), event(1)]);
    }
}
