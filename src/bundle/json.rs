//! A configuration as bytes: equal input gives equal bytes.

use crate::base::to_json_pretty;
use oci_spec::runtime::Spec;
use serde_json::Value;

/// `config.json`: keys sorted, capability sets sorted, indented, with a final newline. `oci-spec` keeps capabilities,
/// annotations, sysctls and unified values in hashed collections, whose order differs from run to run.
pub fn to_json(spec: &Spec) -> Vec<u8> {
    let mut value = serde_json::to_value(spec).expect("every key of a spec is a string");
    if let Some(Value::Object(sets)) = value.pointer_mut("/process/capabilities") {
        for set in sets.values_mut() {
            if let Value::Array(names) = set {
                names.sort_by(|a, b| a.as_str().cmp(&b.as_str()));
            }
        }
    }
    let mut text = to_json_pretty(&value).expect("a value always prints");
    text.push(b'\n');
    text
}
