//! From root to what pause may be, and from this program to pause. The order is the point: each step needs a right that a later
//! one gives up.

use crate::bundle::{Filter, NativeProcess};
use crate::runtime::native::{SandboxError, step};
use crate::sys;
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Gid, Uid, chdir, execve, setgroups, setresgid, setresuid};
use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set,
    configure_capability_in_ambient_set, remove_capability_from_bounding_set, set_capabilities,
    set_keep_capabilities, set_no_new_privs,
};
use std::ffi::CString;
use std::io;

/// Bits in a set of capabilities.
const CAPABILITY_BITS: u32 = 64;

/// Becomes who the process is to be, with no right more than it is to have.
pub(super) fn drop_all(process: &NativeProcess) -> Result<(), SandboxError> {
    let user = &process.user;
    umask(Mode::from_bits_truncate(user.umask));
    sys::reset_signals().map_err(step("reset signals"))?;
    let sets = &process.capabilities;
    bound(sets.bounding).map_err(step("drop capabilities"))?;
    // Another user than root loses all at once otherwise, those of the bundle included.
    set_keep_capabilities(true).map_err(step("keep capabilities"))?;
    let groups: Vec<Gid> = user.groups.iter().copied().map(Gid::from_raw).collect();
    let (gid, uid) = (Gid::from_raw(user.gid), Uid::from_raw(user.uid));
    setgroups(&groups).map_err(step("set groups"))?;
    setresgid(gid, gid, gid).map_err(step(format!("become group {gid}")))?;
    setresuid(uid, uid, uid).map_err(step(format!("become user {uid}")))?;
    set_keep_capabilities(false).map_err(step("keep capabilities no more"))?;
    let set = CapabilitySet::from_bits_retain;
    let own = CapabilitySets {
        effective: set(sets.effective),
        permitted: set(sets.permitted),
        inheritable: set(sets.inheritable),
    };
    set_capabilities(None, own).map_err(step("set capabilities"))?;
    clear_ambient_capability_set().map_err(step("clear ambient capabilities"))?;
    for bit in bits(sets.ambient) {
        configure_capability_in_ambient_set(set(bit), true)
            .map_err(step("set ambient capabilities"))?;
    }
    if process.no_new_privileges {
        set_no_new_privs(true).map_err(step("give up new privileges"))?;
    }
    chdir(&process.cwd).map_err(step(format!("go to `{}`", process.cwd.display())))
}

/// Takes everything else out of the bounding set.
fn bound(kept: u64) -> Result<(), Errno> {
    for bit in bits(!kept) {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(bit)) {
            // This kernel has no more.
            Err(Errno::INVAL) => break,
            removed => removed?,
        }
    }
    Ok(())
}

fn bits(set: u64) -> impl Iterator<Item = u64> {
    let all = (0..CAPABILITY_BITS).map(|number| 1 << number);
    all.filter(move |bit| set & bit != 0)
}

/// A program with its arguments, as the kernel wants them: nothing is allocated when system calls are few.
pub(super) struct Program {
    args: Vec<CString>,
    env: Vec<CString>,
}

impl Program {
    pub fn of(process: &NativeProcess) -> Result<Program, SandboxError> {
        let strings = |list: &[String]| -> Result<Vec<CString>, SandboxError> {
            let strings = list.iter().map(|text| CString::new(text.as_str()));
            let strings: Result<Vec<_>, _> = strings.collect();
            strings.map_err(step("use text with a NUL"))
        };
        Ok(Program {
            args: strings(&process.args)?,
            env: strings(&process.env)?,
        })
    }

    /// Becomes this program, which may make only the calls that the filter lets through. Gives back why not.
    pub fn become_it(
        self,
        filter: Option<&Filter>,
    ) -> Result<std::convert::Infallible, SandboxError> {
        let Some(path) = self.args.first() else {
            return Err(step("run nothing")(io::Error::from(
                io::ErrorKind::InvalidInput,
            )));
        };
        // Made now: who may not ask for memory can hardly put words together.
        let failed = step(format!("run `{}`", path.to_string_lossy()));
        if let Some(filter) = filter {
            sys::filter_system_calls(&filter.program).map_err(step("filter system calls"))?;
        }
        execve(path, &self.args, &self.env).map_err(failed)
    }
}
