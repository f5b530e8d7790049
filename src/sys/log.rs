//! What this process says of itself: one line for each event, on standard error.
//!
//! There are no spans, so nothing is kept between two events: a subscriber that knows spans has tables for them, 36 KiB in every
//! process that stays with a pod.

use super::now;
use std::fmt::Debug;
use std::io::Write as _;
use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Metadata, Subscriber};

/// From now on everything up to this level is written to standard error.
pub fn log_to_stderr(level: LevelFilter) {
    let write = |line: &str| {
        // It may be a file on a full disk, or a pipe that nobody reads: that is no reason to end.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    };
    // It fails where somebody logs already.
    let _ = tracing::subscriber::set_global_default(Lines { level, write });
}

struct Lines<W> {
    level: LevelFilter,
    write: W,
}

impl<W: Fn(&str) + 'static> Subscriber for Lines<W> {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && *metadata.level() <= self.level
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(self.level)
    }

    fn event(&self, event: &Event<'_>) {
        let at = i64::try_from(now().wall.0).unwrap_or(i64::MAX);
        let at = jiff::Timestamp::from_millisecond(at).unwrap_or(jiff::Timestamp::MAX);
        let mut line = Line(format!("{at:.3} {:>5}", event.metadata().level()));
        event.record(&mut line);
        line.0.push('\n');
        (self.write)(&line.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

/// A line as far as it is written. What comes from elsewhere cannot end it, nor speak to a terminal.
struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let text = match field.name() {
            "message" => format!(" {value:?}"),
            name => format!(" {name}={value:?}"),
        };
        for character in text.chars() {
            match character.is_control() {
                true => self.0.extend(character.escape_default()),
                false => self.0.push(character),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[test]
    fn an_event_is_one_line_whatever_it_says() {
        let said = Arc::new(Mutex::new(String::new()));
        let heard = Arc::clone(&said);
        let write = move |line: &str| heard.lock().expect("a lock").push_str(line);
        let level = LevelFilter::INFO;
        tracing::subscriber::with_default(Lines { level, write }, || {
            let error = std::io::Error::other("gone\n\u{1b}[31mred");
            tracing::warn!(id = "c", %error, count = 3, "cannot {}", "watch");
            tracing::debug!("nobody asked");
            tracing::info_span!("nothing").in_scope(|| tracing::info!("inside"));
        });
        let said = said.lock().expect("a lock");
        let [first, second] = *said.lines().collect::<Vec<_>>() else {
            panic!("not two lines: {said}");
        };
        let (at, first) = first.split_once(' ').expect("a time");
        assert!(at.parse::<jiff::Timestamp>().is_ok(), "{at}");
        assert_eq!(
            first,
            r#" WARN cannot watch id="c" error=gone\n\u{1b}[31mred count=3"#
        );
        assert!(second.ends_with("  INFO inside"), "{second}");
    }
}
