//! Probes and hooks: runs one handler of a running instance once. What the answers amount to is the machine's business.
//!
//! A command runs in the container with the container's own user, environment and limits. The runtime detaches from it, so its
//! parent is a short-lived process of this program: exits of commands never reach the keeper's record.

use crate::base::InstanceId;
use crate::bundle::{self, ExecInput};
use crate::manifest::{Container, Handler, ProbeKind};
use crate::pod::{Failure, FailureReason, HookKind, ProbeAnswer};
use crate::probe::{self, Answer, Target};
use crate::runtime::ExecCall;
use crate::store::{read_json, write_json};
use crate::supervisor::Hands;
use crate::supervisor::context::{Context, other};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::net::{IpAddr, Ipv4Addr};
use std::process::Stdio;
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
    container: &Container,
    target: &Target,
    kind: ProbeKind,
) -> ProbeAnswer {
    let Some(probe) = container.lifecycle.probe(kind) else {
        return ProbeAnswer::Discarded("there is no such probe".into());
    };
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
    container: &Container,
    target: &Target,
    hook: HookKind,
    limit: Option<Duration>,
) -> Result<(), Failure> {
    let handler = match hook {
        HookKind::PostStart => container.lifecycle.post_start.as_ref(),
        HookKind::PreStop => container.lifecycle.pre_stop.as_ref(),
    };
    let failed = |message: String| Failure {
        reason: FailureReason::Other,
        message,
    };
    let Some(handler) = handler else {
        return Ok(());
    };
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
    result.map_err(failed)
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
            .map_err(|e| other("cannot make a pid file", &e))?;
        let process = place.path().join("process.json");
        let config = context.dir.bundle(instance).join("config.json");
        let config: Option<Value> =
            read_json(&config).map_err(|e| other("cannot read the container's bundle", &e))?;
        let value = bundle::exec_process(
            &config.unwrap_or_default(),
            &ExecInput {
                args: command,
                env: &[],
                user: None,
                cwd: None,
                terminal: None,
            },
        );
        write_json(&process, &value).map_err(|e| other("cannot write the process", &e))?;
        let pid_file = place.path().join("pid");
        let argv = context.driver.exec_argv(&ExecCall {
            id: instance,
            process: &process,
            pid_file: &pid_file,
            console: None,
        });
        let argv = argv.map_err(|e| other("cannot run a command", &e))?;
        let mut helper = tokio::process::Command::new("/proc/self/exe");
        helper
            .arg(EXEC_VERB)
            .arg(limit.map_or(0, |limit| limit.as_millis()).to_string())
            .arg(&pid_file)
            .args(argv)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true);
        let output = helper
            .output()
            .await
            .map_err(|e| other("cannot start the exec helper", &e))?;
        serde_json::from_slice(&output.stdout)
            .map_err(|e| other("the exec helper ended without an answer", &e))
    };
    let result: Result<ExecAnswer, Failure> = run.await;
    result.unwrap_or_else(|failure| ExecAnswer::NotRun(failure.message))
}
