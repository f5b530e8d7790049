//! What is done to a running container: probes, hooks, and what its exit codes decide.

use serde::{Deserialize, Serialize};

/// One look at a container, or one thing done in it. Source: Kubernetes `core/v1`, ProbeHandler and LifecycleHandler.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Handler {
    /// A command in the container, already expanded; never empty.
    Exec(Vec<String>),
    /// An HTTP GET.
    Http(HttpGet),
    /// A connection that is opened and closed.
    Tcp {
        /// Empty means the pod's address.
        host: String,
        /// Where to.
        port: HandlerPort,
    },
    /// A gRPC health check; only of probes.
    Grpc {
        /// Where to.
        port: u16,
        /// Which service; empty means the server as a whole.
        service: String,
    },
    /// Whole seconds; only of hooks.
    Sleep(u64),
}

/// `httpGet`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HttpGet {
    /// Empty means the pod's address.
    pub host: String,
    /// Where to.
    pub port: HandlerPort,
    /// With its query; starts with `/`.
    pub path: String,
    /// TLS, whose certificate nobody checks.
    pub https: bool,
    /// Names and values, in order.
    pub headers: Vec<(String, String)>,
}

/// A port of a handler, its name looked up among the container's own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum HandlerPort {
    /// The port.
    Number(u16),
    /// The container has no port of this name: every run is an error of its own kind, which decides nothing.
    Unknown(String),
}

/// One probe of a container.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Probe {
    /// What is looked at.
    pub handler: Handler,
    /// Seconds after the start of the container when it runs first.
    pub initial_delay_seconds: u64,
    /// Seconds after which no answer is a failure; at least 1.
    pub timeout_seconds: u64,
    /// Seconds from one run to the next; at least 1.
    pub period_seconds: u64,
    /// Successes in a row that turn its verdict; at least 1.
    pub success_threshold: u32,
    /// Failures in a row that turn its verdict; at least 1.
    pub failure_threshold: u32,
    /// Seconds of grace for a container it condemns; `None` means the pod's.
    pub grace_seconds: Option<u64>,
}

/// Which of a container's probes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ProbeKind {
    /// Holds the others back until it succeeds once.
    Startup,
    /// Condemns the container when it fails.
    Liveness,
    /// Says whether the container is ready.
    Readiness,
}

/// Which of a container's hooks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HookKind {
    /// `lifecycle.postStart`.
    PostStart,
    /// `lifecycle.preStop`.
    PreStop,
}

/// Probes and hooks of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lifecycle {
    /// `startupProbe`.
    pub startup: Option<Probe>,
    /// `livenessProbe`.
    pub liveness: Option<Probe>,
    /// `readinessProbe`.
    pub readiness: Option<Probe>,
    /// `lifecycle.postStart`.
    pub post_start: Option<Handler>,
    /// `lifecycle.preStop`.
    pub pre_stop: Option<Handler>,
}

impl Lifecycle {
    /// The probe of this kind.
    pub fn probe(&self, kind: ProbeKind) -> Option<&Probe> {
        match kind {
            ProbeKind::Startup => self.startup.as_ref(),
            ProbeKind::Liveness => self.liveness.as_ref(),
            ProbeKind::Readiness => self.readiness.as_ref(),
        }
    }

    /// The hook of this kind.
    pub fn hook(&self, kind: HookKind) -> Option<&Handler> {
        match kind {
            HookKind::PostStart => self.post_start.as_ref(),
            HookKind::PreStop => self.pre_stop.as_ref(),
        }
    }
}

/// One of `restartPolicyRules`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartRule {
    /// What follows a match.
    pub action: RestartAction,
    /// Matches the codes that are *not* listed.
    pub is_not_in: bool,
    /// Exit codes; a death by a signal is 128 + signal.
    pub codes: Vec<i32>,
}

impl RestartRule {
    /// Whether the rule speaks of this exit code.
    pub fn matches(&self, code: i32) -> bool {
        self.codes.contains(&code) != self.is_not_in
    }
}

/// What a rule that matches does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RestartAction {
    /// This container starts again.
    Restart,
    /// All containers of the pod start again, from the first init container.
    RestartAllContainers,
}
