//! The network of the sandbox: loopback and foreign namespaces here, everything that has to be made by a short-lived process.

use crate::network::{Namespace, Network, NetworkError, Up};
use crate::pod::Failure;
use crate::supervisor::Process;
use crate::supervisor::context::{Context, other, plain};
use crate::supervisor::helper::{self, Question};
use crate::sys;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

/// First argument of the program that makes it set up or take down the network of one pod.
pub const NETWORK_VERB: &str = "__network";
/// How long that may take. CNI plugins wait for DHCP servers, and each has its own deadline.
const NETWORK_DEADLINE: Duration = Duration::from_secs(5 * 60);

/// Brings up the network of a running sandbox; the pod's addresses.
pub(super) async fn set_up(
    context: &Context,
    pause: Option<Process>,
) -> Result<Vec<String>, Failure> {
    let pause = pause.ok_or_else(|| failed(&NetworkError::NoSandbox))?;
    match &context.plan.network {
        Network::Host => Ok(context.plan.host.ips.clone()),
        Network::None => {
            let namespace = format!("/proc/{}/ns/net", pause.pid);
            sys::raise_loopback(Path::new(&namespace)).map_err(|e| other("", &e))?;
            Ok(Vec::new())
        }
        Network::Namespace(path) => {
            let ips = Namespace::at(path).and_then(|namespace| namespace.look());
            Ok(texts(&ips.map_err(|e| failed(&e))?))
        }
        Network::Bridge { .. } | Network::Cni(_) => {
            let up = help(context, "up", Some(pause)).await?;
            for warning in &up.warnings {
                tracing::warn!("{warning}");
            }
            Ok(texts(&up.ips))
        }
    }
}

/// Takes it down, however much of it there is. A namespace of the pod's own goes with pause.
pub(super) async fn tear_down(context: &Context, pause: Option<Process>) -> Result<(), Failure> {
    if context.plan.network.is_made() {
        help(context, "down", pause).await?;
    }
    Ok(())
}

async fn help(context: &Context, operation: &str, pause: Option<Process>) -> Result<Up, Failure> {
    let (pid, start_time) = pause.map_or((0, 0), |pause| (pause.pid, pause.start_time));
    let (pid, start_time) = (pid.to_string(), start_time.to_string());
    let args: [&OsStr; 6] = [
        NETWORK_VERB.as_ref(),
        operation.as_ref(),
        context.dir.state.as_os_str(),
        context.dir.data.as_os_str(),
        pid.as_ref(),
        start_time.as_ref(),
    ];
    let question = Question {
        what: "network",
        args: &args,
        environment: &BTreeMap::new(),
        input: Vec::new(),
        deadline: Some(NETWORK_DEADLINE),
    };
    helper::ask(question, plain).await
}

fn failed(error: &NetworkError) -> Failure {
    other("", error)
}

fn texts(ips: &[std::net::IpAddr]) -> Vec<String> {
    ips.iter().map(ToString::to_string).collect()
}
