//! What the effects must remember from one supervisor to the next; the machine's own memory is `pod::State`.

use crate::base::InstanceId;
use crate::bundle::Sandbox;
use crate::image::Image;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// What the effects remember.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Hands {
    /// Container → its image as resolved; of image volumes, `Hands::image_volume` → theirs.
    pub images: BTreeMap<String, Image>,
    /// Instance → its process.
    pub processes: BTreeMap<InstanceId, Process>,
    /// The sandbox that app containers join.
    pub sandbox: Option<Sandbox>,
    /// Volume → host path.
    pub volumes: BTreeMap<String, PathBuf>,
    /// Mount point of the pod → the file system there, which containers have mounted too.
    #[serde(default)]
    pub mounts: BTreeMap<PathBuf, FileId>,
}

impl Hands {
    /// What the image of a volume is called among those of containers: no container has such a name.
    pub(super) fn image_volume(volume: &str) -> String {
        format!("volume/{volume}")
    }
}

/// The init of an instance. A pid alone is no identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Its number.
    pub pid: u32,
    /// Which instance of its container: the number of its log file.
    pub attempt: u32,
    /// Clock ticks since boot when it started; 0 if it had ended before we could look.
    pub start_time: u64,
    /// Length of the exit record when its creation began: an exit of this pid before that is another process's.
    pub exits_before: usize,
    /// Whether it has been started.
    pub started: bool,
    /// The pipes of its standard output and standard error; none with a terminal.
    #[serde(default)]
    pub pipes: Option<[FileId; 2]>,
}

/// A file as the kernel knows it, whatever its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileId {
    /// Its device.
    pub device: u64,
    /// Its inode.
    pub inode: u64,
}
