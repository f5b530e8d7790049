//! A pod in the foreground: its containers' output with their names before each line, SIGINT and SIGTERM as its stop (the second
//! one at once), its exit code at the end.

use crate::cli::args::RunArgs;
use crate::cli::exit::{Code, Failed, Outcome, cannot};
use crate::cli::{delete, follow, report, run};
use crate::pod::{self, ContainerState, PodView};
use crate::stdio::{self, LogQuery, LogSource, Told};
use crate::supervisor::PodRecord;
use crate::sys;
use nix::sys::signal::Signal;
use std::collections::BTreeMap;
use std::io::{PipeReader, PipeWriter};
use std::thread::JoinHandle;

/// Shows the pod until it has ended.
pub(super) fn attend(pod: &PodRecord, args: &RunArgs) -> Outcome {
    // Blocked before any thread starts, so that all inherit it and only the reader takes them.
    let mut signals = sys::block_signals(&[Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP])
        .map_err(cannot("block signals"))?;
    let for_stop = pod.clone();
    std::thread::spawn(move || {
        let mut asked = 0;
        loop {
            if signals.wait(None).is_none() {
                continue;
            }
            asked += 1;
            run::ask_to_stop(&for_stop, asked > 1);
        }
    });
    let mut shown = BTreeMap::new();
    let mut troubles = follow::Troubles::default();
    let view = follow::until(pod, None, |view| {
        show_new_instances(pod, view, &mut shown);
        troubles.tell(pod, view);
        view.settled
    })?;
    let _ended: Vec<()> = shown
        .into_values()
        .filter_map(|printer: Printer| printer.join())
        .collect();
    let code = exit_code(pod, &view, args);
    if args.rm {
        delete::delete_one(pod, None, false, true)?;
    }
    code
}

fn exit_code(pod: &PodRecord, view: &PodView, args: &RunArgs) -> Outcome {
    for container in &view.containers {
        if let ContainerState::Terminated(end) = &container.state
            && end.reason == "StartError"
        {
            report::warn(format!(
                "container `{}`: {}: {}",
                container.name, end.reason, end.message
            ));
        }
    }
    if !view.reason.is_empty() {
        report::warn(format!(
            "pod `{}`: {}: {}",
            pod.plan.pod.name, view.reason, view.message
        ));
    }
    let code = match &args.exit_code_from {
        None => pod::exit_code(view),
        Some(name) => match view
            .containers
            .iter()
            .find(|c| c.name == *name)
            .map(|c| &c.state)
        {
            Some(ContainerState::Terminated(end)) => end.exit_code,
            Some(ContainerState::Waiting { .. } | ContainerState::Running { .. }) => {
                i32::from(Code::Own as u8)
            }
            None => {
                return Err(Failed::new(
                    Code::NotFound,
                    format!("container `{name}` not found"),
                ));
            }
        },
    };
    Ok(u8::try_from(code).unwrap_or(u8::MAX))
}

/// The thread that prints one instance's log, and how it learns that the instance has ended.
struct Printer {
    thread: JoinHandle<()>,
    _end: PipeWriter,
}

impl Printer {
    fn join(self) -> Option<()> {
        drop(self._end);
        self.thread.join().ok()
    }
}

/// Starts to print every instance that has appeared; lets those go that have ended.
fn show_new_instances(
    pod: &PodRecord,
    view: &PodView,
    shown: &mut BTreeMap<(String, u32), Printer>,
) {
    let width = view
        .containers
        .iter()
        .map(|c| c.name.len())
        .max()
        .unwrap_or(0);
    for container in view.containers.iter().filter(|c| c.instance.is_some()) {
        let attempt = container.restart_count;
        let key = (container.name.clone(), attempt);
        if shown.contains_key(&key) {
            continue;
        }
        let earlier: Vec<_> = shown
            .keys()
            .filter(|(name, n)| *name == container.name && *n < attempt)
            .cloned()
            .collect();
        for key in earlier {
            shown.remove(&key).and_then(Printer::join);
        }
        let path =
            stdio::container_log(&pod.plan.dirs.logs, &pod.plan.pod, &container.name, attempt);
        let prefix = if view.containers.len() > 1 {
            Some(format!("{:width$} | ", container.name))
        } else {
            None
        };
        let (ended, end) = match std::io::pipe() {
            Ok(pipe) => pipe,
            Err(error) => {
                report::warn(format!("cannot show `{}`: {error}", path.display()));
                continue;
            }
        };
        let thread = std::thread::spawn(move || print(&path, prefix, &ended));
        shown.insert(key, Printer { thread, _end: end });
    }
}

fn print(path: &std::path::Path, prefix: Option<String>, ended: &PipeReader) {
    let query = LogQuery {
        prefix,
        ..LogQuery::default()
    };
    let source = LogSource {
        path: path.to_owned(),
        query,
    };
    let is_finished = |_| sys::has_hung_up(ended);
    let told = Told::ByEndOf(ended);
    if let Err(error) = stdio::follow(&[source], told, &mut std::io::stdout(), is_finished)
        && error.kind() != std::io::ErrorKind::BrokenPipe
    {
        report::warn(format!("cannot read `{}`: {error}", path.display()));
    }
}
