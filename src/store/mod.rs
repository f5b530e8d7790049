//! What podshim keeps of a pod on disk: one directory and one lock per pod, keyed by its UID; files are written whole and
//! renamed, records are appended. No database, no global lock. May import MIND and GROUND.
//!
//! ```text
//! <state>/names/<namespace>_<name>     → the pod's UID, made with link(2): taken by one pod at a time
//! <state>/pods/<uid>/                  0700
//!     lock            held by keeper and supervisor: by whichever lives
//!     plan.json       what was asked, 0600 (it may hold secrets)
//!     snapshot.json   what is: machine state and view
//!     events.jsonl    what happened
//!     journal.jsonl   what the machine heard, and its state where that begins; journal.old.jsonl is the half before it
//!     exits           what the keeper saw end; fixed-size records
//!     control.sock    0600; gone when the pod is over
//!     supervisor.log  what keeper and supervisor had to say
//!     runtime/        the OCI runtime's own state (--root)
//!     instances/<id>/ bundle: config.json, rootfs/, pid, runtime.log, termination-log
//!     files/          hosts, hostname, resolv.conf
//!     shm/ volumes/   mount points
//! <data>/pods/<uid>/  volumes/ and the writable layers of instances
//! ```

mod dirs;
mod events;
mod exits;
mod journal;
mod json;
mod names;

pub use dirs::{CONTROL_SOCKET, Dirs, PodDir};
pub use events::{EVENTS, append_event, read_events};
pub use exits::{EXIT_RECORD_BYTES, ExitRecord, append_exit, open_exits, read_exits};
pub use journal::{Journal, read_journal};
pub use json::{read_json, write_json};
pub use names::{NameTaken, claim_name, find_name, release_name};
