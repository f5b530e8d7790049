//! `shutdown --all`: every pod of this installation stops, before the machine does. It needs no manager: a pod whose keeper died
//! gets one that stops it, and what cannot be stopped in time is killed. `up` starts the pods again.

use crate::cli::args::ShutdownArgs;
use crate::cli::exit::{Failed, Outcome};
use crate::cli::settings::Settings;
use crate::cli::{follow, pods, report, stop, wreck};
use crate::pod::Request;
use crate::supervisor::PodRecord;
use std::time::Duration;

/// How long a supervisor may take to answer.
const ANSWER: Duration = Duration::from_secs(10);
/// How long removing what is left of a pod may take after its grace: each step has a deadline of its own.
const CLEAN_UP: Duration = Duration::from_secs(60);

pub(super) fn shutdown(settings: &Settings, args: &ShutdownArgs) -> Outcome {
    let request = Request::Stop {
        grace_seconds: args.grace_period,
        force: false,
    };
    let (all, unreadable) = pods::everywhere(settings);
    let live: Vec<PodRecord> = all
        .into_iter()
        .filter(|pod| !follow::has_ended(pod))
        .collect();
    // All at once, so that their graces run side by side. Each is asked again below, where a failure is told.
    for pod in &live {
        let _told_below = stop::ask_within(pod, &request, Some(ANSWER));
    }
    let count = live.len();
    let pods = live.into_iter().map(Ok);
    stop::each_pod(count, pods.chain(unreadable.into_iter().map(Err)), |pod| {
        let grace = args
            .grace_period
            .unwrap_or(pod.plan.pod.termination_grace_period_seconds);
        match stop_one(pod, &request, Duration::from_secs(grace)) {
            Ok(()) => report::data(format_args!("{} stopped", pods::shown(pod))),
            Err(error) => {
                report::warn(report::chain(error.error.as_ref()));
                wreck::kill(&pod.plan.dirs, &pod.plan.pod.uid)?;
                report::data(format_args!("{} killed", pods::shown(pod)));
            }
        }
        Ok(())
    })
}

fn stop_one(pod: &PodRecord, request: &Request, grace: Duration) -> Result<(), Failed> {
    stop::ask_within(pod, request, Some(ANSWER))?;
    match follow::has_ended(pod) {
        true => Ok(()),
        false => follow::until_settled(pod, Some(grace + CLEAN_UP)),
    }
}
