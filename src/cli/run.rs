//! `run`: from a manifest to running pods; in the foreground their output, their end, their exit code.

use crate::api::Client;
use crate::bundle;
use crate::cli::args::{LogArgs, LogWhenFull, RunArgs};
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::spawn::AfterBoot;
use crate::cli::{
    delete, follow, foreground, host, network, pods, ports, report, source, spawn, timings,
};
use crate::manifest::{ConfigObject, Pod, Profile};
use crate::pod::{ContainerState, Phase, PodView, Request};
use crate::runtime::{Deadlines, Needs, Runtime};
use crate::stdio::{LogLimits, WhenFull};
use crate::store::find_name;
use crate::supervisor::{Plan, PodRecord, read_pod};
use crate::sys;
use std::time::Duration;

/// Waiting reasons that are part of a normal start.
const STARTING: [&str; 2] = ["ContainerCreating", "PodInitializing"];
/// Bounds of the crash back-off in seconds. Source: the kubelet's 10 s and 300 s; 1 s is its smallest setting.
const BACKOFF_SECONDS: (f64, f64) = (10.0, 300.0);
/// Bounds of the deadline of a runtime call in seconds: no runtime is faster, no user is more patient.
const DEADLINE_SECONDS: (f64, f64) = (0.1, 600.0);
/// Smallest log that is rotated, in bytes: of less, rotation would be most of the work.
const LOG_BYTES_MIN: u64 = 64 * 1024;

pub(super) fn run(settings: &Settings, args: &RunArgs) -> Outcome {
    let begun = sys::now().mono;
    let mut loaded = source::load(&args.files)?;
    if loaded.pods.len() > 1 && (args.name.is_some() || !args.detach) {
        let message = format!("the manifest has {} pods", loaded.pods.len());
        return Err(Failed::new(Code::Usage, message)
            .hint("run several pods with --detach and without --name"));
    }
    if let (Some(name), Some(pod)) = (&args.name, loaded.pods.first_mut()) {
        rename(pod, name)?;
    }
    host::check_user()?;
    let runtime = host::runtime(settings)?;
    let plans: Vec<Plan> = loaded
        .pods
        .iter()
        .map(|pod| plan(settings, args, pod, &loaded.objects, &runtime))
        .collect::<Result<_, _>>()?;
    host::check(&runtime, &needs(&plans))?;
    host::check_sandboxes(&plans)?;
    network::check(&plans)?;
    let reserved = ports::reserve(settings, &plans, args.replace)?;
    let mut started = Vec::new();
    for plan in &plans {
        started.push(start(settings, args, plan)?);
    }
    // From here on the pods hold their ports themselves.
    drop(reserved);
    match &started[..] {
        [pod] if !args.detach => foreground::attend(pod, args),
        _ => {
            for pod in &started {
                match follow::until(pod, None, is_past_start) {
                    // It was as quick as that.
                    Err(_) if args.rm && !pod.dir.state.exists() => {}
                    view => tell_trouble(pod, &view?),
                }
                report::data(pods::shown(pod));
                if args.timings {
                    timings::tell(pod, begun)?;
                }
            }
            DONE
        }
    }
}

fn rename(pod: &mut Pod, name: &str) -> Result<(), Failed> {
    crate::manifest::pod_name(name)
        .map_err(|why| Failed::new(Code::Usage, format!("`{name}` is no name for a pod: {why}")))?;
    name.clone_into(&mut pod.name);
    pod.object["metadata"]["name"] = name.into();
    Ok(())
}

fn plan(
    settings: &Settings,
    args: &RunArgs,
    pod: &Pod,
    objects: &[ConfigObject],
    runtime: &Runtime,
) -> Result<Plan, Failed> {
    let host = host::facts(settings, std::slice::from_ref(pod))?;
    let forbidden = bundle::forbidden_sysctl(pod, host.kernel, &args.allow_sysctl);
    let rejected = forbidden.map(|message| ("SysctlForbidden".to_owned(), message));
    let seconds = |value: Option<f64>, default: f64| {
        let value = value.unwrap_or(default);
        let ok = (0.0..=BACKOFF_SECONDS.1).contains(&value);
        ok.then_some((value * 1000.0) as u64)
            .ok_or_else(|| Failed::new(Code::Usage, "a back-off is between 0 and 300 seconds"))
    };
    let longest = seconds(args.backoff_max, BACKOFF_SECONDS.1)?;
    let first = seconds(args.backoff_initial, BACKOFF_SECONDS.0)?.min(longest);
    let mine = |object: &&ConfigObject| object.namespace == pod.namespace;
    Ok(Plan {
        pod: pod.clone(),
        objects: objects.iter().filter(mine).cloned().collect(),
        runtime: runtime.clone(),
        deadlines: deadlines(args)?,
        sandbox: args.sandbox.who.into(),
        network: network::resolve(args.network.as_ref(), pod)?,
        pod_names: args.pod_names,
        host,
        dirs: settings.dirs.clone(),
        image_environment: image_environment(),
        backoff_ms: (first, longest),
        logs: logs(&args.logs)?,
        rejected,
        remove_at_end: args.rm && args.detach,
    })
}

