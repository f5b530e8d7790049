//! ConfigMaps and Secrets. No value of a Secret is ever part of a finding, not even a wrong one.

use crate::manifest::decode::{Values, decode_with};
use crate::manifest::grammar;
use crate::manifest::{ConfigObject, Findings, Node, ObjectKind};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::Deserialize;
use std::collections::BTreeMap;

/// Bytes of all values of one object. Source: `core/v1` MaxSecretSize.
const MAX_OBJECT_BYTES: usize = 1 << 20;

/// Source: `core/v1` ConfigMap.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "fields that are accepted and mean nothing here")]
struct ConfigMap {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Option<ObjectMeta>,
    immutable: Option<bool>,
    data: Option<BTreeMap<String, String>>,
    binary_data: Option<BTreeMap<String, String>>,
}

/// Source: `core/v1` Secret.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(dead_code, reason = "fields that are accepted and mean nothing here")]
struct Secret {
    api_version: Option<String>,
    kind: Option<String>,
    metadata: Option<ObjectMeta>,
    immutable: Option<bool>,
    r#type: Option<String>,
    data: Option<BTreeMap<String, String>>,
    string_data: Option<BTreeMap<String, String>>,
}

/// Makes an object of a document; `None` when nothing can be made of it. It is checked as far as it goes.
pub fn read(kind: ObjectKind, node: &Node, findings: &mut Findings) -> Option<ConfigObject> {
    let (metadata, data, binary) = match kind {
        ObjectKind::ConfigMap => config_map(node, findings)?,
        ObjectKind::Secret => secret(node, findings)?,
    };
    let size: usize = data.values().chain(binary.values()).map(Vec::len).sum();
    if size > MAX_OBJECT_BYTES {
        let detail = format!("may not be more than {MAX_OBJECT_BYTES} bytes");
        findings.too_long("data", detail);
    }
    let (name, namespace) = identity(metadata.unwrap_or_default(), findings);
    Some(ConfigObject {
        kind,
        name,
        namespace,
        data,
        binary,
    })
}

/// Name and namespace of an object, checked.
pub(super) fn identity(metadata: ObjectMeta, findings: &mut Findings) -> (String, String) {
    let name = metadata.name.unwrap_or_default();
    let namespace = metadata.namespace.filter(|namespace| !namespace.is_empty());
    let namespace = namespace.unwrap_or_else(|| "default".to_owned());
    if name.is_empty() {
        findings.required("metadata.name");
    } else if let Err(detail) = grammar::subdomain(&name) {
        findings.invalid("metadata.name", format!("{name:?}"), detail);
    }
    if let Err(detail) = grammar::label(&namespace) {
        findings.invalid("metadata.namespace", format!("{namespace:?}"), detail);
    }
    (name, namespace)
}

type Parts = (
    Option<ObjectMeta>,
    BTreeMap<String, Vec<u8>>,
    BTreeMap<String, Vec<u8>>,
);

fn config_map(node: &Node, findings: &mut Findings) -> Option<Parts> {
    let object: ConfigMap = decode_with(node, "", Values::Shown, findings)?;
    let data = object.data.unwrap_or_default();
    let binary = object.binary_data.unwrap_or_default();
    check_keys("data", &data, findings);
    check_keys("binaryData", &binary, findings);
    for key in data.keys().filter(|key| binary.contains_key(*key)) {
        let detail = "duplicate of key present in binaryData";
        findings.invalid(format!("data[{key}]"), format!("{key:?}"), detail);
    }
    let binary = decoded("binaryData", binary, findings);
    Some((object.metadata, plain(data), binary))
}

fn secret(node: &Node, findings: &mut Findings) -> Option<Parts> {
    let object: Secret = decode_with(node, "", Values::Hidden, findings)?;
    let encoded = object.data.unwrap_or_default();
    let text = object.string_data.unwrap_or_default();
    check_keys("data", &encoded, findings);
    check_keys("stringData", &text, findings);
    let mut data = decoded("data", encoded, findings);
    data.extend(plain(text));
    Some((object.metadata, data, BTreeMap::new()))
}

fn check_keys(field: &str, data: &BTreeMap<String, String>, findings: &mut Findings) {
    for key in data.keys() {
        if let Err(detail) = grammar::config_key(key) {
            findings.invalid(format!("{field}[{key}]"), format!("{key:?}"), detail);
        }
    }
}

fn plain(data: BTreeMap<String, String>) -> BTreeMap<String, Vec<u8>> {
    let bytes = data.into_iter().map(|(key, text)| (key, text.into_bytes()));
    bytes.collect()
}

