//! `up`: after a boot, the pods that ran detached when the machine went down run again as their restart policies say; what an
//! earlier boot left is cleared away. Also brings pods whose keeper died back under one, so it may be run at any time.

use crate::base::PodUid;
use crate::cli::exit::{Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::{follow, host, leftovers, pods, report, spawn, stop, wreck};
use crate::manifest::RestartPolicy;
use crate::store::{Dirs, read_json};
use crate::supervisor::{PLAN, Plan, PodRecord, read_pod};
use crate::sys::{self, Lock};
use std::path::Path;

/// `status.reason` of a pod that never restarts and ran when the machine went down.
const REBOOTED: &str = "MachineRebooted";

pub(super) fn up(settings: &Settings) -> Outcome {
    host::check_user()?;
    // Two at a time would each end what the other starts.
    let dir = &settings.dirs.state;
    let lock = sys::create_dirs(dir, 0o700).and_then(|()| Lock::take(&dir.join("up.lock")));
    let _lock = lock.map_err(cannot("wait for another `podshim up`"))?;
    let (here, unreadable) = pods::everywhere(settings);
    let wanted = wanted(settings);
    let lost = here
        .iter()
        .filter(|pod| !is_earlier(pod) && !follow::has_ended(pod));
    let lost: Vec<_> = lost
        .filter(|pod| !follow::is_supervised(pod))
        .cloned()
        .collect();
    let count = lost.len() + wanted.len();
    let work = lost
        .into_iter()
        .chain(wanted)
        .map(Ok)
        .chain(unreadable.into_iter().map(Err));
    let outcome = stop::each_pod(count, work, |pod| match is_earlier(pod) {
        true => run_again(settings, pod),
        false => {
            follow::ensure_supervised(pod)?;
            report::data(format_args!("{} goes on", pods::shown(pod)));
            Ok(())
        }
    });
    // What is left now belongs to no pod.
    for left in leftovers::find(settings) {
        match leftovers::fix(settings, &left) {
            Ok(()) => report::data(format_args!("cleared {left}")),
            Err(failed) => drop(report::print(&failed, false)),
        }
    }
    outcome
}

/// The pods that are to run again: those of which only the data disk knows by now, and those of an earlier boot.
fn wanted(settings: &Settings) -> Vec<PodRecord> {
    let uids = spawn::wanted_after_boot(&settings.dirs).into_iter();
    let one = |uid: PodUid| {
        let plan = wish(&settings.dirs, &uid)?;
        // Looked at now: it may have been made, or removed, since all were listed.
        let dir = settings.dirs.pod(&uid);
        match read_pod(&settings.dirs, &uid) {
            Ok(Some(pod)) => is_earlier(&pod).then_some(pod),
            // Of a pod that is removed, the data goes first.
            Ok(None) => dir.data.join(PLAN).exists().then_some(PodRecord {
                dir,
                plan,
                snapshot: None,
            }),
            // Told with the others that cannot be read.
            Err(_) => None,
        }
    };
    uids.filter_map(one).collect()
}

/// What is on the data disk of a pod that is to run again after a boot.
fn wish(dirs: &Dirs, uid: &PodUid) -> Option<Plan> {
    read_json(&dirs.pod(uid).data.join(PLAN)).unwrap_or_else(|error| {
        report::warn(format!("cannot read what pod `{uid}` was: {error}"));
        None
    })
}

/// Whether nothing of the pod can run any more: the machine has booted since.
fn is_earlier(pod: &PodRecord) -> bool {
    match &pod.snapshot {
        Some(snapshot) => snapshot.boot_id != sys::boot_id(),
        None => !pod.dir.file(PLAN).exists(),
    }
}

fn run_again(settings: &Settings, pod: &PodRecord) -> Result<(), Failed> {
    let shown = pods::shown(pod);
    let name = &pod.plan.pod.name;
    leftovers::unmounted(&pod.dir.state)?;
    // Nothing of it can live; if something does, it is not this pod's any more.
    wreck::kill(&pod.plan.dirs, &pod.plan.pod.uid)?;
    let clear = || {
        remove_all(&pod.dir.state)?;
        remove_all(&pod.dir.data.join("instances"))?;
        forget_held(&pod.plan.dirs.pod_logs(&pod.plan.pod))
    };
    clear().map_err(cannot(format!(
        "clear away what an earlier boot left of pod `{name}`"
    )))?;
    let mut plan = pod.plan.clone();
    plan.host = host::facts(settings, std::slice::from_ref(&plan.pod))?;
    if plan.pod.restart_policy == RestartPolicy::Never {
        let message = "The machine was booted while the pod ran, and it never restarts.";
        plan.rejected = Some((REBOOTED.to_owned(), message.to_owned()));
        spawn::spawn(&plan, spawn::AfterBoot::Forget)?;
        report::data(format_args!(
            "{shown} has failed: it was cut off and never restarts"
        ));
        return Ok(());
    }
    spawn::spawn(&plan, spawn::AfterBoot::RunAgain)?;
    report::data(format_args!("{shown} started"));
    Ok(())
}

fn remove_all(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// Removes what pumps of the earlier boot had not logged: their pipes are gone, and it must not begin a line of another container.
fn forget_held(logs: &Path) -> std::io::Result<()> {
    let entries = |dir: &Path| std::fs::read_dir(dir).into_iter().flatten().flatten();
    for container in entries(logs) {
        for file in entries(&container.path()) {
            if file.file_name().to_string_lossy().ends_with(".held") {
                std::fs::remove_file(file.path())?;
            }
        }
    }
    Ok(())
}