/// A supervisor knows nothing of its caller's surroundings but this.
fn image_environment() -> std::collections::BTreeMap<String, String> {
    let names = crate::image::ENVIRONMENT.iter();
    names
        .filter_map(|name| Some(((*name).to_owned(), std::env::var(name).ok()?)))
        .collect()
}

fn logs(args: &LogArgs) -> Result<LogLimits, Failed> {
    let bytes = u64::try_from(args.log_size.units()).unwrap_or(0);
    if bytes < LOG_BYTES_MIN {
        let message = format!("the log of a container has at least {LOG_BYTES_MIN} bytes");
        return Err(Failed::new(Code::Usage, message));
    }
    Ok(LogLimits {
        file_bytes: bytes,
        files: usize::from(args.log_files),
        when_full: match args.log_when_full {
            LogWhenFull::Drop => WhenFull::Drop,
            LogWhenFull::Block => WhenFull::Block,
        },
    })
}

fn deadlines(args: &RunArgs) -> Result<Deadlines, Failed> {
    let Some(seconds) = args.runtime_deadline else {
        return Ok(Deadlines::default());
    };
    if !(DEADLINE_SECONDS.0..=DEADLINE_SECONDS.1).contains(&seconds) {
        let (least, most) = DEADLINE_SECONDS;
        let message =
            format!("the deadline of a runtime call is between {least} and {most} seconds");
        return Err(Failed::new(Code::Usage, message));
    }
    Ok(Deadlines::each(Duration::from_secs_f64(seconds)))
}

fn needs(plans: &[Plan]) -> Needs {
    let profile = |pod: &Pod| {
        let of = |c: &crate::manifest::Container| {
            c.security.seccomp.clone().or(pod.security.seccomp.clone())
        };
        pod.containers
            .iter()
            .any(|c| of(c).is_some_and(|p| p != Profile::Unconfined) && !c.security.privileged)
    };
    let rro = |pod: &Pod| {
        let mut mounts = pod.containers.iter().flat_map(|c| &c.mounts);
        mounts.any(|m| m.recursive_read_only == crate::manifest::RecursiveReadOnly::Enabled)
    };
    Needs {
        seccomp: plans.iter().any(|plan| profile(&plan.pod)),
        rro: plans.iter().any(|plan| rro(&plan.pod)),
        overlay: true,
        systemd_cgroup: false,
    }
}

fn start(settings: &Settings, args: &RunArgs, plan: &Plan) -> Result<PodRecord, Failed> {
    let pod = &plan.pod;
    if args.replace {
        let older = find_name(&settings.dirs, &pod.namespace, &pod.name);
        let older = older.and_then(|uid| read_pod(&settings.dirs, &uid).transpose());
        if let Some(older) = older
            .transpose()
            .map_err(cannot(format!("read pod `{}`", pod.name)))?
        {
            delete::delete_one(&older, None, false, true)?;
        }
    }
    // What runs in the foreground belongs to whoever runs it.
    let after_boot = match args.detach {
        true => AfterBoot::RunAgain,
        false => AfterBoot::Forget,
    };
    let dir = spawn::spawn(plan, after_boot)?;
    Ok(PodRecord {
        dir,
        plan: plan.clone(),
        snapshot: None,
    })
}

/// Whether every container has started, or it is clear that one does not for now.
fn is_past_start(view: &PodView) -> bool {
    let starting = |state: &ContainerState| match state {
        ContainerState::Waiting { reason, message } => {
            STARTING.contains(&reason.as_str()) && message.is_empty()
        }
        ContainerState::Running { .. } | ContainerState::Terminated(_) => false,
    };
    view.settled
        || view.trouble().is_some()
        || view.phase != Phase::Pending
        || view.containers.iter().any(|c| trouble(&c.state).is_some())
        || !view.containers.iter().any(|c| starting(&c.state))
}

fn trouble(state: &ContainerState) -> Option<(&str, &str)> {
    match state {
        ContainerState::Waiting { reason, message } if !STARTING.contains(&reason.as_str()) => {
            Some((reason, message))
        }
        ContainerState::Terminated(end) if end.reason == "StartError" => {
            Some((&end.reason, &end.message))
        }
        _ => None,
    }
}

fn tell_trouble(pod: &PodRecord, view: &PodView) {
    follow::Troubles::default().tell(pod, view);
    for container in &view.containers {
        if let Some((reason, message)) = trouble(&container.state) {
            let (pod, name) = (&pod.plan.pod.name, &container.name);
            report::warn(format!(
                "container `{name}` of pod `{pod}`: {reason}: {message}"
            ));
        }
    }
}

/// Asks a pod to stop, as far as somebody is there to be asked.
pub(super) fn ask_to_stop(pod: &PodRecord, force: bool) {
    let request = Request::Stop {
        grace_seconds: force.then_some(0),
        force,
    };
    if let Err(error) = Client::connect(&pod.dir).and_then(|mut client| client.request(request)) {
        report::warn(format!(
            "cannot stop pod `{}`: {}",
            pod.plan.pod.name,
            report::chain(&error)
        ));
    }
}
