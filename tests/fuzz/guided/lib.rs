//! The readers of hostile bytes, and what they need for a million tries.

#[path = "../readers/mod.rs"]
pub mod readers;

use podshim::store::{PodDir, read_json};
use podshim::supervisor::Plan;
use readers::RECORDS;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;
use tempfile::TempDir;

/// Where images are loaded.
pub static DIRECTORY: LazyLock<TempDir> = LazyLock::new(readers::directory);

/// The records of a pod that has run, as the seeded harness left them in `PODSHIM_FUZZ_SEEDS`, and a copy to spoil.
pub struct Pod {
    seeds: PathBuf,
    copy: TempDir,
    plan: Plan,
}

/// The pod of all tries.
pub static POD: LazyLock<Pod> = LazyLock::new(|| {
    let seeds = std::env::var_os("PODSHIM_FUZZ_SEEDS").expect("PODSHIM_FUZZ_SEEDS: see scripts/fuzz");
    let seeds = PathBuf::from(seeds);
    let plan = read_json(&record(&seeds, "plan.json")).expect("a good plan");
    let pod = Pod {
        copy: TempDir::new().expect("a directory"),
        plan: plan.expect("a plan"),
        seeds,
    };
    RECORDS.iter().for_each(|name| pod.restore(name));
    pod
});

fn record(seeds: &Path, name: &str) -> PathBuf {
    seeds.join(name).join("0")
}

impl Pod {
    fn restore(&self, name: &str) {
        fs::copy(record(&self.seeds, name), self.copy.path().join(name)).expect("a file of ours");
    }

    /// The first byte says which record the others are.
    pub fn spoil(&self, bytes: &[u8]) {
        let Some((which, bytes)) = bytes.split_first() else {
            return;
        };
        let name = RECORDS[usize::from(*which) % RECORDS.len()];
        fs::write(self.copy.path().join(name), bytes).expect("a file of ours");
        readers::records(&PodDir::new(self.copy.path(), self.copy.path()), &self.plan);
        self.restore(name);
    }

    /// Bytes as a log.
    pub fn log(&self, bytes: &[u8]) {
        readers::log(self.copy.path(), bytes);
    }
}
