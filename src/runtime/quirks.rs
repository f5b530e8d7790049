//! What differs between runtimes, as data. Code asks this table; it never asks which runtime it is.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Which runtime a program is, as its `--version` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// opencontainers/runc.
    Runc,
    /// containers/crun.
    Crun,
    /// youki-dev/youki.
    Youki,
    /// Something that calls itself otherwise: driven by the OCI command line that all of them share.
    Other,
}

/// A runtime's version: major, minor, patch. What follows (`+ds1`, `-rc.1`) is not compared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Version(pub u32, pub u32, pub u32);

/// How one runtime differs. Every entry was seen on the version named, or is in its change log.
#[derive(Debug)]
pub struct Quirks {
    /// The first word of its `--version`, and the name it is installed under.
    pub name: &'static str,
    /// What its `--version` output contains when it was built with seccomp, if that can be told.
    pub seccomp_mark: Option<&'static str>,
    /// Whether `features` without a word about seccomp means that it was built without.
    pub silence_is_no_seccomp: bool,
    /// Since when it knows recursive read-only mounts (`rro`), where its `features` do not say.
    pub rro_since: Option<Version>,
    /// Whether it refuses to run where cgroup v1 hierarchies stand beside a cgroup v2 one that has controllers.
    pub refuses_hybrid_controllers: bool,
    /// How to see in a container's state directory that its init waits for `start`.
    pub start_gate: StartGate,
    /// Whether each call copies the program into sealed memory first, unless it runs from such a copy.
    pub copies_itself: bool,
    /// Whether `lo` is up in a network namespace that it made.
    pub loopback_up: bool,
    /// Whether it knows only `shared` and `slave` as propagation of the root, and means `rshared` and `rslave`.
    pub short_propagation: bool,
    /// How the names of files begin that each `exec` leaves in a container's state directory until the container is deleted.
    pub exec_traces: Option<&'static str>,
    /// What its `--version` output contains when it was built with checkpoints, where its `features` do not say.
    pub checkpoint_mark: Option<&'static str>,
    /// Until when it lets `--criu` say which `criu` is run. All take the one in `PATH`.
    pub criu_option_before: Option<Version>,
    /// Whether, once the processes and the cgroup of a container without OCI hooks are gone, only files in the container's state
    /// directory are left of it.
    pub keeps_only_files: bool,
}

/// How a runtime holds the init of a created container until its start.
#[derive(Clone, Copy, Debug)]
pub enum StartGate {
    /// At this file, which is gone afterwards.
    File(&'static str),
    /// At this fifo, which is gone afterwards. To read from it is all that `start` does for a container without OCI hooks.
    Fifo(&'static str),
    /// Its recorded state, `status` in `state.json`, says `created`. It listens at this socket, which stays; to connect to it and to
    /// write the state down is all that `start` does for a container without OCI hooks.
    Socket(&'static str),
}

/// runc 1.1.5. `delete --force` of a running container polls for 100 ms: kill by pidfd first, then delete. It refuses a
/// container without `/proc`.
const RUNC: Quirks = Quirks {
    name: "runc",
    seccomp_mark: Some("libseccomp:"),
    silence_is_no_seccomp: false,
    rro_since: Some(Version(1, 1, 0)),
    refuses_hybrid_controllers: false,
    start_gate: StartGate::Fifo("exec.fifo"),
    copies_itself: false,
    loopback_up: true,
    short_propagation: false,
    exec_traces: None,
    checkpoint_mark: None,
    criu_option_before: Some(Version(1, 2, 0)),
    keeps_only_files: true,
};

/// crun 1.8.1. The hybrid refusal is in every version that knows cgroup v1 (`libcrun_cgroup_enter`), whatever the cgroup
/// manager, and comes as late as `create`.
const CRUN: Quirks = Quirks {
    name: "crun",
    seccomp_mark: Some("+SECCOMP"),
    silence_is_no_seccomp: false,
    rro_since: Some(Version(1, 4, 0)),
    refuses_hybrid_controllers: true,
    start_gate: StartGate::File("exec.fifo"),
    copies_itself: false,
    loopback_up: true,
    short_propagation: false,
    exec_traces: None,
    checkpoint_mark: Some("+CRIU"),
    criu_option_before: None,
    keeps_only_files: true,
};

/// youki 0.7.0. Built without seccomp it says `"seccomp": null`, accepts a profile and ignores it. Parallel creates under an
/// absent parent cgroup race (`File exists`): the pod's cgroup comes first. It refuses a process without `PATH` in its
/// environment, and a create that it refuses leaves its cgroups: they are removed after every delete. A bind mount that should be
/// private still sees what the host mounts later.
const YOUKI: Quirks = Quirks {
    name: "youki",
    seccomp_mark: None,
    silence_is_no_seccomp: true,
    rro_since: None,
    refuses_hybrid_controllers: false,
    start_gate: StartGate::Socket("notify.sock"),
    copies_itself: true,
    loopback_up: false,
    short_propagation: true,
    exec_traces: Some("tenant-notify-"),
    checkpoint_mark: None,
    criu_option_before: None,
    keeps_only_files: true,
};

/// What nothing is known about: only what the OCI runtime command line promises.
const OTHER: Quirks = Quirks {
    name: "",
    seccomp_mark: None,
    silence_is_no_seccomp: false,
    rro_since: None,
    refuses_hybrid_controllers: false,
    start_gate: StartGate::File("exec.fifo"),
    copies_itself: false,
    loopback_up: false,
    short_propagation: false,
    exec_traces: None,
    checkpoint_mark: None,
    criu_option_before: None,
    keeps_only_files: false,
};

impl Kind {
    /// In the order in which they are looked for.
    pub const KNOWN: [Kind; 3] = [Kind::Runc, Kind::Crun, Kind::Youki];

    /// Its row of the table.
    pub fn quirks(self) -> &'static Quirks {
        match self {
            Kind::Runc => &RUNC,
            Kind::Crun => &CRUN,
            Kind::Youki => &YOUKI,
            Kind::Other => &OTHER,
        }
    }

    /// The runtime that calls itself `name` in its `--version`.
    pub fn of_name(name: &str) -> Kind {
        let known = Kind::KNOWN.into_iter().find(|k| k.quirks().name == name);
        known.unwrap_or(Kind::Other)
    }
}

impl Version {
    /// Reads `1.1.5+ds1`, `v0.7.0`, `1.4`; missing parts are 0. `None` if it does not start with a number.
    pub fn read(text: &str) -> Option<Version> {
        let text = text.strip_prefix('v').unwrap_or(text);
        let end = text
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(text.len());
        let mut parts = text[..end].split('.').map(|part| part.parse().ok());
        let major = parts.next()??;
        let mut next = || parts.next().flatten().unwrap_or(0);
        Some(Version(major, next(), next()))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.0, self.1, self.2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_with_whatever_distributions_append() {
        for (text, version) in [
            ("1.1.5+ds1", Some(Version(1, 1, 5))),
            ("v0.7.0", Some(Version(0, 7, 0))),
            ("1.4.0-rc.1+dev", Some(Version(1, 4, 0))),
            ("1.28", Some(Version(1, 28, 0))),
            ("", None),
            ("unknown", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(Version::read(text), version, "{text}");
        }
    }
}
