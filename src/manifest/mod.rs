//! Kubernetes YAML or JSON → validated [`Pod`]s with all defaults applied, or every finding at once, each with its file, line
//! and field path. Pure: text in, values out. Strict: an unknown field, a duplicate key or a wrong type is a finding.

pub mod downward;
mod model;

pub use model::*;
