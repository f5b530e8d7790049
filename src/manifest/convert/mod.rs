//! Checked `core/v1` objects → the model. Every struct is taken apart with all its fields named: a field that a new version of
//! the API adds breaks the build here instead of being ignored.
//!
//! `None` means that validation has a hole; nothing is made up to fill it.

mod container;
mod env;
mod lifecycle;
mod pod;
mod resources;
mod security;
#[cfg(test)]
mod tests;
mod volume;

pub use env::field_ref;
pub use pod::pod;
