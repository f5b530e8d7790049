//! Kubernetes YAML or JSON → validated [`Pod`]s with all defaults applied, or every finding at once, each with its file, line
//! and field path. Pure: text in, values out. Strict: an unknown field, a duplicate key or a wrong type is a finding.
//!
//! ```text
//! text ─yaml→ Node ─documents→ core/v1 objects (decode, objects) ─resolve→ model
//! ```

mod claims;
mod convert;
mod decode;
mod defaults;
mod documents;
pub mod downward;
mod env_file;
mod expand;
mod finding;
mod from_node;
mod grammar;
mod load;
mod model;
mod node;
mod objects;
pub mod qos;
mod raw;
mod resolve;
mod validate;
mod verdict;
mod yaml;

pub use claims::Claim;
pub use decode::decode;
pub use documents::{Documents, RawPod, Source, read};
pub use env_file::env_file_value;
pub use expand::expand;
pub use finding::{Finding, FindingKind, Findings, Location};
pub use grammar::subdomain as pod_name;
pub use load::{LoadOptions, Loaded, Strictness, load};
pub use model::*;
pub use node::{Entry, Node, Place, Value, locate};
pub use resolve::{ResolveContext, resolve};
pub use verdict::{Verdict, verdicts};
pub use yaml::parse;
