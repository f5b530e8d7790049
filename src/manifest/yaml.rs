//! YAML or JSON text → trees. The only place that knows which parser we use and how it is tuned.
//!
//! Scalars, merge keys and tags mean what they mean to kubectl (YAML 1.1). Each document is parsed alone, within limits, so a
//! broken one does not hide the findings of the others.

use crate::manifest::node::{Entry, Node, Place, Value};
use crate::manifest::{Finding, FindingKind, Findings, Strictness};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::granit_parser::ErrorKind;
use serde_saphyr::{
    DuplicateKeyPolicy, Error, ExternalMessageSource, MessageFormatter, Options, Spanned,
};
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

/// Bytes of one document. No object of a cluster can be larger than about this.
const MAX_DOCUMENT_BYTES: usize = 1 << 20;
/// Documents of one input: more are a mistake, or an attempt to keep us busy.
const MAX_DOCUMENTS: usize = 1024;
/// Levels of nesting: about twice those of the deepest field of a pod. It also bounds recursion, the parser's and ours.
const MAX_DEPTH: usize = 32;
/// Values of one document after aliases are expanded; an alias bomb reaches it within milliseconds.
const MAX_NODES: usize = 100_000;
/// Uses of an anchor in one document.
const MAX_ALIASES: usize = 10_000;
/// Values below anchors, and values put in place of their uses, in one document.
const MAX_ANCHORED: usize = 20_000;
/// `<<` keys in one document: merging costs more than reading.
const MAX_MERGE_KEYS: usize = 1000;
/// Duplicate keys of one document that are told; who has more is not helped by more.
const MAX_DUPLICATES: usize = 100;
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
        let document = document(&place, text, strictness, findings).into_iter();
        nodes.extend(document.filter(|node| node.value != Value::Null));
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
    let mut duplicate = None;
    let mut read = read(text, DuplicateKeyPolicy::Error);
    // The parser stops at the first duplicate key. Told to let the last one win, it hands most of them to us.
    if let Err(error) = &read
        && let Error::DuplicateMappingKey { key, location } = root(error)
    {
        let place = place(start, location.line(), location.column());
        duplicate = Some((key.clone().unwrap_or_default(), place));
        read = self::read(text, DuplicateKeyPolicy::LastWins);
    }
    let mut conversion = Conversion {
        start,
        path: String::new(),
        duplicates: Vec::new(),
    };
    let result: Result<Vec<Node>, Refusal> =
        read.map_err(|error| refusal(start, &error))
            .and_then(|documents| {
                documents
                    .into_iter()
                    .map(|raw| conversion.node(raw))
                    .collect()
            });
    if conversion.duplicates.is_empty() {
        conversion.duplicates.extend(duplicate);
    }
    if let Some(warning) = strictness.warning() {
        for (path, place) in conversion.duplicates {
            let finding = findings.push(Finding::new(path, FindingKind::DuplicateField, ""));
            finding.location = Some(place.location());
            finding.warning = warning;
        }
    }
    match result {
        Ok(nodes) => nodes,
        Err((place, detail)) => {
            refuse(&place, FindingKind::Syntax, detail, findings);
            Vec::new()
        }
    }
}

/// Where and why a document cannot be read.
type Refusal = (Place, String);

/// The error without the aliases it was met through.
fn root(mut error: &Error) -> &Error {
    while let Error::AliasError { error: inner, .. } = error {
        error = inner;
    }
    error
}

/// Why the parser stopped, without control characters, and where.
fn refusal(start: &Place, error: &Error) -> Refusal {
    let reason = match root(error) {
        Error::Budget { breach, .. } => exceeded(breach).to_owned(),
        Error::ExternalMessage { source, .. } if is_too_deep(source) => TOO_DEEP.to_owned(),
        Error::AliasReplayLimitExceeded { .. } => TOO_MANY_ALIASES.to_owned(),
        other => {
            let text = serde_saphyr::DefaultMessageFormatter.format_message(other);
            text.escape_debug().to_string()
        }
    };
    let place = error
        .location()
        .map_or_else(|| start.clone(), |at| place(start, at.line(), at.column()));
    (place, format!("cannot read the document: {reason}"))
}

const TOO_DEEP: &str = "it is nested too deeply";
const TOO_MANY_ALIASES: &str = "it has too many aliases";

/// Brackets are counted by the scanner, which runs ahead of the budget.
fn is_too_deep(source: &ExternalMessageSource) -> bool {
    matches!(source, ExternalMessageSource::Parser(error) if *error.kind() == ErrorKind::RecursionLimitExceeded)
}

