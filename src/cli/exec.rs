//! `exec`: a command in a running container. No supervisor is asked.
//!
//! The runtime detaches: the command has our standard streams, or a terminal that we drive, and when the runtime has gone the
//! command is the child of a process of ours, which is a subreaper. Otherwise the runtime would copy the output and wait for its
//! end, which a background process of the command can hold open for ever, and each runtime has exit codes of its own.

use crate::base::InstanceId;
use crate::bundle::{self, ExecInput};
use crate::cli::args::ExecArgs;
use crate::cli::exec_parent::{Job, Parent};
use crate::cli::exit::{Code, Failed, Outcome, cannot};
use crate::cli::pods;
use crate::cli::settings::Settings;
use crate::cli::terminal::{self, Terminal};
use crate::cli::wait_child::Wait;
use crate::runtime::{CgroupError, Driver, Layout, PodCgroup, kill_exec};
use crate::supervisor::{PodRecord, exec_start};
use crate::sys::{self, Leaving};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Every error of our own is 125, lest it be taken for the command's.
pub(super) fn exec(settings: &Settings, args: &ExecArgs) -> Outcome {
    execute(settings, args).map_err(Failed::own)
}

fn execute(settings: &Settings, args: &ExecArgs) -> Outcome {
    let (pod, named) = pods::find_with_container(settings, &args.pod)?;
    let container = pods::container(&pod, args.container.as_deref().or(named.as_deref()))?;
    let running = pods::container_view(&pod, &container.name)
        .and_then(|view| view.pid.and(view.instance.as_ref()));
    let Some(instance) = running else {
        let (name, pod) = (&container.name, &pod.plan.pod.name);
        let message = format!("container `{name}` of pod `{pod}` is not running");
        return Err(Failed::new(Code::Own, message));
    };
    let cgroup = cgroup(&pod)?;
    let place = tempfile::tempdir_in(&pod.dir.state).map_err(cannot("make a pid file"))?;
    let parent = Parent::new(Job {
        limit: args.timeout.map(Duration::from_secs),
        stdin: args.stdin,
        kill: |pid_file: &Path| Ok(kill_exec(&cgroup, instance, pid_file).map(drop)?),
    })?;
    let mut wait = Wait::beside()?;
    let terminal = args
        .tty
        .then(|| Terminal::new(place.path(), &wait))
        .transpose()?;
    let driver = Driver::new(pod.plan.runtime.clone(), pod.dir.file("runtime"));
    let input = ExecInput {
        args: &args.command,
        env: &args.env,
        user: args.user.as_deref().map(user).transpose()?,
        cwd: args.workdir.as_deref(),
        terminal: args.tty.then(terminal::size),
    };
    let console = terminal.as_ref().map(Terminal::socket);
    let start = exec_start(&pod.dir, &driver, instance, &input, place.path(), console)?;
    let is_there = || has_program(&pod, instance, &start.program_paths);
    let mut parent = parent.order(&start)?;
    if let Some(terminal) = terminal
        && parent.runs(&mut wait)?
    {
        wait.screen = Some(terminal.show(args.stdin)?);
    }
    let ended = parent.ended(&mut wait, is_there);
    if let Some(screen) = wait.screen {
        screen.close();
    }
    ended
}

/// Whether one of these paths leads somewhere in the container; what cannot be looked at is taken to.
fn has_program(pod: &PodRecord, instance: &InstanceId, paths: &[PathBuf]) -> bool {
    let process = pod
        .snapshot
        .as_ref()
        .and_then(|s| s.hands.processes.get(instance));
    let root = process.map(|process| format!("/proc/{}/root", process.pid));
    let Some(Ok(root)) = root.map(std::fs::File::open) else {
        return true;
    };
    let found = |path: &PathBuf| {
        let below = path.strip_prefix("/").unwrap_or(path);
        sys::open_beneath(&root, below, OFlags::PATH, Leaving::Rebased)
    };
    let is_missing = |errno| matches!(errno, Errno::NOENT | Errno::NOTDIR);
    paths.is_empty() || paths.iter().any(|path| !found(path).is_err_and(is_missing))
}

/// Reads `uid` or `uid:gid`.
fn user(text: &str) -> Result<(u32, Option<u32>), Failed> {
    let (uid, gid) = text
        .split_once(':')
        .map_or((text, None), |(uid, gid)| (uid, Some(gid)));
    let read =
        || Ok::<_, std::num::ParseIntError>((uid.parse()?, gid.map(str::parse).transpose()?));
    read().map_err(|e| {
        let failed = Failed::new(Code::Own, cannot(format!("run as `{text}`"))(e));
        failed.hint("write numbers: uid or uid:gid")
    })
}

fn cgroup(pod: &PodRecord) -> Result<PodCgroup, CgroupError> {
    let cgroup = bundle::pod_cgroup(&pod.plan.pod, &pod.plan.host.cgroups);
    PodCgroup::at(Layout::detect()?, &cgroup.path)
}
