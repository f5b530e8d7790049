//! Build
fn main() {}
