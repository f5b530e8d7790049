//! The loop of one pod: the only place where the pure machine meets effects.
//!
//! ```text
//!  keeper ──exits, fds──▶ supervisor: select { exits, completions, signals, requests, timer }
//!                              │ step(now, input)
//!                              ▼
//!                         machine ──actions──▶ effects (one function per Action)
//! ```
//!
//! One task owns the machine; operations are tasks of one `JoinSet`, each ends in one `Input::Done`. Recovery is the normal path:
//! a supervisor reads the snapshot, looks at the world, and goes on.

mod handle;
mod keeper;
mod link;

pub use handle::Handle;
pub use keeper::{KEEPER_VERB, KeeperError, SUPERVISOR_VERB, keep};
