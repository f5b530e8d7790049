//! `wait`: until a condition, a phase, the deletion or the end of pods.

use crate::cli::args::WaitArgs;
use crate::cli::exit::{Code, DONE, Failed, Outcome};
use crate::cli::report;
use crate::cli::settings::Settings;
use crate::cli::{follow, pods, table};
use crate::pod::{self, PodView};
use crate::supervisor::{PLAN, PodRecord};
use std::time::{Duration, Instant};

/// Pause between two looks for a directory that goes away.
const LOOK: Duration = Duration::from_millis(20);

pub(super) fn wait(settings: &Settings, args: &WaitArgs) -> Outcome {
    let what = What::parse(&args.what)?;
    let timeout = table::duration(&args.timeout)?;
    let deadline = (!timeout.is_zero()).then(|| follow::now() + timeout);
    for name in &args.pods {
        let pod = match pods::find(settings, name) {
            Err(failed) if failed.code == Code::NotFound && matches!(what, What::Delete) => {
                continue;
            }
            other => other?,
        };
        wait_for(&pod, &what, deadline)?;
    }
    DONE
}

/// What is waited for.
enum What {
    Condition(String, bool),
    Phase(String),
    Delete,
    Exit,
}

impl What {
    fn parse(text: &str) -> Result<What, Failed> {
        let unknown = || {
            let message = format!("cannot wait for `{text}`");
            Failed::new(Code::Usage, message)
                .hint("condition=Ready, phase=Succeeded, delete or exit")
        };
        if let Some(condition) = text.strip_prefix("condition=") {
            let (kind, value) = condition.split_once('=').unwrap_or((condition, "true"));
            let wanted = value.to_ascii_lowercase().parse().map_err(|_| unknown())?;
            return Ok(What::Condition(kind.to_owned(), wanted));
        }
        if let Some(phase) = text
            .strip_prefix("phase=")
            .or_else(|| text.strip_prefix("jsonpath={.status.phase}="))
        {
            return Ok(What::Phase(phase.to_owned()));
        }
        match text {
            "delete" => Ok(What::Delete),
            "exit" => Ok(What::Exit),
            _ => Err(unknown()),
        }
    }

    fn is_met(&self, view: &PodView) -> bool {
        match self {
            What::Condition(kind, wanted) => view
                .conditions
                .iter()
                .any(|c| c.kind.eq_ignore_ascii_case(kind) && c.is_true == *wanted),
            What::Phase(phase) => format!("{:?}", view.phase).eq_ignore_ascii_case(phase),
            What::Delete => false,
            What::Exit => view.settled,
        }
    }
}

fn wait_for(pod: &PodRecord, what: &What, deadline: Option<Instant>) -> Result<(), Failed> {
    if let What::Delete = what {
        while pod.dir.file(PLAN).exists() {
            if deadline.is_some_and(|at| follow::now() >= at) {
                let message = format!(
                    "timed out waiting for pod `{}` to be deleted",
                    pod.plan.pod.name
                );
                return Err(Failed::new(Code::Timeout, message));
            }
            std::thread::sleep(LOOK);
        }
        report::data(format_args!("{} condition met", pods::shown(pod)));
        return Ok(());
    }
    follow::ensure_supervised(pod)?;
    let view = follow::until(pod, deadline, |view| what.is_met(view))?;
    match what {
        What::Exit => report::data(format_args!(
            "{} {}",
            pods::shown(pod),
            pod::exit_code(&view)
        )),
        What::Condition(..) | What::Phase(_) | What::Delete => {
            report::data(format_args!("{} condition met", pods::shown(pod)))
        }
    }
    Ok(())
}
