//! `kill`: a signal to the main process of containers.

use crate::cli::args::KillArgs;
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::{pods, stop};
use crate::pod::Request;

pub(super) fn kill(settings: &Settings, args: &KillArgs) -> Outcome {
    let signal = args
        .signal
        .parse()
        .map_err(|e| Failed::new(Code::Usage, cannot("send the signal")(e)))?;
    let (pod, named) = pods::find_with_container(settings, &args.pod)?;
    let container = args.container.clone().or(named);
    if let Some(name) = &container {
        pods::container(&pod, Some(name))?;
    }
    stop::ask(&pod, &Request::Signal { container, signal })?;
    DONE
}
