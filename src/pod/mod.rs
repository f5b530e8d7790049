//! The life of one pod as a value: `step` is the only mutator, `next_deadline` the only timer, `view` what every face shows.
//! Pure: no clock, no files, no tokio. Level-triggered: absorb the fact, then plan from facts alone, so that recovery after a
//! crash is the same code as running.

mod action;
mod disk;
mod engine;
mod grace;
mod input;
mod machine;
mod policy;
mod replay;
mod settings;
mod simulation;
mod spec;
mod state;
mod status;
mod timeline;
mod timings;
mod view;
mod why;
mod words;

pub use action::*;
pub use disk::DiskUse;
pub use input::*;
pub use machine::Machine;
pub use replay::{Begun, Comparison, Difference, Entry, Replayed, replay};
pub use settings::Settings;
pub use simulation::{Script, ScriptError, Simulation, Stopped};
pub use state::State;
pub use status::{exit_code, ready_column, restarts, status_column, status_json};
pub use timeline::{Moment, MomentKind, Timeline};
pub use timings::{Span, Timings};
pub use view::*;
pub use why::{Cause, Explanation, Known, Next, explain};
