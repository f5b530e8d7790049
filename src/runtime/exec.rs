//! The command line of `exec`, for a program that becomes the runtime.

use crate::base::InstanceId;
use crate::runtime::driver::checked;
use crate::runtime::{Driver, RuntimeError};
use std::ffi::OsString;
use std::path::Path;

/// A process to run in a running container.
#[derive(Clone, Copy, Debug)]
pub struct ExecCall<'a> {
    /// Which container.
    pub id: &'a InstanceId,
    /// What to run.
    pub process: ExecProcess<'a>,
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