/// Decodes base64; white space within it means nothing.
fn decoded(
    field: &str,
    data: BTreeMap<String, String>,
    findings: &mut Findings,
) -> BTreeMap<String, Vec<u8>> {
    let mut bytes = BTreeMap::new();
    for (key, mut text) in data {
        text.retain(|character| !character.is_ascii_whitespace());
        match STANDARD.decode(text) {
            Ok(value) => _ = bytes.insert(key, value),
            // Not the decoder's words: they quote bytes of the value.
            Err(_) => {
                let detail = "must be base64 (in a Secret, stringData takes plain text)";
                findings.invalid(format!("{field}[{key}]"), "(hidden)", detail);
            }
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Strictness, parse};

    fn read_text(kind: ObjectKind, text: &str) -> (Option<ConfigObject>, String) {
        let mut findings = Findings::new();
        let nodes = parse("f", text, Strictness::Strict, &mut findings);
        let object = read(kind, &nodes[0], &mut findings);
        (object, findings.to_string().replace("f:1:", "@"))
    }

    /// The findings of an object with these fields.
    fn told(kind: ObjectKind, fields: &str) -> String {
        read_text(kind, &format!("{{metadata: {{name: o}}, {fields}}}")).1
    }

    #[test]
    fn a_secret_is_decoded_and_string_data_comes_over_data() {
        let text = "metadata: {name: s, namespace: ns}\ntype: a/b\nimmutable: true\n\
            data:\n  a: |\n    aG\n    k= \n  b: eA==\n  raw: //79\nstringData: {b: 'y'}\n";
        let (object, findings) = read_text(ObjectKind::Secret, text);
        assert_eq!(findings, "");
        let object = object.expect("a secret");
        assert_eq!(
            (object.name.as_str(), object.namespace.as_str()),
            ("s", "ns")
        );
        let values: Vec<&[u8]> = object.data.values().map(Vec::as_slice).collect();
        assert_eq!(values, [b"hi".as_slice(), b"y", b"\xff\xfe\xfd"]);
    }

    #[test]
    fn a_config_map_has_text_and_bytes() {
        let text =
            "{metadata: {name: m}, immutable: false, data: {a: é, e: }, binaryData: {b: /w==}}";
        let (object, findings) = read_text(ObjectKind::ConfigMap, text);
        assert_eq!(findings, "");
        let object = object.expect("a config map");
        assert_eq!(object.namespace, "default");
        assert_eq!(object.data["a"], "é".as_bytes());
        assert_eq!(object.data["e"], b"");
        assert_eq!(object.binary["b"], [0xff]);
    }

    #[test]
    fn no_finding_shows_a_value_of_a_secret() {
        let found = told(
            ObjectKind::Secret,
            "data: {a: hunter2!, b: 4711, c: [hunter2]}, stringData: {d: 4711, e: {x: hunter2}}, dta: {f: hunter2}",
        );
        assert_eq!(found.lines().count(), 6, "{found}");
        assert!(
            !found.contains("hunter2") && !found.contains("4711"),
            "{found}"
        );
        assert!(
            found.contains("data[a]: Invalid value: (hidden): must be base64"),
            "{found}"
        );
    }

    #[test]
    fn a_key_of_both_kinds_of_data_is_refused() {
        assert_eq!(
            told(ObjectKind::ConfigMap, "data: {k: a}, binaryData: {k: eA==}"),
            "data[k]: Invalid value: \"k\": duplicate of key present in binaryData"
        );
    }

    #[test]
    fn keys_and_names_follow_the_grammar() {
        for key in ["'a b'", "..", "..a", ".", "''", "a/b"] {
            let found = told(ObjectKind::ConfigMap, &format!("data: {{{key}: x}}"));
            assert_eq!(found.lines().count(), 1, "{key}: {found}");
        }
        assert_eq!(told(ObjectKind::ConfigMap, "data: {A_b.c-1: x, .a: z}"), "");
        let (_, found) = read_text(ObjectKind::Secret, "metadata: {name: A_b, namespace: a.b}");
        assert_eq!(found.lines().count(), 2, "{found}");
        let (_, found) = read_text(ObjectKind::Secret, "data: {}");
        assert_eq!(found, "metadata.name: Required value");
    }

    #[test]
    fn the_size_of_an_object_is_bounded() {
        let value = "x".repeat(1 << 18);
        let fits = format!("data: {{a: &v {value}, b: *v, c: *v, d: *v}}");
        assert_eq!(told(ObjectKind::ConfigMap, &fits), "");
        let more = format!("data: {{a: &v {value}, b: *v, c: *v, d: *v, e: x}}");
        let found = told(ObjectKind::ConfigMap, &more);
        assert_eq!(found, "data: Too long: may not be more than 1048576 bytes");
    }

    #[test]
    fn what_a_config_map_holds_must_be_text() {
        assert_eq!(
            told(ObjectKind::ConfigMap, "data: {port: 80}"),
            "@36: data[port]: Invalid value: 80: must be a string, got integer (quote it)"
        );
    }
}
