//! The command line of `exec`, for a program that becomes the runtime.

use crate::base::InstanceId;
use crate::runtime::driver::checked;
use crate::runtime::{CgroupError, Driver, PodCgroup, RuntimeError, pid_file};
use rustix::process::{
    Pid, PidfdFlags, Signal, getpgid, kill_process_group, pidfd_open, pidfd_send_signal,
};
use std::ffi::OsString;
use std::path::Path;

/// A process to run in a running container.
#[derive(Clone, Copy, Debug)]
pub struct ExecCall<'a> {
    /// Which container.
    pub id: &'a InstanceId,
    /// What to run.
    pub process: ExecProcess<'a>,
    /// File for the id of the process in our PID namespace, for [`kill_exec`].
    pub pid_file: Option<&'a Path>,
    /// The runtime ends once it runs, and leaves it to whoever reaps the runtime's orphans.
    pub detach: bool,
}

/// What to run in a container.
#[derive(Clone, Copy, Debug)]
pub enum ExecProcess<'a> {
    /// A file with the OCI `process` object: says everything, also capabilities, groups and whether there is a terminal.
    File(&'a Path),
    /// A command with the user, environment and limits of the container's own process, as far as nothing else is said.
    Command {
        /// The command and its arguments; not empty.
        args: &'a [String],
        /// Give it a terminal.
        tty: bool,
        /// More environment, `NAME=value`.
        env: &'a [String],
        /// `uid` or `uid:gid`.
        user: Option<&'a str>,
        /// Absolute directory in the container.
        cwd: Option<&'a str>,
    },
}

impl Driver {
    /// The whole command line of `exec`, the program first: what `execve` is to be given. The runtime's own complaints go
    /// to its standard error; its exit status is the process's.
    pub fn exec_argv(&self, exec: &ExecCall<'_>) -> Result<Vec<OsString>, RuntimeError> {
        let id = checked(exec.id)?;
        let mut argv = vec![self.runtime.path.as_os_str().into()];
        argv.extend(self.global_args(None));
        argv.push("exec".into());
        if exec.detach {
            argv.push("--detach".into());
        }
        if let Some(pid_file) = exec.pid_file {
            argv.extend(["--pid-file".into(), pid_file.into()]);
        }
        match exec.process {
            ExecProcess::File(path) => {
                argv.extend(["--process".into(), path.into(), id.into()]);
            }
            ExecProcess::Command {
                args,
                tty,
                env,
                user,
                cwd,
            } => {
                if tty {
                    argv.push("--tty".into());
                }
                for variable in env {
                    argv.extend(["--env".into(), variable.into()]);
                }
                for (flag, value) in [("--user", user), ("--cwd", cwd)] {
                    if let Some(value) = value {
                        argv.extend([flag.into(), value.into()]);
                    }
                }
                argv.push(id.into());
                argv.extend(args.iter().map(Into::into));
            }
        }
        Ok(argv)
    }
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
