//! The system calls that the libraries do not wrap safely, and small disciplines every effect shares: clocks, pidfds, passing
//! file descriptors, whole-file writes, waiting for files to change, locks, namespaces, memory, the log of this process. The only
//! place with `unsafe`. Imports `base` only; no rules.

mod beneath;
mod changes;
mod clock;
mod device_filter;
mod fds;
mod files;
mod id_map;
mod init;
mod log;
mod memory;
mod namespaces;
mod process;

pub use beneath::{Leaving, open_beneath};
pub use changes::Changes;
pub use clock::{boot_id, now};
pub use device_filter::deny_devices;
pub use fds::{MAX_FDS_PER_MESSAGE, connected_pair, has_hung_up, receive, send, short_path, watch};
pub use files::{
    Lock, create_dirs, is_still_at, random, remove_unfinished, write_atomic, write_atomic_keeping,
};
pub use id_map::{IdRange, map_ids, user_namespace};
pub use init::{
    close_others_on_exec, filter_system_calls, fork_alone, heed_signals, join_session_keyring,
    leave, reset_signals,
};
pub use log::log_to_stderr;
pub use memory::release_idle;
pub use namespaces::{
    MountCopy, NetworkNamespaceError, attach_mount, clone_mount, enter_private_mounts, has_left,
    raise_loopback, raise_own_loopback, tcp_socket,
};
pub use process::{
    Child, SignalFd, become_subreaper, block_signals, children, die_with_parent, ended_child,
    is_ending, lower_priority, parent, pidfd, pidfd_exit, pidfd_is_alive, pidfd_outlives,
    processes, reap, reap_any, session, signal_pidfd, start_time, with_death_of_parent,
    with_descriptors, with_no_signal_blocked, with_signals_blocked,
};