/// Which limit was exceeded, in a user's words.
fn exceeded(breach: &BudgetBreach) -> &'static str {
    match breach {
        BudgetBreach::Depth { .. } => TOO_DEEP,
        BudgetBreach::Nodes { .. } | BudgetBreach::Events { .. } => "it holds too many values",
        BudgetBreach::ScalarBytes { .. } => "it holds too much text",
        BudgetBreach::MergeKeys { .. } => "it has too many merge keys",
        BudgetBreach::Aliases { .. }
        | BudgetBreach::Anchors { .. }
        | BudgetBreach::AliasAnchorRatio { .. }
        | BudgetBreach::RecordedAnchorEvents { .. }
        | BudgetBreach::RecordedAnchorBytes { .. } => TOO_MANY_ALIASES,
        _ => "it is too large",
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
            max_recorded_anchor_events: MAX_ANCHORED,
            max_aliases: MAX_ALIASES,
            max_merge_keys: MAX_MERGE_KEYS,
            max_total_scalar_bytes: MAX_TEXT_BYTES,
            max_recorded_anchor_bytes: MAX_TEXT_BYTES,
        },
        alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: MAX_ANCHORED },
        duplicate_keys: duplicate_keys,
        // Without it `0644` silently reads as 644.
        legacy_octal_numbers: true,
        // A snippet could show the value of a Secret.
        with_snippet: false,
    }
}

/// A position within the document, from 1, as a place in the input.
fn place(start: &Place, line: u64, column: u64) -> Place {
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

/// From what the parser gives to what kubectl makes of it on the way to JSON.
struct Conversion<'a> {
    /// Where the document begins.
    start: &'a Place,
    /// The path of the value at hand. Whether a mapping is one of fields or of keys is not known here: what reads as a field is
    /// written as one.
    path: String,
    /// Paths and places of the keys that were there before.
    duplicates: Vec<(String, Place)>,
}

