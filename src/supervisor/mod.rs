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

mod attach;
mod context;
mod disk;
mod early;
mod effects;
mod error;
mod exec;
mod exits;
mod handle;
mod handlers;
mod hands;
mod helper;
mod images;
mod instance;
mod keeper;
mod link;
mod logs;
mod mounts;
mod names;
mod network;
mod parts;
mod pipes;
mod plan;
mod quiet;
mod record;
mod recover;
mod remnants;
mod run;
mod sandbox;
mod snapshot;
mod strays;
pub mod task;
mod world;

pub use attach::Attached;
pub use context::SECCOMP_PROFILES;
pub use disk::{MEASURE_VERB, Measured, Parts};
pub use error::{End, KeeperError, SupervisorError};
pub use exec::{ExecError, ExecStart, exec_start};
pub use handle::Handle;
pub use handlers::{EXEC_VERB, ExecAnswer};
pub use hands::{FileId, Hands, Process};
pub use images::IMAGE_VERB;
pub use keeper::{HOPELESS, KEEPER_SIGNALS, KEEPER_VERB, REPLACED, SUPERVISOR_VERB, keep};
pub use link::{HOST_MOUNTS, LINK};
pub use network::NETWORK_VERB;
pub use plan::Plan;
pub use quiet::Quiet;
pub use run::supervise;
pub use sandbox::volume_dirs;
pub use snapshot::{
    FORMAT, PLAN, PodRecord, SNAPSHOT, SNAPSHOT_BEFORE, Snapshot, list_pods, read_plan, read_pod,
};
