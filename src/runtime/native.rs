//! The sandbox of a pod without an OCI runtime: namespaces, root, rights and cgroup of a pause bundle, and pause in them.
//!
//! ```text
//!  supervisor ─ __sandbox   reads the bundle, refuses what it does not know
//!                  │ forks into a new PID namespace ──► child
//!                  │ writes early pid file, moves the     │ namespaces, root, sysctls, rights
//!                  │   child into its cgroup              │
//!                  │ ◄──────────────── ready ──────────── │
//!                  │ takes its devices                    │ waits
//!                  │ ───────────────── go ──────────────► │
//!                  └ writes pid file, ends                └ few system calls from here on; exec pause
//! ```
//!
//! Run where the runtime's `create` would be, as a short-lived process of one thread, told everything by its arguments. Invariants:
//! pause runs only in its cgroup, with its rights and after its id was written down; whoever is killed, the child that has not
//! heard `go` ends by itself, because the pipe ends; nothing on the host is changed but below the bundle's root and its cgroup.
//! Pause becomes the keeper's child when this process ends, as after a runtime's `create`.
//!
//! A pause that runc made has more: seccomp profile and devices of a container, and links in `/dev`. This one has `/dev/null` alone,
//! and may not even open that.

mod rights;
mod root;

use crate::bundle::{Namespace, NamespaceKind, NativePlan, Refusal};
use crate::runtime::{CgroupError, ContainerCgroup, Problem};
use crate::sys;
use nix::sched::{CloneFlags, setns, unshare};
use std::error::Error;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::path::{Path, PathBuf};

/// First argument of the program that makes it make a sandbox.
pub const SANDBOX_VERB: &str = "__sandbox";
/// What the child says when it waits for `go`; anything else that it says is what went wrong.
const READY: u8 = b'R';
/// Longest complaint of the child, in bytes: one error with its causes.
const COMPLAINT_MAX_BYTES: u64 = 4096;

/// Where the id of a process is that may still become none of a sandbox, unlike what the pid file says.
pub(super) fn early_pid_file(pid_file: &Path) -> PathBuf {
    pid_file.with_extension("early")
}

/// Why there is no sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The bundle asks for what only a runtime can do. Nothing has been done.
    #[error("{0} (hint: {hint})", hint = Refusal::HINT)]
    Refused(#[from] Refusal),
    /// Something could not be done.
    #[error("cannot {what}")]
    Step {
        /// What.
        what: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Its cgroup.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// What the process in the sandbox said.
    #[error("{0}")]
    Child(String),
}

/// Says what could not be done.
fn step<E: Into<io::Error>>(what: impl Into<String>) -> impl FnOnce(E) -> SandboxError {
    let what = what.into();
    move |source| SandboxError::Step {
        what,
        source: source.into(),
    }
}

/// Reads a configuration for this machine.
fn read(config: &[u8]) -> Result<NativePlan, Refusal> {
    let plan = NativePlan::read(config)?;
    let program = std::env::consts::ARCH;
    match plan.process.filter.as_ref().map(|filter| filter.machine) {
        Some(filter) if filter != program => Err(Refusal::Machine { filter, program }),
        _ => Ok(plan),
    }
}

/// What would be refused of this configuration of pause, before anything is done.
pub fn native_problem(config: &[u8]) -> Option<Problem> {
    let refusal = read(config).err()?;
    Some(Problem {
        what: "cannot make the pod's sandbox without the OCI runtime".into(),
        why: refusal.to_string(),
        hint: Refusal::HINT.into(),
        fatal: true,
    })
}

/// Makes the sandbox that a bundle describes and writes the id of its process to `pid_file`, and beside it as soon as there is one.
/// `id` is the instance's. The calling process must have one thread, and ends afterwards.
pub fn make_sandbox(bundle: &Path, pid_file: &Path, id: &str) -> Result<(), SandboxError> {
    // Nothing goes on when the one who asked was killed.
    sys::die_with_parent(crate::base::Signal::KILL).map_err(step("follow the supervisor"))?;
    let config = std::fs::read(bundle.join("config.json"));
    let plan = read(&config.map_err(step("read the bundle's config.json"))?)?;
    let cgroup = ContainerCgroup::at(Path::new(&plan.cgroup));
    let cgroup = cgroup.ok_or_else(|| CgroupError::Name(plan.cgroup.clone()))?;
    sys::close_others_on_exec().map_err(step("close descriptors"))?;
    let (told, tell) = io::pipe().map_err(step("make a pipe"))?;
    let (go, mut start) = io::pipe().map_err(step("make a pipe"))?;
    if plan.has(NamespaceKind::Pid) {
        unshare(CloneFlags::CLONE_NEWPID).map_err(step("make a PID namespace"))?;
    }
    let Some(pid) = sys::fork_alone().map_err(step("fork"))? else {
        drop((told, start));
        be_child(&plan, bundle, id, go, tell);
    };
    drop((go, tell));
    let write = |file: &Path| {
        let written = sys::write_atomic(file, pid.to_string().as_bytes(), 0o600);
        written.map_err(step("write the pid file"))
    };
    // Its namespaces can be joined while it waits for its cgroup.
    write(&early_pid_file(pid_file))?;
    cgroup.adopt(pid)?;
    if let Some(score) = plan.process.oom_score_adj {
        let path = format!("/proc/{pid}/oom_score_adj");
        std::fs::write(&path, score.to_string())
            .map_err(step(format!("write `{score}` to `{path}`")))?;
    }
    let mut told = Told(told);
    told.ready()?;
    // Not before: it has made and opened a device.
    cgroup.confine(plan.cpu_shares, plan.no_devices)?;
    // The child that is gone has said why.
    let _ = start.write_all(&[READY]);
    drop(start);
    told.nothing_more()?;
    write(pid_file)
}

/// What the child says.
struct Told(PipeReader);

impl Told {
    /// It waits for `go`.
    fn ready(&mut self) -> Result<(), SandboxError> {
        let mut byte = [0];
        match self.0.read(&mut byte) {
            Ok(1) if byte[0] == READY => Ok(()),
            Ok(1) => Err(self.complaint(byte[0])),
            Ok(_) => Err(SandboxError::Child(
                "the sandbox's process died without a word".into(),
            )),
            Err(error) => Err(step("hear of the sandbox")(error)),
        }
    }

    /// Its end closes the pipe, and so does the exec of pause.
    fn nothing_more(&mut self) -> Result<(), SandboxError> {
        let mut byte = [0];
        match self.0.read(&mut byte) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.complaint(byte[0])),
            Err(error) => Err(step("hear of the sandbox")(error)),
        }
    }

    fn complaint(&mut self, first: u8) -> SandboxError {
        let mut text = vec![first];
        // What came so far has to do.
        let _ = (&mut self.0)
            .take(COMPLAINT_MAX_BYTES)
            .read_to_end(&mut text);
        SandboxError::Child(String::from_utf8_lossy(&text).into_owned())
    }
}

