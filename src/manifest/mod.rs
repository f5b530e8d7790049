//! Kubernetes YAML or JSON → validated [`Pod`]s with all defaults applied, or every finding at once, each with its file, line
//! and field path. Pure: text in, values out. Strict: an unknown field, a duplicate key or a wrong type is a finding.
//!
//! ```text
//! text ─yaml→ Node ─documents→ core/v1 objects (decode, objects) ─resolve→ model
//! ```

mod decode;
mod documents;
mod finding;
mod from_node;
#[allow(dead_code)]
mod grammar;
mod load;
mod model;
mod node;
mod objects;
mod raw;
mod resolve;
mod yaml;

pub use decode::decode;
pub use documents::{Documents, RawPod, Source, read};
pub use finding::{Finding, FindingKind, Findings, Location};
pub use load::{LoadOptions, Loaded, Strictness, load};
pub use model::*;
pub use node::{Entry, Node, Place, Value, locate};
pub use resolve::{ResolveContext, resolve};
pub use yaml::parse;
