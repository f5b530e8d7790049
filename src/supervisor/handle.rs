//! What the door gets of the loop: a way to ask and a way to watch.

use crate::pod::{PodView, Refusal, Request};
use crate::supervisor::Attached;
use std::os::fd::OwnedFd;
use tokio::sync::{mpsc, oneshot, watch};

/// Requests that wait for the loop at a time; it takes them within microseconds, the rest wait in their connections.
const QUEUE: usize = 16;

/// One wish and where its answer goes.
pub(super) enum Asked {
    /// Something for the machine.
    Request(Request, oneshot::Sender<Result<(), Refusal>>),
    /// A client wants to be attached to a container, to its input, too, or not.
    Attach(String, bool, oneshot::Sender<Result<Attached, Refusal>>),
    /// Another program is to go on with the pod; whether it will.
    Replace(OwnedFd, oneshot::Sender<bool>),
}

/// The door's side.
#[derive(Clone, Debug)]
pub struct Handle {
    requests: mpsc::Sender<Asked>,
    views: watch::Receiver<PodView>,
}

/// The two sides: the door's, and what the loop receives and shows.
pub(super) fn handle(view: PodView) -> (Handle, mpsc::Receiver<Asked>, watch::Sender<PodView>) {
    let (requests, asked) = mpsc::channel(QUEUE);
    let (shown, views) = watch::channel(view);
    (Handle { requests, views }, asked, shown)
}

impl Handle {
    /// Asks the machine; `None` when the loop has ended.
    pub async fn request(&self, request: Request) -> Option<Result<(), Refusal>> {
        self.ask(|reply| Asked::Request(request, reply)).await
    }

    /// Attaches to a container, and to its input if asked. `None` when the loop has ended.
    pub async fn attach(
        &self,
        container: String,
        input: bool,
    ) -> Option<Result<Attached, Refusal>> {
        self.ask(|reply| Asked::Attach(container, input, reply))
            .await
    }

    /// Lets a supervisor of this program go on with the pod. `None` when the loop has ended, false without a keeper to start it.
    pub async fn replace(&self, program: OwnedFd) -> Option<bool> {
        self.ask(|reply| Asked::Replace(program, reply)).await
    }

    async fn ask<T>(&self, asked: impl FnOnce(oneshot::Sender<T>) -> Asked) -> Option<T> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(asked(reply)).await.ok()?;
        answer.await.ok()
    }

    /// The view and its changes.
    pub fn views(&self) -> watch::Receiver<PodView> {
        self.views.clone()
    }

    /// Returns when the loop has ended.
    pub async fn ended(&self) {
        self.requests.closed().await;
    }
}
