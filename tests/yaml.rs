//! The manifest reader against kubectl, and against what is made to break it.

use k8s_openapi::api::core::v1::Pod;
use nix::time::{ClockId, clock_gettime};
use podshim::manifest::{FindingKind, Findings, Node, Source, Strictness, decode, parse, read};
use proptest::prelude::*;
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// CPU time of a refusal, in a build without optimisation.
const QUICK: Duration = Duration::from_millis(500);

/// CPU time of this thread: other tests and other programs do not count.
fn cpu_time() -> Duration {
    let clock = ClockId::CLOCK_THREAD_CPUTIME_ID;
    clock_gettime(clock).expect("a clock").into()
}

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/yaml")
}

fn text_of(path: &str) -> String {
    fs::read_to_string(fixtures().join(path)).expect("a fixture")
}

fn nodes(text: &str) -> (Vec<Node>, Findings) {
    let mut findings = Findings::new();
    let nodes = parse("f", text, Strictness::Strict, &mut findings);
    (nodes, findings)
}

/// Numbers compare as numbers: JSON has no integers.
fn plain(value: &mut Value) {
    match value {
        Value::Number(number) => *value = number.as_f64().into(),
        Value::Array(items) => items.iter_mut().for_each(plain),
        Value::Object(fields) => fields.values_mut().for_each(plain),
        Value::Null | Value::Bool(_) | Value::String(_) => {}
    }
}

/// What kubectl made of a case, without the annotation that it was asked to add.
fn oracle(name: &str) -> Option<Vec<Value>> {
    let text = fs::read_to_string(fixtures().join(format!("oracle/{name}.json"))).ok()?;
    let values = serde_json::Deserializer::from_str(&text).into_iter::<Value>();
    let mut values: Vec<Value> = values.map(|value| value.expect("JSON")).collect();
    for value in &mut values {
        let metadata = value["metadata"].as_object_mut().expect("metadata");
        let annotations = metadata["annotations"]
            .as_object_mut()
            .expect("annotations");
        annotations.remove("zz");
        if annotations.is_empty() {
            metadata.remove("annotations");
        }
        plain(value);
    }
    Some(values)
}

/// Where we mean to differ from what kubectl does without an API server: the case, why, and the finding that tells.
const WANTED: [(&str, &str, &str); 4] = [
    (
        "dup_key",
        "strict, as the API server",
        "f:9:5: duplicate field \"spec.containers[0].image\"",
    ),
    (
        "dupname_block",
        "strict, as the API server",
        "f:8:3: duplicate field \"spec.containers\"",
    ),
    (
        "annot_bool",
        "refused where the type is known",
        "f:5:20: metadata.annotations[a]: Invalid value: true: must be a string, got boolean (quote it)",
    ),
    (
        "annot_num",
        "refused where the type is known",
        "f:3:18: metadata.name: Invalid value: 123: must be a string, got integer (quote it)",
    ),
];

#[test]
fn every_case_reads_as_kubectl_reads_it() {
    let mut count = 0;
    for entry in fs::read_dir(fixtures().join("cases")).expect("cases") {
        let path = entry.expect("a case").path();
        let name = path.file_stem().expect("a name").to_str().expect("text");
        let text = fs::read_to_string(&path).expect("a case");
        let (nodes, findings) = nodes(&text);
        count += 1;
        if WANTED.iter().any(|(wanted, ..)| *wanted == name) {
            continue;
        }
        let mut values: Vec<Value> = nodes.iter().map(Node::to_json).collect();
        values.iter_mut().for_each(plain);
        match oracle(name) {
            Some(want) => {
                assert_eq!(findings.to_string(), "", "{name}");
                assert_eq!(values, want, "{name}");
            }
            None => {
                assert!(values.is_empty(), "{name}: {values:?}");
                let kinds: Vec<_> = findings.iter().map(|finding| &finding.kind).collect();
                assert_eq!(kinds, [&FindingKind::Syntax], "{name}: {findings}");
                let at = findings
                    .iter()
                    .next()
                    .and_then(|finding| finding.location.as_ref());
                assert!(at.is_some(), "{name}: {findings}");
            }
        }
    }
    assert_eq!(count, 57);
}

#[test]
fn the_wanted_differences_from_kubectl_are_these() {
    for (name, why, finding) in WANTED {
        let (nodes, mut findings) = nodes(&text_of(&format!("cases/{name}.yaml")));
        let kubectl = oracle(name);
        if let Some(want) = &kubectl {
            // Beside the finding we read what kubectl reads: the last value.
            let mut value = nodes[0].to_json();
            plain(&mut value);
            assert_eq!(value, want[0], "{name}");
        } else {
            assert!(findings.is_empty(), "{name}: {findings}");
        }
        _ = decode::<Pod>(&nodes[0], "", &mut findings);
        assert_eq!(findings.to_string(), finding, "{name}: {why}");
    }
}

