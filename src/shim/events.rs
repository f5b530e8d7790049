//! Tells containerd what happened, in order. While containerd is away events wait, and the oldest that nobody counts on go first.

use super::service::{mount, timestamp};
use crate::supervisor::task::{CreateTask, TaskEvent};
use crate::sys;
use containerd_shim_protos::events::task::{
    TaskCheckpointed, TaskCreate, TaskDelete, TaskExecAdded, TaskExecStarted, TaskExit, TaskIO,
    TaskOOM, TaskPaused, TaskResumed, TaskStart,
};
use containerd_shim_protos::protobuf::well_known_types::any::Any;
use containerd_shim_protos::protobuf::{Message, MessageField};
use containerd_shim_protos::shim::event::Envelope;
use containerd_shim_protos::shim::events::ForwardRequest;
use containerd_shim_protos::shim_async::{Client, EventsClient};
use containerd_shim_protos::ttrpc::context;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::sync::mpsc::UnboundedReceiver;

/// Events that wait for containerd at most; one has some 200 bytes.
const MAX_WAITING: usize = 1000;
/// How long containerd may take to accept one.
const SEND_DEADLINE: Duration = Duration::from_secs(5);
/// Pause before the next try.
const RETRY: Duration = Duration::from_secs(1);
/// Of the messages of all events. Source: containerd, `api/events/task.proto`.
const PACKAGE: &str = "containerd.events";

/// One event as it is sent.
struct Waiting {
    request: ForwardRequest,
    /// Somebody may wait for this one alone.
    is_exit: bool,
}

/// Sends events until their sender is gone and all are sent.
pub(super) async fn publish(
    address: &str,
    namespace: &str,
    mut events: UnboundedReceiver<TaskEvent>,
) {
    if address.is_empty() {
        // Nobody listens, and nobody ever will.
        while events.recv().await.is_some() {}
        return;
    }
    let mut waiting = VecDeque::new();
    let mut client = None;
    let mut is_open = true;
    loop {
        if waiting.is_empty() {
            match events.recv().await {
                Some(event) => push(&mut waiting, envelope(event, namespace)),
                None => return,
            }
        }
        while let Ok(event) = events.try_recv() {
            push(&mut waiting, envelope(event, namespace));
        }
        let Some(first) = waiting.front() else {
            continue;
        };
        if send(&mut client, address, &first.request).await {
            waiting.pop_front();
            continue;
        }
        client = None;
        tokio::select! {
            event = events.recv(), if is_open => match event {
                Some(event) => push(&mut waiting, envelope(event, namespace)),
                None => is_open = false,
            },
            () = tokio::time::sleep(RETRY) => {}
        }
    }
}

async fn send(client: &mut Option<EventsClient>, address: &str, request: &ForwardRequest) -> bool {
    if client.is_none() {
        let address = match address.contains("://") {
            true => address.to_owned(),
            false => format!("unix://{address}"),
        };
        *client = Client::connect(&address).await.ok().map(EventsClient::new);
    }
    let Some(client) = client else {
        return false;
    };
    let sent = client
        .forward(context::with_duration(SEND_DEADLINE), request)
        .await;
    sent.is_ok()
}

fn push(waiting: &mut VecDeque<Waiting>, event: Waiting) {
    if waiting.len() >= MAX_WAITING {
        let other = waiting.iter().position(|waiting| !waiting.is_exit);
        waiting.remove(other.unwrap_or(0));
        tracing::warn!("containerd is away for long: an event is lost");
    }
    waiting.push_back(event);
}

fn envelope(event: TaskEvent, namespace: &str) -> Waiting {
    let is_exit = matches!(event, TaskEvent::Exited { .. } | TaskEvent::Deleted { .. });
    let (topic, any) = encode(event);
    let envelope = Envelope {
        timestamp: MessageField::some(timestamp(sys::now().wall)),
        namespace: namespace.to_owned(),
        topic: topic.to_owned(),
        event: MessageField::some(any),
        ..Envelope::default()
    };
    let request = ForwardRequest {
        envelope: MessageField::some(envelope),
        ..ForwardRequest::default()
    };
    Waiting { request, is_exit }
}

/// Its descriptor would say its full name too, but asking for one builds tables of all messages that a shim would keep: half a MiB.
fn any<M: Message>(message: M) -> Any {
    Any {
        type_url: format!("{PACKAGE}.{}", M::NAME),
        // Encoding into memory fails only above 2 GiB.
        value: message.write_to_bytes().unwrap_or_default(),
        ..Any::default()
    }
}

