//! Ports of the host that pods publish: each belongs to one pod at a time. The pods themselves are the list of what is taken: what
//! has a plan and has not ended holds its ports, so nothing can be forgotten when a pod is gone.

use crate::cli::exit::{Code, Failed, cannot};
use crate::cli::follow;
use crate::cli::settings::Settings;
use crate::manifest::Pod;
use crate::network::{Network, PortProblem, Published, port_problem};
use crate::supervisor::{Plan, list_pods};
use crate::sys::{self, Lock};

/// Makes sure that every port of these pods is free, before any of them starts. While the lock is held nobody else starts a pod
/// that publishes ports; there is none if these pods publish nothing. `replaces` means that pods of the same names go first.
pub(super) fn reserve(
    settings: &Settings,
    plans: &[Plan],
    replaces: bool,
) -> Result<Option<Lock>, Failed> {
    if plans.iter().all(|plan| Published::of(&plan.pod).is_empty()) {
        return Ok(None);
    }
    for plan in plans {
        can_publish(plan)?;
    }
    let dir = settings.dirs.state.join("network");
    let take = || {
        sys::create_dirs(&dir, 0o700)?;
        Lock::take(&dir.join("ports.lock"))
    };
    let lock = take().map_err(cannot("lock the ports of this machine"))?;
    let (others, _) = list_pods(&settings.dirs);
    let goes = |pod: &Pod| {
        let same =
            |plan: &Plan| (&plan.pod.namespace, &plan.pod.name) == (&pod.namespace, &pod.name);
        replaces && plans.iter().any(same)
    };
    let others: Vec<Plan> = others
        .into_iter()
        .filter(|other| !follow::has_ended(other) && !goes(&other.plan.pod))
        .map(|other| other.plan)
        .collect();
    for (at, plan) in plans.iter().enumerate() {
        let holders = || plans[..at].iter().chain(&others);
        for port in Published::of(&plan.pod) {
            if let Some(holder) = holders().find(|holder| holds(holder, &port)) {
                return Err(taken(&plan.pod, &port, &holder.pod));
            }
            // A pod on the host's network listens itself.
            if plan.network != Network::Host
                && let Some(problem) = port_problem(&port)
            {
                return Err(unusable(&plan.pod, &port, problem));
            }
        }
    }
    Ok(Some(lock))
}

fn holds(plan: &Plan, port: &Published) -> bool {
    Published::of(&plan.pod)
        .iter()
        .any(|held| held.clashes(port))
}

/// Ports can only be published where podshim makes the network.
fn can_publish(plan: &Plan) -> Result<(), Failed> {
    let Some(port) = Published::of(&plan.pod).into_iter().next() else {
        return Ok(());
    };
    match &plan.network {
        Network::Host | Network::Bridge { .. } => Ok(()),
        Network::Cni(network) if network.has_capability("portMappings") => Ok(()),
        Network::Cni(network) => {
            let (name, network) = (&plan.pod.name, &network.name);
            let message = format!(
                "pod `{name}` publishes port {port}, but no plugin of CNI network `{network}` can do that"
            );
            Err(Failed::new(Code::Usage, message)
                .hint("add the plugin `portmap` with capability `portMappings` to the network"))
        }
        Network::None | Network::Namespace(_) => {
            let name = &plan.pod.name;
            let message = format!(
                "pod `{name}` publishes port {port}, but its network has no address of podshim's"
            );
            Err(Failed::new(Code::Usage, message)
                .hint("run with `--network bridge`, or leave `hostPort` out"))
        }
    }
}

fn taken(pod: &Pod, port: &Published, holder: &Pod) -> Failed {
    let message = format!(
        "port {port} of the host, which pod `{}` publishes, belongs to pod `{}/{}`",
        pod.name, holder.namespace, holder.name
    );
    let hint = format!(
        "delete that pod with `podshim -n {} delete {}`, or choose another `hostPort`",
        holder.namespace, holder.name
    );
    Failed::new(Code::Conflict, message).hint(hint)
}

fn unusable(pod: &Pod, port: &Published, problem: PortProblem) -> Failed {
    let name = &pod.name;
    match problem {
        PortProblem::InUse => {
            let message = format!(
                "port {port} of the host, which pod `{name}` publishes, is used by a process of this machine"
            );
            Failed::new(Code::Conflict, message)
                .hint(format!("`ss -lnp sport = :{}` shows which", port.host_port))
        }
        PortProblem::NoAddress => {
            let message = format!(
                "pod `{name}` publishes {port}, an address that this machine does not have"
            );
            Failed::new(Code::Host, message).hint("`ip addr` shows those that it has")
        }
    }
}
