//! `config.json` of a pause bundle → what `--sandbox native` does instead of an OCI runtime.
//!
//! The reader is strict: every member, namespace, mount and option is either in the plan or refused by name, before anything is
//! done. Nothing is ever ignored but `annotations`, which by their definition change nothing, and `ociVersion` 1.x. What is known
//! here is what bundles of pause ask for, so that a new wish of theirs fails loudly instead of getting lost.

mod fields;
mod process;
mod root;
mod seccomp;
#[cfg(test)]
mod tests;

use fields::Fields;
pub use process::{CAPABILITIES, CapabilitySets, NativeUser, Process};
pub use root::{MountKind, NativeMount, Root};
pub use seccomp::{Filter, Instruction, PAUSE_SECCOMP, system_calls};
use serde_json::Value;
use std::path::PathBuf;

/// What cannot be done without an OCI runtime.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No JSON.
    #[error("cannot read the bundle's config.json")]
    Syntax(#[source] serde_json::Error),
    /// A member that is not known here.
    #[error("the native sandbox does not know `{0}`")]
    Unknown(String),
    /// A member that is known with other values.
    #[error("the native sandbox cannot give `{field}` the value {value}")]
    Value {
        /// Its full name.
        field: String,
        /// As JSON, cut if it is long.
        value: String,
    },
    /// A member that there must be.
    #[error("the native sandbox needs `{0}`")]
    Absent(String),
    /// The filter of system calls is for another machine.
    #[error("the seccomp profile is for {filter}, this program for {program}")]
    Machine {
        /// The profile's.
        filter: &'static str,
        /// Ours.
        program: &'static str,
    },
}

impl Refusal {
    /// Longest value that is quoted, in characters.
    const QUOTED: usize = 120;
    /// What the user can do.
    pub const HINT: &str = "run the pod with `--sandbox runtime`";

    fn value(field: String, value: &Value) -> Refusal {
        let value = value.to_string().chars().take(Self::QUOTED).collect();
        Refusal::Value { field, value }
    }
}

/// Everything that is done for one pause container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativePlan {
    /// The namespaces that are made or joined; the others are the host's.
    pub namespaces: Vec<Namespace>,
    /// Of a new UTS namespace.
    pub hostname: Option<String>,
    /// Names below `/proc/sys`, with `/`, of new or joined namespaces only.
    pub sysctls: Vec<(String, String)>,
    /// Its file system.
    pub root: Root,
    /// Its place below every cgroup mount, with a leading slash.
    pub cgroup: String,
    /// `cpu.shares` of cgroup v1.
    pub cpu_shares: Option<u64>,
    /// Whether it may use no device at all.
    pub no_devices: bool,
    /// What runs in it.
    pub process: Process,
}

/// A namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// Which.
    pub kind: NamespaceKind,
    /// The one to join; none: a new one.
    pub path: Option<PathBuf>,
}

/// The namespaces of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NamespaceKind {
    /// Mounts.
    Mount,
    /// Processes.
    Pid,
    /// Network.
    Network,
    /// Host name.
    Uts,
    /// System V IPC, POSIX message queues.
    Ipc,
}

/// Kernel parameters of an IPC namespace. Source: runc `isIPCSysctl`, kernel `ipc/ipc_sysctl.c`.
const IPC_SYSCTLS: [&str; 8] = [
    "kernel/msgmax",
    "kernel/msgmnb",
    "kernel/msgmni",
    "kernel/sem",
    "kernel/shmall",
    "kernel/shmmax",
    "kernel/shmmni",
    "kernel/shm_rmid_forced",
];

impl NativePlan {
    /// Reads a configuration. *Errors*: the first thing that only a runtime can do.
    pub fn read(json: &[u8]) -> Result<NativePlan, Refusal> {
        let mut config = Fields::of_text(json)?;
        let version = config.text("ociVersion")?;
        let version = config.needed("ociVersion", version)?;
        if !version.starts_with("1.") {
            return Err(config.refuse("ociVersion", &version.into()));
        }
        config.pairs("annotations")?;
        let process = config.object("process")?;
        let process = Process::read(config.needed("process", process)?)?;
        let linux = config.object("linux")?;
        let mut linux = config.needed("linux", linux)?;
        let namespaces = namespaces(&mut linux)?;
        let has = |kind| namespaces.iter().any(|n: &Namespace| n.kind == kind);
        let hostname = config.text("hostname")?;
        if let Some(name) = hostname.as_ref().filter(|_| !has(NamespaceKind::Uts)) {
            return Err(config.refuse("hostname", &name.clone().into()));
        }
        let root = Root::read(&mut config, &mut linux)?;
        let sysctls = sysctls(&mut linux, &root, has)?;
        let cgroup = linux.text("cgroupsPath")?;
        let cgroup = linux.needed("cgroupsPath", cgroup)?;
        // Systemd's form is `slice:prefix:name`.
        if !cgroup.starts_with('/') {
            return Err(linux.refuse("cgroupsPath", &cgroup.into()));
        }
        let (cpu_shares, no_devices) = resources(&mut linux)?;
        let process = process.filtered(linux.object("seccomp")?)?;
        linux.end()?;
        config.end()?;
        Ok(NativePlan {
            namespaces,
            hostname,
            sysctls,
            root,
            cgroup,
            cpu_shares,
            no_devices,
            process,
        })
    }

