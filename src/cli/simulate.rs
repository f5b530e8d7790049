//! `simulate`: the life of a pod on a virtual clock, by the same machine that runs real pods; nothing is run.

use crate::base::Mono;
use crate::cli::args::SimulateArgs;
use crate::cli::exit::{Code, DONE, Failed, Outcome, cannot};
use crate::cli::{report, source, table, timeline, why};
use crate::manifest::{Pod, qos};
use crate::pod::{self, Explanation, Known, Script, Settings, Simulation, Stopped};
use serde_json::{Value, json};
use std::io::Read;
use std::path::Path;

/// Largest script that is read, in bytes; the language has a limit of its own below it.
const MAX_SCRIPT_BYTES: u64 = 2 * 1024 * 1024;

pub(super) fn simulate(args: &SimulateArgs) -> Outcome {
    let as_json = match args.output.as_str() {
        "table" => false,
        "json" => true,
        other => {
            let message = format!("unknown output format `{other}`");
            return Err(Failed::new(Code::Usage, message).hint("table or json"));
        }
    };
    let until = table::duration(&args.until)?;
    let loaded = source::load_with(&args.files, source::Ids::OfContent)?;
    let [pod] = &loaded.pods[..] else {
        let message = format!("the manifest has {} pods", loaded.pods.len());
        return Err(Failed::new(Code::Usage, message).hint("simulate one pod at a time"));
    };
    let script = match &args.script {
        Some(path) => read_script(path, pod)?,
        None => Script::default(),
    };
    let mut simulation = Simulation::new(pod, Settings::default(), script);
    let stopped = simulation.run(until);
    if as_json {
        report::data(format_args!("{:#}", document(pod, &simulation, stopped)));
    } else {
        let mut out = std::io::stdout().lock();
        timeline::write(&mut out, simulation.moments(), Mono::default())?;
        drop(out);
        report::data(last_line(&simulation, stopped));
        if args.why {
            let now = simulation.now();
            let text = why::text(
                &pod.name,
                &explanations(pod, &simulation),
                now,
                why::Chosen::PodAndTroubled,
            );
            report::data(format_args!("\n{}", text.trim_end()));
        }
    }
    match stopped {
        Stopped::Settled | Stopped::AtRest | Stopped::TimeUp => DONE,
        Stopped::TooMuch => Err(Failed::new(
            Code::Failed,
            "the simulation does more than a million steps",
        )
        .hint("end it earlier with --until")),
    }
}

fn read_script(path: &Path, pod: &Pod) -> Result<Script, Failed> {
    let name = path.display().to_string();
    let mut text = String::new();
    let read = match name.as_str() {
        "-" => std::io::stdin()
            .take(MAX_SCRIPT_BYTES)
            .read_to_string(&mut text),
        _ => std::fs::File::open(path)
            .and_then(|file| file.take(MAX_SCRIPT_BYTES).read_to_string(&mut text)),
    };
    let unreadable = |e| Failed::new(Code::Usage, cannot(format!("read the script `{name}`"))(e));
    read.map_err(unreadable)?;
    Script::parse(&text, pod).map_err(|error| {
        let message = format!("{name}:{}: {}", error.line, error.message);
        Failed::new(Code::Usage, message).hint("`podshim simulate --help` has the language")
    })
}

/// How it ended, in one line.
fn last_line(simulation: &Simulation<'_>, stopped: Stopped) -> String {
    let at = timeline::seconds(simulation.now().mono, Mono::default());
    let view = simulation.machine().view();
    let status = pod::status_column(&view);
    match stopped {
        Stopped::Settled => format!(
            "t={at}: the pod is over: {status}, exit code {}",
            pod::exit_code(&view)
        ),
        Stopped::AtRest => format!("t={at}: nothing more will happen: {status}"),
        Stopped::TimeUp | Stopped::TooMuch => format!("t={at}: the end of the time: {status}"),
    }
}

fn explanations(pod: &Pod, simulation: &Simulation<'_>) -> Vec<Explanation> {
    pod::explain(Known {
        pod,
        settings: &Settings::default(),
        state: simulation.machine().state(),
        now: simulation.now(),
        events: simulation.events(),
        restarts: &[],
    })
}

fn document(pod: &Pod, simulation: &Simulation<'_>, stopped: Stopped) -> Value {
    let view = simulation.machine().view();
    let qos = qos::qos_class(pod).to_string();
    json!({
        "pod": format!("{}/{}", pod.namespace, pod.name),
        "timeline": timeline::document(simulation.moments(), Mono::default()),
        "endMs": simulation.now().mono.0,
        "stopped": match stopped {
            Stopped::Settled => "Settled",
            Stopped::AtRest => "AtRest",
            Stopped::TimeUp => "TimeUp",
            Stopped::TooMuch => "TooMuch",
        },
        "why": explanations(pod, simulation).iter().map(|e| why::document(e, simulation.now())).collect::<Vec<_>>(),
        "exitCode": view.settled.then(|| pod::exit_code(&view)),
        "status": pod::status_json(pod, &view, &[], &qos),
    })
}
