//! Runs one handler of a probe or a hook once, over the network, from inside the pod's network namespace. It knows nothing of
//! thresholds, pods or time beyond its one answer; commands are run by whoever drives the runtime.
//!
//! ```text
//!  Handler ─▶ dial: a socket made in the pod's namespace, connected on the caller's loop
//!               ├─ tcp    that was all
//!               ├─ http   request ─▶ response (a pure reader) ─▶ perhaps a redirect to the same host
//!               │           └─ https: through a helper process that speaks TLS
//!               └─ grpc   one call of grpc.health.v1.Health/Check over plain HTTP/2
//! ```
//!
//! All of this lives in the resident supervisor, whose memory is a tested budget, and runs once a second for each of many
//! containers. One GET without a body and one call of a few bytes need a sliver of HTTP; the libraries for it bring connection
//! pools, header maps and flow control that would stay resident. So both are written out here, against servers that are hostile:
//! every size has a limit, and nothing of what comes back is kept. What is heavy and rare, TLS and looking up names, runs in a
//! short-lived process of this program ([`help`]).
//!
//! Invariants: no process for `http`, `tcp` and `grpc` with an address; the caller's thread never leaves its own namespaces;
//! dropping the future ends all of it, helpers included. Source: kubelet, pkg/probe and pkg/kubelet/lifecycle.

mod dial;
mod grpc;
mod helper;
mod hpack;
mod http;
mod request;
mod response;
mod tls;
mod url;

use crate::manifest::{Handler, HandlerPort};
use std::future::Future;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use helper::{PROBE_VERB, help};

/// Where a network handler dials from, and to when it names no host.
#[derive(Clone, Debug)]
pub struct Target {
    /// `/proc/<pause pid>/ns/net`, or `None` for the host's own network.
    pub netns: Option<PathBuf>,
    /// The pod's address, else `127.0.0.1`.
    pub address: IpAddr,
}

/// What a probe found out. The texts are one line for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Yes.
    Success,
    /// No, or nothing in time.
    Failure(String),
    /// It could not be run at all, which decides nothing.
    Error(String),
}

/// Runs an `http`, `tcp` or `grpc` handler once as a probe; ends within `timeout`.
pub async fn probe(handler: &Handler, target: &Target, timeout: Duration) -> Answer {
    Prober::new(target).probe(handler, timeout).await
}

/// Runs an `http` or `tcp` handler once as a lifecycle hook. Any HTTP response is a success. It has no limit in time: whoever
/// stops waiting drops it.
pub async fn hook(handler: &Handler, target: &Target) -> Result<(), String> {
    Prober::new(target).hook(handler).await
}

/// The same for a caller that is not podshim itself: it says where podshim is.
#[derive(Clone, Copy, Debug)]
pub struct Prober<'a> {
    /// Where to dial from and to.
    pub target: &'a Target,
    /// The program that can [`help`].
    pub program: &'a Path,
}

/// Why there is no answer that counts as a success.
#[derive(Debug, PartialEq, Eq)]
enum Problem {
    /// The server's fault: it is not there, or says something wrong.
    Theirs(String),
    /// TLS was spoken to a server that answers in plain HTTP.
    NotTls,
    /// Nobody could be asked.
    Ours(String),
}

impl Problem {
    fn text(self) -> String {
        match self {
            Problem::Theirs(text) | Problem::Ours(text) => text,
            Problem::NotTls => "the server answers https in plain http".to_owned(),
        }
    }
}

/// Who asks over HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asker {
    Probe,
    Hook,
}

impl<'a> Prober<'a> {
    fn new(target: &'a Target) -> Prober<'a> {
        Prober {
            target,
            program: Path::new("/proc/self/exe"),
        }
    }

    /// As [`probe`].
    pub async fn probe(&self, handler: &Handler, timeout: Duration) -> Answer {
        let result = match handler {
            Handler::Http(get) => within(timeout, http::probe(self, get)).await,
            Handler::Tcp { host, port } => {
                within(timeout, async {
                    dial::connect(self, host, number(port)?).await.map(drop)
                })
                .await
            }
            Handler::Grpc { port, service } => {
                within(timeout, grpc::check(self, *port, service, timeout)).await
            }
            Handler::Exec(_) | Handler::Sleep(_) => {
                Err(Problem::Ours("this handler is not a network one".into()))
            }
        };
        match result {
            Ok(()) => Answer::Success,
            Err(Problem::Ours(text)) => Answer::Error(text),
            Err(problem) => Answer::Failure(problem.text()),
        }
    }

    /// As [`hook`].
    pub async fn hook(&self, handler: &Handler) -> Result<(), String> {
        match handler {
            Handler::Http(get) => http::hook(self, get).await.map_err(Problem::text),
            Handler::Tcp { .. } => Err("a tcpSocket hook always fails: use httpGet or exec".into()),
            Handler::Grpc { .. } | Handler::Exec(_) | Handler::Sleep(_) => {
                Err("this handler is not a network one".into())
            }
        }
    }
}

async fn within(
    timeout: Duration,
    work: impl Future<Output = Result<(), Problem>>,
) -> Result<(), Problem> {
    let late = |_| Problem::Theirs(format!("no answer within {timeout:?}"));
    tokio::time::timeout(timeout, work).await.map_err(late)?
}

fn number(port: &HandlerPort) -> Result<u16, Problem> {
    match port {
        HandlerPort::Number(number) => Ok(*number),
        HandlerPort::Unknown(name) => Err(Problem::Ours(format!(
            "the container has no port named `{name}`"
        ))),
    }
}

/// An error with its causes, on one line.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    let texts: Vec<String> = causes.map(ToString::to_string).collect();
    texts.join(": ")
}
