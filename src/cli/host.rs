//! This machine and its runtime, asked before anything starts.

use crate::base::InstanceId;
use crate::bundle::{self, HostFacts, SandboxKind};
use crate::cli::exit::{Code, Failed, cannot};
use crate::cli::report;
use crate::cli::settings::Settings;
use crate::manifest::Pod;
use crate::runtime::{self, Kind, Needs, Problem, Runtime};
use crate::supervisor::Plan;
use std::path::{Path, PathBuf};

/// This machine lacks something.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
struct Lacks {
    what: String,
    why: String,
}

/// Runs what only an event loop can run.
pub(super) fn block_on<T>(work: impl Future<Output = T>) -> Result<T, Failed> {
    let threads = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    Ok(threads
        .map_err(cannot("start the event loop"))?
        .block_on(work))
}

/// Every runtime of this machine: the one that is asked for, and the known ones.
pub(super) fn runtimes(settings: &Settings) -> Result<Vec<Runtime>, Failed> {
    let known = Kind::KNOWN.iter().map(|kind| kind.quirks().name);
    let mut found: Vec<Runtime> = Vec::new();
    for name in settings.runtime.as_deref().into_iter().chain(known) {
        if let Ok(runtime) = block_on(runtime::find_known(Some(name), &known_file(settings)))?
            && found.iter().all(|other| other.path != runtime.path)
        {
            found.push(runtime);
        }
    }
    Ok(found)
}

/// Where what runtimes said is kept: gone at reboot.
fn known_file(settings: &Settings) -> PathBuf {
    settings.dirs.state.join("runtimes.json")
}

/// The runtime to use.
pub(super) fn runtime(settings: &Settings) -> Result<Runtime, Failed> {
    block_on(runtime::find_known(
        settings.runtime.as_deref(),
        &known_file(settings),
    ))?
    .map_err(|e| {
        Failed::new(Code::Host, e)
            .hint("install runc, crun or youki from your distribution, or name one with --runtime")
    })
}

/// What this machine is, as far as these pods want to know.
pub(super) fn facts(settings: &Settings, pods: &[Pod]) -> Result<HostFacts, Failed> {
    // The directory may not exist yet; its file system is its nearest parent's.
    let exists = settings.dirs.data.ancestors().find(|dir| dir.exists());
    let with_devices = pods.iter().any(bundle::has_privileged);
    runtime::host_facts(exists.unwrap_or(Path::new("/")), with_devices)
        .map_err(|e| Failed::new(Code::Host, cannot("look at this machine")(e)))
}

/// Refuses what cannot work here, and warns of what will work with less.
pub(super) fn check(runtime: &Runtime, needs: &Needs) -> Result<(), Failed> {
    report_all(runtime::preflight(runtime, needs))
}

/// Refuses pods whose sandbox can only be made by the runtime, but is not to be.
pub(super) fn check_sandboxes(plans: &[Plan]) -> Result<(), Failed> {
    let native = plans.iter().filter(|p| p.sandbox == SandboxKind::Native);
    for plan in native.filter(|plan| plan.rejected.is_none()) {
        let config = plan.pause_config(&InstanceId("pause-0".to_owned()));
        let config = config.map_err(cannot(format!("describe pod `{}`", plan.pod.name)))?;
        report_all(runtime::native_problem(&config))?;
    }
    Ok(())
}

/// Refuses a user who cannot run pods, before anything is looked for that only root may find.
pub(super) fn check_user() -> Result<(), Failed> {
    report_all(runtime::unless_root())
}

fn report_all(problems: impl IntoIterator<Item = Problem>) -> Result<(), Failed> {
    for problem in problems {
        if problem.fatal {
            return Err(Failed::new(
                Code::Host,
                Lacks {
                    what: problem.what,
                    why: problem.why,
                },
            )
            .hint(problem.hint));
        }
        report::warn(format!(
            "{}: {} ({})",
            problem.what, problem.why, problem.hint
        ));
    }
    Ok(())
}
