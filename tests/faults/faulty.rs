//! A runtime that fails as told (`tests/fixtures/faulty-runtime`) in the place of the test's own.

use crate::support::{Background, Host, Pod, Ran, background};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seconds that a runtime call gets where it is to miss its deadline.
pub const SHORT: &str = "1";

/// A host's runtime with faults.
pub struct Faulty<'h> {
    host: &'h Host,
    dir: PathBuf,
}

impl<'h> Faulty<'h> {
    pub fn new(host: &'h Host) -> Faulty<'h> {
        let dir = host.path("faulty");
        fs::create_dir(&dir).expect("a directory of ours");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/faulty-runtime");
        let real = which::which_in(
            host.runtime(),
            Some("/usr/sbin:/usr/bin:/usr/local/bin"),
            "/",
        );
        let real = real.or_else(|_| which::which(host.runtime()));
        symlink(script, dir.join("runc")).expect("a link of ours");
        symlink(real.expect("the runtime of this test"), dir.join("real")).expect("a link of ours");
        for fifo in ["never", "reached", "go"] {
            nix::unistd::mkfifo(&dir.join(fifo), nix::sys::stat::Mode::S_IRWXU).expect("fifo");
        }
        Faulty { host, dir }
    }

    pub fn program(&self) -> PathBuf {
        self.dir.join("runc")
    }

    /// From now on this verb, or `verb.container`, goes wrong so.
    pub fn fault(&self, verb: &str, fault: &str) {
        if verb.starts_with("start") {
            // Of those that are known it is done without them.
            self.fault("version", "renamed");
        }
        let path = self.dir.join(format!("fault.{verb}"));
        fs::write(path, format!("{fault}\n")).expect("a file of ours");
    }

    /// From now on this verb works again.
    pub fn heal(&self, verb: &str) {
        fs::remove_file(self.dir.join(format!("fault.{verb}"))).expect("there was a fault");
    }

    /// The processes of the call that hangs.
    pub fn pids(&self) -> Result<Vec<i32>, String> {
        let text = fs::read_to_string(self.dir.join("pids")).map_err(|e| e.to_string())?;
        let pids = text
            .split_whitespace()
            .map(|pid| pid.parse::<i32>().map_err(|e| e.to_string()));
        let pids: Vec<i32> = pids.collect::<Result<_, _>>()?;
        if pids.is_empty() {
            Err("none yet".to_owned())
        } else {
            Ok(pids)
        }
    }

    /// Returns when a `late` call has done its work; it answers after [`Faulty::let_go`].
    pub fn has_started(&self) {
        fs::read(self.dir.join("reached")).expect("a fifo of ours");
    }

    /// Lets a `late` call answer.
    pub fn let_go(&self) {
        fs::write(self.dir.join("go"), "go\n").expect("a fifo of ours");
    }

    /// `run -d` with this runtime, whose calls get so many seconds.
    pub fn command(&self, pod: &Value, deadline: &str) -> Command {
        let file = self.host.manifest(std::slice::from_ref(pod));
        let args = [
            "run".as_ref(),
            "-d".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
        ];
        let mut command = self.host.command(args);
        command
            .env("PODSHIM_RUNTIME", self.program())
            .env("PODSHIM_RUNTIME_DEADLINE", deadline);
        command
    }

    /// `run -d` to its end: it returns by itself, whatever goes wrong.
    #[track_caller]
    pub fn start(&self, pod: &Value) -> (Pod<'h>, Ran) {
        let ran = self.background(pod, SHORT).wait().expect(0);
        (self.host.pod("p"), ran)
    }

    /// `run -d` beside the test.
    #[track_caller]
    pub fn background(&self, pod: &Value, deadline: &str) -> Background {
        background(&mut self.command(pod, deadline), b"")
    }
}

/// The messages of the events with this reason.
pub fn events(pod: &Pod<'_>, reason: &str) -> Vec<String> {
    let told = pod.events();
    let told = told.iter().filter(|event| event["reason"] == reason);
    told.map(|event| event["message"].as_str().unwrap_or("").to_owned())
        .collect()
}

/// `status` of the condition of the sandbox, its reason and its message.
pub fn sandbox(pod: &Value) -> [String; 3] {
    let conditions = pod["status"]["conditions"].as_array();
    let mut found = conditions.into_iter().flatten();
    let found = found.find(|c| c["type"] == "PodReadyToStartContainers");
    let word = |key: &str| {
        let word = found.and_then(|c| c[key].as_str());
        word.unwrap_or("").to_owned()
    };
    [word("status"), word("reason"), word("message")]
}
