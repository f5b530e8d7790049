//! A document as a tree in which every value and every key knows its place.
//!
//! The values are those that kubectl makes of YAML: YAML 1.1 scalars, keys that are text, integral floats that are integers.
//! The tree has no aliases, no merge keys and no duplicate keys left, and is at most as deep as the parser allows.

use crate::manifest::Location;
use std::fmt::Write;
use std::sync::Arc;

/// Characters of a value that a finding shows.
const MAX_SHOWN_CHARS: usize = 200;

/// Where a key or a value is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Name of the input.
    pub file: Arc<str>,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// One value and its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// The value.
    pub value: Value,
    /// Where it is written; of an aliased value, where it was defined.
    pub place: Place,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `~`, `null` or nothing.
    Null,
    /// `true`, `yes`, `on` and their opposites.
    Bool(bool),
    /// An integer, also one that is written as `8080.0` or `1e3`.
    Int(i64),
    /// Any other finite number.
    Float(f64),
    /// Text.
    String(String),
    /// Items in order.
    List(Vec<Node>),
    /// Entries in order, each key once.
    Map(Vec<Entry>),
}

/// One entry of a mapping.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: String,
    /// Where the key is written.
    pub place: Place,
    /// The value.
    pub node: Node,
}

impl Place {
    /// The same as a location of a finding.
    pub fn location(&self) -> Location {
        Location {
            file: self.file.to_string(),
            line: self.line,
            column: self.column,
        }
    }
}

impl Entry {
    /// Where a user looks for the entry: at a scalar itself, otherwise at the key.
    fn shown_place(&self) -> &Place {
        match self.node.value {
            Value::Null | Value::List(_) | Value::Map(_) => &self.place,
            Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::String(_) => &self.node.place,
        }
    }
}

impl Node {
    /// The value of this key of a mapping.
    pub fn get(&self, key: &str) -> Option<&Node> {
        let entry = self.entries().iter().find(|entry| entry.key == key)?;
        Some(&entry.node)
    }

    /// The entries of a mapping; none of anything else.
    pub fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match &self.value {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// What kind of value it is, in a user's words.
    pub fn kind(&self) -> &'static str {
        match &self.value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "integer",
            Value::Float(_) => "number",
            Value::String(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) => "mapping",
        }
    }

    /// The same as JSON: what kubectl sends to the API server.
    pub fn to_json(&self) -> serde_json::Value {
        match &self.value {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => (*value).into(),
            Value::Int(value) => (*value).into(),
            Value::Float(value) => (*value).into(),
            Value::String(value) => value.as_str().into(),
            Value::List(items) => items.iter().map(Node::to_json).collect(),
            Value::Map(entries) => entries
                .iter()
                .map(|entry| (entry.key.clone(), entry.node.to_json()))
                .collect(),
        }
    }

    /// As findings show it: strings quoted, numbers bare, objects as JSON; cut after 200 characters.
    pub fn shown(&self) -> String {
        let mut cut = Cut {
            text: String::new(),
            left: MAX_SHOWN_CHARS,
        };
        match write!(cut, "{}", self.to_json()) {
            Ok(()) => cut.text,
            Err(_) => cut.text + "…",
        }
    }
}

/// Takes so many characters, then fails.
struct Cut {
    text: String,
    left: usize,
}

impl std::fmt::Write for Cut {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        for character in text.chars() {
            self.left = self.left.checked_sub(1).ok_or(std::fmt::Error)?;
            self.text.push(character);
        }
        Ok(())
    }
}

/// Where the field of this path is written, such as `spec.containers[0].image` or `metadata.labels[app]`; of a field that is
/// not there, where its nearest existing ancestor is.
pub fn locate(node: &Node, path: &str) -> Option<Location> {
    let (mut node, mut rest, mut place) = (node, path, &node.place);
    while !rest.is_empty() {
        let Some((child, after, child_place)) = step(node, rest) else {
            break;
        };
        (node, rest, place) = (child, after, child_place);
    }
    Some(place.location())
}

/// The first element of a path: the child, what is left of the path, and the child's place. Keys may hold dots and brackets.
fn step<'n, 'p>(node: &'n Node, path: &'p str) -> Option<(&'n Node, &'p str, &'n Place)> {
    if let Value::List(items) = &node.value {
        let (index, rest) = path.strip_prefix('[')?.split_once(']')?;
        let item = items.get(index.parse::<usize>().ok()?)?;
        return Some((item, rest, &item.place));
    }
    let entries = node.entries().iter().filter_map(|entry| {
        let rest = match path.strip_prefix('[') {
            Some(path) => path.strip_prefix(&*entry.key)?.strip_prefix(']')?,
            None => {
                let path = path.strip_prefix('.').unwrap_or(path);
                path.strip_prefix(&*entry.key)?
            }
        };
        (rest.is_empty() || rest.starts_with(['.', '['])).then_some((entry, rest))
    });
    let (entry, rest) = entries.max_by_key(|(entry, _)| entry.key.len())?;
    Some((&entry.node, rest, entry.shown_place()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::yaml;
    use crate::manifest::{Findings, Strictness};

    #[test]
    fn a_path_finds_the_line_of_its_field_or_of_the_nearest_ancestor() {
        let text = "metadata:\n  labels: {a.b/c: x, a: y}\nspec:\n  containers:\n  - image: b\n    ports:\n    - {}\n";
        let mut findings = Findings::new();
        let nodes = yaml::parse("f", text, Strictness::Strict, &mut findings);
        let at = |path: &str| locate(&nodes[0], path).expect("a place").to_string();
        assert_eq!(at(""), "f:1:1");
        assert_eq!(at("metadata.labels[a.b/c]"), "f:2:19");
        assert_eq!(at("metadata.labels[a]"), "f:2:25");
        assert_eq!(at("spec.containers"), "f:4:3");
        assert_eq!(at("spec.containers[0].image"), "f:5:12");
        assert_eq!(at("spec.containers[0].name"), "f:5:5");
        assert_eq!(at("spec.containers[0].ports[0].containerPort"), "f:7:7");
        assert_eq!(at("spec.containers[7].name"), "f:4:3");
        assert_eq!(at("nothing[].[x"), "f:1:1");
    }

    #[test]
    fn a_long_value_is_cut_when_shown() {
        let place = Place {
            file: "f".into(),
            line: 1,
            column: 1,
        };
        let node = Node {
            value: Value::String("é".repeat(5000)),
            place,
        };
        assert_eq!(node.shown().chars().count(), MAX_SHOWN_CHARS + 1);
    }
}
