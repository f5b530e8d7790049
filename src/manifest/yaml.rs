//! YAML or JSON text → trees. The only place that knows which parser we use and how it is tuned.
//!
//! Scalars, merge keys and tags mean what they mean to kubectl (YAML 1.1). Each document is parsed alone, within limits, so a
//! broken one does not hide the findings of the others.

use crate::manifest::duplicates;
use crate::manifest::node::{Entry, Node, Place, Value};
use crate::manifest::{Finding, FindingKind, Findings, Strictness};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::{DuplicateKeyPolicy, Error, MessageFormatter, Options, Spanned};
use std::fmt;
use std::sync::Arc;

/// Bytes of one document. No object of a cluster can be larger than about this.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// Documents of one input: more are a mistake, or an attempt to keep us busy.
const MAX_DOCUMENTS: usize = 1024;
/// Levels of nesting. The deepest field of a pod is at level 14; it also bounds our own recursion.
const MAX_DEPTH: usize = 64;
/// Values of one document after aliases are expanded; an alias bomb reaches it within milliseconds.
const MAX_NODES: usize = 100_000;
/// Bytes of text of one document after aliases are expanded.
const MAX_TEXT_BYTES: usize = 8 << 20;

/// The documents of an input that are not empty. What cannot be read is a finding, and the other documents are still read.
pub fn parse(file: &str, text: &str, strictness: Strictness, findings: &mut Findings) -> Vec<Node> {
    let file: Arc<str> = file.into();
    let mut nodes = Vec::new();
    for (index, (first_line, text)) in split(text).into_iter().enumerate() {
        let place = Place {
            file: Arc::clone(&file),
            line: first_line,
            column: 1,
        };
        if index == MAX_DOCUMENTS {
            let detail = format!("an input must have at most {MAX_DOCUMENTS} documents");
            refuse(&place, FindingKind::Forbidden, detail, findings);
            break;
        }
        if text.len() > MAX_DOCUMENT_BYTES {
            let detail = format!(
                "a document may not be more than {MAX_DOCUMENT_BYTES} bytes, this one has {}",
                text.len()
            );
            refuse(&place, FindingKind::TooLong, detail, findings);
            continue;
        }
        nodes.extend(document(&place, text, strictness, findings));
    }
    nodes
}

fn refuse(place: &Place, kind: FindingKind, detail: String, findings: &mut Findings) {
    findings.push(Finding::new("", kind, detail)).location = Some(place.location());
}

/// The documents and the line each begins at. `---` at the start of a line ends a document whatever stands before it; only
/// directives and comments belong to the document after them. Source: YAML 1.2.2, 9.1.
fn split(text: &str) -> Vec<(u32, &str)> {
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut has_content) = (0, 1, false);
    let (mut offset, mut line_number) = (0, 1);
    for line in text.split_inclusive('\n') {
        let marker = line
            .strip_prefix("---")
            .is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace));
        if marker && has_content {
            documents.push((start_line, &text[start..offset]));
            (start, start_line) = (offset, line_number);
        }
        let line = line.trim_start_matches('\u{feff}');
        has_content |= marker || !(line.trim().is_empty() || line.starts_with(['#', '%']));
        offset += line.len() + (line.as_ptr() as usize - text[offset..].as_ptr() as usize);
        line_number += 1;
    }
    documents.push((start_line, &text[start..]));
    documents
}

/// Parses one document; it may still be several, divided by `...`.
fn document(
    start: &Place,
    text: &str,
    strictness: Strictness,
    findings: &mut Findings,
) -> Vec<Node> {
    let mut read = read(text, DuplicateKeyPolicy::Error);
    if let Err(Error::DuplicateMappingKey { .. }) = read {
        duplicates::report(start, text, strictness, findings);
        read = self::read(text, DuplicateKeyPolicy::LastWins);
    }
    match read {
        Ok(documents) => documents
            .into_iter()
            .filter_map(|raw| node(start, raw, findings))
            .filter(|node| node.value != Value::Null)
            .collect(),
        Err(error) => {
            let place = error
                .location()
                .map_or_else(|| start.clone(), |at| place(start, at.line(), at.column()));
            refuse(&place, FindingKind::Syntax, message(&error), findings);
            Vec::new()
        }
    }
}

fn read(text: &str, duplicate_keys: DuplicateKeyPolicy) -> Result<Vec<Spanned<Raw>>, Error> {
    serde_saphyr::from_multiple_with_options(text, options(duplicate_keys))
}

