//! A pod on a virtual clock: the same machine that supervises real pods, in a world that does what a script says. Pure and
//! deterministic: the same pod and script give the same timeline.

mod parse;
mod script;
mod world;

pub use script::{Script, ScriptError};
pub use world::{Simulation, Stopped};
