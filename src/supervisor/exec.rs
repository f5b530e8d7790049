//! A command in a running instance, made ready for the runtime: for `exec`, for probes and for hooks.

use crate::base::InstanceId;
use crate::bundle::{self, ExecInput};
use crate::runtime::{Driver, ExecCall, RuntimeError};
use crate::store::{PodDir, read_json, write_json};
use serde_json::Value;
use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};

/// Why a command cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum ExecError {
    /// The configuration of the container.
    #[error("cannot read the container's bundle")]
    Bundle(#[source] io::Error),
    /// It says nothing of a process.
    #[error("the container has no process to take after")]
    NoProcess,
    /// What is to run.
    #[error("cannot write the process")]
    Write(#[source] io::Error),
    /// The command line of the runtime.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
}

/// What starts a command in an instance.
#[derive(Debug)]
pub struct ExecStart {
    /// The runtime and its arguments. It ends once the command runs.
    pub argv: Vec<OsString>,
    /// Where it then writes the id of the command's process.
    pub pid_file: PathBuf,
    /// Where its program may be, below the root of the container.
    pub program_paths: Vec<PathBuf>,
}

/// Makes the process that `input` describes of the container's own, and writes it into `place`, a directory for this command alone.
/// `console` is the listening socket that is sent its terminal.
pub fn exec_start(
    dir: &PodDir,
    driver: &Driver,
    instance: &InstanceId,
    input: &ExecInput<'_>,
    place: &Path,
    console: Option<&Path>,
) -> Result<ExecStart, ExecError> {
    let config = dir.bundle(instance).join("config.json");
    let config: Option<Value> = read_json(&config).map_err(ExecError::Bundle)?;
    let process = bundle::exec_process(&config.unwrap_or_default(), input);
    let process = process.ok_or(ExecError::NoProcess)?;
    let (file, pid_file) = (place.join("process.json"), place.join("pid"));
    write_json(&file, &process).map_err(ExecError::Write)?;
    let argv = driver.exec_argv(&ExecCall {
        id: instance,
        process: &file,
        pid_file: &pid_file,
        console,
    })?;
    Ok(ExecStart {
        argv,
        pid_file,
        program_paths: bundle::program_paths(&process),
    })
}
