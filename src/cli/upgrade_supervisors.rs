//! `upgrade-supervisors`: running pods go on under this very program. Their containers do not notice, nor does the keeper, which
//! stays what it is and speaks a protocol with a version.

use crate::api::{Client, ClientError};
use crate::cli::args::UpgradeArgs;
use crate::cli::exit::{Code, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::{follow, pods, report, stop, wreck};
use crate::supervisor::{LINK, PodRecord, SUPERVISOR_VERB};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;

/// How long a new supervisor may take to answer: the old one finishes what it does within 10 s, the rest takes milliseconds.
const UPGRADE: Duration = Duration::from_secs(30);

pub(super) fn upgrade_supervisors(settings: &Settings, args: &UpgradeArgs) -> Outcome {
    if !args.pods.is_empty() {
        return stop::each(settings, &args.pods, upgrade);
    }
    let (all, unreadable) = pods::everywhere(settings);
    let live: Vec<PodRecord> = all
        .into_iter()
        .filter(|pod| !follow::has_ended(pod))
        .collect();
    stop::each_pod(
        live.len(),
        unreadable
            .into_iter()
            .map(Err)
            .chain(live.into_iter().map(Ok)),
        upgrade,
    )
}

fn upgrade(pod: &PodRecord) -> Result<(), Failed> {
    let shown = pods::shown(pod);
    if follow::has_ended(pod) {
        report::data(format_args!("{shown} has ended"));
        return Ok(());
    }
    follow::ensure_supervised(pod)?;
    check(pod)?;
    let own = program("self").map_err(cannot("look at this program"))?;
    let before = supervisor(pod);
    if before.is_some_and(|(_, program)| program == own) {
        report::data(format_args!("{shown} is up to date"));
        return Ok(());
    }
    replace(pod)?;
    let deadline = follow::now() + UPGRADE;
    loop {
        match supervisor(pod) {
            now if now == before => {}
            Some((_, program)) if program == own && answers(pod) => {
                report::data(format_args!("{shown} upgraded"));
                return Ok(());
            }
            // It is on its way.
            Some((_, program)) if program == own => {}
            Some(_) if follow::now() < deadline && !answers(pod) => {}
            Some(_) => return Err(undone(pod, "does not live with this program")),
            None => {}
        }
        if follow::has_ended(&follow::reread(pod)?) {
            report::data(format_args!("{shown} has ended"));
            return Ok(());
        }
        if follow::now() >= deadline {
            return Err(undone(pod, "does not answer in time"));
        }
        std::thread::sleep(follow::RETRY);
    }
}

/// The plan and the snapshot have been read by this program, so they fit; the keeper must, too.
fn check(pod: &PodRecord) -> Result<(), Failed> {
    let link = pod.snapshot.as_ref().map(|snapshot| snapshot.link.as_str());
    if link.is_none_or(|link| link == LINK) {
        return Ok(());
    }
    let message = format!(
        "cannot upgrade pod `{}`: its keeper speaks version {} of our protocol, this program {LINK}",
        pod.plan.pod.name,
        link.unwrap_or_default()
    );
    Err(Failed::new(Code::Failed, message).hint("stop the pod and run it again"))
}

fn replace(pod: &PodRecord) -> Result<(), Failed> {
    let own = format!("/proc/{}/exe", std::process::id());
    let mut client = Client::connect(&pod.dir)?;
    client.set_timeout(Some(UPGRADE))?;
    client.replace(own.as_ref()).map_err(|error| match error {
        ClientError::Reply(word) => {
            let name = &pod.plan.pod.name;
            let what = format!("cannot upgrade pod `{name}`: its supervisor says {word}");
            Failed::new(Code::Failed, what).hint("stop the pod and run it again")
        }
        other => other.into(),
    })
}

/// The pod's supervisor and its program.
fn supervisor(pod: &PodRecord) -> Option<(u32, (u64, u64))> {
    let pids = wreck::lives(SUPERVISOR_VERB, &pod.dir).into_iter();
    pids.filter_map(|pid| Some((pid, program(&pid.to_string()).ok()?)))
        .next()
}

/// The file that a process runs: its device and inode.
fn program(pid: &str) -> std::io::Result<(u64, u64)> {
    let file = std::fs::metadata(format!("/proc/{pid}/exe"))?;
    Ok((file.dev(), file.ino()))
}

fn answers(pod: &PodRecord) -> bool {
    let ask = || {
        let mut client = Client::connect(&pod.dir)?;
        client.set_timeout(Some(UPGRADE))?;
        client.watch()?;
        client.next_view()
    };
    matches!(ask(), Ok(Some(_)))
}

fn undone(pod: &PodRecord, why: &str) -> Failed {
    let message = format!("the supervisor of pod `{}` {why}", pod.plan.pod.name);
    let hint = format!("see `{}`", pod.dir.file("supervisor.log").display());
    Failed::new(Code::Failed, message).hint(hint)
}
