//! `process`: what runs in the sandbox, as whom, with which rights.

use crate::bundle::native::fields::Fields;
use crate::bundle::native::{Filter, Refusal};
use std::path::PathBuf;

/// The process of the sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    /// A full path and its arguments.
    pub args: Vec<String>,
    /// `NAME=value`.
    pub env: Vec<String>,
    /// Where it starts.
    pub cwd: PathBuf,
    /// Who it is.
    pub user: NativeUser,
    /// What it may.
    pub capabilities: CapabilitySets,
    /// Whether no program that it runs can give it more.
    pub no_new_privileges: bool,
    /// How soon it is killed when memory is short.
    pub oom_score_adj: Option<i64>,
    /// The system calls that it may make; none: all.
    pub filter: Option<Filter>,
}

/// Its user and groups.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NativeUser {
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// More groups.
    pub groups: Vec<u32>,
    /// Bits that new files lack.
    pub umask: u32,
}

/// Sets of capabilities: bit `n` is the capability of that number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CapabilitySets {
    /// The most that an exec may give.
    pub bounding: u64,
    /// In force.
    pub effective: u64,
    /// Those that it may put in force.
    pub permitted: u64,
    /// Kept over an exec by programs that ask for it.
    pub inheritable: u64,
    /// Kept over an exec by all.
    pub ambient: u64,
}

/// Capabilities without `CAP_`, in the order of their numbers. Source: `linux/capability.h`.
pub const CAPABILITIES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

/// Bits that new files lack if the configuration does not say. Source: runc.
const UMASK: u32 = 0o022;

impl Process {
    pub(super) fn read(mut process: Fields) -> Result<Process, Refusal> {
        let args = process.texts("args")?;
        if !args.first().is_some_and(|program| program.starts_with('/')) {
            return Err(process.refuse("args", &args.into()));
        }
        let cwd = process.text("cwd")?;
        let cwd = process.needed("cwd", cwd)?;
        if !cwd.starts_with('/') {
            return Err(process.refuse("cwd", &cwd.into()));
        }
        if process.flag("terminal")? {
            return Err(process.refuse("terminal", &true.into()));
        }
        let user = process.object("user")?;
        let user = user_of(process.needed("user", user)?)?;
        let capabilities = process.object("capabilities")?;
        let plan = Process {
            args,
            env: process.texts("env")?,
            cwd: cwd.into(),
            user,
            capabilities: capabilities.map_or(Ok(CapabilitySets::default()), capability_sets)?,
            no_new_privileges: process.flag("noNewPrivileges")?,
            oom_score_adj: process.integer("oomScoreAdj")?,
            filter: None,
        };
        process.end()?;
        Ok(plan)
    }

    /// The same with `linux.seccomp`. A filter is for those who cannot gain privileges: otherwise it would have to be installed while
    /// there are some left, and they could not be dropped any more.
    pub(super) fn filtered(self, seccomp: Option<Fields>) -> Result<Process, Refusal> {
        let Some(seccomp) = seccomp else {
            return Ok(self);
        };
        if !self.no_new_privileges {
            return Err(Refusal::Absent("process.noNewPrivileges".into()));
        }
        Ok(Process {
            filter: Some(Filter::read(seccomp)?),
            ..self
        })
    }
}

fn user_of(mut user: Fields) -> Result<NativeUser, Refusal> {
    let plan = NativeUser {
        uid: user.id("uid")?.unwrap_or(0),
        gid: user.id("gid")?.unwrap_or(0),
        groups: user.ids("additionalGids")?,
        umask: user.id("umask")?.unwrap_or(UMASK),
    };
    user.end()?;
    Ok(plan)
}

fn capability_sets(mut sets: Fields) -> Result<CapabilitySets, Refusal> {
    let mut set = |member: &str| {
        let mut bits = 0;
        for name in sets.texts(member)? {
            let bare = name.strip_prefix("CAP_");
            let number = CAPABILITIES.iter().position(|known| Some(*known) == bare);
            let Some(number) = number else {
                return Err(sets.refuse(member, &name.into()));
            };
            bits |= 1 << number;
        }
        Ok(bits)
    };
    let plan = CapabilitySets {
        bounding: set("bounding")?,
        effective: set("effective")?,
        permitted: set("permitted")?,
        inheritable: set("inheritable")?,
        ambient: set("ambient")?,
    };
    sets.end()?;
    Ok(plan)
}
