//! Columns as kubectl prints them, ages, durations.

use crate::cli::exit::{Code, Failed};
use std::io::{self, Write};
use std::time::Duration;

/// Prints rows under a heading.
pub(super) fn print(heading: Option<&[&str]>, rows: &[Vec<String>]) {
    // A reader that has gone wants no more.
    let _ = write(&mut std::io::stdout().lock(), heading, rows);
}

/// Writes rows under a heading, columns padded to the widest and three spaces apart.
pub(super) fn write(
    out: &mut impl Write,
    heading: Option<&[&str]>,
    rows: &[Vec<String>],
) -> io::Result<()> {
    let heading = heading.map(|cells| {
        cells
            .iter()
            .map(|cell| (*cell).to_owned())
            .collect::<Vec<_>>()
    });
    let lines: Vec<&Vec<String>> = heading.iter().chain(rows).collect();
    let width = |column: usize| {
        lines
            .iter()
            .filter_map(|l| l.get(column))
            .map(|c| c.chars().count())
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..lines.first().map_or(0, |line| line.len()))
        .map(width)
        .collect();
    for line in &lines {
        let mut text = String::new();
        for (cell, width) in line.iter().zip(&widths) {
            text.push_str(&format!("{cell:width$}   "));
        }
        writeln!(out, "{}", text.trim_end())?;
    }
    Ok(())
}

/// A span as kubectl shows ages: `45s`, `3m12s`, `5h`, `2d`.
pub(super) fn age(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match seconds {
        0..120 => format!("{seconds}s"),
        120..600 if !seconds.is_multiple_of(60) => format!("{minutes}m{}s", seconds % 60),
        120..10_800 => format!("{minutes}m"),
        10_800..172_800 => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

/// Reads a duration as kubectl takes it: `300ms`, `5s`, `2m`, `1h30m`, or plain seconds.
pub(super) fn duration(text: &str) -> Result<Duration, Failed> {
    crate::base::duration(text).ok_or_else(|| {
        let message = format!("`{text}` is not a duration");
        Failed::new(Code::Usage, message).hint("write 30s, 5m or 1h30m")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_ages_print() {
        for (text, ms) in [
            ("5s", 5000),
            ("1h30m", 5_400_000),
            ("300ms", 300),
            ("7", 7000),
            ("0", 0),
            ("1.5s", 1500),
        ] {
            assert_eq!(
                duration(text).map(|d| d.as_millis()).map_err(|_| ()),
                Ok(ms),
                "{text}"
            );
        }
        for bad in ["", "s", "5x", "-1s", "1e99999h", "5 s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        for (seconds, text) in [
            (5, "5s"),
            (119, "119s"),
            (130, "2m10s"),
            (3600, "60m"),
            (90_000, "25h"),
            (200_000, "2d"),
        ] {
            assert_eq!(age(Duration::from_secs(seconds)), text);
        }
    }
}
