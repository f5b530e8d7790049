//! The command line of `exec`.

use crate::base::InstanceId;
use crate::runtime::driver::{absent, checked};
use crate::runtime::{CgroupError, Driver, InitIo, PodCgroup, RuntimeError, pid_file};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpgid, kill_process_group, pidfd_open, pidfd_send_signal,
};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

/// What an exec leaves is its own for less than this: a runtime needs milliseconds until the process runs.
const TRACE_AGE: Duration = Duration::from_secs(5 * 60);

/// A process to run in a running container.
#[derive(Clone, Copy, Debug)]
pub struct ExecCall<'a> {
    /// Which container.
    pub id: &'a InstanceId,
    /// A file with its OCI `process` object. Flags are not used: the runtimes differ in which they know and what they mean.
    pub process: &'a Path,
    /// File for the id of the process in our PID namespace.
    pub pid_file: &'a Path,
    /// Listening socket that is sent the master of its terminal, if it has one.
    pub console: Option<&'a Path>,
}

impl Driver {
    /// The whole command line of `exec`, the program first. The runtime ends once the process runs, and leaves it to the
    /// nearest subreaper; its own complaints go to its standard error.
    pub fn exec_argv(&self, exec: &ExecCall<'_>) -> Result<Vec<OsString>, RuntimeError> {
        self.forget_execs(exec.id);
        let mut argv = vec![self.runtime.path.as_os_str().into()];
        argv.extend(self.global_args(None));
        argv.extend(exec_args(exec)?);
        Ok(argv)
    }

    /// Runs a process in a running container and gives back its id in our PID namespace. The process becomes a child of the
    /// nearest subreaper. `exec.console` goes with [`InitIo::Console`].
    pub async fn exec(
        &self,
        exec: &ExecCall<'_>,
        log: &Path,
        io: InitIo,
    ) -> Result<u32, RuntimeError> {
        absent(exec.pid_file)?;
        self.forget_execs(exec.id);
        let args = exec_args(exec)?;
        let call = self.call("exec in container", args, self.deadlines.start, Some(log));
        call.lending(io).await?;
        pid_file::read(exec.pid_file).map_err(|source| RuntimeError::PidFile {
            path: exec.pid_file.to_owned(),
            source,
        })
    }

    /// Removes what execs of long ago have left: a probe that runs every second would fill the state directory.
    fn forget_execs(&self, id: &InstanceId) {
        if let (Some(prefix), Ok(id)) = (self.runtime.kind.quirks().exec_traces, checked(id)) {
            forget(&self.root.join(id), prefix, TRACE_AGE);
        }
    }
}

/// Removes files with such names that are older than this. What cannot be removed goes with the container.
fn forget(dir: &Path, prefix: &str, age: Duration) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let modified = entry.metadata().and_then(|meta| meta.modified());
        let is_old = modified.is_ok_and(|at| at.elapsed().is_ok_and(|past| past > age));
        if is_old && entry.file_name().to_string_lossy().starts_with(prefix) {
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

fn exec_args(exec: &ExecCall<'_>) -> Result<Vec<OsString>, RuntimeError> {
    let id = checked(exec.id)?;
    let mut args = vec!["exec".into(), "--detach".into()];
    args.extend(["--process".into(), exec.process.into()]);
    args.extend(["--pid-file".into(), exec.pid_file.into()]);
    if let Some(socket) = exec.console {
        args.extend(["--console-socket".into(), socket.into()]);
    }
    args.push(id.into());
    Ok(args)
}

/// Kills what an `exec` with this pid file started, with its process group: it leads a session of its own, which no signal to the
/// runtime reaches. Says whether there was something to kill. The number is believed only of a process of the container, looked
/// at after its pidfd was opened, so that a recycled one is never hit.
pub fn kill_exec(
    cgroup: &PodCgroup,
    id: &InstanceId,
    pid_file: &Path,
) -> Result<bool, CgroupError> {
    let read = pid_file::read(pid_file).ok();
    let pid = read.and_then(|pid| Pid::from_raw(i32::try_from(pid).ok()?));
    let Some((pid, pidfd)) =
        pid.and_then(|pid| Some((pid, pidfd_open(pid, PidfdFlags::empty()).ok()?)))
    else {
        return Ok(false);
    };
    let number = pid.as_raw_nonzero().get().cast_unsigned();
    if !cgroup.pids(id)?.contains(&number) {
        return Ok(false);
    }
    if getpgid(Some(pid)) == Ok(pid) {
        // It may have ended by itself; then so may its group.
        let _gone = kill_process_group(pid, Signal::KILL);
    }
    Ok(pidfd_send_signal(&pidfd, Signal::KILL).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_old_execs_left_goes_and_nothing_else() {
        let dir = tempfile::tempdir().expect("a directory");
        for name in ["trace-old", "trace-new", "state.json"] {
            let file = std::fs::File::create(dir.path().join(name)).expect("ours");
            if name != "trace-new" {
                file.set_modified(std::time::UNIX_EPOCH).expect("ours");
            }
        }
        forget(dir.path(), "trace-", TRACE_AGE);
        let left = |name: &str| dir.path().join(name).exists();
        assert!(!left("trace-old") && left("trace-new") && left("state.json"));
    }
}
