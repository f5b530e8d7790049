//! `doctor`: whether pods can run on this machine, and what is left of pods that are gone.

use crate::cli::args::DoctorArgs;
use crate::cli::exit::{Code, Failed, Outcome};
use crate::cli::leftovers::{self, Leftover};
use crate::cli::settings::Settings;
use crate::cli::{follow, host, pods, report};
use crate::network::{self, Job, Namespace};
use crate::runtime::{self, Needs, Problem, Runtime};
use crate::supervisor::list_pods;

/// What pods may need of a machine.
const NEEDS: Needs = Needs {
    seccomp: true,
    rro: false,
    overlay: true,
    systemd_cgroup: false,
};

pub(super) fn doctor(settings: &Settings, args: &DoctorArgs) -> Outcome {
    let is_able = look_at_host(settings)?;
    check_networks(settings);
    let found = leftovers::find(settings);
    let stays = match args.fix {
        true => found.iter().filter(|left| !fix(settings, left)).count(),
        false => {
            for left in &found {
                line("leftover", left);
            }
            found.len()
        }
    };
    if found.is_empty() {
        line("ok", "nothing is left of pods that are gone");
    } else if !args.fix {
        report::data("hint: `podshim doctor --fix` clears leftovers away");
    }
    let code = match (is_able, stays, args.fix) {
        (false, ..) => Code::Host,
        (true, 0, _) => Code::Done,
        (true, _, true) => Code::Partly,
        (true, _, false) => Code::Failed,
    };
    Ok(code as u8)
}

/// Asks the plugins of each running pod whether its network is as they made it. What is not is for a person to judge.
fn check_networks(settings: &Settings) {
    let (pods, _) = list_pods(&settings.dirs);
    for pod in pods.iter().filter(|pod| follow::is_supervised(pod)) {
        let Some(pause) = pods::pause(pod) else {
            continue;
        };
        let (plan, dirs) = (&pod.plan, &pod.plan.dirs);
        let checked = network::verify(&Job {
            state: &dirs.state,
            data: &dirs.data,
            pod: &plan.pod,
            network: &plan.network,
            namespace: Namespace::of_process(pause.pid, pause.start_time),
            exists: &|_| true,
        });
        if let Err(error) = checked {
            let text = report::chain(&error);
            line(
                "warning",
                format_args!("network of pod {}: {text}", pods::shown(pod)),
            );
        }
    }
}

fn line(verdict: &str, text: impl std::fmt::Display) {
    report::data(format_args!("{verdict:<9} {text}"));
}

/// Says of each runtime whether it can run pods here; whether the one that `run` would take can.
fn look_at_host(settings: &Settings) -> Result<bool, Failed> {
    let chosen = match host::runtime(settings) {
        Ok(runtime) => Some(runtime),
        Err(failed) => {
            line("problem", report::chain(failed.error.as_ref()));
            hint(failed.hint.as_deref().unwrap_or_default());
            None
        }
    };
    let is_chosen = |runtime: &Runtime| {
        let chosen = chosen.as_ref();
        chosen.is_some_and(|chosen| chosen.path == runtime.path)
    };
    let mut is_able = false;
    for runtime in &host::runtimes(settings)? {
        let title = format!("{} {}", runtime.path.display(), runtime.version);
        let problems = runtime::preflight(runtime, &NEEDS);
        if !problems.iter().any(|problem| problem.fatal) {
            line("ok", format_args!("{title} can run pods"));
            is_able |= is_chosen(runtime);
        }
        for problem in &problems {
            let verdict = match problem.fatal && is_chosen(runtime) {
                true => "problem",
                false => "warning",
            };
            tell(verdict, &title, problem);
        }
    }
    Ok(is_able)
}

fn tell(verdict: &str, title: &str, problem: &Problem) {
    let Problem { what, why, .. } = problem;
    line(verdict, format_args!("{title}: {what}: {why}"));
    hint(&problem.hint);
}

fn hint(text: &str) {
    if !text.is_empty() {
        line("", format_args!("hint: {text}"));
    }
}

/// Clears one leftover away; whether that worked.
fn fix(settings: &Settings, left: &Leftover) -> bool {
    match leftovers::fix(settings, left) {
        Ok(()) => {
            line("fixed", left);
            true
        }
        Err(failed) => {
            line("stays", left);
            report::print(&failed, false);
            false
        }
    }
}
