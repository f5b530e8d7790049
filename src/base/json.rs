//! Values as JSON, written piece by piece without a call for each: thousands of quotes, commas and names, which were a sixth of what
//! a supervisor did at the start of a pod.

use crate::base::Bytes;
use serde::Serialize;

/// On one line. *Errors*: keys that are no strings; what the value's own `Serialize` refuses.
pub fn to_json(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = Bytes::default();
    serde_json::to_writer(&mut text, value)?;
    Ok(text.into_vec())
}

/// Indented, for people. *Errors*: as of [`to_json`].
pub fn to_json_pretty(value: &impl Serialize) -> serde_json::Result<Vec<u8>> {
    let mut text = Bytes::default();
    serde_json::to_writer_pretty(&mut text, value)?;
    Ok(text.into_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    #[test]
    fn the_text_is_that_of_serde_json_whatever_the_pieces_are() {
        let pieces = [0, 1, 23, 24, 25, 96];
        let texts: Vec<_> = pieces
            .iter()
            .map(|length| "é\"\n".repeat(*length))
            .collect();
        let value: Value = json!({"texts": texts, "": [null, true, -1.5e300], "empty": {}});
        assert_eq!(to_json(&value).ok(), serde_json::to_vec(&value).ok());
        let pretty = serde_json::to_vec_pretty(&value).ok();
        assert_eq!(to_json_pretty(&value).ok(), pretty);
    }
}
