//! Kubernetes YAML or JSON → validated [`Pod`]s with all defaults applied, or every finding at once, each with its file, line
//! and field path. Pure: text in, values out. Strict: an unknown field, a duplicate key or a wrong type is a finding.

mod finding;
mod model;

pub use finding::{Finding, FindingKind, Findings, Location};
pub use model::*;
