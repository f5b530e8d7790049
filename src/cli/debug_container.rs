//! `debug POD`: a container of another image in a running pod, to look around with tools that its images lack.
//!
//! The new container only waits, and the command is run in it like any other: so it has our terminal, and its exit code is ours.
//! When the command ends, the container does.

use crate::base::Signal;
use crate::bundle::WAIT_COMMAND;
use crate::cli::args::{DebugContainer, ExecArgs, Validate};
use crate::cli::exit::{Code, Failed, Outcome, cannot};
use crate::cli::settings::Settings;
use crate::cli::source::{self, Ids};
use crate::cli::{exec, follow, pods, report, stop};
use crate::manifest::{Container, Role, Source};
use crate::pod::{ContainerState, PodView, Request};
use serde_json::json;

/// What runs if nothing is asked.
const SHELL: &str = "sh";
/// Reasons to wait that are no problem.
const ON_ITS_WAY: &[&str] = &["ContainerCreating", "PodInitializing"];

pub(super) fn debug(settings: &Settings, args: &DebugContainer) -> Outcome {
    enter(settings, args).map_err(Failed::own)
}

fn enter(settings: &Settings, args: &DebugContainer) -> Outcome {
    let name = args.pod.as_deref().unwrap_or_default();
    let pod = pods::find(settings, name)?;
    if let Some(target) = &args.target {
        pods::container(&pod, Some(target))?;
    }
    let container = container(args)?;
    let name = container.name.clone();
    let container = Box::new(container);
    stop::ask(&pod, &Request::Debug { container })?;
    follow::until(&pod, None, |view| is_decided(view, &name))?;
    let pod = pods::find(settings, &pod.plan.pod.uid.0)?;
    let state = pods::container_view(&pod, &name).map(|view| &view.state);
    match state {
        Some(ContainerState::Waiting { reason, message }) => {
            let text = format!("container `{name}` does not start: {reason}: {message}");
            return Err(Failed::new(Code::Own, text));
        }
        Some(ContainerState::Terminated(end)) => {
            let text = format!(
                "container `{name}` ended at once: {}: {}",
                end.reason, end.message
            );
            return Err(Failed::new(Code::Own, text));
        }
        Some(ContainerState::Running { .. }) | None => {}
    }
    let outcome = exec::exec(
        settings,
        &ExecArgs {
            pod: pod.plan.pod.uid.0.clone(),
            container: Some(name.clone()),
            stdin: args.stdin,
            tty: args.tty,
            env: args.env.clone(),
            user: None,
            workdir: None,
            timeout: None,
            command: match args.command.is_empty() {
                true => vec![SHELL.to_owned()],
                false => args.command.clone(),
            },
        },
    );
    let end = Request::Signal {
        container: Some(name.clone()),
        signal: Signal::TERM,
    };
    if let Err(failed) = stop::ask(&pod, &end) {
        let why = report::chain(failed.error.as_ref());
        report::warn(format!("cannot end container `{name}`: {why}"));
    }
    outcome
}

/// The container that is asked for, checked as one of a manifest is.
fn container(args: &DebugContainer) -> Result<Container, Failed> {
    let mut one = json!({"name": "debug", "image": args.image, "command": [WAIT_COMMAND]});
    if let Some(policy) = &args.image_pull_policy {
        one["imagePullPolicy"] = policy.as_str().into();
    }
    let generated = args.container.is_none();
    if let Some(name) = &args.container {
        one["name"] = name.as_str().into();
    }
    let manifest = json!({"apiVersion": "v1", "kind": "Pod",
        "metadata": {"generateName": "debugger-"}, "spec": {"containers": [one]}});
    let source = Source {
        name: "debug".to_owned(),
        text: manifest.to_string(),
    };
    let loaded = source::resolve(&[source], Validate::Strict, Ids::Random).map_err(|findings| {
        source::tell(&findings);
        source::invalid(&findings)
    })?;
    let pod = loaded.pods.into_iter().next();
    let (name, container) = pod
        .and_then(|pod| Some((pod.name.clone(), pod.containers.into_iter().next()?)))
        .ok_or_else(|| cannot("make the container")("the manifest layer made none"))?;
    Ok(Container {
        name: if generated { name } else { container.name },
        role: Role::Ephemeral,
        target: args.target.clone(),
        ..container
    })
}

fn is_decided(view: &PodView, name: &str) -> bool {
    let mut containers = view.containers.iter();
    containers
        .find(|c| c.name == name)
        .is_some_and(|container| match &container.state {
            ContainerState::Waiting { reason, .. } => !ON_ITS_WAY.contains(&reason.as_str()),
            ContainerState::Running { .. } | ContainerState::Terminated(_) => true,
        })
}
