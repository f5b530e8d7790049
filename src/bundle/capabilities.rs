//! Which capabilities a container gets. Invariant: never one that podshim itself may not hand on.

use crate::bundle::HostFacts;
use crate::manifest::ContainerSecurity;
use oci_spec::runtime::{Capabilities, Capability, LinuxCapabilities};

/// The final bounding set: default, then `ALL`, then the other `add` entries, then `drop`; cut to what the host can give.
/// Privileged containers get all of that. Source: CRI plugin of containerd, `customopts.WithCapabilities`.
pub(crate) fn bounding_set(
    security: &ContainerSecurity,
    default: &[String],
    host: &HostFacts,
) -> Capabilities {
    let every: Capabilities = host.capabilities.iter().filter_map(|n| named(n)).collect();
    if security.privileged {
        return every;
    }
    let has_all = |list: &[String]| list.iter().any(|n| bare(n) == "ALL");
    let mut set: Capabilities = if has_all(&security.capabilities_drop) {
        Capabilities::new()
    } else if has_all(&security.capabilities_add) {
        every.clone()
    } else {
        default.iter().filter_map(|n| named(n)).collect()
    };
    set.extend(security.capabilities_add.iter().filter_map(|n| named(n)));
    for name in security.capabilities_drop.iter().filter_map(|n| named(n)) {
        set.remove(&name);
    }
    set.retain(|c| every.contains(c));
    set
}

/// The same set as bounding, effective and permitted; nothing inheritable or ambient, so that it is gone after an exec as
/// another user than root.
pub(crate) fn as_oci(set: &Capabilities) -> LinuxCapabilities {
    let mut capabilities = LinuxCapabilities::default();
    capabilities
        .set_bounding(Some(set.clone()))
        .set_effective(Some(set.clone()))
        .set_permitted(Some(set.clone()))
        .set_inheritable(None)
        .set_ambient(None);
    capabilities
}

/// Names of `add` and `drop` that are no capability, or that the host cannot give.
pub(crate) fn unknown(security: &ContainerSecurity, host: &HostFacts) -> Vec<String> {
    let is_known = |name: &str| host.capabilities.iter().any(|h| bare(h) == name) || name == "ALL";
    let added = security.capabilities_add.iter();
    added
        .filter(|name| !security.privileged && !is_known(&bare(name)))
        .chain(
            security
                .capabilities_drop
                .iter()
                .filter(|name| bare(name) != "ALL" && named(name).is_none()),
        )
        .cloned()
        .collect()
}

fn bare(name: &str) -> String {
    let upper = name.to_ascii_uppercase();
    upper.strip_prefix("CAP_").unwrap_or(&upper).to_owned()
}

fn named(name: &str) -> Option<Capability> {
    bare(name).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(add: &[&str], drop: &[&str]) -> Vec<String> {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
        let security = ContainerSecurity {
            capabilities_add: owned(add),
            capabilities_drop: owned(drop),
            ..ContainerSecurity::default()
        };
        let host = HostFacts {
            capabilities: owned(&["CHOWN", "KILL", "NET_ADMIN", "SYS_ADMIN"]),
            ..HostFacts::default()
        };
        let mut names: Vec<_> = bounding_set(&security, &owned(&["CAP_CHOWN", "CAP_KILL"]), &host)
            .iter()
            .map(Capability::to_string)
            .collect();
        names.sort();
        names
    }

    #[test]
    fn all_comes_first_then_add_then_drop() {
        assert_eq!(set(&[], &[]), ["CHOWN", "KILL"]);
        assert_eq!(
            set(&["ALL"], &["chown"]),
            ["KILL", "NET_ADMIN", "SYS_ADMIN"]
        );
        assert_eq!(set(&["CAP_NET_ADMIN"], &["ALL"]), ["NET_ADMIN"]);
        assert_eq!(
            set(&["NET_ADMIN"], &["cap_net_admin"]),
            ["CHOWN", "KILL"],
            "drop wins"
        );
        assert_eq!(set(&["ALL"], &["ALL"]), [""; 0]);
    }

    #[test]
    fn what_the_host_does_not_have_or_nobody_knows_is_left_out() {
        assert_eq!(set(&["SYS_RESOURCE", "NO_SUCH"], &[]), ["CHOWN", "KILL"]);
    }

    #[test]
    fn every_capability_of_linux_is_known_by_name() {
        for name in [
            "AUDIT_CONTROL",
            "AUDIT_READ",
            "AUDIT_WRITE",
            "BLOCK_SUSPEND",
            "BPF",
            "CHECKPOINT_RESTORE",
            "CHOWN",
            "DAC_OVERRIDE",
            "DAC_READ_SEARCH",
            "FOWNER",
            "FSETID",
            "IPC_LOCK",
            "IPC_OWNER",
            "KILL",
            "LEASE",
            "LINUX_IMMUTABLE",
            "MAC_ADMIN",
            "MAC_OVERRIDE",
            "MKNOD",
            "NET_ADMIN",
            "NET_BIND_SERVICE",
            "NET_BROADCAST",
            "NET_RAW",
            "PERFMON",
            "SETFCAP",
            "SETGID",
            "SETPCAP",
            "SETUID",
            "SYSLOG",
            "SYS_ADMIN",
            "SYS_BOOT",
            "SYS_CHROOT",
            "SYS_MODULE",
            "SYS_NICE",
            "SYS_PACCT",
            "SYS_PTRACE",
            "SYS_RAWIO",
            "SYS_RESOURCE",
            "SYS_TIME",
            "SYS_TTY_CONFIG",
            "WAKE_ALARM",
        ] {
            assert!(named(name).is_some(), "{name}");
        }
    }
}
