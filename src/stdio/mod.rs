//! Container output: pipes and terminals in, CRI log files out, and back to people.
//!
//! ```text
//!  container ──pipe──► pump ──► Framer ──► LogFile ──► <logs>/<ns>_<pod>_<uid>/<container>/<n>.log ──► print, follow
//!  container ──pty───►  (one stream)                   rotated, pruned
//!                        └──► taps: who is attached
//! ```
//!
//! Invariants: a record is written whole or not at all; a line is never lost or split by a rotation; whatever happens to the
//! disk or to a reader, the container's pipes keep being drained, unless it was asked that output waits for the disk.

mod cri;
mod file;
mod follow;
mod held;
mod logger;
mod news;
mod pipe;
mod pump;
mod read;
mod relay;
mod rotation;
mod tap;
mod termination;

pub use cri::{MAX_CONTENT_BYTES, Record, Stream, timestamp};
pub use file::{
    LogCounters, LogFile, LogLimits, WhenFull, container_log, pod_log_dir, prune_attempts,
};
pub use follow::{LogSource, Told, follow};
pub use logger::{Logger, LoggerError, LoggerInput};
pub use news::LogNews;
pub use pipe::{ConsoleError, ConsoleSocket, StdioEnds, StdioPipes, resize};
pub use pump::{PumpReport, Stop, pump};
pub use read::{LogQuery, last_lines, print};
pub use relay::{open_input, open_output, relay};
pub use tap::{Tap, Tapped};
pub use termination::{MESSAGE_BYTES, create_message_file, cut_message, termination_message};