/// What makes the parser agree with kubectl, and keeps it within limits.
fn options(duplicate_keys: DuplicateKeyPolicy) -> Options {
    serde_saphyr::options! {
        budget: serde_saphyr::budget! {
            max_depth: MAX_DEPTH,
            flow_nesting_limit: MAX_DEPTH,
            max_nodes: MAX_NODES,
            max_events: 4 * MAX_NODES,
            max_recorded_anchor_events: 4 * MAX_NODES,
            max_total_scalar_bytes: MAX_TEXT_BYTES,
            max_recorded_anchor_bytes: MAX_TEXT_BYTES,
        },
        duplicate_keys: duplicate_keys,
        // Without it `0644` silently reads as 644.
        legacy_octal_numbers: true,
        // A snippet could show the value of a Secret.
        with_snippet: false,
    }
}

/// The parser's message without location and control characters.
fn message(error: &Error) -> String {
    let text = serde_saphyr::DefaultMessageFormatter.format_message(error.without_snippet());
    format!("cannot read the document: {}", text.escape_debug())
}

/// A position within the document, from 1, as a place in the input.
pub(super) fn place(start: &Place, line: u64, column: u64) -> Place {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    Place {
        file: Arc::clone(&start.file),
        line: start.line.saturating_add(number(line) - 1),
        column: number(column),
    }
}

/// What the parser gives before kubectl's conversions.
enum Raw {
    Null,
    Bool(bool),
    Int(i64),
    Float(f64),
    String(String),
    List(Vec<Spanned<Raw>>),
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

/// Converts as kubectl does on the way to JSON: integral floats become integers, keys become text. `None` after a finding.
fn node(start: &Place, raw: Spanned<Raw>, findings: &mut Findings) -> Option<Node> {
    let place = place(start, raw.defined.line(), raw.defined.column());
    let value = match raw.value {
        Raw::Null => Value::Null,
        Raw::Bool(value) => Value::Bool(value),
        Raw::Int(value) => Value::Int(value),
        Raw::Float(value) => integral(value).map_or(Value::Float(value), Value::Int),
        Raw::String(value) => Value::String(value),
        Raw::List(items) => {
            let items = items.into_iter().map(|item| node(start, item, findings));
            Value::List(items.collect::<Option<_>>()?)
        }
        Raw::Map(pairs) => Value::Map(entries(start, pairs, findings)?),
    };
    Some(Node { value, place })
}

fn entries(
    start: &Place,
    pairs: Vec<(Spanned<Raw>, Spanned<Raw>)>,
    findings: &mut Findings,
) -> Option<Vec<Entry>> {
    let mut entries: Vec<Entry> = Vec::with_capacity(pairs.len());
    let mut known = std::collections::HashSet::with_capacity(pairs.len());
    for (key, value) in pairs {
        let place = place(start, key.defined.line(), key.defined.column());
        let Some(key) = key_text(key.value) else {
            let detail = "a key must be a string, a number or a boolean".to_owned();
            refuse(&place, FindingKind::Syntax, detail, findings);
            return None;
        };
        // `yes` and `true` are different keys to the parser and the same to kubectl.
        if !known.insert(key.clone()) {
            let finding = findings.push(Finding::new(key, FindingKind::DuplicateField, ""));
            finding.location = Some(place.location());
            continue;
        }
        let node = node(start, value, findings)?;
        entries.push(Entry { key, place, node });
    }
    Some(entries)
}

/// A key as text: `yes` is `true`, `0x10` is `16`. Source: `sigs.k8s.io/yaml`, convertToJSONableObject.
fn key_text(raw: Raw) -> Option<String> {
    match raw {
        Raw::Bool(value) => Some(value.to_string()),
        Raw::Int(value) => Some(value.to_string()),
        Raw::Float(value) => Some(value.to_string()),
        Raw::String(value) => Some(value),
        Raw::Null | Raw::List(_) | Raw::Map(_) => None,
    }
}

/// The integer that this number is, if it is one and fits.
fn integral(value: f64) -> Option<i64> {
    // 2^63, the first that does not fit, is exact as a float; i64::MAX is not.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    (value.fract() == 0.0 && (-LIMIT..LIMIT).contains(&value)).then_some(value as i64)
}

impl<'de> Deserialize<'de> for Raw {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Raw, D::Error> {
        deserializer.deserialize_any(RawVisitor)
    }
}

struct RawVisitor;

impl<'de> Visitor<'de> for RawVisitor {
    type Value = Raw;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Raw, E> {
        Ok(Raw::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Raw, E> {
        Ok(Raw::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Raw, E> {
        Ok(Raw::Int(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Raw, E> {
        // What does not fit into int64 is a float to kubectl.
        Ok(i64::try_from(value).map_or(Raw::Float(value as f64), Raw::Int))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Raw, E> {
        Ok(Raw::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Raw, E> {
        Ok(Raw::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Raw, E> {
        Ok(Raw::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Raw, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Raw::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut pairs: A) -> Result<Raw, A::Error> {
        let mut map = Vec::new();
        while let Some(pair) = pairs.next_entry()? {
            map.push(pair);
        }
        Ok(Raw::Map(map))
    }
}
