//! `delete`: stop a pod and remove everything of it.

use crate::cli::args::DeleteArgs;
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::pods::{self, Selector};
use crate::cli::settings::Settings;
use crate::cli::{follow, report, source, spawn, stop, volume};
use crate::manifest::{self, Findings, Strictness};
use crate::pod::Request;
use crate::store::release_name;
use crate::supervisor::PodRecord;
use crate::sys::Lock;

pub(super) fn delete(settings: &Settings, args: &DeleteArgs) -> Outcome {
    let pods = match chosen(settings, args) {
        Err(failed) if failed.code == Code::NotFound && args.ignore_not_found => return DONE,
        other => other?,
    };
    if pods.len() > 1 {
        // All at once, so that their graces run side by side. Each is asked again below, where a failure is told.
        let request = request(args.grace_period, args.force);
        pods.iter().for_each(|pod| drop(stop::ask(pod, &request)));
    }
    let (mut done, mut failures) = (0, Vec::new());
    for pod in &pods {
        match delete_one(pod, args.grace_period, args.force, args.wait) {
            Ok(()) => {
                report::data(format_args!("{} deleted", pods::shown(pod)));
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

fn chosen(settings: &Settings, args: &DeleteArgs) -> Result<Vec<PodRecord>, Failed> {
    let mut chosen = Vec::new();
    for name in &args.pods {
        match pods::find(settings, name) {
            Ok(pod) => chosen.push(pod),
            Err(failed) if failed.code == Code::NotFound && args.ignore_not_found => {}
            Err(failed) => return Err(failed),
        }
    }
    if args.all || args.selector.is_some() {
        let selector = args.selector.as_deref().map(Selector::parse);
        chosen.extend(pods::all(settings, false, selector.as_ref()));
    }
    for (namespace, name) in named_in(args)? {
        let text = format!("{namespace}/{name}");
        match pods::find(settings, &text) {
            Ok(pod) => chosen.push(pod),
            Err(failed) if failed.code == Code::NotFound && args.ignore_not_found => {}
            Err(failed) => return Err(failed),
        }
    }
    Ok(chosen)
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
    stop::ask(pod, &request(grace, force))?;
    if !wait {
        return Ok(());
    }
    if !follow::has_ended(pod) {
        follow::until_settled(pod)?;
    }
    // The keeper lets go of the lock as its last act: from then on nobody uses the directory.
    let lock = Lock::take(&pod.dir.file("lock")).map_err(cannot("wait for the pod's keeper"))?;
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
