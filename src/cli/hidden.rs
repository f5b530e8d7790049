//! This program's other lives: keeper, supervisor, helpers. They are told everything by their arguments.

use crate::api;
use crate::cli::{delete, exec_helper, report};
use crate::image::{self, Pull};
use crate::network::{self, Job, Namespace, NetworkError};
use crate::pod::{Failure, FailureReason};
use crate::probe::{self, PROBE_VERB};
use crate::runtime::{self, SANDBOX_VERB, START_VERB};
use crate::store::{PodDir, read_json};
use crate::supervisor::{
    EXEC_VERB, End, HOPELESS, IMAGE_VERB, KEEPER_VERB, LINK, MEASURE_VERB, Measured, NETWORK_VERB,
    PLAN, Parts, Plan, PodRecord, REPLACED, SUPERVISOR_VERB, keep, supervise,
};
use crate::sys::{self, Lock};
use serde::Serialize;
use std::ffi::OsString;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Runs the life that the first argument names, if it names one; its exit code.
pub(super) fn main(argv: &[OsString]) -> Option<u8> {
    let [_, verb, rest @ ..] = argv else {
        return None;
    };
    let result = match (verb.to_str()?, rest) {
        (KEEPER_VERB, [state, data]) => keeper(state, data),
        (SUPERVISOR_VERB, [state, data, link]) => return Some(supervisor(state, data, link)),
        (REMOVE_VERB, [state, data]) => remove(state, data),
        (IMAGE_VERB, [data, reference, policy]) => image_helper(data, reference, policy),
        (NETWORK_VERB, [operation, state, data, pid, start_time]) => network_helper(
            operation,
            PodDir::new(Path::new(state), Path::new(data)),
            (pid, start_time),
        ),
        (EXEC_VERB, [limit, pid_file, argv @ ..]) => exec_helper(limit, pid_file, argv),
        (MEASURE_VERB, []) => measure_helper(),
        (SANDBOX_VERB, [bundle, pid_file, log, id]) => sandbox_helper(bundle, pid_file, (log, id)),
        (START_VERB, [gate, log]) => start_helper(gate, log),
        (PROBE_VERB, [task, host]) => probe_helper(task, host),
        _ => return None,
    };
    Some(match result {
        Ok(()) => 0,
        Err(error) => say(error.as_ref()),
    })
}

fn say(error: &dyn std::error::Error) -> u8 {
    report::say(format_args!("error: {}", report::chain(error)));
    1
}

type Result = std::result::Result<(), Box<dyn std::error::Error>>;

/// Standard input as a descriptor of our own.
fn stdin() -> std::io::Result<OwnedFd> {
    std::io::stdin().as_fd().try_clone_to_owned()
}

fn keeper(state: &OsString, data: &OsString) -> Result {
    let listener = stdin()?;
    Ok(keep(
        PodDir::new(Path::new(state), Path::new(data)),
        listener,
    )?)
}

/// Its exit code tells the keeper what to do next.
fn supervisor(state: &OsString, data: &OsString, link: &OsString) -> u8 {
    report::start_logging(tracing_subscriber::filter::LevelFilter::INFO);
    if link != LINK {
        report::say(format_args!(
            "error: cannot follow a keeper that speaks version {} of our protocol",
            link.display()
        ));
        return HOPELESS;
    }
    let keeper = match stdin() {
        Ok(keeper) => keeper,
        Err(error) => return say(&error),
    };
    let dir = PodDir::new(Path::new(state), Path::new(data));
    match supervise(dir, keeper, api::serve) {
        Ok(End::Settled) => 0,
        Ok(End::Finished) => {
            // It waits for the keeper and us to be gone. What it cannot remove, `doctor` finds.
            let mut remover = Command::new("/proc/self/exe");
            remover.arg(REMOVE_VERB).args([state, data]);
            remover.stdin(Stdio::null()).stdout(Stdio::null());
            remover.spawn().map_or_else(|error| say(&error), |_| 0)
        }
        Ok(End::Replaced) => REPLACED,
        Err(error) => {
            say(&error);
            match error.is_hopeless() {
                true => HOPELESS,
                false => 1,
            }
        }
    }
}

/// First argument of the program that makes it delete a pod that is over.
const REMOVE_VERB: &str = "__remove";

fn remove(state: &OsString, data: &OsString) -> Result {
    let dir = PodDir::new(Path::new(state), Path::new(data));
    let _lock = match Lock::take_existing(&dir.file("lock")) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        lock => lock?,
    };
    let plan: Option<Plan> = read_json(&dir.file(PLAN))?;
    let Some(plan) = plan else {
        return Ok(());
    };
    let pod = PodRecord {
        dir,
        plan,
        snapshot: None,
    };
    delete::remove(&pod).map_err(|failed| failed.error)
}

