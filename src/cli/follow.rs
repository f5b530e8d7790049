//! Following a pod as it changes: by its control socket while it has a supervisor, by its snapshot when not.

use crate::api::{Client, ClientError};
use crate::cli::exit::{Code, Failed, cannot};
use crate::cli::{report, spawn, wreck};
use crate::pod::{PodView, Refusal};
use crate::store::{CONTROL_SOCKET, PodDir};
use crate::supervisor::{PLAN, PodRecord, Snapshot};
use crate::sys::Lock;
use std::io;
use std::time::{Duration, Instant};

/// Pause between two tries to reach a supervisor that is being started again.
pub(super) const RETRY: Duration = Duration::from_millis(50);

/// It did not happen in time.
#[derive(Debug, thiserror::Error)]
#[error("timed out waiting for pod `{0}`")]
struct TimedOut(String);

/// The pod cannot be brought under supervision.
#[derive(Debug, thiserror::Error)]
#[error("the supervisor of pod `{pod}` does not come up: {said}")]
struct Unsupervised {
    pod: String,
    said: String,
}

/// Everything has ended and is released: no process of the pod is left. One whose last snapshot could not be written has at
/// least lost its control socket.
pub(super) fn has_ended(pod: &PodRecord) -> bool {
    pod.snapshot
        .as_ref()
        .is_some_and(|snapshot| snapshot.view.settled || !pod.dir.file(CONTROL_SOCKET).exists())
}

/// The pod as it is now.
pub(super) fn reread(pod: &PodRecord) -> Result<PodRecord, Failed> {
    let snapshot = Snapshot::read(&pod.dir).map_err(cannot("read the pod's snapshot"))?;
    Ok(PodRecord {
        snapshot,
        ..pod.clone()
    })
}

/// Whether the pod has a keeper or a supervisor: they hold its lock.
pub(super) fn is_supervised(pod: &PodRecord) -> bool {
    Lock::try_take_existing(&pod.dir.file("lock")).is_ok_and(|lock| lock.is_none())
}

/// A pod whose keeper died gets a new one, which goes on from what it finds; a keeper that has given up tries again.
pub(super) fn ensure_supervised(pod: &PodRecord) -> Result<(), Failed> {
    let lock = match Lock::try_take_existing(&pod.dir.file("lock")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(gone(pod)),
        lock => lock.map_err(cannot("look at the pod's lock"))?,
    };
    let pod = &reread(pod)?;
    if has_ended(pod) {
        return Ok(());
    }
    let Some(lock) = lock else {
        let session = pod.snapshot.as_ref().map(|snapshot| snapshot.session);
        wreck::wake_keeper(&pod.dir, session);
        return Ok(());
    };
    let name = &pod.plan.pod.name;
    let started = spawn::start_keeper(&pod.dir, lock);
    started.map_err(cannot(format!("start a keeper for pod `{name}`")))?;
    Ok(())
}

/// Follows the pod until `done` says so, or until `deadline`; gives the view that was done.
pub(super) fn until(
    pod: &PodRecord,
    deadline: Option<Instant>,
    mut done: impl FnMut(&PodView) -> bool,
) -> Result<PodView, Failed> {
    let name = &pod.plan.pod.name;
    loop {
        let left = deadline.map(|at| at.saturating_duration_since(now()));
        if left == Some(Duration::ZERO) {
            return Err(Failed::new(Code::Timeout, TimedOut(name.clone())));
        }
        if let Some(view) = watch(&pod.dir, left, &mut done) {
            return Ok(view);
        }
        let current = reread(pod)?;
        let has_ended = has_ended(&current);
        match current.snapshot {
            Some(snapshot) if done(&snapshot.view) => return Ok(snapshot.view),
            Some(snapshot) if has_ended => {
                // Nothing will change any more: what is waited for does not come.
                let message = format!("pod `{name}` has ended in phase {:?}", snapshot.view.phase);
                return Err(Failed::new(Code::Failed, message));
            }
            _ => lives_or_fails(pod)?,
        }
        std::thread::sleep(RETRY);
    }
}