/// The life of the child: pause, or a complaint. Complaints start with a small letter, unlike [`READY`].
fn be_child(plan: &NativePlan, bundle: &Path, id: &str, go: PipeReader, mut tell: PipeWriter) -> ! {
    let Err(error) = become_pause(plan, bundle, id, go, &mut tell);
    let first: &dyn Error = &error;
    let causes = std::iter::successors(Some(first), |error: &&dyn Error| Error::source(*error));
    let words: Vec<_> = causes.map(ToString::to_string).collect();
    // Nobody else can be told.
    let _ = tell.write_all(words.join(": ").as_bytes());
    sys::leave(1)
}

fn become_pause(
    plan: &NativePlan,
    bundle: &Path,
    id: &str,
    mut go: PipeReader,
    tell: &mut PipeWriter,
) -> Result<std::convert::Infallible, SandboxError> {
    // A session of its own: nobody's terminal, nobody's group.
    nix::unistd::setsid().map_err(step("make a session"))?;
    let keyring = CString::new(format!("_ses.{id}")).unwrap_or_default();
    sys::join_session_keyring(&keyring).map_err(step("make a session keyring"))?;
    enter_namespaces(&plan.namespaces)?;
    if let Some(name) = &plan.hostname {
        nix::unistd::sethostname(name).map_err(step(format!("set the host name to `{name}`")))?;
    }
    root::enter(&plan.root, bundle, &plan.sysctls)?;
    let program = rights::Program::of(&plan.process)?;
    rights::drop_all(&plan.process)?;
    tell.write_all(&[READY])
        .map_err(step("say that it waits"))?;
    let mut word = [0];
    if !matches!(go.read(&mut word), Ok(1)) {
        // Whoever asked is gone.
        sys::leave(1);
    }
    program.become_it(plan.process.filter.as_ref())
}

/// Joins before it makes: the paths are those of the host. That of processes has been made by the fork.
fn enter_namespaces(namespaces: &[Namespace]) -> Result<(), SandboxError> {
    let flag = |kind| match kind {
        NamespaceKind::Mount => CloneFlags::CLONE_NEWNS,
        NamespaceKind::Network => CloneFlags::CLONE_NEWNET,
        NamespaceKind::Uts => CloneFlags::CLONE_NEWUTS,
        NamespaceKind::Ipc => CloneFlags::CLONE_NEWIPC,
        NamespaceKind::Pid => CloneFlags::empty(),
    };
    let mut new = CloneFlags::empty();
    for Namespace { kind, path } in namespaces {
        match path {
            None => new |= flag(*kind),
            Some(path) => join(path, flag(*kind))?,
        }
    }
    unshare(new).map_err(step("make namespaces"))?;
    if new.contains(CloneFlags::CLONE_NEWNET) {
        sys::raise_own_loopback()
            .map_err(io::Error::other)
            .map_err(step("make a network"))?;
    }
    Ok(())
}

fn join(path: &PathBuf, kind: CloneFlags) -> Result<(), SandboxError> {
    let enter = || -> io::Result<()> { Ok(setns(File::open(path)?, kind)?) };
    enter().map_err(step(format!("join the namespace `{}`", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{PAUSE_SECCOMP, system_calls};
    use nix::libc;

    #[test]
    fn the_numbers_of_system_calls_are_those_of_this_machine() {
        let mut known: Vec<_> = system_calls(std::env::consts::ARCH).collect();
        known.sort_unstable();
        let numbers = [
            ("execve", libc::SYS_execve),
            ("exit_group", libc::SYS_exit_group),
            ("rt_sigprocmask", libc::SYS_rt_sigprocmask),
            ("rt_sigtimedwait", libc::SYS_rt_sigtimedwait),
            ("wait4", libc::SYS_wait4),
            ("write", libc::SYS_write),
        ];
        let numbers = numbers.map(|(name, number)| (name, u32::try_from(number).expect("small")));
        assert_eq!(known, numbers);
        for (name, _) in known {
            assert!(PAUSE_SECCOMP.contains(&format!("\"{name}\"")), "{name}");
        }
    }

    #[test]
    fn what_is_refused_says_what_helps() {
        let problem = native_problem(b"{}").expect("no version");
        assert!(problem.fatal, "{problem:?}");
        assert!(problem.hint.contains("--sandbox runtime"), "{problem:?}");
        let refusal = read(b"{\"ociVersion\":\"1.0.2\",\"hooks\":{}}").expect_err("no process");
        let error = SandboxError::from(refusal);
        assert!(error.to_string().contains("--sandbox runtime"), "{error}");
    }
}
