//! Lines with names and values, indented, the values of neighbours below one another.

use super::{list, text_of};
use serde_json::Value;

/// Deeper by this many spaces.
const INDENT: usize = 2;

/// What is below a heading, in order.
#[derive(Debug, Default)]
pub struct Tree(Vec<Node>);

#[derive(Debug)]
enum Node {
    /// `Name:   value`; further lines of the value stand below the first.
    Line(String, Vec<String>),
    /// `Name:`, and what is below it.
    Branch(String, Tree),
    /// Text without a name.
    Text(String),
    Table(Vec<Vec<String>>),
}

impl Tree {
    /// A name and its value.
    pub fn line(&mut self, name: &str, value: impl Into<String>) {
        self.0.push(Node::Line(name.to_owned(), vec![value.into()]));
    }

    /// The same if there is a value.
    pub fn some(&mut self, name: &str, value: &Value) {
        match text_of(value) {
            text if text.is_empty() => {}
            text => self.line(name, text),
        }
    }

    /// A name and the pairs of an object, each on a line of its own.
    pub fn map(&mut self, name: &str, value: &Value, between: &str) {
        let pairs = value.as_object().into_iter().flatten();
        let lines: Vec<_> = pairs
            .map(|(key, value)| format!("{key}{between}{}", text_of(value)))
            .collect();
        let lines = if lines.is_empty() {
            vec!["<none>".to_owned()]
        } else {
            lines
        };
        self.0.push(Node::Line(name.to_owned(), lines));
    }

    /// A heading and what is below it.
    pub fn branch(&mut self, name: &str, tree: Tree) {
        self.0.push(Node::Branch(name.to_owned(), tree));
    }

    /// A heading and lines without names; nothing if there are none.
    pub fn texts(&mut self, name: &str, lines: &Value) {
        let mut tree = Tree::default();
        list(lines).iter().for_each(|line| tree.text(text_of(line)));
        if !tree.is_empty() {
            self.branch(name, tree);
        }
    }

    /// A line without a name.
    pub fn text(&mut self, text: impl Into<String>) {
        self.0.push(Node::Text(text.into()));
    }

    /// Rows of columns; the first is the heading.
    pub fn table(&mut self, rows: Vec<Vec<String>>) {
        self.0.push(Node::Table(rows));
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As it is printed.
    pub fn print(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, 0);
        out
    }

    fn write(&self, out: &mut String, indent: usize) {
        let names = self.0.iter().filter_map(|node| match node {
            Node::Line(name, _) => Some(name.chars().count() + 1),
            Node::Branch(..) | Node::Text(_) | Node::Table(_) => None,
        });
        let width = names.max().unwrap_or(0);
        let mut put = |text: &str, indent: usize| {
            out.push_str(format!("{:indent$}{text}", "").trim_end());
            out.push('\n');
        };
        for node in &self.0 {
            match node {
                Node::Line(name, values) => {
                    let mut name = format!("{name}:");
                    // A value of several lines goes on below its first.
                    for line in values.iter().flat_map(|value| value.split('\n')) {
                        put(&format!("{name:width$}  {line}"), indent);
                        name.clear();
                    }
                }
                Node::Branch(name, tree) => {
                    put(&format!("{name}:"), indent);
                    let mut below = String::new();
                    tree.write(&mut below, indent + INDENT);
                    below.lines().for_each(|line| put(line, 0));
                }
                Node::Text(text) => text.split('\n').for_each(|line| put(line, indent)),
                Node::Table(rows) => {
                    let mut table = Vec::new();
                    // A vector takes everything.
                    let _ = crate::cli::table::write(&mut table, None, rows);
                    let table = String::from_utf8_lossy(&table);
                    table.lines().for_each(|line| put(line, indent));
                }
            }
        }
    }
}
