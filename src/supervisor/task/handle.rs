//! The way into the loop: each method sends a request and waits for its answer. Giving up waiting changes nothing of what is done.

use crate::base::Signal;
use crate::runtime::ContainerCgroup;
use crate::supervisor::task::types::{
    CheckpointTask, CreateTask, Ended, ExecTask, Refusal, TaskError, TaskProcess, TaskState,
};
use tokio::sync::{mpsc, oneshot};

/// Requests that wait for the loop at most; a sender then waits, too.
pub(super) const MAX_WAITING_REQUESTS: usize = 256;

pub(super) type Result<T> = std::result::Result<T, TaskError>;
pub(super) type Reply<T> = oneshot::Sender<Result<T>>;

/// A process: a container and one of its execs, or its init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    pub id: String,
    /// Empty for the init.
    pub exec_id: String,
}

/// What the loop is asked.
#[derive(Debug)]
pub(super) enum Request {
    Create(Box<CreateTask>, Reply<u32>),
    Start(Target, Reply<u32>),
    Exec(ExecTask, Reply<()>),
    State(Target, Reply<TaskState>),
    Wait(Target, Reply<Ended>),
    Kill(Target, Signal, bool, Reply<()>),
    Delete(Target, Reply<(u32, Ended)>),
    Pids(String, Reply<Vec<TaskProcess>>),
    Freeze(String, bool, Reply<()>),
    Update(String, Vec<u8>, Reply<()>),
    Checkpoint(CheckpointTask, Reply<()>),
    Resize(Target, u16, u16, Reply<()>),
    CloseInput(Target, Reply<()>),
    Cgroup(String, Reply<ContainerCgroup>),
    Pid(String, Reply<u32>),
    Shutdown(Reply<()>),
}

/// The way into the loop.
#[derive(Clone, Debug)]
pub struct Tasks(pub(super) mpsc::Sender<Request>);

macro_rules! target {
    ($id:expr, $exec:expr) => {
        Target {
            id: $id.to_owned(),
            exec_id: $exec.to_owned(),
        }
    };
}

impl Tasks {
    async fn ask<T>(&self, request: impl FnOnce(Reply<T>) -> Request) -> Result<T> {
        let gone = || TaskError::new(Refusal::Failed, "cannot answer: the shim is ending");
        let (reply, answer) = oneshot::channel();
        self.0.send(request(reply)).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }

    /// Makes a container; its init's number.
    pub async fn create(&self, task: CreateTask) -> Result<u32> {
        self.ask(|r| Request::Create(Box::new(task), r)).await
    }

    /// Starts an init or a process that was announced; its number.
    pub async fn start(&self, id: &str, exec_id: &str) -> Result<u32> {
        self.ask(|r| Request::Start(target!(id, exec_id), r)).await
    }

    /// Announces a process.
    pub async fn exec(&self, exec: ExecTask) -> Result<()> {
        self.ask(|r| Request::Exec(exec, r)).await
    }

    /// What is known of a process.
    pub async fn state(&self, id: &str, exec_id: &str) -> Result<TaskState> {
        self.ask(|r| Request::State(target!(id, exec_id), r)).await
    }

    /// Waits for the end of a process, which may not have been started.
    pub async fn wait(&self, id: &str, exec_id: &str) -> Result<Ended> {
        self.ask(|r| Request::Wait(target!(id, exec_id), r)).await
    }

    /// Sends a signal to a process, or to `all` of its container.
    pub async fn kill(&self, id: &str, exec_id: &str, signal: Signal, all: bool) -> Result<()> {
        self.ask(|r| Request::Kill(target!(id, exec_id), signal, all, r))
            .await
    }

    /// Removes a process that does not run, and with the init its container; its number and end.
    pub async fn delete(&self, id: &str, exec_id: &str) -> Result<(u32, Ended)> {
        self.ask(|r| Request::Delete(target!(id, exec_id), r)).await
    }

    /// All processes of a container.
    pub async fn pids(&self, id: &str) -> Result<Vec<TaskProcess>> {
        self.ask(|r| Request::Pids(id.to_owned(), r)).await
    }

    /// Freezes a container.
    pub async fn pause(&self, id: &str) -> Result<()> {
        self.ask(|r| Request::Freeze(id.to_owned(), true, r)).await
    }

    /// Lets it go on.
    pub async fn resume(&self, id: &str) -> Result<()> {
        self.ask(|r| Request::Freeze(id.to_owned(), false, r)).await
    }

    /// Changes its limits: an OCI `linux.resources` object.
    pub async fn update(&self, id: &str, resources: Vec<u8>) -> Result<()> {
        self.ask(|r| Request::Update(id.to_owned(), resources, r))
            .await
    }

    /// Writes a container to files. A caller that gives up waiting gives up the checkpoint: a container is not frozen for nobody.
    pub async fn checkpoint(&self, task: CheckpointTask) -> Result<()> {
        self.ask(|r| Request::Checkpoint(task, r)).await
    }

    /// Sets the size of a terminal; without one, nothing.
    pub async fn resize(&self, id: &str, exec_id: &str, rows: u16, columns: u16) -> Result<()> {
        self.ask(|r| Request::Resize(target!(id, exec_id), rows, columns, r))
            .await
    }

    /// Lets standard input end when its other writers have closed it.
    pub async fn close_input(&self, id: &str, exec_id: &str) -> Result<()> {
        self.ask(|r| Request::CloseInput(target!(id, exec_id), r))
            .await
    }

    /// Where a container's use is read.
    pub async fn cgroup(&self, id: &str) -> Result<ContainerCgroup> {
        self.ask(|r| Request::Cgroup(id.to_owned(), r)).await
    }

    /// The number of a container's init, 0 if it is not known.
    pub async fn pid(&self, id: &str) -> u32 {
        let pid = self.ask(|r| Request::Pid(id.to_owned(), r)).await;
        pid.unwrap_or(0)
    }

    /// Ends the loop if it has no container, else as soon as it has none.
    pub async fn shutdown(&self) -> Result<()> {
        self.ask(Request::Shutdown).await
    }
}
