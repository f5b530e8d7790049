//! Contents of the pod's `/etc/hosts` and `/etc/hostname`, byte for byte as the kubelet writes them.

use crate::bundle::{BundleError, HostFacts, Neighbour, hostname, neighbours};
use crate::manifest::{HostAlias, Pod};

const HOSTS: &str = "\
# Kubernetes-managed hosts file.
127.0.0.1\tlocalhost
::1\tlocalhost ip6-localhost ip6-loopback
fe00::0\tip6-localnet
fe00::0\tip6-mcastprefix
fe00::1\tip6-allnodes
fe00::2\tip6-allrouters
";
const HOST_NETWORK_HOSTS: &str = "# Kubernetes-managed hosts file (host network).\n";

/// `/etc/hosts` of a pod with these addresses; without any, its name is 127.0.0.1. Source: kubelet `managedHostsFileContent`. The
/// names of others stand at its end, for a pod that asks for them.
pub fn hosts_file(pod: &Pod, host: &HostFacts, pod_ips: &[String], others: &[Neighbour]) -> String {
    let mut text = if pod.host_network {
        format!("{HOST_NETWORK_HOSTS}{}", host.etc_hosts)
    } else {
        let short = hostname::short(pod);
        let names = match hostname::domain(pod) {
            Some(domain) => format!("{short}.{domain}\t{short}"),
            None => short,
        };
        let loopback = ["127.0.0.1".to_owned()];
        let ips = if pod_ips.is_empty() {
            &loopback
        } else {
            pod_ips
        };
        let lines = ips.iter().map(|ip| format!("{ip}\t{names}\n"));
        format!("{HOSTS}{}", lines.collect::<String>())
    };
    text.push_str(&alias_block(&pod.host_aliases));
    text += &neighbours::block(&text, &pod.namespace, others);
    text
}

/// `/etc/hostname`. Errors: the name is too long for the kernel.
pub fn hostname_file(pod: &Pod, host: &HostFacts) -> Result<String, BundleError> {
    Ok(format!("{}\n", hostname::kernel_hostname(pod, host)?))
}

fn alias_block(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let lines = aliases.iter();
    let lines = lines.map(|a| format!("{}\t{}\n", a.ip, a.hostnames.join("\t")));
    format!(
        "\n# Entries added by HostAliases.\n{}",
        lines.collect::<String>()
    )
}
