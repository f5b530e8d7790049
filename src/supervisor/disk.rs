//! What parts of the pod use of the disk: counted by a short-lived process of this program, which a tree that containers made may
//! keep busy for a while, and fill with names.

use crate::pod::DiskUse;
use crate::stdio;
use crate::supervisor::Hands;
use crate::supervisor::context::{Context, other};
use crate::supervisor::helper::{self, Question};
use crate::sys;
use crate::volume;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// First argument of the program that makes it measure directories.
pub const MEASURE_VERB: &str = "__measure";
/// How long one measurement may take; what was counted by then counts.
const LIMIT: Duration = Duration::from_secs(60);
/// How much later its answer may come before nobody waits for it.
const SLACK: Duration = Duration::from_secs(10);

/// Something of each part of the pod.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Parts<T> {
    /// By volume.
    pub volumes: BTreeMap<String, T>,
    /// By container.
    pub containers: BTreeMap<String, T>,
}

/// What a measurement came to.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Measured {
    used: DiskUse,
    /// Why not everything was counted.
    problem: Option<String>,
}

impl Measured {
    /// Counts what is in these directories.
    pub fn of(parts: &Parts<Vec<PathBuf>>) -> Measured {
        let deadline = sys::now().mono + LIMIT;
        let mut problem = None;
        let mut count = |paths: &BTreeMap<String, Vec<PathBuf>>| {
            let mut all = BTreeMap::new();
            for (name, paths) in paths {
                let mut bytes = 0_u64;
                for path in paths {
                    match volume::usage(path, deadline) {
                        Ok(usage) => {
                            bytes = bytes.saturating_add(usage.bytes);
                            if !usage.is_complete {
                                let text = format!("`{name}` is too large to be counted in time");
                                problem.get_or_insert(text);
                            }
                        }
                        Err(error) => {
                            problem.get_or_insert(format!("`{name}`: {error}"));
                        }
                    }
                }
                all.insert(name.clone(), bytes);
            }
            all
        };
        let used = DiskUse {
            volumes: count(&parts.volumes),
            containers: count(&parts.containers),
        };
        Measured { used, problem }
    }
}

/// The directories of the parts that are asked for.
pub(super) fn wanted(
    context: &Context,
    hands: &Hands,
    volumes: &[String],
    containers: &[String],
) -> Parts<Vec<PathBuf>> {
    let volume = |name: &String| {
        let path = hands.volumes.get(name)?;
        Some((name.clone(), vec![path.clone()]))
    };
    let container = |name: &String| {
        let is_of = |instance: &&_| {
            context
                .container_of(instance)
                .is_some_and(|c| c.name == *name)
        };
        let written = hands.processes.keys().filter(is_of);
        let written = written.map(|instance| context.dir.instance_data(instance).join("upper"));
        let log = stdio::container_log(&context.plan.dirs.logs, &context.plan.pod, name, 0);
        let logs = log.parent().map(PathBuf::from);
        (name.clone(), written.chain(logs).collect())
    };
    Parts {
        volumes: volumes.iter().filter_map(volume).collect(),
        containers: containers.iter().map(container).collect(),
    }
}

/// Counts what is in these directories, and says why not everything was counted.
pub(super) async fn measure(wanted: &Parts<Vec<PathBuf>>) -> (DiskUse, Option<String>) {
    let question = Question {
        what: "measure",
        args: &[MEASURE_VERB.as_ref()],
        environment: &BTreeMap::new(),
        input: serde_json::to_vec(wanted).unwrap_or_default(),
        deadline: Some(LIMIT + SLACK),
    };
    let lost = |text: String| other(&text, &std::io::Error::other("nothing was counted"));
    match helper::ask::<Measured>(question, lost).await {
        Ok(measured) => (measured.used, measured.problem),
        Err(failure) => (DiskUse::default(), Some(failure.message)),
    }
}
