//! What is wrong with a manifest, one [`Finding`] per line, in the words of the API server.
//!
//! Findings are collected, never thrown: a user sees all of them at once. Source: `apimachinery` util/validation/field.

use std::fmt;

/// A place in an input text.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// Name of the input as the user gave it; `-` is standard input.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

/// What kind of mistake it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum FindingKind {
    /// Missing or empty.
    Required,
    /// Malformed or out of range; the value as it is shown: strings quoted, numbers bare, objects as JSON.
    Invalid(String),
    /// Must be unique; the value, shown in quotes.
    Duplicate(String),
    /// Not one of a closed set.
    Unsupported {
        /// The value, shown in quotes.
        value: String,
        /// What would be accepted, shown in quotes.
        supported: Vec<String>,
    },
    /// A reference to nothing; the name, shown in quotes.
    NotFound(String),
    /// Legal elsewhere, not here.
    Forbidden,
    /// Over a size limit.
    TooLong,
    /// Over a number of items; how many there are.
    TooMany(usize),
    /// A field that does not exist.
    Unknown,
    /// A field that is written twice.
    DuplicateField,
    /// Not YAML, or more than podshim is ready to read.
    Syntax,
    /// Legal Kubernetes that podshim does not do (yet).
    NotSupported,
}

/// One mistake, or one warning.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Finding {
    /// Field path, e.g. `spec.containers[0].image`; empty when it is about a whole document or input.
    pub path: String,
    /// What kind of mistake it is.
    pub kind: FindingKind,
    /// The rule that is broken; may be empty.
    pub detail: String,
    /// Where it is written; of a missing field, where its parent is.
    pub location: Option<Location>,
    /// The fix, when it is known.
    pub hint: Option<String>,
    /// Does not keep the manifest from running.
    pub warning: bool,
}

/// Findings in the order in which they were made; [`Findings::sort`] brings them into the order of the input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

impl Finding {
    /// A finding without location and hint.
    pub fn new(path: impl Into<String>, kind: FindingKind, detail: impl Into<String>) -> Finding {
        Finding {
            path: path.into(),
            kind,
            detail: detail.into(),
            location: None,
            hint: None,
            warning: false,
        }
    }

    /// The same with its location in front, `<file>:<line>:<column>: `, where there is one.
    pub fn located(&self) -> impl fmt::Display + '_ {
        fmt::from_fn(move |f| match &self.location {
            Some(location) => write!(f, "{location}: {self}"),
            None => fmt::Display::fmt(self, f),
        })
    }

    /// The words of the kind, without path and detail; a plain warning has none.
    fn type_text(&self) -> Option<String> {
        Some(match &self.kind {
            FindingKind::Required => "Required value".to_owned(),
            FindingKind::Invalid(value) => format!("Invalid value: {value}"),
            FindingKind::Duplicate(value) => format!("Duplicate value: {value:?}"),
            FindingKind::Unsupported { value, supported } => {
                let names: Vec<_> = supported.iter().map(|name| format!("{name:?}")).collect();
                let names = names.join(", ");
                format!("Unsupported value: {value:?}: supported values: {names}")
            }
            FindingKind::NotFound(value) => format!("Not found: {value:?}"),
            FindingKind::Forbidden => "Forbidden".to_owned(),
            FindingKind::TooLong => "Too long".to_owned(),
            FindingKind::TooMany(count) => format!("Too many: {count}"),
            FindingKind::Unknown => format!("unknown field {:?}", self.path),
            FindingKind::DuplicateField => format!("duplicate field {:?}", self.path),
            FindingKind::NotSupported if !self.warning => "Forbidden: not supported".to_owned(),
            FindingKind::NotSupported | FindingKind::Syntax => return None,
        })
    }
}

