//! The pod's host name. Source: kubelet `GeneratePodHostNameAndDomain`.

use crate::bundle::{BundleError, HostFacts};
use crate::manifest::Pod;

/// Longest host name label in bytes. Source: RFC 1123.
const MAX_LABEL: usize = 63;
/// Longest host name the kernel keeps, in bytes.
const MAX_KERNEL_NAME: usize = 64;
/// Domain of names below `svc`. podshim has no cluster; this is every cluster's default.
pub(crate) const CLUSTER_DOMAIN: &str = "cluster.local";

/// The short host name of the pod.
pub(crate) fn short(pod: &Pod) -> String {
    if let Some(name) = &pod.hostname_override {
        return cut(name).to_owned();
    }
    let name = pod.hostname.as_deref().filter(|n| !n.is_empty());
    let name = name.unwrap_or(&pod.name);
    if name.len() <= MAX_LABEL {
        return name.to_owned();
    }
    cut(name).trim_end_matches(['-', '.']).to_owned()
}

/// `<subdomain>.<namespace>.svc.cluster.local`, if the pod has a subdomain.
pub(crate) fn domain(pod: &Pod) -> Option<String> {
    let subdomain = pod.subdomain.as_deref().filter(|s| !s.is_empty())?;
    pod.hostname_override
        .is_none()
        .then(|| format!("{subdomain}.{}.svc.{CLUSTER_DOMAIN}", pod.namespace))
}

/// What `uname -n` says in the pod: the short name, the full one if the pod asks for it, the host's with `hostNetwork`.
/// Errors: the full name is longer than 64 bytes.
pub fn kernel_hostname(pod: &Pod, host: &HostFacts) -> Result<String, BundleError> {
    if pod.host_network {
        return Ok(host.hostname.clone());
    }
    match domain(pod) {
        Some(domain) if pod.set_hostname_as_fqdn => {
            let full = format!("{}.{domain}", short(pod));
            if full.len() > MAX_KERNEL_NAME {
                return Err(BundleError::HostnameTooLong(full));
            }
            Ok(full)
        }
        Some(_) | None => Ok(short(pod)),
    }
}

/// The first 63 bytes, not within a character.
fn cut(name: &str) -> &str {
    let mut end = name.len().min(MAX_LABEL);
    while !name.is_char_boundary(end) {
        end -= 1;
    }
    &name[..end]
}
