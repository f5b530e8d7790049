//! The validated pod: what the rest of podshim works from.
//!
//! Every default of `core/v1` is applied, every reference inside the pod is known to resolve, every enum is closed. What a
//! field means is decided here once; no later layer looks at YAML or at `Option`s that have a default.

mod config;
mod container;
mod env;
mod lifecycle;
mod pod;
mod security;
mod volume;

pub use config::*;
pub use container::*;
pub use env::*;
pub use lifecycle::*;
pub use pod::*;
pub use security::*;
pub use volume::*;