impl Conversion<'_> {
    /// Integral floats become integers, keys become text.
    fn node(&mut self, raw: Spanned<Raw>) -> Result<Node, Refusal> {
        let place = place(self.start, raw.defined.line(), raw.defined.column());
        let value = match raw.value {
            Raw::Null => Value::Null,
            Raw::Bool(value) => Value::Bool(value),
            Raw::Int(value) => Value::Int(value),
            Raw::Float(value) => integral(value).map_or(Value::Float(value), Value::Int),
            Raw::String(value) => Value::String(value),
            Raw::List(items) => Value::List(self.items(items)?),
            Raw::Map(pairs) => Value::Map(self.entries(pairs)?),
        };
        Ok(Node { value, place })
    }

    fn items(&mut self, items: Vec<Spanned<Raw>>) -> Result<Vec<Node>, Refusal> {
        let outer = self.path.len();
        let mut nodes = Vec::with_capacity(items.len());
        for (index, item) in items.into_iter().enumerate() {
            _ = write!(self.path, "[{index}]");
            nodes.push(self.node(item)?);
            self.path.truncate(outer);
        }
        Ok(nodes)
    }

    fn entries(&mut self, pairs: Vec<(Spanned<Raw>, Spanned<Raw>)>) -> Result<Vec<Entry>, Refusal> {
        let outer = self.path.len();
        let mut entries: Vec<Entry> = Vec::with_capacity(pairs.len());
        let mut known: HashMap<String, usize> = HashMap::with_capacity(pairs.len());
        for (key, value) in pairs {
            let place = place(self.start, key.defined.line(), key.defined.column());
            let Some(key) = key_text(key.value) else {
                let detail = "a key must be a string, a number or a boolean";
                return Err((place, detail.to_owned()));
            };
            self.enter(&key);
            let node = self.node(value)?;
            if let Some(&index) = known.get(&key) {
                if self.duplicates.len() < MAX_DUPLICATES {
                    self.duplicates.push((self.path.clone(), place));
                }
                entries[index].node = node;
            } else {
                known.insert(key.clone(), entries.len());
                entries.push(Entry { key, place, node });
            }
            self.path.truncate(outer);
        }
        Ok(entries)
    }

    fn enter(&mut self, key: &str) {
        let is_field = key.chars().all(|c| c.is_ascii_alphanumeric());
        _ = match (is_field, self.path.is_empty()) {
            (true, true) => write!(self.path, "{key}"),
            (true, false) => write!(self.path, ".{key}"),
            (false, _) => write!(self.path, "[{key}]"),
        };
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, strictness: Strictness) -> (Vec<String>, String) {
        let mut findings = Findings::new();
        let nodes = parse("f", text, strictness, &mut findings);
        let texts = nodes.iter().map(|node| node.to_json().to_string());
        (texts.collect(), findings.to_string())
    }

    fn strict(text: &str) -> (Vec<String>, String) {
        read(text, Strictness::Strict)
    }

    #[test]
    fn all_duplicate_keys_of_a_document_are_told_and_the_last_one_counts() {
        let text =
            "a: {b: 1, b: 2}\nl:\n- x: &y {q: 1}\n  z: *y\n  x: 2\nm: {a/b: 1, a/b: 2}\na: 3\n";
        let (nodes, findings) = strict(text);
        assert_eq!(
            nodes,
            [r#"{"a":3,"l":[{"x":2,"z":{"q":1}}],"m":{"a/b":2}}"#]
        );
        assert_eq!(
            findings,
            "f:1:11: duplicate field \"a.b\"\nf:5:3: duplicate field \"l[0].x\"\n\
             f:6:13: duplicate field \"m[a/b]\"\nf:7:1: duplicate field \"a\""
        );
    }

    #[test]
    fn duplicates_that_the_parser_or_kubectl_see_alone_are_told_too() {
        assert_eq!(
            strict("{1: a, x: b, 1: c}").1,
            "f:1:14: duplicate field \"1\""
        );
        assert_eq!(
            strict("{yes: a, true: b}").1,
            "f:1:10: duplicate field \"true\""
        );
    }

    #[test]
    fn strictness_decides_whether_a_duplicate_is_told() {
        let mut findings = Findings::new();
        parse("f", "{a: 1, a: 2}", Strictness::Warn, &mut findings);
        assert!(!findings.has_errors() && findings.len() == 1);
        assert_eq!(read("{a: 1, a: 2}", Strictness::Ignore).1, "");
    }

    #[test]
    fn the_number_of_duplicates_told_is_bounded() {
        let findings = strict(&"a: 1\n".repeat(10_000)).1;
        assert_eq!(findings.lines().count(), MAX_DUPLICATES);
    }

    #[test]
    fn a_broken_document_does_not_hide_the_others() {
        let (nodes, findings) = strict("a: 1\n---\nb: [\n---\nc: 3\n--- d\n...\n--- # e\n");
        assert_eq!(nodes, [r#"{"a":1}"#, r#"{"c":3}"#, r#""d""#]);
        assert!(findings.starts_with("f:"), "{findings}");
        assert_eq!(findings.lines().count(), 1, "{findings}");
    }

    #[test]
    fn a_later_document_knows_its_lines() {
        let mut findings = Findings::new();
        let nodes = parse(
            "f",
            "# x\n\n---\na: 1\n---\n\n b: 1\n",
            Strictness::Strict,
            &mut findings,
        );
        let lines: Vec<_> = nodes.iter().map(|node| node.place.line).collect();
        assert_eq!(lines, [4, 7]);
    }

    #[test]
    fn directives_belong_to_the_document_after_them() {
        let (nodes, findings) = strict("%YAML 1.1\n---\na: 1\n");
        assert_eq!(
            (nodes, findings.as_str()),
            (vec![r#"{"a":1}"#.to_owned()], "")
        );
    }

    #[test]
    fn json_reads_with_its_escapes_and_tabs() {
        let (nodes, findings) =
            strict("{\n\t\"a\": \"\\/\\u00e9\\ud83d\\ude00\",\n\t\"b\": [1, 1.5e3, null]\n}\n");
        assert_eq!(
            (nodes, findings.as_str()),
            (vec!["{\"a\":\"/é😀\",\"b\":[1,1500,null]}".to_owned()], "")
        );
    }

    #[test]
    fn a_key_that_is_no_scalar_is_refused() {
        assert_eq!(
            strict("? [a]\n: b\n").1,
            "f:1:3: a key must be a string, a number or a boolean"
        );
    }

    #[test]
    fn numbers_are_what_they_are_to_kubectl() {
        let (nodes, findings) = strict(
            "[0644, 0o644, 0x1F, 0b11, 8_080, 1e3, 8080.0, .5, 9223372036854775808, -9223372036854775808, -0.0, '1']",
        );
        assert_eq!(findings, "");
        assert_eq!(
            nodes,
            [
                "[420,420,31,3,8080,1000,8080,0.5,9.223372036854776e+18,-9223372036854775808,0,\"1\"]"
            ]
        );
    }
}