    /// Whether this namespace is made or joined.
    pub fn has(&self, kind: NamespaceKind) -> bool {
        self.namespaces.iter().any(|n| n.kind == kind)
    }
}

/// Each kind at most once. Mounts must be its own: without, those of the host would change. Namespaces of processes and mounts are
/// not joined: whoever lives there could reach this program before pause runs.
fn namespaces(linux: &mut Fields) -> Result<Vec<Namespace>, Refusal> {
    let mut list: Vec<Namespace> = Vec::new();
    for mut entry in linux.objects("namespaces")? {
        let name = entry.text("type")?;
        let name = entry.needed("type", name)?;
        let path = entry.text("path")?.filter(|path| !path.is_empty());
        let kind = match name.as_str() {
            "mount" => NamespaceKind::Mount,
            "pid" => NamespaceKind::Pid,
            "network" => NamespaceKind::Network,
            "uts" => NamespaceKind::Uts,
            "ipc" => NamespaceKind::Ipc,
            _ => return Err(entry.refuse("type", &name.into())),
        };
        if list.iter().any(|other| other.kind == kind) {
            return Err(entry.refuse("type", &name.into()));
        }
        let is_made_only = matches!(kind, NamespaceKind::Mount | NamespaceKind::Pid);
        if let Some(path) = path
            .as_ref()
            .filter(|path| is_made_only || !path.starts_with('/'))
        {
            return Err(entry.refuse("path", &path.clone().into()));
        }
        entry.end()?;
        list.push(Namespace {
            kind,
            path: path.map(PathBuf::from),
        });
    }
    if !list.iter().any(|n| n.kind == NamespaceKind::Mount) {
        return Err(Refusal::Absent("linux.namespaces: mount".into()));
    }
    Ok(list)
}

/// Only what belongs to a namespace of the sandbox: anything else would be the host's.
fn sysctls(
    linux: &mut Fields,
    root: &Root,
    has: impl Fn(NamespaceKind) -> bool,
) -> Result<Vec<(String, String)>, Refusal> {
    let mut list = Vec::new();
    for (name, value) in linux.pairs("sysctl")? {
        let path = name.replace('.', "/");
        let is_plain = path.split('/').all(|part| !part.is_empty());
        let is_net = path.starts_with("net/") && has(NamespaceKind::Network);
        let is_ipc = IPC_SYSCTLS.contains(&path.as_str()) || path.starts_with("fs/mqueue/");
        let is_own = is_net || (is_ipc && has(NamespaceKind::Ipc));
        if !is_plain || !is_own || !root.has_proc() {
            return Err(Refusal::value(
                format!("linux.sysctl `{name}`"),
                &value.into(),
            ));
        }
        list.push((path, value));
    }
    Ok(list)
}

/// CPU shares, and whether all devices are denied.
fn resources(linux: &mut Fields) -> Result<(Option<u64>, bool), Refusal> {
    let Some(mut resources) = linux.object("resources")? else {
        return Ok((None, false));
    };
    let shares = match resources.object("cpu")? {
        None => None,
        Some(mut cpu) => {
            let shares = cpu.natural("shares")?;
            cpu.end()?;
            shares
        }
    };
    let mut no_devices = false;
    for mut rule in resources.objects("devices")? {
        let is_allowed = rule.flag("allow")?;
        let access = rule.text("access")?.unwrap_or_default();
        if is_allowed || access != "rwm" {
            return Err(rule.refuse("access", &access.into()));
        }
        // A rule for some devices has members that are left.
        rule.end()?;
        no_devices = true;
    }
    resources.end()?;
    Ok((shares, no_devices))
}
