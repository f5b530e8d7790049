//! `linux.seccomp` → a filter of the kernel's. Known are profiles like pause's: everything fails but some calls whatever their
//! arguments are, on one machine.
//!
//! The native sandbox has a profile of its own because this program is no libseccomp: containers' default profile has rules on
//! arguments and 400 names. Pause makes four calls, and this profile allows two more: the `execve` that starts pause, and `write`, by
//! which the process tells that it could not.

use crate::bundle::native::Refusal;
use crate::bundle::native::fields::Fields;

/// The profile of pause in a native sandbox, as text.
pub const PAUSE_SECCOMP: &str = include_str!("../../../bundles/pause/seccomp.json");

/// One instruction of classic BPF: code, jumps, constant.
pub type Instruction = (u16, u8, u8, u32);

/// A filter for one machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    /// `uname -m` of the machine whose system calls it knows.
    pub machine: &'static str,
    /// The program.
    pub program: Vec<Instruction>,
}

/// A machine whose system calls are known: name, libseccomp's, `AUDIT_ARCH_…`, column of [`CALLS`].
type Machine = (&'static str, &'static str, u32, usize);
const MACHINES: [Machine; 2] = [
    ("x86_64", "SCMP_ARCH_X86_64", 0xc000_003e, 0),
    ("aarch64", "SCMP_ARCH_AARCH64", 0xc000_00b7, 1),
];

/// Numbers of system calls on each machine.
const CALLS: [(&str, [u32; 2]); 6] = [
    ("execve", [59, 221]),
    ("exit_group", [231, 94]),
    ("rt_sigprocmask", [14, 135]),
    ("rt_sigtimedwait", [128, 137]),
    ("wait4", [61, 260]),
    ("write", [1, 64]),
];

/// Loads a word of `struct seccomp_data`.
const LOAD: u16 = 0x20;
/// Jumps if equal.
const EQUAL: u16 = 0x15;
/// Ends.
const RETURN: u16 = 0x06;
/// Where in `struct seccomp_data` the number of the call and the machine are.
const NUMBER: u32 = 0;
const MACHINE: u32 = 4;
const KILL: u32 = 0x8000_0000;
const ERRNO: u32 = 0x0005_0000;
const ALLOW: u32 = 0x7fff_0000;
/// Largest error number that the kernel gives. Source: `MAX_ERRNO`.
const MAX_ERRNO: u64 = 4095;

/// The system calls that are known on a machine, with their numbers.
pub fn system_calls(machine: &str) -> impl Iterator<Item = (&'static str, u32)> {
    let machine = MACHINES.iter().find(|(name, ..)| *name == machine);
    let column = machine.map(|(.., column)| *column);
    CALLS
        .iter()
        .filter_map(move |(name, numbers)| Some((*name, *numbers.get(column?)?)))
}

impl Filter {
    pub(super) fn read(mut seccomp: Fields) -> Result<Filter, Refusal> {
        let machine = seccomp.texts("architectures")?;
        let known = MACHINES.iter().find(|(_, name, ..)| machine == [*name]);
        let Some(&(machine, _, audit, _)) = known else {
            return Err(seccomp.refuse("architectures", &machine.into()));
        };
        let action = seccomp.text("defaultAction")?.unwrap_or_default();
        if action != "SCMP_ACT_ERRNO" {
            return Err(seccomp.refuse("defaultAction", &action.into()));
        }
        let errno = seccomp.natural("defaultErrnoRet")?;
        let errno = seccomp.needed("defaultErrnoRet", errno)?;
        if errno > MAX_ERRNO {
            return Err(seccomp.refuse("defaultErrnoRet", &errno.into()));
        }
        let mut allowed = Vec::new();
        for mut rule in seccomp.objects("syscalls")? {
            let action = rule.text("action")?.unwrap_or_default();
            if action != "SCMP_ACT_ALLOW" {
                return Err(rule.refuse("action", &action.into()));
            }
            for name in rule.texts("names")? {
                match system_calls(machine).find(|(known, _)| *known == name) {
                    Some((_, number)) => allowed.push(number),
                    None => return Err(rule.refuse("names", &name.into())),
                }
            }
            // Rules on arguments have more.
            rule.end()?;
        }
        seccomp.end()?;
        let errno = u32::try_from(errno).unwrap_or(1);
        let program = program(audit, &allowed, errno);
        Ok(Filter { machine, program })
    }
}

/// Another machine's call kills: its numbers mean other calls.
fn program(audit: u32, allowed: &[u32], errno: u32) -> Vec<Instruction> {
    let mut program = vec![
        (LOAD, 0, 0, MACHINE),
        (EQUAL, 1, 0, audit),
        (RETURN, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
    ];
    for number in allowed {
        program.push((EQUAL, 0, 1, *number));
        program.push((RETURN, 0, 0, ALLOW));
    }
    program.push((RETURN, 0, 0, ERRNO | errno));
    program
}
