//! A runtime that fails as told: `tests/fixtures/faulty-runtime`.

use crate::processes::stdio;
use crate::{PATIENCE, id};
use podshim::runtime::{CreateCall, Driver, Features, InitIo, Kind, Runtime, RuntimeError};
use std::fs;
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::time::timeout;

/// A directory with a runtime that fails as told.
pub(crate) struct Faulty {
    dir: TempDir,
    pub(crate) driver: Driver,
}

impl Faulty {
    pub(crate) fn new(real: &Path) -> Faulty {
        let dir = tempfile::tempdir().expect("temporary directory");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faulty-runtime");
        let link = |from: &Path, name: &str| {
            std::os::unix::fs::symlink(from, dir.path().join(name)).expect("link");
        };
        link(&script, "runc");
        link(real, "real");
        for fifo in ["never", "reached", "go"] {
            let mode = nix::sys::stat::Mode::S_IRWXU;
            nix::unistd::mkfifo(&dir.path().join(fifo), mode).expect("fifo");
        }
        let runtime = Runtime {
            path: dir.path().join("runc"),
            kind: Kind::Runc,
            version: "0".into(),
            features: Features::default(),
        };
        let driver = Driver::new(runtime, dir.path().join("root"));
        Faulty { dir, driver }
    }

    /// With nothing real behind it.
    pub(crate) fn alone() -> Faulty {
        Faulty::new(Path::new("/nonexistent"))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn fault(&self, verb: &str, fault: &str) {
        fs::write(self.path(&format!("fault.{verb}")), format!("{fault}\n")).expect("written");
    }

    pub(crate) fn pids(&self) -> Vec<i32> {
        let text = fs::read_to_string(self.path("pids")).expect("pids of the faulty call");
        text.split_whitespace()
            .map(|pid| pid.parse().expect("a number"))
            .collect()
    }

    pub(crate) async fn create(&self, io: InitIo) -> Result<u32, RuntimeError> {
        let id = id("c-1");
        let (bundle, pid_file, log) = (self.path("bundle"), self.path("pid"), self.path("log"));
        let call = CreateCall {
            id: &id,
            bundle: &bundle,
            pid_file: &pid_file,
            log: &log,
            io,
        };
        timeout(PATIENCE, self.driver.create(call))
            .await
            .expect("create ends by itself")
    }

    pub(crate) async fn create_with(&self, fault: &str) -> Result<u32, RuntimeError> {
        self.fault("create", fault);
        self.create(stdio().0).await
    }

    pub(crate) async fn start(&self) -> Result<(), RuntimeError> {
        timeout(
            PATIENCE,
            self.driver.start(&id("c-1"), None, &self.path("log")),
        )
        .await
        .expect("start ends by itself")
    }
}