#[test]
fn a_pod_with_every_field_has_no_unknown_one() {
    let (nodes, mut findings) = nodes(&text_of("all-fields-pod.yaml"));
    let pod: Option<Pod> = decode(&nodes[0], "", &mut findings);
    assert_eq!(findings.to_string(), "");
    let spec = pod.expect("a pod").spec.expect("a spec");
    assert_eq!(spec.containers.len(), 1);
}

#[test]
fn hostile_documents_are_refused_quickly() {
    let repeat = |text: &str, times| text.repeat(times);
    let chain: String = (1..40)
        .map(|level| format!("a{level}: &a{level} [*a{0},*a{0},*a{0}]\n", level - 1))
        .collect();
    let indents: String = (0..1300)
        .map(|n| format!("{}a:\n", repeat(" ", n)))
        .collect();
    let aliases = repeat("*a,", 9_000);
    let hostile = [
        (
            "bytes",
            format!("a: {}", repeat("x", 1 << 20)),
            "may not be more than 1048576 bytes",
        ),
        ("brackets", repeat("[", 20_000), "it is nested too deeply"),
        ("braces", repeat("{a: ", 20_000), "it is nested too deeply"),
        ("dashes", repeat("- ", 20_000), "it is nested too deeply"),
        ("indents", indents, "it is nested too deeply"),
        (
            "alias bomb",
            format!("a0: &a0 [x,x,x]\n{chain}"),
            "it has too many aliases",
        ),
        (
            "aliases",
            format!("a: &a [x,x,x]\nb: [{aliases}]"),
            "it has too many aliases",
        ),
        (
            "text bomb",
            format!("a: &a {}\nb: [&b x,{aliases}]", repeat("x", 1 << 16)),
            "it holds too much text",
        ),
        (
            "merge bomb",
            format!("a: &a {{x: 1}}\nb: [{}]", repeat("{<<: *a},", 90_000)),
            "it has too many merge keys",
        ),
        (
            "quotes",
            repeat("\"", (1 << 19) + 1),
            "invalid trailing content",
        ),
        (
            "documents",
            repeat("---\na\n", 100_000),
            "at most 1024 documents",
        ),
    ];
    for (name, text, why) in hostile {
        let start = cpu_time();
        let (_, findings) = nodes(&text);
        let took = cpu_time() - start;
        assert!(findings.has_errors(), "{name} was read");
        assert!(findings.len() < 3000, "{name}: {} findings", findings.len());
        assert!(findings.to_string().contains(why), "{name}: {findings}");
        assert!(took < QUICK, "{name} took {took:?}");
    }
}

#[test]
fn a_document_of_too_many_values_is_refused() {
    let text: String = (0..100_000).map(|n| format!("{n}:\n")).collect();
    let (_, findings) = nodes(&text);
    let told = findings.to_string();
    assert!(told.contains("it holds too many values"), "{told}");
}

#[test]
fn many_type_mistakes_are_all_told_quickly() {
    let env: String = (0..9000)
        .map(|n| format!("    - {{name: A, value: {n}}}\n"))
        .collect();
    let text = format!("spec:\n  containers:\n  - env:\n{env}");
    let start = cpu_time();
    let (nodes, mut findings) = nodes(&text);
    _ = decode::<Pod>(&nodes[0], "", &mut findings);
    assert_eq!(findings.len(), 9000);
    let took = cpu_time() - start;
    assert!(took < 4 * QUICK, "{took:?}");
}

/// Everything that is done to an input before it is a pod.
fn read_all(text: String) -> Findings {
    let mut findings = Findings::new();
    let name = "f".to_owned();
    let sources = [Source { name, text }];
    _ = read(&sources, Strictness::Strict, &mut findings);
    findings
}

fn manifests() -> Vec<String> {
    let cases = fs::read_dir(fixtures().join("cases")).expect("cases");
    let cases = cases.map(|case| fs::read_to_string(case.expect("a case").path()).expect("text"));
    cases
        .chain([text_of("all-fields-pod.yaml")])
        .filter(|text| text.len() < 50_000)
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        read_all(String::from_utf8_lossy(&bytes).into_owned());
    }

    #[test]
    fn arbitrary_yaml_like_text_never_panics(text in "([-:\\[\\]{}&*!|>'\"%@<#,?a-c0-9.~+_ \n\t\r\u{feff}é]|--- |\\.\\.\\.\n|<<: |kind: |apiVersion: v1\n|Pod\n|spec:\n){0,80}") {
        read_all(text);
    }

    #[test]
    fn mutated_manifests_never_panic(
        which in any::<prop::sample::Index>(),
        cuts in prop::collection::vec((any::<prop::sample::Index>(), 0..9_usize, "[-:\\[\\]{}&*!|>'\"# \na-z0-9]{0,4}"), 1..6),
    ) {
        let manifests = manifests();
        let mut text: Vec<char> = which.get(&manifests).chars().collect();
        for (at, length, insert) in cuts {
            let at = at.index(text.len() + 1);
            let end = (at + length).min(text.len());
            text.splice(at..end, insert.chars());
        }
        read_all(text.into_iter().collect());
    }
}
