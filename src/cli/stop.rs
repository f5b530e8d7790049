//! `stop`: end a pod with its grace; its status and logs stay until it is deleted.

use crate::api::{Client, ClientError};
use crate::cli::args::StopArgs;
use crate::cli::exit::{Code, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::{follow, pods, report, spawn};
use crate::pod::Request;
use crate::supervisor::PodRecord;
use std::io;
use std::time::Duration;

/// Supervisors that may die under one request: the keeper waits before the fifth for a second, before the eighth for five.
const MAX_DEATHS: u32 = 8;

/// Looks for the socket of a pod that is being created, [`follow::RETRY`] apart: it takes milliseconds, on a full machine seconds.
const MAX_LOOKS: u32 = 200;

pub(super) fn stop(settings: &Settings, args: &StopArgs) -> Outcome {
    let request = Request::Stop {
        grace_seconds: args.grace_period,
        force: false,
    };
    each(settings, &args.pods, |pod| {
        spawn::forget_after_boot(&pod.dir).map_err(cannot("forget the pod's wish to run"))?;
        ask(pod, &request)?;
        follow::until_settled(pod, None)?;
        report::data(format_args!("{} stopped", pods::shown(pod)));
        Ok(())
    })
}

/// Does something with each pod; what fails is reported and the rest goes on.
pub(super) fn each(
    settings: &Settings,
    names: &[String],
    mut act: impl FnMut(&PodRecord) -> Result<(), Failed>,
) -> Outcome {
    report::each(names, |name| {
        pods::find(settings, name).and_then(|pod| act(&pod))
    })
}

/// The same with `count` pods at hand.
pub(super) fn each_pod(
    count: usize,
    pods: impl Iterator<Item = Result<PodRecord, Failed>>,
    mut act: impl FnMut(&PodRecord) -> Result<(), Failed>,
) -> Outcome {
    report::each_of(count, pods, |pod| pod.and_then(|pod| act(&pod)))
}

/// Asks the machine of a pod for something; a pod that has ended needs no stop.
pub(super) fn ask(pod: &PodRecord, request: &Request) -> Result<(), Failed> {
    ask_within(pod, request, None)
}

/// The same; each supervisor that is asked may take so long to answer.
pub(super) fn ask_within(
    pod: &PodRecord,
    request: &Request,
    patience: Option<Duration>,
) -> Result<(), Failed> {
    let is_stop = matches!(request, Request::Stop { .. });
    if follow::has_ended(pod) {
        if is_stop {
            return Ok(());
        }
        return Err(Failed::new(
            Code::Failed,
            format!("pod `{}` has ended", pod.plan.pod.name),
        ));
    }
    let (mut deaths, mut looks) = (0, 0);
    loop {
        follow::ensure_supervised(pod)?;
        let asked = Client::connect(&pod.dir).and_then(|mut client| {
            client.set_timeout(patience)?;
            client.request(request.clone())
        });
        match asked {
            // It ended while we were asking.
            Err(_) if is_stop && follow::has_ended(&follow::reread(pod)?) => return Ok(()),
            Err(ClientError::Io { source, .. }) if is_timeout(&source) => {
                let name = &pod.plan.pod.name;
                let message = format!("the supervisor of pod `{name}` does not answer");
                return Err(Failed::new(Code::Timeout, message));
            }
            // It is being created, and nobody was asked yet.
            Err(ClientError::Io { source, .. })
                if source.kind() == io::ErrorKind::NotFound
                    && looks < MAX_LOOKS
                    && !follow::has_ended(&follow::reread(pod)?) =>
            {
                looks += 1;
                std::thread::sleep(follow::RETRY);
            }
            // Its supervisor died: the next one may be asked to stop once more, but a signal may have been sent.
            Err(ClientError::Io { .. }) if is_stop && deaths < MAX_DEATHS => {
                deaths += 1;
                std::thread::sleep(follow::RETRY);
            }
            other => return other.map_err(follow::refused),
        }
    }
}

/// What a socket says when its time is up.
fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
    )
}
