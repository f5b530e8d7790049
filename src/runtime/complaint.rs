//! What a runtime says went wrong, in its own words, for people only.

use crate::runtime::small_file;
use serde_json::Value;
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// How much of the end of a log is searched, in bytes: the reason is the last error line; runc's longest seen is under 2 KiB.
const LOG_TAIL_BYTES: u64 = 64 * 1024;
/// Longest text that is passed on, in bytes: it ends up in a status message.
const TEXT_MAX_BYTES: usize = 4096;

/// A place in the file of a runtime's `--log`: what comes after it was said by the call that is about to be made.
pub(super) struct Log {
    path: PathBuf,
    from: u64,
    /// Why the file could not be made.
    unmade: Option<io::Error>,
}

impl Log {
    /// The end of the file as it is now. An absent one is made: on a disk that is almost full a runtime could not, and has room
    /// again when it has given up and somebody asks why.
    pub(super) fn at_end(path: &Path) -> Log {
        let size = || open(path)?.metadata().map(|meta| meta.len());
        let (from, unmade) = match size() {
            Ok(from) => (from, None),
            Err(error) => (0, Some(error)),
        };
        Log {
            path: path.to_owned(),
            from,
            unmade,
        }
    }

    /// The message of the last error line since then, if the runtime wrote one that can be read.
    pub(super) fn last_error(&self) -> Option<String> {
        let text = small_file::read_tail(&self.path, self.from, LOG_TAIL_BYTES).ok()?;
        text.lines().rev().find_map(error_message)
    }

    /// Why a runtime that failed without a word could not have said it here, if that is so.
    pub(super) fn why_silent(&self) -> Option<String> {
        let failed = |error: &io::Error| format!("cannot write the runtime's log: {error}");
        let write = || open(&self.path)?.write_all(b"\n");
        let unmade = self.unmade.as_ref().map(failed);
        unmade.or_else(|| write().err().as_ref().map(failed))
    }
}

fn open(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.append(true).create(true).mode(0o600).open(path)
}

/// The message of one JSON log line of level error or worse. runc and crun write `msg`; youki's tracing writes `message`,
/// beside the level or below `fields`.
fn error_message(line: &str) -> Option<String> {
    let entry: Value = serde_json::from_str(line).ok()?;
    let level = entry.get("level")?.as_str()?;
    if !["error", "fatal", "panic"]
        .iter()
        .any(|l| level.eq_ignore_ascii_case(l))
    {
        return None;
    }
    let message = ["/msg", "/message", "/fields/message"]
        .iter()
        .find_map(|key| entry.pointer(key)?.as_str())?;
    Some(printable(message)).filter(|text| !text.is_empty())
}

/// One bounded line without control characters: the text may quote a hostile image, and it is shown on terminals.
pub(super) fn printable(text: &str) -> String {
    let mut end = text.len().min(TEXT_MAX_BYTES);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let words: Vec<_> = text[..end]
        .split(|c: char| c.is_control() || c == ' ')
        .filter(|word| !word.is_empty())
        .collect();
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_last_error_line_of_each_runtime_is_understood() {
        for (line, message) in [
            (
                r#"{"level":"error","msg":"exec: \"/x\": not found","time":"t"}"#,
                Some("exec: \"/x\": not found"),
            ),
            (
                r#"{"msg":"mount `/a`","level":"error","time":"t"}"#,
                Some("mount `/a`"),
            ),
            (
                r#"{"timestamp":"t","level":"ERROR","fields":{"message":"no"},"target":"x"}"#,
                Some("no"),
            ),
            (
                r#"{"timestamp":"t","level":"ERROR","message":"a\n\nCaused by:\n    0: b","target":"youki"}"#,
                Some("a Caused by: 0: b"),
            ),
            (r#"{"level":"warning","msg":"careful"}"#, None),
            (r#"{"level":"error","msg":7}"#, None),
            (r#"{"level":"error","msg":" \u001b "}"#, None),
            ("ERRO[0000] text", None),
            ("", None),
            ("[]", None),
        ] {
            assert_eq!(error_message(line).as_deref(), message, "{line}");
        }
    }

    #[test]
    fn lines_of_earlier_calls_and_garbage_are_not_the_reason() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("log");
        let mut file = fs::File::create(&path).expect("created");
        writeln!(file, r#"{{"level":"error","msg":"old"}}"#).expect("written");
        let log = Log::at_end(&path);
        assert_eq!(log.last_error(), None);
        writeln!(file, "\u{1}\u{2} not json").expect("written");
        writeln!(file, r#"{{"level":"error","msg":"new"}}"#).expect("written");
        writeln!(file, r#"{{"level":"info","msg":"bye"}}"#).expect("written");
        file.write_all(&[0xff; 9]).expect("written");
        assert_eq!(log.last_error().as_deref(), Some("new"));
    }

    #[test]
    fn a_huge_log_costs_a_bounded_read() {
        let dir = tempfile::tempdir().expect("temporary directory");
        let path = dir.path().join("log");
        let long = "x".repeat(200_000);
        fs::write(
            &path,
            format!("{long}\n{{\"level\":\"error\",\"msg\":\"end\"}}\n"),
        )
        .expect("written");
        let log = Log {
            path,
            from: 0,
            unmade: None,
        };
        assert_eq!(log.last_error().as_deref(), Some("end"));
        assert_eq!(printable(&"ä".repeat(TEXT_MAX_BYTES)).len(), TEXT_MAX_BYTES);
        assert_eq!(printable("a\u{1b}[31mb\n"), "a [31mb");
    }
}
