//! The kubelet of one pod: what should be done, given the facts. Each step is one [`Turn`]: absorb the input, then plan from
//! facts alone. The order of the plan matters: judge first (is the pod over?), then take down, then build up.
//! Source: `pod-semantics` 2.7 and section 4.

mod absorb;
mod backoff;
mod containers;
mod disk;
mod health;
mod hooks;
mod kill;
mod look;
mod project;
mod restart_all;
mod sandbox;
mod tasks;
mod teardown;
mod turn;

pub(super) use look::Look;
pub(super) use turn::{Turn, one_line};