/// Prints how the command ended, or why it did not run, as JSON.
fn exec_helper(limit: &OsString, pid_file: &OsString, argv: &[OsString]) -> Result {
    let answer = exec_helper::run(limit, pid_file, argv);
    print(answer.map_err(|failed| failure(FailureReason::Other, failed.error.as_ref(), None)))
}

/// Standard input is a handle of the container's init.
fn start_helper(gate: &OsString, log: &OsString) -> Result {
    let opened = stdin().and_then(|init| runtime::open_gate(Path::new(gate), init.as_fd()));
    like_a_runtime(log, opened)
}

/// Its standard streams are pause's.
fn sandbox_helper(
    bundle: &OsString,
    pid_file: &OsString,
    (log, id): (&OsString, &OsString),
) -> Result {
    let id = id.to_string_lossy();
    let made = runtime::make_sandbox(Path::new(bundle), Path::new(pid_file), &id);
    like_a_runtime(log, made)
}

/// Says what went wrong where a runtime would.
fn like_a_runtime(
    log: &OsString,
    result: std::result::Result<(), impl std::error::Error + 'static>,
) -> Result {
    let Err(error) = result else {
        return Ok(());
    };
    let line = serde_json::json!({"level": "error", "msg": report::chain(&error)});
    let mut file = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(log)?;
    writeln!(file, "{line}")?;
    Err(error.into())
}

/// Prints what the directories that standard input names take of the disk, as JSON.
fn measure_helper() -> Result {
    // Whatever it finds can wait; the pod cannot.
    let _ = sys::lower_priority();
    let parts: Parts<Vec<PathBuf>> = serde_json::from_reader(std::io::stdin().lock())?;
    print(Ok(Measured::of(&parts)))
}

/// Prints the image, or why there is none, as JSON. Standard input brings the Secrets to pull it with.
fn image_helper(data: &OsString, reference: &OsString, policy: &OsString) -> Result {
    let policy = serde_json::from_str(&policy.to_string_lossy())?;
    let secrets: Vec<Vec<u8>> = serde_json::from_reader(std::io::stdin().lock())?;
    let how = Pull {
        secrets: &secrets,
        ..Pull::default()
    };
    let image = image::ensure(Path::new(data), &reference.to_string_lossy(), policy, &how);
    print(image.map_err(|error| failure(error.reason(), &error, error.hint().as_deref())))
}

/// Sets a pod's network up or takes it down; prints what came of it, or why nothing did, as JSON.
fn network_helper(
    operation: &OsString,
    dir: PodDir,
    (pid, start_time): (&OsString, &OsString),
) -> Result {
    let plan: Option<Plan> = read_json(&dir.file(PLAN))?;
    let plan = plan.ok_or("the pod has no plan")?;
    let number = |text: &OsString| text.to_string_lossy().parse::<u64>();
    let (pid, start_time) = (u32::try_from(number(pid)?)?, number(start_time)?);
    // One at a time for a pod, whoever started it.
    let _lock = Lock::take(&dir.file("network.lock"))?;
    let job = Job {
        state: &plan.dirs.state,
        data: &plan.dirs.data,
        pod: &plan.pod,
        network: &plan.network,
        namespace: Namespace::of_process(pid, start_time),
        exists: &|uid| plan.dirs.pod(uid).state.exists(),
    };
    let answer = match operation.to_str() {
        Some("up") => network::up(&job),
        Some("down") => network::down(&job).map(|()| network::Up::default()),
        _ => return Err("unknown operation".into()),
    };
    print(answer.map_err(|error: NetworkError| {
        let hint = Some(error.hint()).filter(|hint| !hint.is_empty());
        failure(FailureReason::Other, &error, hint)
    }))
}

/// The answer of a helper: what its supervisor reads.
fn print(answer: std::result::Result<impl Serialize, Failure>) -> Result {
    println!("{}", serde_json::to_string(&answer)?);
    Ok(())
}

fn failure(reason: FailureReason, error: &dyn std::error::Error, hint: Option<&str>) -> Failure {
    let text = report::chain(error);
    Failure {
        reason,
        message: match hint {
            Some(hint) => format!("{text} (hint: {hint})"),
            None => text,
        },
    }
}

fn probe_helper(task: &OsString, host: &OsString) -> Result {
    Ok(probe::help(
        &task.to_string_lossy(),
        &host.to_string_lossy(),
    )?)
}
