//! What the YAML parser gives, and what kubectl makes of it on the way to JSON.

use crate::manifest::node::{Entry, Node, Place, Value};
use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Arc;

/// Duplicate keys of one document that are told; who has more is not helped by more.
pub const MAX_DUPLICATES: usize = 100;

/// Where and why a document cannot be read.
pub type Refusal = (Place, String);

/// A position within the document, from 1, as a place in the input.
pub fn place(start: &Place, line: u64, column: u64) -> Place {
    let number = |n: u64| u32::try_from(n).unwrap_or(u32::MAX).max(1);
    Place {
        file: Arc::clone(&start.file),
        line: start.line.saturating_add(number(line) - 1),
        column: number(column),
    }
}

/// A value of the parser.
pub enum Raw {
    /// Nothing.
    Null,
    /// A boolean.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// Any other number.
    Float(f64),
    /// Text.
    String(String),
    /// Items.
    List(Vec<Spanned<Raw>>),
    /// Pairs; a key may be there again.
    Map(Vec<(Spanned<Raw>, Spanned<Raw>)>),
}

/// The conversion of one document.
pub struct Conversion<'a> {
    /// Where the document begins.
    start: &'a Place,
    /// The path of the value at hand. Whether a mapping is one of fields or of keys is not known here: what reads as a field is
    /// written as one.
    path: String,
    /// Paths and places of the keys that were there before, not more than [`MAX_DUPLICATES`].
    pub duplicates: Vec<(String, Place)>,
}

impl<'a> Conversion<'a> {
    /// Of a document that begins there.
    pub fn new(start: &'a Place) -> Conversion<'a> {
        Conversion {
            start,
            path: String::new(),
            duplicates: Vec::new(),
        }
    }

    /// Integral floats become integers, keys become text.
    pub fn node(&mut self, raw: Spanned<Raw>) -> Result<Node, Refusal> {
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
