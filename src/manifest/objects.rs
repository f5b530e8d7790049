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
    let metadata = metadata.unwrap_or_default();
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
    Some(ConfigObject {
        kind,
        name,
        namespace,
        data,
        binary,
    })
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