/// Waits for the pod's end, however long it takes if no `limit` is given; says what keeps it from it.
pub(super) fn until_settled(pod: &PodRecord, limit: Option<Duration>) -> Result<(), Failed> {
    let mut troubles = Troubles::default();
    let settled = until(pod, limit.map(|limit| now() + limit), |view| {
        troubles.tell(pod, view);
        view.settled
    });
    match settled {
        Err(_) if has_ended(&reread(pod)?) => Ok(()),
        other => other.map(drop),
    }
}

/// Tells of what keeps a sandbox from being up, or gone, each time it is something else.
#[derive(Default)]
pub(super) struct Troubles(String);

impl Troubles {
    pub fn tell(&mut self, pod: &PodRecord, view: &PodView) {
        let now = view
            .trouble()
            .map(|(reason, message)| format!("pod `{}`: {reason}: {message}", pod.plan.pod.name));
        let now = now.unwrap_or_default();
        if !now.is_empty() && now != self.0 {
            report::warn(&now);
        }
        self.0 = now;
    }
}

/// Watches by the control socket; `None` when it is not there, ends, or time is up.
fn watch(
    dir: &PodDir,
    left: Option<Duration>,
    done: &mut impl FnMut(&PodView) -> bool,
) -> Option<PodView> {
    let started = now();
    let mut client = Client::connect(dir).ok()?;
    client.watch().ok()?;
    loop {
        let left = left.map(|left| left.saturating_sub(started.elapsed()));
        if left == Some(Duration::ZERO) {
            return None;
        }
        client.set_timeout(left).ok()?;
        let view = client.next_view().ok()??;
        if done(&view) {
            return Some(view);
        }
    }
}

/// Somebody has removed the pod meanwhile.
fn gone(pod: &PodRecord) -> Failed {
    Failed::new(
        Code::NotFound,
        format!("pod `{}` is gone", pod.plan.pod.name),
    )
}

/// An error if nobody supervises the pod and nobody will: its keeper has ended without settling it.
fn lives_or_fails(pod: &PodRecord) -> Result<(), Failed> {
    if !pod.dir.file(PLAN).exists() {
        return Err(gone(pod));
    }
    let free = Lock::try_take_existing(&pod.dir.file("lock")).is_ok_and(|lock| lock.is_some());
    let log = std::fs::read_to_string(pod.dir.file("supervisor.log")).unwrap_or_default();
    if free && !has_ended(&reread(pod)?) {
        let said = log
            .lines()
            .last()
            .unwrap_or("its keeper is gone")
            .to_owned();
        let error = Unsupervised {
            pod: pod.plan.pod.name.clone(),
            said,
        };
        let hint = format!("see `{}`", pod.dir.file("supervisor.log").display());
        return Err(Failed::new(Code::Failed, error).hint(hint));
    }
    Ok(())
}

/// A refusal in words.
pub(super) fn refused(error: ClientError) -> Failed {
    match error {
        ClientError::Refused(Refusal::NoSuchContainer(name)) => {
            Failed::new(Code::NotFound, format!("container `{name}` not found"))
        }
        ClientError::Refused(Refusal::NotRunning(name)) => {
            Failed::new(Code::Failed, format!("container `{name}` is not running"))
        }
        ClientError::Refused(Refusal::NameTaken(name)) => {
            let text = format!("the pod has a container `{name}` already");
            Failed::new(Code::Conflict, text)
        }
        ClientError::Refused(Refusal::InputTaken(name)) => {
            let text = format!(
                "standard input of container `{name}` has been given to another client, once for all (stdinOnce)"
            );
            Failed::new(Code::Conflict, text).hint("attach without -i to see its output")
        }
        ClientError::Refused(Refusal::PodEnded) => Failed::new(Code::Failed, "the pod has ended"),
        other => other.into(),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long a person waits is no business of the machine's clock"
)]
pub(super) fn now() -> Instant {
    Instant::now()
}
