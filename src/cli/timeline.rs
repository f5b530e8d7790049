//! Timelines as they are printed, of simulations and replays.

use crate::base::Mono;
use crate::cli::table;
use crate::pod::{Moment, MomentKind};
use serde_json::{Value, json};
use std::io::{self, Write};

/// Writes a timeline; `start` is its moment zero.
pub(super) fn write(out: &mut impl Write, moments: &[Moment], start: Mono) -> io::Result<()> {
    let row = |moment: &Moment| {
        let detail = moment.detail.lines().next().unwrap_or_default();
        vec![
            format!("t={}", seconds(moment.at.mono, start)),
            moment.container.clone().unwrap_or_else(|| "pod".to_owned()),
            kind(moment.kind).to_owned(),
            moment.what.clone(),
            detail.to_owned(),
        ]
    };
    let rows: Vec<_> = moments.iter().map(row).collect();
    table::write(out, None, &rows)
}

/// A timeline as JSON.
pub(super) fn document(moments: &[Moment], start: Mono) -> Value {
    let one = |moment: &Moment| {
        json!({
            "timeMs": moment.at.mono.0.saturating_sub(start.0),
            "container": moment.container,
            "kind": kind(moment.kind),
            "what": moment.what,
            "detail": moment.detail,
        })
    };
    moments.iter().map(one).collect()
}

/// A moment as seconds since the start: `10.0s`, `0.25s`.
pub(super) fn seconds(at: Mono, start: Mono) -> String {
    let ms = at.0.saturating_sub(start.0);
    let fraction = format!("{:03}", ms % 1000);
    let fraction = fraction.trim_end_matches('0');
    let fraction = if fraction.is_empty() { "0" } else { fraction };
    format!("{}.{fraction}s", ms / 1000)
}

fn kind(kind: MomentKind) -> &'static str {
    match kind {
        MomentKind::Phase => "phase",
        MomentKind::Condition => "condition",
        MomentKind::State => "state",
        MomentKind::Event => "event",
        MomentKind::World => "world",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shown_in_seconds() {
        for (ms, text) in [
            (0, "0.0s"),
            (10_000, "10.0s"),
            (250, "0.25s"),
            (61_007, "61.007s"),
        ] {
            assert_eq!(seconds(Mono(5 + ms), Mono(5)), text);
        }
    }
}
