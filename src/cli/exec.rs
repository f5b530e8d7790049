//! `exec`: a command in a running container. This process becomes the runtime's `exec`, so nothing stands between the caller's
//! terminal and the command, and the exit code is the command's. No supervisor is asked.

use crate::bundle;
use crate::cli::args::ExecArgs;
use crate::cli::exit::{Code, Failed, Outcome, cannot};
use crate::cli::pods;
use crate::cli::settings::Settings;
use crate::runtime::{CgroupError, Driver, ExecCall, ExecProcess, Layout, PodCgroup, kill_exec};
use crate::supervisor::PodRecord;
use std::ffi::OsString;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Command, Stdio};
use std::time::Duration;

/// Exit code when time is up. Source: timeout(1).
const TIMED_OUT: u8 = 124;
/// Pause between two looks at a command with a time limit.
const LOOK: Duration = Duration::from_millis(10);

/// Every error of our own is 125, lest it be taken for the command's.
pub(super) fn exec(settings: &Settings, args: &ExecArgs) -> Outcome {
    become_runtime(settings, args).map_err(|failed| Failed {
        code: Code::Own,
        ..failed
    })
}

fn become_runtime(settings: &Settings, args: &ExecArgs) -> Outcome {
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
    let mut call = ExecCall {
        id: instance,
        process,
        pid_file: None,
    };
    let argv = |call: &ExecCall<'_>| {
        driver
            .exec_argv(call)
            .map_err(|e| Failed::new(Code::Own, e))
    };
    let Some(seconds) = args.timeout else {
        let argv = argv(&call)?;
        let error = command(&argv, args.stdin)?.exec();
        let what = format!("run `{}`", argv[0].to_string_lossy());
        return Err(Failed::new(Code::Own, cannot(what)(error)));
    };
    let own = |e| Failed::new(Code::Own, cannot("prepare the time limit")(e));
    let place = tempfile::tempdir_in(&pod.dir.state).map_err(own)?;
    let pid_file = place.path().join("pid");
    call.pid_file = Some(&pid_file);
    let cgroup = cgroup(&pod).map_err(|e| Failed::new(Code::Own, e))?;
    let kill = || kill_exec(&cgroup, instance, &pid_file);
    let command = command(&argv(&call)?, args.stdin)?;
    with_time_limit(command, Duration::from_secs(seconds), kill)
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

/// Runs it; when time is up kills what it runs in the container, by `kill`, and its own process group: 124, as timeout(1) says it.
fn with_time_limit(
    mut command: Command,
    limit: Duration,
    kill: impl Fn() -> Result<bool, CgroupError>,
) -> Outcome {
    let fail = |e| Failed::new(Code::Own, cannot("run the command")(e));
    let mut child = command.process_group(0).spawn().map_err(fail)?;
    let deadline = crate::cli::follow::now() + limit;
    loop {
        if let Some(status) = child.try_wait().map_err(fail)? {
            let code = status
                .code()
                .or_else(|| status.signal().map(|signal| 128 + signal))
                .unwrap_or(255);
            return Ok(u8::try_from(code).unwrap_or(u8::MAX));
        }
        if crate::cli::follow::now() >= deadline {
            let first = kill();
            let group = i32::try_from(child.id())
                .ok()
                .map(nix::unistd::Pid::from_raw);
            if let Some(group) = group {
                let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
            }
            child.wait().map_err(fail)?;
            // Time may have been up just when the runtime started it.
            first.and(kill()).map_err(|e| Failed::new(Code::Own, e))?;
            return Ok(TIMED_OUT);
        }
        std::thread::sleep(LOOK);
    }
}
