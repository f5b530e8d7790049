//! `exec`: a command in a running container; the exit code is the command's. With a terminal this process becomes the runtime's
//! `exec`, so that nothing stands between the two; otherwise see [`attached`]. No supervisor is asked.

use crate::bundle;
use crate::cli::args::ExecArgs;
use crate::cli::exit::{Code, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::{attached, follow, pods};
use crate::runtime::{CgroupError, Driver, ExecCall, ExecProcess, Layout, PodCgroup, kill_exec};
use crate::supervisor::PodRecord;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// Exit code when time is up. Source: timeout(1).
const TIMED_OUT: u8 = 124;

/// Every error of our own is 125, lest it be taken for the command's.
pub(super) fn exec(settings: &Settings, args: &ExecArgs) -> Outcome {
    run_in_container(settings, args).map_err(|failed| Failed {
        code: Code::Own,
        ..failed
    })
}

fn run_in_container(settings: &Settings, args: &ExecArgs) -> Outcome {
    let (pod, named) = pods::find_with_container(settings, &args.pod)?;
    let container = pods::container(&pod, args.container.as_deref().or(named.as_deref()))?;
    let running = pods::container_view(&pod, &container.name)
        .and_then(|view| view.pid.and(view.instance.as_ref()));
    let Some(instance) = running else {
        let message = format!(
            "container `{}` of pod `{}` is not running",
            container.name, pod.plan.pod.name
        );
        return Err(Failed::new(Code::Own, message));
    };
    let driver = Driver::new(pod.plan.runtime.clone(), pod.dir.file("runtime"));
    let process = ExecProcess::Command {
        args: &args.command,
        tty: args.tty,
        env: &args.env,
        user: args.user.as_deref(),
        cwd: args.workdir.as_deref(),
    };
    let place = tempfile::tempdir_in(&pod.dir.state).map_err(cannot("make room for a pid file"))?;
    let pid_file = place.path().join("pid");
    let has_limit = args.timeout.is_some();
    let call = ExecCall {
        id: instance,
        process,
        pid_file: (has_limit || !args.tty).then_some(&pid_file),
        detach: !args.tty,
    };
    let mut command = command(&driver.exec_argv(&call)?, args.stdin)?;
    let deadline = args
        .timeout
        .and_then(|seconds| follow::now().checked_add(Duration::from_secs(seconds)));
    let code = match (args.tty, deadline) {
        (true, None) => {
            drop(place);
            let error = command.exec();
            return Err(cannot("run the runtime")(error).into());
        }
        (true, _) => attached::in_foreground(command, deadline)?,
        (false, _) => attached::detached(command, args.stdin, &pid_file, deadline)?,
    };
    if code.is_none() {
        kill_exec(&cgroup(&pod)?, instance, &pid_file)?;
    }
    Ok(code.unwrap_or(TIMED_OUT))
}

fn cgroup(pod: &PodRecord) -> Result<PodCgroup, CgroupError> {
    let cgroup = bundle::pod_cgroup(&pod.plan.pod, &pod.plan.host.cgroups);
    PodCgroup::at(Layout::detect()?, &cgroup.path)
}

fn command(argv: &[OsString], stdin: bool) -> Result<Command, Failed> {
    let (program, rest) = argv
        .split_first()
        .ok_or_else(|| Failed::new(Code::Own, "there is no command line"))?;
    let mut command = Command::new(program);
    command.args(rest);
    if !stdin {
        command.stdin(Stdio::null());
    }
    Ok(command)
}