impl fmt::Display for Finding {
    /// `path: Type: value: detail`, without location and hint.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names_itself = matches!(
            self.kind,
            FindingKind::Unknown | FindingKind::DuplicateField
        );
        let path = (!names_itself && !self.path.is_empty()).then(|| self.path.clone());
        let detail = (!self.detail.is_empty()).then(|| self.detail.clone());
        let parts: Vec<String> = [path, self.type_text(), detail]
            .into_iter()
            .flatten()
            .collect();
        f.write_str(&parts.join(": "))
    }
}

impl Findings {
    /// None yet.
    pub fn new() -> Findings {
        Findings::default()
    }

    /// Adds one, and gives it back for a location or a hint.
    pub fn push(&mut self, finding: Finding) -> &mut Finding {
        self.0.push(finding);
        let last = self.0.len() - 1;
        &mut self.0[last]
    }

    fn add(&mut self, path: impl Into<String>, kind: FindingKind, detail: &str) -> &mut Finding {
        self.push(Finding::new(path, kind, detail))
    }

    /// `path: Required value`.
    pub fn required(&mut self, path: impl Into<String>) -> &mut Finding {
        self.add(path, FindingKind::Required, "")
    }

    /// `path: Invalid value: value: detail`; the value is shown as given, so a string comes in quotes.
    pub fn invalid(
        &mut self,
        path: impl Into<String>,
        value: impl fmt::Display,
        detail: impl AsRef<str>,
    ) -> &mut Finding {
        let kind = FindingKind::Invalid(value.to_string());
        self.add(path, kind, detail.as_ref())
    }

    /// `path: Duplicate value: "value"`.
    pub fn duplicate(&mut self, path: impl Into<String>, value: impl Into<String>) -> &mut Finding {
        self.add(path, FindingKind::Duplicate(value.into()), "")
    }

    /// `path: Unsupported value: "value": supported values: …`.
    pub fn unsupported(
        &mut self,
        path: impl Into<String>,
        value: impl Into<String>,
        supported: &[&str],
    ) -> &mut Finding {
        let kind = FindingKind::Unsupported {
            value: value.into(),
            supported: supported.iter().map(|&name| name.to_owned()).collect(),
        };
        self.add(path, kind, "")
    }

    /// `path: Not found: "value"`.
    pub fn not_found(&mut self, path: impl Into<String>, value: impl Into<String>) -> &mut Finding {
        self.add(path, FindingKind::NotFound(value.into()), "")
    }

    /// `path: Forbidden: detail`.
    pub fn forbidden(&mut self, path: impl Into<String>, detail: impl AsRef<str>) -> &mut Finding {
        self.add(path, FindingKind::Forbidden, detail.as_ref())
    }

    /// `path: Too long: detail`.
    pub fn too_long(&mut self, path: impl Into<String>, detail: impl AsRef<str>) -> &mut Finding {
        self.add(path, FindingKind::TooLong, detail.as_ref())
    }

    /// `path: Too many: count: detail`.
    pub fn too_many(
        &mut self,
        path: impl Into<String>,
        count: usize,
        detail: impl AsRef<str>,
    ) -> &mut Finding {
        self.add(path, FindingKind::TooMany(count), detail.as_ref())
    }

    /// `path: Forbidden: not supported: detail`.
    pub fn not_supported(
        &mut self,
        path: impl Into<String>,
        detail: impl AsRef<str>,
    ) -> &mut Finding {
        self.add(path, FindingKind::NotSupported, detail.as_ref())
    }

    /// A warning, `path: detail`.
    pub fn warn(&mut self, path: impl Into<String>, detail: impl AsRef<str>) -> &mut Finding {
        let finding = self.add(path, FindingKind::NotSupported, detail.as_ref());
        finding.warning = true;
        finding
    }

