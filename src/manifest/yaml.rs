//! YAML or JSON text → trees. The only place that knows which parser we use and how it is tuned.
//!
//! Scalars, merge keys and tags mean what they mean to kubectl (YAML 1.1). Each document is parsed alone, within limits, so a
//! broken one does not hide the findings of the others.

use crate::manifest::node::{Node, Place, Value};
use crate::manifest::raw::{Conversion, Raw, Refusal, place};
use crate::manifest::{Finding, FindingKind, Findings, Strictness};
use serde_saphyr::budget::BudgetBreach;
use serde_saphyr::granit_parser::ErrorKind;
use serde_saphyr::{
    DuplicateKeyPolicy, Error, ExternalMessageSource, MessageFormatter, Options, Spanned,
};
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

/// The documents and the line each begins at. At the start of a line, `---` ends a document whatever stands before it, and so
/// does `...`; directives and comments belong to the document after them. Source: YAML 1.2.2, 9.1.
fn split(text: &str) -> Vec<(u32, &str)> {
    let is_marker = |line: &str, marker| {
        let rest = line.strip_prefix(marker);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(char::is_whitespace))
    };
    let mut documents = Vec::new();
    let (mut start, mut start_line, mut has_content) = (0, 1, false);
    let (mut end, mut line_number) = (0, 1);
    for line in text.split_inclusive('\n') {
        if is_marker(line, "---") && has_content {
            documents.push((start_line, &text[start..end]));
            (start, start_line) = (end, line_number);
        }
        let content = line.trim_start_matches('\u{feff}');
        has_content |= !(content.trim().is_empty() || content.starts_with(['#', '%']));
        end += line.len();
        line_number += 1;
        if is_marker(line, "...") {
            documents.push((start_line, &text[start..end]));
            (start, start_line, has_content) = (end, line_number, false);
        }
    }
    documents.push((start_line, &text[start..]));
    documents
}

/// Parses one document, which may be empty.
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
    let mut conversion = Conversion::new(start);
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::raw::MAX_DUPLICATES;

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
        let (nodes, findings) =
            strict("%YAML 1.1\n---\na: 1\n...\n%YAML 1.1\n# c\n---\nb: 2\n...\n...\n");
        assert_eq!(
            (nodes, findings.as_str()),
            (vec![r#"{"a":1}"#.to_owned(), r#"{"b":2}"#.to_owned()], "")
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
