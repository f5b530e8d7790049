//! Containers that somebody else decides about: containerd says create, start, kill, delete, and hears what became of them.
//!
//! ```text
//!  face ──Tasks (one method per verb)──▶ loop: select { exits and finished jobs, requests }
//!                                          │ owns every container; jobs are tasks of one JoinSet
//!                                          ▼
//!                                        TaskEvent ──▶ face
//! ```
//!
//! Invariants: one task owns all state; a runtime call runs in a job, so that a runtime that hangs holds up nobody but the one
//! who asked; signals go by pidfd; an exit is on disk before anybody hears of it; the order of a container's events is create,
//! start, exec added, exec started, exits of execs, exit, delete.

mod checkpoint;
mod clean;
mod config;
mod container;
mod create;
mod delete;
mod exits;
mod group;
mod handle;
mod listed;
mod place;
mod requests;
mod restore;
mod run;
mod start;
mod streams;
mod types;

pub use clean::{Cleaned, clean};
pub use config::annotations;
pub use group::{Group, TaskRecord};
pub use handle::Tasks;
pub use listed::{SHIMS, TaskLife, TaskPod, TaskView, list_task_pods};
pub use run::run_tasks;
pub use types::{
    CheckpointTask, CreateTask, Ended, ExecTask, Refusal, RuntimeChoice, Status, TaskError,
    TaskEvent, TaskProcess, TaskState, TaskStdio,
};
