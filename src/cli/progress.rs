//! What is shown while an image is pulled: a line that changes on a terminal, a few lines elsewhere.

use crate::base::Mono;
use crate::cli::report;
use crate::image::Progress;
use crate::sys;
use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Between two changes of the line: faster is flicker.
const EVERY: Duration = Duration::from_millis(100);
/// Characters of the bar.
const BAR: usize = 24;

/// The progress of one image, on standard error.
pub(super) struct Shown {
    name: String,
    style: Style,
    state: Mutex<State>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    Bar,
    Lines,
    Nothing,
}

#[derive(Default)]
struct State {
    layers: usize,
    unpacked: usize,
    bytes: u64,
    received: u64,
    drawn: Option<Mono>,
}

impl Shown {
    /// A bar if standard error is a terminal.
    pub fn new(name: &str, quiet: bool) -> Shown {
        let style = match (quiet, std::io::stderr().is_terminal()) {
            (true, _) => Style::Nothing,
            (false, true) => Style::Bar,
            (false, false) => Style::Lines,
        };
        Shown {
            name: name.to_owned(),
            style,
            state: Mutex::default(),
        }
    }

    /// Takes note of what happened.
    pub fn tell(&self, progress: Progress) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match progress {
            Progress::Begun { layers, bytes } => {
                *state = State {
                    layers,
                    bytes,
                    ..State::default()
                };
                if self.style == Style::Lines {
                    let (name, size) = (&self.name, size(bytes));
                    report::say(format_args!("pulling {name}: {layers} layers, {size}"));
                }
            }
            Progress::Received(bytes) => state.received += bytes,
            Progress::Unpacked => {
                state.unpacked += 1;
                if self.style == Style::Lines {
                    let (name, done, layers) = (&self.name, state.unpacked, state.layers);
                    report::say(format_args!("{name}: layer {done} of {layers} is here"));
                }
            }
        }
        let now = sys::now().mono;
        let due = state.drawn.is_none_or(|drawn| now >= drawn + EVERY);
        if self.style == Style::Bar && due {
            state.drawn = Some(now);
            draw(&self.name, &state);
        }
    }

    /// Leaves an empty line for what is said next.
    pub fn end(&self) {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if self.style == Style::Bar && state.drawn.is_some() {
            // Erases the line. Where it goes may be gone: that is no reason to end.
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}

fn draw(name: &str, state: &State) {
    let filled = match state.bytes {
        0 => 0,
        bytes => (state.received.min(bytes) as u128 * BAR as u128 / u128::from(bytes)) as usize,
    };
    let bar: String = (0..BAR)
        .map(|n| if n < filled { '=' } else { ' ' })
        .collect();
    let (received, bytes) = (size(state.received.min(state.bytes)), size(state.bytes));
    let (done, layers) = (state.unpacked, state.layers);
    let line = format!("\r{name} [{bar}] {received} of {bytes}, {done} of {layers} layers\x1b[K");
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// Bytes for people: decimal, three digits at most.
pub(super) fn size(bytes: u64) -> String {
    let mut value = bytes as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if value < 999.5 {
            return match unit {
                "B" => format!("{bytes} B"),
                _ if value < 9.95 => format!("{value:.1} {unit}"),
                _ => format!("{value:.0} {unit}"),
            };
        }
        value /= 1000.0;
    }
    format!("{value:.1} TB")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_short() {
        for (bytes, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (9_960, "10 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (314_000_000, "314 MB"),
            (2_500_000_000_000, "2.5 TB"),
        ] {
            assert_eq!(size(bytes), text);
        }
    }
}
