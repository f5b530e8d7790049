//! Every key that is written twice in a document, with its path. Only asked after the parser has met one: it stops at the first.

use crate::manifest::node::Place;
use crate::manifest::{Finding, FindingKind, Findings, Strictness, yaml};
use serde_saphyr::granit_parser::{Event, Parser, Span};
use std::collections::HashSet;
use std::fmt::Write;

/// Duplicates of one document that are told; who has more is not helped by more.
const MAX_DUPLICATES: usize = 100;

/// A collection that has begun and not ended.
enum Open {
    List {
        index: usize,
    },
    Map {
        seen: HashSet<String>,
        /// The key whose value is next; `None` when a key is next.
        key: Option<String>,
    },
}

/// Adds a finding for each duplicate key of this document, which begins at `start`.
pub fn report(start: &Place, text: &str, strictness: Strictness, findings: &mut Findings) {
    let Some(warning) = strictness.warning() else {
        return;
    };
    for (path, span) in find(text) {
        let finding = findings.push(Finding::new(path, FindingKind::DuplicateField, ""));
        finding.warning = warning;
        let (line, column) = (span.start.line() as u64, span.start.col() as u64 + 1);
        finding.location = Some(yaml::place(start, line, column).location());
    }
}

/// Paths and spans of the duplicate keys, up to the first thing that is not YAML.
fn find(text: &str) -> Vec<(String, Span)> {
    let mut duplicates = Vec::new();
    let mut open: Vec<Open> = Vec::new();
    for (event, span) in Parser::new_from_str(text).map_while(Result::ok) {
        match event {
            Event::Scalar(text, ..) => {
                if is_key_next(&open) {
                    if !begin_entry(&mut open, &text) {
                        duplicates.push((path(&open), span));
                    }
                } else {
                    end_value(&mut open);
                }
            }
            // Such a key is never a field; what it stands for does not matter here.
            Event::Alias(_) if is_key_next(&open) => {
                begin_entry(&mut open, "<<");
            }
            Event::Alias(_) => end_value(&mut open),
            Event::SequenceStart(..) | Event::MappingStart(..) if is_key_next(&open) => break,
            Event::SequenceStart(..) => open.push(Open::List { index: 0 }),
            Event::MappingStart(..) => open.push(Open::Map {
                seen: HashSet::new(),
                key: None,
            }),
            Event::SequenceEnd | Event::MappingEnd => {
                open.pop();
                end_value(&mut open);
            }
            _ => {}
        }
        if duplicates.len() == MAX_DUPLICATES {
            break;
        }
    }
    duplicates
}

fn is_key_next(open: &[Open]) -> bool {
    matches!(open.last(), Some(Open::Map { key: None, .. }))
}

/// Takes a key; `false` when the mapping has it already. Merge keys may come again.
fn begin_entry(open: &mut [Open], text: &str) -> bool {
    let Some(Open::Map { seen, key }) = open.last_mut() else {
        return true;
    };
    *key = Some(text.to_owned());
    text == "<<" || seen.insert(text.to_owned())
}

fn end_value(open: &mut [Open]) {
    match open.last_mut() {
        Some(Open::Map { key, .. }) => *key = None,
        Some(Open::List { index }) => *index += 1,
        None => {}
    }
}

/// The path of the entry that has begun. Whether a mapping is one of fields or of keys is not known here: what reads as a field
/// is written as one.
fn path(open: &[Open]) -> String {
    let mut path = String::new();
    for level in open {
        match level {
            Open::List { index } => _ = write!(path, "[{index}]"),
            Open::Map { key, .. } => {
                let key = key.as_deref().unwrap_or_default();
                if !key.chars().all(|c| c.is_ascii_alphanumeric()) {
                    _ = write!(path, "[{key}]");
                } else if path.is_empty() {
                    path.push_str(key);
                } else {
                    _ = write!(path, ".{key}");
                }
            }
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_duplicate_keys_of_a_document_are_found_with_their_paths() {
        let text =
            "a: {b: 1, b: 2}\nl:\n- x: &y {q: 1}\n  z: *y\n  x: 2\nm: {a/b: 1, a/b: 2}\na: 3\n";
        let found: Vec<_> = find(text)
            .into_iter()
            .map(|(path, span)| (path, span.start.line(), span.start.col()))
            .collect();
        let want = [
            ("a.b", 1, 10),
            ("l[0].x", 5, 2),
            ("m[a/b]", 6, 14),
            ("a", 7, 0),
        ];
        assert_eq!(
            found,
            want.map(|(path, line, column)| (path.to_owned(), line, column))
        );
    }

    #[test]
    fn the_number_of_duplicates_told_is_bounded() {
        assert_eq!(find(&"a: 1\n".repeat(100_000)).len(), MAX_DUPLICATES);
    }
}
