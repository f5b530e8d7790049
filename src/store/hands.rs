//! What the effects must remember from one supervisor to the next; the machine's own memory is `pod::State`.

use crate::base::InstanceId;
use crate::bundle::{ImageConfig, Sandbox};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the effects remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hands {
    /// Container → its image as resolved.
    pub images: BTreeMap<String, ResolvedImage>,
    /// Instance → its process.
    pub processes: BTreeMap<InstanceId, Process>,
    /// The sandbox that app containers join.
    pub sandbox: Option<Sandbox>,
    /// Volume → host path.
    pub volumes: BTreeMap<String, PathBuf>,
}

/// An image that is here.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ResolvedImage {
    /// `sha256:…` or the reference.
    pub id: String,
    /// Unpacked layers, lowest first.
    pub layers: Vec<PathBuf>,
    /// What it says of its containers.
    pub config: ImageConfig,
}

/// The init of an instance. A pid alone is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Clock ticks since boot when it started.
    pub start_time: u64,
    /// Length of the exit record in records when it was created: an exit of this pid before that is another process's.
    pub exits_before: usize,
    /// Whether it has been started.
    pub started: bool,
}