    /// No findings and no warnings.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many, warnings included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// In the present order.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    /// Whether one of them keeps the manifest from running.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|finding| !finding.warning)
    }

    /// Fills in the locations that are missing, from the path.
    pub fn locate(&mut self, mut locate: impl FnMut(&str) -> Option<Location>) {
        for finding in &mut self.0 {
            if finding.location.is_none() {
                finding.location = locate(&finding.path);
            }
        }
    }

    /// Into the order of the input: the files in this order and then as first seen, in them line and column; what has no place
    /// comes last.
    pub fn sort<'a>(&mut self, files: impl IntoIterator<Item = &'a str>) {
        let mut files: Vec<String> = files.into_iter().map(str::to_owned).collect();
        for location in self
            .0
            .iter()
            .filter_map(|finding| finding.location.as_ref())
        {
            if !files.contains(&location.file) {
                files.push(location.file.clone());
            }
        }
        self.0.sort_by_key(|finding| match &finding.location {
            Some(at) => {
                let file = files.iter().position(|file| *file == at.file);
                (file.unwrap_or(usize::MAX), at.line, at.column)
            }
            None => (usize::MAX, u32::MAX, u32::MAX),
        });
    }
}

impl Extend<Finding> for Findings {
    fn extend<I: IntoIterator<Item = Finding>>(&mut self, findings: I) {
        self.0.extend(findings);
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a> IntoIterator for &'a Findings {
    type Item = &'a Finding;
    type IntoIter = std::slice::Iter<'a, Finding>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

impl fmt::Display for Findings {
    /// One located finding per line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            write!(f, "{line_break}{}", finding.located())?;
        }
        Ok(())
    }
}

impl std::error::Error for Findings {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_read_like_those_of_the_api_server() {
        let mut findings = Findings::new();
        findings.required("spec.containers[0].name");
        findings.invalid("a.port", 70000, "must be between 1 and 65535, inclusive");
        findings.duplicate("spec.volumes[1].name", "data");
        findings.unsupported("spec.restartPolicy", "Sometimes", &["Always", "Never"]);
        findings.not_found("spec.containers[0].volumeMounts[0].name", "data");
        findings.forbidden("a.b", "may not be set");
        findings.too_long("a.b", "may not be more than 64 bytes");
        findings.too_many("a.b", 21, "must have at most 20 items");
        findings.not_supported("spec.volumes[0].csi", "use hostPath");
        findings.warn("spec.overhead", "is ignored");
        findings.push(Finding::new("spec.x", FindingKind::Unknown, ""));
        findings.push(Finding::new("spec.x", FindingKind::DuplicateField, ""));
        findings.push(Finding::new("", FindingKind::Syntax, "cannot parse"));
        assert_eq!(
            findings.to_string(),
            r#"spec.containers[0].name: Required value
a.port: Invalid value: 70000: must be between 1 and 65535, inclusive
spec.volumes[1].name: Duplicate value: "data"
spec.restartPolicy: Unsupported value: "Sometimes": supported values: "Always", "Never"
spec.containers[0].volumeMounts[0].name: Not found: "data"
a.b: Forbidden: may not be set
a.b: Too long: may not be more than 64 bytes
a.b: Too many: 21: must have at most 20 items
spec.volumes[0].csi: Forbidden: not supported: use hostPath
spec.overhead: is ignored
unknown field "spec.x"
duplicate field "spec.x"
cannot parse"#
        );
    }

    #[test]
    fn findings_come_in_the_order_of_the_input() {
        let at = |file: &str, line, column| {
            Some(Location {
                file: file.to_owned(),
                line,
                column,
            })
        };
        let mut findings = Findings::new();
        findings.required("nowhere");
        findings.required("second").location = at("b.yaml", 2, 9);
        findings.required("first").location = at("b.yaml", 2, 3);
        findings.required("third").location = at("a.yaml", 1, 1);
        findings.sort([]);
        assert_eq!(
            findings.to_string(),
            "b.yaml:2:3: first: Required value\nb.yaml:2:9: second: Required value\n\
             a.yaml:1:1: third: Required value\nnowhere: Required value"
        );
        findings.sort(["a.yaml"]);
        let first = findings.iter().next().map(|finding| finding.path.as_str());
        assert_eq!(first, Some("third"));
    }
}
