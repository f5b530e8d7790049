//! `delete`: stop a pod and remove everything of it.

use crate::base::PodUid;
use crate::cli::args::DeleteArgs;
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::pods::{self, Selector};
use crate::cli::settings::Settings;
use crate::cli::{follow, report, source, spawn, stop, volume, wreck};
use crate::manifest::{self, Findings, Strictness};
use crate::pod::Request;
use crate::store::release_name;
use crate::supervisor::{PodRecord, list_pods};
use crate::sys::Lock;
use std::io::ErrorKind;
use std::time::Duration;

/// How long a supervisor may take to answer to `--force`: milliseconds, unless it is stopped or its disk hangs.
const ANSWER: Duration = Duration::from_secs(10);
/// How long it may then take to end the pod: killing, deleting by a runtime that hangs, and cleaning up have deadlines of their own.
const END: Duration = Duration::from_secs(60);

pub(super) fn delete(settings: &Settings, args: &DeleteArgs) -> Outcome {
    let (pods, wrecks) = match chosen(settings, args) {
        Err(failed) if failed.code == Code::NotFound && args.ignore_not_found => return DONE,
        other => other?,
    };
    if pods.len() > 1 {
        // All at once, so that their graces run side by side. Each is asked again below, where a failure is told.
        let request = request(args.grace_period, args.force);
        pods.iter().for_each(|pod| drop(stop::ask(pod, &request)));
    }
    let (mut done, mut failures) = (0, Vec::new());
    let each = pods.iter().map(|pod| {
        let deleted = delete_one(pod, args.grace_period, args.force, args.wait);
        (pods::shown(pod), deleted)
    });
    let wrecks = wrecks.iter().map(|uid| {
        let names = wreck::names(&settings.dirs, uid);
        let name = names.first().map_or(&uid.0, |(_, name)| name);
        (format!("pod/{name}"), wreck::remove(&settings.dirs, uid))
    });
    for (shown, deleted) in each.chain(wrecks) {
        match deleted {
            Ok(()) => {
                report::data(format_args!("{shown} deleted"));
                done += 1;
            }
            Err(failed) => failures.push(failed),
        }
    }
    match (failures.pop(), done) {
        (None, _) if args.volumes => volume::remove_of(settings, &pods),
        (None, _) => DONE,
        (Some(failed), 0) if failures.is_empty() => Err(failed),
        (Some(last), _) => {
            failures.iter().chain([&last]).for_each(|failed| {
                report::print(failed, false);
            });
            Ok(Code::Partly as u8)
        }
    }
}

/// The pods that are meant, and with `--force` also those that cannot be read.
fn chosen(settings: &Settings, args: &DeleteArgs) -> Result<(Vec<PodRecord>, Vec<PodUid>), Failed> {
    let (mut chosen, mut wrecks) = (Vec::new(), Vec::new());
    let in_files = named_in(args)?;
    let in_files = in_files
        .iter()
        .map(|(namespace, name)| format!("{namespace}/{name}"));
    for name in args.pods.iter().cloned().chain(in_files) {
        match pods::find(settings, &name) {
            Ok(pod) => chosen.push(pod),
            Err(failed) if failed.code == Code::NotFound && args.ignore_not_found => {}
            Err(failed) => match pods::find_unreadable(settings, &name) {
                Some(uid) if args.force => wrecks.push(uid),
                _ => return Err(failed),
            },
        }
    }
    if args.all || args.selector.is_some() {
        let selector = args.selector.as_deref().map(Selector::parse);
        chosen.extend(pods::all(settings, false, selector.as_ref()));
    }
    if args.all && args.force {
        let (_, broken) = list_pods(&settings.dirs);
        let is_here = |uid: &PodUid| {
            let names = wreck::names(&settings.dirs, uid);
            names
                .iter()
                .any(|(namespace, _)| *namespace == settings.namespace)
        };
        wrecks.extend(broken.into_iter().map(|(uid, _)| uid).filter(is_here));
    }
    Ok((chosen, wrecks))
}

/// The pods that the manifests name. What else is wrong with a manifest is no reason not to delete its pods.
fn named_in(args: &DeleteArgs) -> Result<Vec<(String, String)>, Failed> {
    let sources = source::read(&args.file)?;
    let mut findings = Findings::new();
    let documents = manifest::read(&sources, Strictness::Ignore, &mut findings);
    if documents.pods.is_empty() && !args.file.is_empty() {
        return Err(Failed::new(Code::Usage, "no pod in the manifest"));
    }
    let name = |pod: manifest::RawPod| {
        let meta = pod.pod.metadata;
        Some((
            meta.namespace.unwrap_or_else(|| "default".into()),
            meta.name?,
        ))
    };
    Ok(documents.pods.into_iter().filter_map(name).collect())
}

fn request(grace: Option<u64>, force: bool) -> Request {
    let grace_seconds = if force { Some(0) } else { grace };
    Request::Stop {
        grace_seconds,
        force,
    }
}

/// Stops one pod and removes what is left of it.
pub(super) fn delete_one(
    pod: &PodRecord,
    grace: Option<u64>,
    force: bool,
    wait: bool,
) -> Result<(), Failed> {
    let asked = match force {
        true => stop::ask_within(pod, &request(grace, force), Some(ANSWER)),
        false => stop::ask(pod, &request(grace, force)),
    };
    if !wait && asked.is_ok() {
        return Ok(());
    }
    let settled = asked.and_then(|()| match follow::has_ended(pod) {
        true => Ok(()),
        false => follow::until_settled(pod, force.then_some(END)),
    });
    match settled {
        Err(error) if force => {
            report::warn(report::chain(error.error.as_ref()));
            report::warn("its supervisor is ended, too");
            return wreck::remove(&pod.plan.dirs, &pod.plan.pod.uid);
        }
        // Somebody else was faster.
        Err(error) if error.code == Code::NotFound => return Ok(()),
        other => other?,
    }
    // The keeper lets go of the lock as its last act: from then on nobody uses the directory.
    let lock = match Lock::take_existing(&pod.dir.file("lock")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        lock => lock.map_err(cannot("wait for the pod's keeper"))?,
    };
    remove(pod)?;
    drop(lock);
    Ok(())
}

/// Removes files, logs and name of a pod that nobody supervises.
pub(super) fn remove(pod: &PodRecord) -> Result<(), Failed> {
    let (dirs, spec) = (&pod.plan.dirs, &pod.plan.pod);
    let fail = || cannot(format!("remove pod `{}`", spec.name));
    match std::fs::remove_dir_all(dirs.pod_logs(spec)) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(fail()(e).into()),
        _ => {}
    }
    spawn::remove_files(dirs, &pod.dir).map_err(fail())?;
    Ok(release_name(dirs, &spec.namespace, &spec.name, &spec.uid).map_err(fail())?)
}