fn encode(event: TaskEvent) -> (&'static str, Any) {
    match event {
        TaskEvent::Created { task, pid } => ("/tasks/create", any(created(*task, pid))),
        TaskEvent::Started { id, pid } => (
            "/tasks/start",
            any(TaskStart {
                container_id: id,
                pid,
                ..TaskStart::default()
            }),
        ),
        TaskEvent::ExecAdded { id, exec_id } => (
            "/tasks/exec-added",
            any(TaskExecAdded {
                container_id: id,
                exec_id,
                ..TaskExecAdded::default()
            }),
        ),
        TaskEvent::ExecStarted { id, exec_id, pid } => (
            "/tasks/exec-started",
            any(TaskExecStarted {
                container_id: id,
                exec_id,
                pid,
                ..TaskExecStarted::default()
            }),
        ),
        TaskEvent::Oom { id } => (
            "/tasks/oom",
            any(TaskOOM {
                container_id: id,
                ..TaskOOM::default()
            }),
        ),
        TaskEvent::Exited {
            id,
            exec_id,
            pid,
            ended,
        } => (
            "/tasks/exit",
            any(TaskExit {
                id: if exec_id.is_empty() {
                    id.clone()
                } else {
                    exec_id
                },
                container_id: id,
                pid,
                exit_status: ended.code(),
                exited_at: MessageField::some(timestamp(ended.at)),
                ..TaskExit::default()
            }),
        ),
        TaskEvent::Deleted { id, pid, ended } => (
            "/tasks/delete",
            any(TaskDelete {
                container_id: id,
                pid,
                exit_status: ended.code(),
                exited_at: MessageField::some(timestamp(ended.at)),
                ..TaskDelete::default()
            }),
        ),
        TaskEvent::Paused { id } => (
            "/tasks/paused",
            any(TaskPaused {
                container_id: id,
                ..TaskPaused::default()
            }),
        ),
        TaskEvent::Checkpointed { id, image } => (
            "/tasks/checkpointed",
            any(TaskCheckpointed {
                container_id: id,
                checkpoint: image.display().to_string(),
                ..TaskCheckpointed::default()
            }),
        ),
        TaskEvent::Resumed { id } => (
            "/tasks/resumed",
            any(TaskResumed {
                container_id: id,
                ..TaskResumed::default()
            }),
        ),
    }
}

fn created(task: CreateTask, pid: u32) -> TaskCreate {
    let checkpoint = task.checkpoint.map(|path| path.display().to_string());
    TaskCreate {
        container_id: task.id,
        bundle: task.bundle.display().to_string(),
        rootfs: task.mounts.into_iter().map(mount).collect(),
        io: MessageField::some(TaskIO {
            stdin: task.stdio.stdin,
            stdout: task.stdio.stdout,
            stderr: task.stdio.stderr,
            terminal: task.stdio.terminal,
            ..TaskIO::default()
        }),
        pid,
        checkpoint: checkpoint.unwrap_or_default(),
        ..TaskCreate::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::{Exit, Wall};
    use crate::supervisor::task::Ended;

    #[test]
    fn an_event_carries_the_bare_name_of_its_message() {
        let (topic, any) = encode(TaskEvent::Exited {
            id: "c".into(),
            exec_id: String::new(),
            pid: 3,
            ended: Ended {
                exit: Exit::Code(7),
                at: Wall(1_500),
            },
        });
        assert_eq!(
            (topic, any.type_url.as_str()),
            ("/tasks/exit", "containerd.events.TaskExit")
        );
        let exit = TaskExit::parse_from_bytes(&any.value).expect("decoded");
        assert_eq!(
            (
                exit.id.as_str(),
                exit.container_id.as_str(),
                exit.exit_status
            ),
            ("c", "c", 7)
        );
        assert_eq!(
            (exit.exited_at.seconds, exit.exited_at.nanos),
            (1, 500_000_000)
        );
    }

    #[test]
    fn exits_stay_longest_when_containerd_is_away() {
        let mut waiting = VecDeque::new();
        let exit = || TaskEvent::Exited {
            id: "c".into(),
            exec_id: String::new(),
            pid: 3,
            ended: Ended {
                exit: Exit::Unknown,
                at: Wall(0),
            },
        };
        push(&mut waiting, envelope(exit(), "n"));
        for _ in 0..MAX_WAITING {
            push(
                &mut waiting,
                envelope(TaskEvent::Oom { id: "c".into() }, "n"),
            );
        }
        assert_eq!(waiting.len(), MAX_WAITING);
        assert!(waiting.front().is_some_and(|first| first.is_exit));
    }
}
