//! Completions of the operations that are not on an instance: images, preparation, network, clean-up.

use crate::pod::engine::misfit;
use crate::pod::policy::{Turn, one_line};
use crate::pod::state::{Cause, Image, Network};
use crate::pod::{Failure, OpId, Outcome};

impl Turn<'_> {
    /// `EnsureImage` ended.
    pub fn image_done(&mut self, k: usize, outcome: Outcome) {
        let image = &mut self.state.containers[k].image;
        image.task.op = None;
        match outcome {
            Outcome::ImageReady {
                image_id,
                stop_signal,
            } => {
                *image = Image {
                    ready: true,
                    id: image_id,
                    stop_signal,
                    ..Image::default()
                };
                let name = &self.spec.containers[k].image;
                let text = format!("Container image \"{name}\" is present");
                self.tell("Pulled", Some(k), &text);
            }
            Outcome::Ok | Outcome::Created { .. } | Outcome::NetworkReady { .. } => {
                self.image_failed(k, misfit());
            }
            Outcome::Failed(failure) => self.image_failed(k, failure),
        }
    }

    /// `EnsureImage` goes on for a while: people want to know why nothing happens.
    pub fn pulling(&mut self, op: OpId) {
        let mut containers = self.state.containers.iter();
        if let Some(k) = containers.position(|facts| facts.image.task.op == Some(op)) {
            let name = &self.spec.containers[k].image;
            let text = format!("Pulling image \"{name}\"");
            self.tell("Pulling", Some(k), &text);
        }
    }

    fn image_failed(&mut self, k: usize, failure: Failure) {
        let name = &self.spec.containers[k].image;
        let text = format!("Failed to pull image \"{name}\": {}", failure.message);
        self.warn("Failed", Some(k), &text);
        let failures = self.state.containers[k].image.failures.saturating_add(1);
        let at = self.image_retry_at(failures);
        let image = &mut self.state.containers[k].image;
        image.failures = failures;
        image.failure = Some(failure);
        image.task.not_before = at;
    }

    /// `Prepare` ended.
    pub fn prepare_done(&mut self, outcome: Outcome) {
        self.state.sandbox.prepare.op = None;
        match plain(outcome) {
            Ok(()) => self.state.sandbox.prepared = true,
            Err(failure) => {
                self.state.sandbox.prepare.not_before = self.retry_at();
                self.sandbox_failed(&failure);
            }
        }
    }

    /// `SetUpNetwork` or `TearDownNetwork` ended. What a failed set-up left is removed at once, and set up again later.
    pub fn network_done(&mut self, outcome: Outcome) {
        self.state.sandbox.network_task.op = None;
        if self.state.sandbox.network == Network::Raising {
            return self.set_up_done(outcome);
        }
        match plain(outcome) {
            Ok(()) => self.state.sandbox.network = Network::Down,
            Err(failure) => {
                self.state.sandbox.network_task.not_before = self.retry_at();
                self.sandbox_failed(&failure);
            }
        }
    }

    fn set_up_done(&mut self, outcome: Outcome) {
        let failure = match outcome {
            Outcome::NetworkReady { pod_ips } => {
                self.state.sandbox.network = Network::Up;
                self.state.sandbox.trouble = None;
                self.state.sandbox.pod_ips = pod_ips;
                return;
            }
            Outcome::Ok | Outcome::Created { .. } | Outcome::ImageReady { .. } => misfit(),
            Outcome::Failed(failure) => failure,
        };
        self.state.sandbox.network = Network::Dirty;
        self.state.sandbox.network_not_before = self.retry_at();
        self.sandbox_failed(&failure);
    }

    /// `CleanUp` ended.
    pub fn clean_up_done(&mut self, outcome: Outcome) {
        self.state.clean_up.op = None;
        match plain(outcome) {
            Ok(()) => {
                self.state.settled = true;
                self.state.sandbox.trouble = None;
                self.tell("Ended", None, &format!("Pod {} is over", self.spec.name));
            }
            Err(failure) => {
                self.state.clean_up.not_before = self.retry_at();
                self.sandbox_failed(&failure);
            }
        }
    }

    /// Something about the sandbox did not work.
    pub fn sandbox_failed(&mut self, failure: &Failure) {
        match self.state.teardown.map(|teardown| teardown.cause) {
            Some(Cause::Stop | Cause::Deadline | Cause::Evicted | Cause::Completed) => {
                let text = format!("error killing pod: {}", failure.message);
                self.trouble("FailedKillPod", None, &text);
            }
            Some(Cause::SandboxLost | Cause::RestartAll { .. }) | None => {
                let text = format!("Failed to create pod sandbox: {}", failure.message);
                self.trouble("FailedCreatePodSandBox", None, &text);
            }
        }
    }

    /// Warns, and shows it with the sandbox.
    pub fn trouble(&mut self, reason: &str, container: Option<usize>, text: &str) {
        self.warn(reason, container, text);
        let shown = (reason.to_owned(), one_line(text).to_owned());
        self.state.sandbox.trouble = Some(shown);
    }
}

/// The outcome of an operation that has nothing to tell.
fn plain(outcome: Outcome) -> Result<(), Failure> {
    match outcome {
        Outcome::Ok => Ok(()),
        Outcome::Created { .. } | Outcome::ImageReady { .. } | Outcome::NetworkReady { .. } => {
            Err(misfit())
        }
        Outcome::Failed(failure) => Err(failure),
    }
}
