//! Errors as people read them. The only place that joins a chain of causes.

use crate::cli::exit::{Code, Failed, Outcome};
use serde_json::json;
use std::error::Error;
use std::io::Write;

/// Prints an error and its hint; gives the exit code.
pub(super) fn print(failed: &Failed, as_json: bool) -> u8 {
    let message = chain(failed.error.as_ref());
    if as_json {
        let report = json!({ "code": failed.code as u8, "reason": format!("{:?}", failed.code), "message": message, "hint": failed.hint });
        say(report);
    } else {
        say(format_args!("error: {message}"));
        if let Some(hint) = &failed.hint {
            say(format_args!("hint: {hint}"));
        }
    }
    failed.code as u8
}

/// An error with its causes, on one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}

/// Does something with each of several; what fails is reported and the rest goes on.
pub(super) fn each<T>(all: &[T], act: impl FnMut(&T) -> Result<(), Failed>) -> Outcome {
    each_of(all.len(), all.iter(), act)
}

/// The same with `count` that come one by one.
pub(super) fn each_of<T>(
    count: usize,
    all: impl Iterator<Item = T>,
    mut act: impl FnMut(T) -> Result<(), Failed>,
) -> Outcome {
    let (mut done, mut failed) = (0, None);
    for one in all {
        match act(one) {
            Ok(()) => done += 1,
            Err(error) if count == 1 => return Err(error),
            Err(error) => {
                print(&error, false);
                failed = Some(error.code);
            }
        }
    }
    Ok(match failed {
        None => Code::Done as u8,
        Some(_) if done > 0 => Code::Partly as u8,
        Some(code) => code as u8,
    })
}

/// Data on standard output. A reader that has gone wants no more.
pub(super) fn data(text: impl std::fmt::Display) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// A warning on standard error.
pub(super) fn warn(message: impl std::fmt::Display) {
    say(format_args!("warning: {message}"));
}

/// A line on standard error. Where it goes may be a full disk or a reader that has gone: that is no reason to end.
pub(super) fn say(line: impl std::fmt::Display) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
