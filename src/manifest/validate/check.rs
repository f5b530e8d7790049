//! What every check is made of: a field path that grows downwards, and the few rules that recur on every level.

use crate::base::Quantity;
use crate::manifest::finding::{Finding, FindingKind, Findings};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;

/// Path of a field, e.g. `spec.containers[0].name`.
#[derive(Clone, Debug)]
pub struct Path(String);

impl Path {
    /// A field of the pod itself.
    pub fn root(name: &str) -> Path {
        Path(name.to_owned())
    }

    /// A field of this object.
    pub fn field(&self, name: &str) -> Path {
        Path(format!("{}.{name}", self.0))
    }

    /// An entry of this list.
    pub fn index(&self, index: usize) -> Path {
        Path(format!("{}[{index}]", self.0))
    }

    /// An entry of this map.
    pub fn key(&self, key: &str) -> Path {
        Path(format!("{}[{key}]", self.0))
    }
}

impl From<Path> for String {
    fn from(path: Path) -> String {
        path.0
    }
}

impl From<&Path> for String {
    fn from(path: &Path) -> String {
        path.0.clone()
    }
}

/// A string as findings show it.
pub fn quoted(text: &str) -> String {
    format!("{text:?}")
}

/// Entries of an optional list with their paths.
pub fn each<'a, T>(list: &'a Option<Vec<T>>, at: &Path) -> impl Iterator<Item = (Path, &'a T)> {
    let entries = list.as_deref().unwrap_or_default().iter().enumerate();
    entries.map(move |(index, entry)| (at.index(index), entry))
}

/// `path: Required value: detail`.
pub fn required(findings: &mut Findings, at: &Path, detail: &str) {
    findings.push(Finding::new(at, FindingKind::Required, detail));
}

/// The text follows the rule.
pub fn text(
    findings: &mut Findings,
    at: &Path,
    text: &str,
    rule: fn(&str) -> Result<(), &'static str>,
) {
    if let Err(detail) = rule(text) {
        findings.invalid(at, quoted(text), detail);
    }
}

/// The text is there and follows the rule.
pub fn name(
    findings: &mut Findings,
    at: &Path,
    name: &str,
    rule: fn(&str) -> Result<(), &'static str>,
) {
    if name.is_empty() {
        required(findings, at, "");
    } else {
        text(findings, at, name, rule);
    }
}

/// The number, if there is one, follows the rule.
pub fn number(
    findings: &mut Findings,
    at: &Path,
    number: Option<i64>,
    rule: fn(i64) -> Result<(), &'static str>,
) {
    if let Some(number) = number
        && let Err(detail) = rule(number)
    {
        findings.invalid(at, number, detail);
    }
}

/// The text, if there is one, is one of a closed set.
pub fn one_of(findings: &mut Findings, at: &Path, text: Option<&str>, set: &[&str]) {
    if let Some(text) = text
        && !set.contains(&text)
    {
        findings.unsupported(at, text, set);
    }
}

/// An amount that can be read and is not negative.
pub fn amount(findings: &mut Findings, at: &Path, text: &Text) -> Option<Quantity> {
    match text.0.parse::<Quantity>() {
        Ok(amount) if amount.is_negative() => {
            findings.invalid(at, quoted(&text.0), "must be greater than or equal to 0");
            None
        }
        Ok(amount) => Some(amount),
        Err(error) => {
            findings.invalid(at, quoted(&text.0), error.to_string());
            None
        }
    }
}
