//! What the tests of the finished program share: commands with a deadline, a host of its own for each test, images, the
//! look at what is left behind. Nothing here knows how podshim does what it does.

#![allow(dead_code, unused_imports, reason = "each test program uses its part")]

mod command;
mod host;
mod image;
mod leftovers;
mod pod;
mod random;

pub use command::{Background, Ran, at_terminal, background, run, run_with_input, until};
pub use host::{Host, on_each_runtime, program, remove_cgroups, runtimes};
pub use image::{IMAGE, NGINX, images};
pub use leftovers::{
    anonymous_kib, cgroups_of, instance_pids, left_behind, life_of, pause_pid, proc_file, pss_kib,
    status_field,
};
pub use pod::{Pod, container, pod, sh, state, status, with};
pub use random::{Random, number, seed};
