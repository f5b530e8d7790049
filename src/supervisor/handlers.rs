//! Probes and hooks: runs one handler of a running instance once. What the answers amount to is the machine's business.
//!
//! A command runs in the container with the container's own user, environment and limits. The runtime detaches from it, so its
//! parent is a short-lived process of this program: exits of commands never reach the keeper's record.

use crate::base::InstanceId;
use crate::bundle::ExecInput;
use crate::manifest::{Handler, Probe};
use crate::pod::{Failure, ProbeAnswer};
use crate::probe::{self, Answer, Target};
use crate::supervisor::context::{Context, other, plain};
use crate::supervisor::helper::Question;
use crate::supervisor::{Hands, exec_start, helper};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// First argument of the program that makes it run one command in a container and print how it ended.
pub const EXEC_VERB: &str = "__exec";
/// A run that could not be done at all is repeated this often before it is given up. Source: kubelet.
const TRIES: u32 = 3;
/// How much later than its limit the answer of a command may come before nobody waits for it: its helper has to kill it first.
const SLACK: Duration = Duration::from_secs(2);

/// How a command in a container ended, as the helper prints it.
#[derive(Debug, Serialize, Deserialize)]
pub enum ExecAnswer {
    /// It ended by itself or by a signal.
    Exited {
        /// 0-255; 128 + signal.
        code: u8,
        /// The first bytes of its output.
        output: String,
    },
    /// It took too long and was killed.
    TimedOut,
    /// It could not be run.
    NotRun(String),
}

/// Where network handlers dial from and to: from inside the pod, to its address.
pub(super) fn target(context: &Context, hands: &Hands) -> Target {
    let sandbox = hands.sandbox.as_ref();
    let netns = sandbox.filter(|_| !context.plan.pod.host_network);
    let address = sandbox.and_then(|sandbox| sandbox.pod_ips.first()?.parse().ok());
    Target {
        netns: netns.map(|sandbox| format!("{}/ns/net", sandbox.pause_proc).into()),
        address: address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)),
    }
}

/// Runs a probe of an instance.
pub(super) async fn run_probe(
    context: &Context,
    instance: &InstanceId,
    probe: &Probe,
    target: &Target,
) -> ProbeAnswer {
    let limit = Duration::from_secs(probe.timeout_seconds);
    let mut answer = ProbeAnswer::Discarded(String::new());
    for _ in 0..TRIES {
        answer = match &probe.handler {
            Handler::Exec(command) => match exec(context, instance, command, Some(limit)).await {
                ExecAnswer::Exited { code: 0, .. } => ProbeAnswer::Success,
                ExecAnswer::Exited { code, output } => ProbeAnswer::Failure(ended(code, &output)),
                ExecAnswer::TimedOut => ProbeAnswer::Failure(format!(
                    "command timed out after {} s",
                    probe.timeout_seconds
                )),
                ExecAnswer::NotRun(why) => ProbeAnswer::Discarded(why),
            },
            Handler::Http(_) | Handler::Tcp { .. } | Handler::Grpc { .. } | Handler::Sleep(_) => {
                match probe::probe(&probe.handler, target, limit).await {
                    Answer::Success => ProbeAnswer::Success,
                    Answer::Failure(why) => ProbeAnswer::Failure(why),
                    Answer::Error(why) => ProbeAnswer::Discarded(why),
                }
            }
        };
        if !matches!(answer, ProbeAnswer::Discarded(_)) {
            break;
        }
    }
    answer
}

/// Runs a hook of an instance to its end, or until `limit`.
pub(super) async fn run_hook(
    context: &Context,
    instance: &InstanceId,
    handler: &Handler,
    target: &Target,
    limit: Option<Duration>,
) -> Result<(), Failure> {
    let run = async {
        match handler {
            Handler::Exec(command) => match exec(context, instance, command, limit).await {
                ExecAnswer::Exited { code: 0, .. } => Ok(()),
                ExecAnswer::Exited { code, output } => Err(ended(code, &output)),
                ExecAnswer::TimedOut => Err("it took longer than the grace".into()),
                ExecAnswer::NotRun(why) => Err(why),
            },
            Handler::Sleep(seconds) => {
                tokio::time::sleep(Duration::from_secs(*seconds)).await;
                Ok(())
            }
            Handler::Http(_) | Handler::Tcp { .. } | Handler::Grpc { .. } => {
                probe::hook(handler, target).await
            }
        }
    };
    let result = match limit {
        None => run.await,
        Some(limit) => tokio::time::timeout(limit + SLACK, run)
            .await
            .unwrap_or_else(|_| Err("it took longer than the grace".into())),
    };
    result.map_err(plain)
}

fn ended(code: u8, output: &str) -> String {
    match output.trim() {
        "" => format!("command exited with {code}"),
        output => format!("command exited with {code}: {output}"),
    }
}

/// Runs a command in a running instance.
async fn exec(
    context: &Context,
    instance: &InstanceId,
    command: &[String],
    limit: Option<Duration>,
) -> ExecAnswer {
    let run = async {
        let place = tempfile::tempdir_in(&context.dir.state)
            .map_err(|e| other("cannot make a place for a command", &e))?;
        let input = ExecInput {
            args: command,
            env: &[],
            user: None,
            cwd: None,
            terminal: None,
        };
        let (dir, driver) = (&context.dir, &context.driver);
        let start = exec_start(dir, driver, instance, &input, place.path(), None);
        let start = start.map_err(|e| other("cannot run a command", &e))?;
        let limit_ms = limit.map_or(0, |limit| limit.as_millis()).to_string();
        let mut args: Vec<&OsStr> = vec![EXEC_VERB.as_ref(), limit_ms.as_ref()];
        args.push(start.pid_file.as_os_str());
        args.extend(start.argv.iter().map(OsString::as_os_str));
        let question = Question {
            what: "exec",
            args: &args,
            environment: &BTreeMap::new(),
            input: Vec::new(),
            deadline: limit.map(|limit| limit + SLACK),
        };
        helper::ask(question, plain).await
    };
    let result: Result<ExecAnswer, Failure> = run.await;
    result.unwrap_or_else(|failure| ExecAnswer::NotRun(failure.message))
}
