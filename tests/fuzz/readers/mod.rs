//! What reads hostile bytes, each as one function: what it asserts must hold of any bytes. The seeded harness and the guided one
//! (`guided`) give them theirs.

mod image;
mod records;
mod texts;

pub use image::*;
pub use records::*;
pub use texts::*;
