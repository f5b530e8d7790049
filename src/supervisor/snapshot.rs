//! The snapshot: what a pod is right now, for a new supervisor and for everyone who asks; no process needs to answer.

use crate::base::PodUid;
use crate::pod::{PodView, State};
use crate::store::{Dirs, PodDir, read_json};
use crate::supervisor::{Hands, Plan};
use serde::{Deserialize, Serialize};
use std::io;
use std::path::Path;

/// What was asked, in the pod's directory.
pub const PLAN: &str = "plan.json";
/// Version of the snapshot's form. A supervisor reads its own only.
pub const FORMAT: u32 = 2;
/// Its file in the pod's directory. Written before anything is done: without it nothing of the pod exists.
pub const SNAPSHOT: &str = "snapshot.json";
/// The one before, for the case that a disk spoils the last one: what is a step old is put right by looking at the world.
pub const SNAPSHOT_BEFORE: &str = "snapshot.before.json";

/// What is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// [`FORMAT`].
    pub format: u32,
    /// The boot in which it was written: of another boot, nothing of it runs.
    pub boot_id: String,
    /// The session of the supervisor that wrote it and of every call that it makes.
    pub session: u32,
    /// What the keeper of that session understands: [`LINK`](crate::supervisor::LINK) of its program.
    #[serde(default = "first_link")]
    pub link: String,
    /// The machine.
    pub state: State,
    /// What faces show.
    pub view: PodView,
    /// What effects need to know of instances after a restart of the supervisor.
    pub hands: Hands,
}

/// A pod as found on disk.
#[derive(Clone, Debug)]
pub struct PodRecord {
    /// Its directories.
    pub dir: PodDir,
    /// What was asked.
    pub plan: Plan,
    /// What is; `None` before its supervisor has begun.
    pub snapshot: Option<Snapshot>,
}

fn first_link() -> String {
    "1".to_owned()
}

/// What every version can read of a snapshot.
#[derive(Deserialize)]
struct Header {
    format: u32,
}

impl Snapshot {
    /// Reads the snapshot of a pod; `None` when there is none yet. *Errors*: `InvalidData` when neither the last one nor the one
    /// before can be understood.
    pub fn read(dir: &PodDir) -> io::Result<Option<Snapshot>> {
        let last = || read_one(&dir.file(SNAPSHOT));
        match last() {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                let before = read_one(&dir.file(SNAPSHOT_BEFORE)).ok().flatten();
                // A supervisor that writes makes the last one the one before: perhaps it has done so in between.
                let good = before.or_else(|| last().ok().flatten());
                good.map_or(Err(error), |good| Ok(Some(good)))
            }
            read => read,
        }
    }
}

fn read_one(path: &Path) -> io::Result<Option<Snapshot>> {
    match read_json::<Header>(path)? {
        None => Ok(None),
        Some(Header { format: FORMAT }) => read_json(path),
        Some(Header { format }) => {
            let path = path.display();
            let text = format!("`{path}` is of format {format}, this podshim reads {FORMAT}");
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
    }
}

/// Reads one pod; `None` when it is gone.
pub fn read_pod(dirs: &Dirs, uid: &PodUid) -> io::Result<Option<PodRecord>> {
    let Some(mut pod) = read_plan(dirs, uid)? else {
        return Ok(None);
    };
    pod.snapshot = Snapshot::read(&pod.dir)?;
    if let Some(snapshot) = &pod.snapshot {
        // Added while the pod runs: to whoever looks they are containers of the pod.
        let added = snapshot.state.ephemeral().iter().cloned();
        pod.plan.pod.containers.extend(added);
    }
    Ok(Some(pod))
}

/// A pod of which the plan can be read, whatever is the matter with its snapshot; `None` when it is gone.
pub fn read_plan(dirs: &Dirs, uid: &PodUid) -> io::Result<Option<PodRecord>> {
    let dir = dirs.pod(uid);
    let plan = read_json(&dir.file(PLAN))?;
    Ok(plan.map(|plan| PodRecord {
        dir,
        plan,
        snapshot: None,
    }))
}

/// All pods, sorted by namespace and name. What cannot be read is given apart, with its error.
pub fn list_pods(dirs: &Dirs) -> (Vec<PodRecord>, Vec<(PodUid, io::Error)>) {
    let (mut pods, mut broken) = (Vec::new(), Vec::new());
    let entries = std::fs::read_dir(dirs.state.join("pods"))
        .into_iter()
        .flatten()
        .flatten();
    for uid in entries.map(|entry| PodUid(entry.file_name().to_string_lossy().into_owned())) {
        match read_pod(dirs, &uid) {
            Ok(Some(pod)) => pods.push(pod),
            Ok(None) => {}
            Err(e) => broken.push((uid, e)),
        }
    }
    pods.sort_by(|a, b| {
        (&a.plan.pod.namespace, &a.plan.pod.name).cmp(&(&b.plan.pod.namespace, &b.plan.pod.name))
    });
    (pods, broken)
}
