//! What the kernel must allow: forwarding between the bridge and the rest.

use std::fs;
use std::io;
use std::path::Path;

/// Whether this network namespace has IPv6.
pub(super) fn has_v6() -> bool {
    read("/proc/sys/net/ipv6/conf/default/disable_ipv6").as_deref() == Some("0")
}

/// Turns forwarding on as far as it is off. It stays on: it has no owner, and whoever came up meanwhile found it
/// on and may count on it. What does not work is a warning, not an
/// error: pods still reach one another and this machine.
pub(super) fn enable(bridge: &str, with_v6: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let mut warn = |what: &str, result: io::Result<()>| {
        if let Err(error) = result {
            warnings.push(format!("{what}: {error}"));
        }
    };
    let cannot = "pods cannot reach other machines, for packets are not forwarded";
    warn(cannot, set("/proc/sys/net/ipv4/ip_forward", "1"));
    // What the host sends to a published port from 127.0.0.1. The rules drop what a pod sends there.
    let local = format!("/proc/sys/net/ipv4/conf/{bridge}/route_localnet");
    warn(
        "published ports do not answer on 127.0.0.1",
        set(&local, "1"),
    );
    if with_v6 {
        warn(cannot, enable_v6());
    }
    warnings
}

/// A host that forwards IPv6 takes no more advertised routes unless it is told to (`accept_ra` 2): it would lose its own.
fn enable_v6() -> io::Result<()> {
    const ALL: &str = "/proc/sys/net/ipv6/conf/all/forwarding";
    if read(ALL).as_deref() == Some("1") {
        return Ok(());
    }
    for link in fs::read_dir("/proc/sys/net/ipv6/conf")?.flatten() {
        let accept = link.path().join("accept_ra");
        if read(&accept).as_deref() == Some("1") {
            set(&accept, "2")?;
        }
    }
    set(ALL, "1")
}

fn read(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

fn set(path: impl AsRef<Path>, value: &str) -> io::Result<()> {
    if read(&path).as_deref() == Some(value) {
        return Ok(());
    }
    fs::write(path, value)
}
