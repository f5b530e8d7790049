//! Kubernetes YAML or JSON → validated [`Pod`]s with all defaults applied, or every finding at once, each with its file, line
//! and field path. Pure: text in, values out. Strict: an unknown field, a duplicate key or a wrong type is a finding.

mod convert;
mod defaults;
pub mod downward;
mod expand;
mod finding;
mod grammar;
mod model;
pub mod qos;
mod resolve;
mod validate;
mod verdict;

pub use expand::expand;
pub use finding::{Finding, FindingKind, Findings, Location};
pub use model::*;
pub use resolve::{ResolveContext, resolve};
pub use verdict::{Verdict, verdicts};
