//! The task service: each method is one question to the loop, in other words.

use super::checkpoint;
use super::metrics::metrics;
use super::options::ShimOptions;
use super::place::Place;
use super::version;
use crate::base::{Signal, Wall};
use crate::image::Mount;
use crate::supervisor::task::{
    CreateTask, Ended, ExecTask, Refusal, Status, TaskError, TaskProcess, TaskState, TaskStdio,
    Tasks,
};
use async_trait::async_trait;
use containerd_shim_protos::api::{
    CheckpointTaskRequest, CloseIORequest, ConnectRequest, ConnectResponse, CreateTaskRequest,
    CreateTaskResponse, DeleteRequest, DeleteResponse, Empty, ExecProcessRequest, KillRequest,
    PauseRequest, PidsRequest, PidsResponse, ProcessInfo, ResizePtyRequest, ResumeRequest,
    ShutdownRequest, StartRequest, StartResponse, StateRequest, StateResponse, StatsRequest,
    StatsResponse, Status as WireStatus, UpdateTaskRequest, WaitRequest, WaitResponse,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::well_known_types::timestamp::Timestamp;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::oci::ProcessDetails;
use containerd_shim_protos::shim_async::Task;
use containerd_shim_protos::ttrpc::asynchronous::TtrpcContext;
use containerd_shim_protos::ttrpc::{Code, Error, Result, get_status};
use containerd_shim_protos::types::mount::Mount as WireMount;
use std::path::Path;

/// Who answers containerd.
pub(super) struct Service {
    tasks: Tasks,
    /// What was said when the pod began.
    options: ShimOptions,
    place: Place,
}

impl Service {
    pub fn new(tasks: Tasks, options: ShimOptions, place: Place) -> Service {
        Service {
            tasks,
            options,
            place,
        }
    }
}

/// An error as containerd expects it: it decides by the code and shows the message.
fn status(error: TaskError) -> Error {
    let code = match error.refusal {
        Refusal::NotFound => Code::NOT_FOUND,
        Refusal::Exists => Code::ALREADY_EXISTS,
        Refusal::Precondition => Code::FAILED_PRECONDITION,
        Refusal::Invalid => Code::INVALID_ARGUMENT,
        Refusal::Unsupported => Code::UNIMPLEMENTED,
        Refusal::Failed => Code::UNKNOWN,
    };
    Error::RpcStatus(get_status(code, error.message))
}

fn invalid(what: impl std::fmt::Display) -> Error {
    status(TaskError::new(Refusal::Invalid, what))
}

pub(super) fn timestamp(at: Wall) -> Timestamp {
    let nanos = (at.0 % 1000) * 1_000_000;
    Timestamp {
        seconds: i64::try_from(at.0 / 1000).unwrap_or(i64::MAX),
        nanos: i32::try_from(nanos).unwrap_or(0),
        ..Timestamp::default()
    }
}

pub(super) fn mount(mount: Mount) -> WireMount {
    WireMount {
        type_: mount.kind,
        source: mount.source,
        target: mount.target,
        options: mount.options,
        ..WireMount::default()
    }
}

#[async_trait]
impl Task for Service {
    async fn state(&self, _: &TtrpcContext, r: StateRequest) -> Result<StateResponse> {
        let state = self.tasks.state(&r.id, &r.exec_id).await.map_err(status)?;
        Ok(state_response(r, state))
    }

    async fn create(&self, _: &TtrpcContext, r: CreateTaskRequest) -> Result<CreateTaskResponse> {
        let bundle = Path::new(&r.bundle);
        let options = r.options.into_option().unwrap_or_default();
        let options = ShimOptions::read(&options).map_err(status)?;
        let checkpoint = [r.checkpoint, options.criu_image_path.clone()];
        let checkpoint = checkpoint.into_iter().find(|path| !path.is_empty());
        let options = options.over(&self.options);
        // containerd 2.x asks only the first container of a pod for the address.
        self.place.write(bundle).map_err(|e| {
            let text = e.to_string();
            status(TaskError::new(Refusal::Failed, text))
        })?;
        let mounts = r.rootfs.into_iter().map(|wire| Mount {
            kind: wire.type_,
            source: wire.source,
            target: wire.target,
            options: wire.options,
        });
        let task = CreateTask {
            id: r.id,
            bundle: bundle.to_owned(),
            mounts: mounts.collect(),
            stdio: TaskStdio {
                stdin: r.stdin,
                stdout: r.stdout,
                stderr: r.stderr,
                terminal: r.terminal,
            },
            runtime: options.runtime,
            checkpoint: checkpoint.map(Into::into),
        };
        let pid = self.tasks.create(task).await.map_err(status)?;
        Ok(CreateTaskResponse {
            pid,
            ..CreateTaskResponse::default()
        })
    }

    async fn start(&self, _: &TtrpcContext, r: StartRequest) -> Result<StartResponse> {
        let pid = self.tasks.start(&r.id, &r.exec_id).await.map_err(status)?;
        Ok(StartResponse {
            pid,
            ..StartResponse::default()
        })
    }

    async fn delete(&self, _: &TtrpcContext, r: DeleteRequest) -> Result<DeleteResponse> {
        let deleted = self.tasks.delete(&r.id, &r.exec_id).await;
        let (pid, ended) = deleted.map_err(status)?;
        Ok(DeleteResponse {
            pid,
            exit_status: ended.code(),
            exited_at: MessageField::some(timestamp(ended.at)),
            ..DeleteResponse::default()
        })
    }

    async fn pids(&self, _: &TtrpcContext, r: PidsRequest) -> Result<PidsResponse> {
        let all = self.tasks.pids(&r.id).await.map_err(status)?;
        let processes = all.into_iter().map(process_info);
        Ok(PidsResponse {
            processes: processes.collect::<Result<_>>()?,
            ..PidsResponse::default()
        })
    }

    async fn pause(&self, _: &TtrpcContext, r: PauseRequest) -> Result<Empty> {
        self.tasks.pause(&r.id).await.map_err(status)?;
        Ok(Empty::default())
    }

    async fn resume(&self, _: &TtrpcContext, r: ResumeRequest) -> Result<Empty> {
        self.tasks.resume(&r.id).await.map_err(status)?;
        Ok(Empty::default())
    }

    async fn checkpoint(&self, _: &TtrpcContext, r: CheckpointTaskRequest) -> Result<Empty> {
        let task = checkpoint::read(r).map_err(status)?;
        self.tasks.checkpoint(task).await.map_err(status)?;
        Ok(Empty::default())
    }

    async fn kill(&self, _: &TtrpcContext, r: KillRequest) -> Result<Empty> {
        let number = i32::try_from(r.signal).ok().and_then(Signal::from_number);
        let signal = number.ok_or_else(|| invalid(format!("no signal {}", r.signal)))?;
        let killed = self.tasks.kill(&r.id, &r.exec_id, signal, r.all).await;
        killed.map_err(status)?;
        Ok(Empty::default())
    }

    async fn exec(&self, _: &TtrpcContext, r: ExecProcessRequest) -> Result<Empty> {
        let spec = r.spec.into_option().unwrap_or_default().value;
        let mut process: serde_json::Value =
            serde_json::from_slice(&spec).map_err(|e| invalid(format!("no OCI process: {e}")))?;
        // The request and the process may differ, and the request is what the streams were made for.
        process["terminal"] = r.terminal.into();
        let exec = ExecTask {
            id: r.id,
            exec_id: r.exec_id,
            stdio: TaskStdio {
                stdin: r.stdin,
                stdout: r.stdout,
                stderr: r.stderr,
                terminal: r.terminal,
            },
            process: process.to_string().into_bytes(),
        };
        self.tasks.exec(exec).await.map_err(status)?;
        Ok(Empty::default())
    }

    async fn resize_pty(&self, _: &TtrpcContext, r: ResizePtyRequest) -> Result<Empty> {
        let side = |n: u32| u16::try_from(n).unwrap_or(u16::MAX);
        let (rows, columns) = (side(r.height), side(r.width));
        let resized = self.tasks.resize(&r.id, &r.exec_id, rows, columns).await;
        resized.map_err(status)?;
        Ok(Empty::default())
    }

    async fn close_io(&self, _: &TtrpcContext, r: CloseIORequest) -> Result<Empty> {
        if r.stdin {
            let closed = self.tasks.close_input(&r.id, &r.exec_id).await;
            closed.map_err(status)?;
        }
        Ok(Empty::default())
    }

    async fn update(&self, _: &TtrpcContext, r: UpdateTaskRequest) -> Result<Empty> {
        let resources = r.resources.into_option().unwrap_or_default().value;
        self.tasks.update(&r.id, resources).await.map_err(status)?;
        Ok(Empty::default())
    }

    async fn wait(&self, _: &TtrpcContext, r: WaitRequest) -> Result<WaitResponse> {
        let ended: Ended = self.tasks.wait(&r.id, &r.exec_id).await.map_err(status)?;
        Ok(WaitResponse {
            exit_status: ended.code(),
            exited_at: MessageField::some(timestamp(ended.at)),
            ..WaitResponse::default()
        })
    }

    async fn stats(&self, _: &TtrpcContext, r: StatsRequest) -> Result<StatsResponse> {
        let cgroup = self.tasks.cgroup(&r.id).await.map_err(status)?;
        if !cgroup.exists() {
            let what = format!("no cgroup of container `{}`", r.id);
            return Err(status(TaskError::new(Refusal::NotFound, what)));
        }
        Ok(StatsResponse {
            stats: MessageField::some(metrics(&cgroup)?),
            ..StatsResponse::default()
        })
    }

    async fn connect(&self, _: &TtrpcContext, r: ConnectRequest) -> Result<ConnectResponse> {
        Ok(ConnectResponse {
            shim_pid: std::process::id(),
            task_pid: self.tasks.pid(&r.id).await,
            version: version().to_owned(),
            ..ConnectResponse::default()
        })
    }

    async fn shutdown(&self, _: &TtrpcContext, _: ShutdownRequest) -> Result<Empty> {
        self.tasks.shutdown().await.map_err(status)?;
        Ok(Empty::default())
    }
}

fn process_info(process: TaskProcess) -> Result<ProcessInfo> {
    let details = process.exec_id.map(|exec_id| ProcessDetails {
        exec_id,
        ..ProcessDetails::default()
    });
    let info = details.map(|details| -> Result<Any> {
        Ok(Any {
            type_url: "containerd.runc.v1.ProcessDetails".to_owned(),
            value: details.write_to_bytes().map_err(invalid)?,
            ..Any::default()
        })
    });
    Ok(ProcessInfo {
        pid: process.pid,
        info: info.transpose()?.into(),
        ..ProcessInfo::default()
    })
}

fn state_response(r: StateRequest, state: TaskState) -> StateResponse {
    let status = match state.status {
        Status::Created => WireStatus::CREATED,
        Status::Running => WireStatus::RUNNING,
        Status::Pausing => WireStatus::PAUSING,
        Status::Paused => WireStatus::PAUSED,
        Status::Stopped => WireStatus::STOPPED,
    };
    let exited_at = state.ended.map(|ended| timestamp(ended.at));
    StateResponse {
        // containerd wants the id of the process that was asked for.
        id: if r.exec_id.is_empty() {
            r.id
        } else {
            r.exec_id.clone()
        },
        exec_id: r.exec_id,
        bundle: state.bundle.display().to_string(),
        pid: state.pid,
        status: status.into(),
        stdin: state.stdio.stdin,
        stdout: state.stdio.stdout,
        stderr: state.stdio.stderr,
        terminal: state.stdio.terminal,
        exit_status: state.ended.map_or(0, |ended| ended.code()),
        exited_at: exited_at.into(),
        ..StateResponse::default()
    }
}
