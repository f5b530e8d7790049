//! Starting: the init of a container, and processes that are added to it.

use crate::base::{InstanceId, Signal};
use crate::runtime::{ExecCall, is_plain_name};
use crate::supervisor::task::handle::Result;
use crate::supervisor::task::place::Place;
use crate::supervisor::task::streams::Streams;
use crate::supervisor::task::types::{Refusal, TaskError, TaskStdio};
use crate::sys;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, oneshot};

/// How long the runtime may still answer to `start` when the process it starts has already ended.
const VAIN_START_DEADLINE: Duration = Duration::from_secs(2);

/// Lets the init of a container run. `is_vain` says that the init has ended meanwhile: then nobody waits for a runtime that hangs.
pub(super) async fn start(
    place: Arc<Place>,
    init: Option<OwnedFd>,
    gate: Arc<Semaphore>,
    is_vain: oneshot::Receiver<()>,
) -> Result<()> {
    let call = async {
        // Never closed.
        let _turn = gate.acquire().await;
        let started = place.driver.start(&place.id, init, &place.log()).await;
        started.map_err(|e| TaskError::failed(&e))
    };
    let vain = async {
        // Dropped: the loop is over, and so is this.
        let _ = is_vain.await;
        tokio::time::sleep(VAIN_START_DEADLINE).await;
    };
    tokio::select! {
        biased;
        done = call => done,
        () = vain => Err(TaskError::new(
            Refusal::Failed,
            "cannot start container: it ended while the runtime was starting it",
        )),
    }
}

/// A process that was added and runs, or has ended by now.
pub(super) struct Running {
    pub pid: u32,
    pub pidfd: OwnedFd,
    pub streams: Streams,
}

/// Runs a process in a container.
pub(super) async fn exec(
    place: Arc<Place>,
    exec_id: &str,
    stdio: &TaskStdio,
    spec: &[u8],
) -> Result<Running> {
    if !is_plain_name(exec_id) {
        let id: String = exec_id.escape_debug().take(64).collect();
        return Err(TaskError::new(
            Refusal::Invalid,
            format!("cannot use `{id}` as the id of a process"),
        ));
    }
    let file = |suffix: &str| place.bundle.join(format!("exec-{exec_id}{suffix}"));
    let (process, pid_file) = (file(".json"), file(".pid"));
    let failed = |e: std::io::Error| TaskError::failed(&e);
    sys::write_atomic(&process, spec, 0o600).map_err(failed)?;
    let lent = place.wiring.lend(stdio).await?;
    let console = lent.console.clone();
    let (io, connected) = lent.split();
    let call = ExecCall {
        id: &InstanceId(place.id.0.clone()),
        process: &process,
        pid_file: &pid_file,
        console: console.as_deref(),
    };
    let done = place.driver.exec(&call, &place.log(), io).await;
    for path in [process.as_path(), &pid_file] {
        // Only this call needed them.
        let _ = std::fs::remove_file(path);
    }
    let pid = done.map_err(|e| TaskError::failed(&e))?;
    let pidfd = sys::pidfd(pid).map_err(failed)?;
    let connected = connected.finish().await;
    let opened = connected.and_then(|mut streams| streams.open_input().map(|()| streams));
    match opened {
        Ok(streams) => Ok(Running {
            pid,
            pidfd,
            streams,
        }),
        Err(error) => {
            // It runs and cannot be spoken to; its remains are reaped as an orphan's.
            let _ = sys::signal_pidfd(pidfd.as_fd(), Signal::KILL);
            Err(error)
        }
    }
}
