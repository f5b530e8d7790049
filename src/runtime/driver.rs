//! The verbs of a runtime that podshim uses: create, start, delete. Signals go by pidfd, stats come from cgroupfs.

use crate::base::InstanceId;
use crate::runtime::call::Call;
use crate::runtime::gate::{START_VERB, is_created};
use crate::runtime::native::early_pid_file;
use crate::runtime::quirks::StartGate;
use crate::runtime::sealed::Sealed;
use crate::runtime::{Runtime, RuntimeError, SANDBOX_VERB, is_plain_name, pid_file};
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

/// A runtime that keeps the containers of one pod.
#[derive(Clone, Debug)]
pub struct Driver {
    /// The program.
    pub runtime: Runtime,
    /// A copy of it that containers are created with.
    pub sealed: Option<Sealed>,
    /// The program that does itself what needs no runtime: this one.
    pub own: PathBuf,
    /// Where it keeps its state, one per pod: no other program uses it.
    pub root: PathBuf,
    /// Whether cgroups are made through systemd.
    pub systemd_cgroup: bool,
    /// Whether its containers may have OCI hooks: only the runtime runs them.
    pub has_hooks: bool,
    /// More options of `create`: `--no-pivot`, `--no-new-keyring`.
    pub create_flags: Vec<&'static str>,
    /// The `criu` that checkpoints are made with; `None` for the one in `PATH`.
    pub criu: Option<PathBuf>,
    /// When calls are given up.
    pub deadlines: Deadlines,
}

/// When each verb is given up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deadlines {
    /// `create`: 30 ms on an idle machine; it runs hooks, and mounts that may wait for a disk.
    pub create: Duration,
    /// `start`: 6 ms.
    pub start: Duration,
    /// `delete`: 5 ms of a dead container, 110 ms of a live one. On the way of every stop, so it is short.
    pub delete: Duration,
}

/// Half of the kubelet's `runtimeRequestTimeout`, so that a retry fits in.
const CREATE_DEADLINE: Duration = Duration::from_secs(60);
/// As long: a full machine is slow in all of it.
const START_DEADLINE: Duration = Duration::from_secs(60);
/// Long enough for a machine out of memory, short enough for a person who waits.
const DELETE_DEADLINE: Duration = Duration::from_secs(10);

impl Default for Deadlines {
    fn default() -> Deadlines {
        Deadlines {
            create: CREATE_DEADLINE,
            start: START_DEADLINE,
            delete: DELETE_DEADLINE,
        }
    }
}

/// What `create` is told.
#[derive(Debug)]
pub struct CreateCall<'a> {
    /// The burned id.
    pub id: &'a InstanceId,
    /// Directory with `config.json`.
    pub bundle: &'a Path,
    /// File for the process id; what is there is removed first.
    pub pid_file: &'a Path,
    /// File for the runtime's complaints; appended to.
    pub log: &'a Path,
    /// What the init is connected to.
    pub io: InitIo,
}

/// What the init of a container is connected to.
#[derive(Debug)]
pub enum InitIo {
    /// Three open files; ours are closed once the runtime has them.
    Pipes {
        /// Standard input.
        stdin: OwnedFd,
        /// Standard output.
        stdout: OwnedFd,
        /// Standard error.
        stderr: OwnedFd,
    },
    /// A terminal, whose master is sent to this listening socket.
    Console {
        /// Path of the socket, at most 107 bytes.
        socket: PathBuf,
    },
}

impl CreateCall<'_> {
    /// Its options, which are those of `restore`, too.
    pub(super) fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["--bundle".into(), self.bundle.into()];
        args.extend(["--pid-file".into(), self.pid_file.into()]);
        if let InitIo::Console { socket } = &self.io {
            args.extend(["--console-socket".into(), socket.into()]);
        }
        args
    }
}

impl Deadlines {
    /// The same for every verb.
    pub fn each(deadline: Duration) -> Deadlines {
        Deadlines {
            create: deadline,
            start: deadline,
            delete: deadline,
        }
    }
}

impl Driver {
    /// With the usual deadlines and cgroups made by hand.
    pub fn new(runtime: Runtime, root: PathBuf) -> Driver {
        Driver {
            runtime,
            sealed: None,
            own: PathBuf::from("/proc/self/exe"),
            root,
            systemd_cgroup: false,
            has_hooks: false,
            create_flags: Vec::new(),
            criu: None,
            deadlines: Deadlines::default(),
        }
    }

    /// Creates a container and gives back the process id of its init in our PID namespace. The pod's cgroup must exist:
    /// parallel creates race for it otherwise.
    ///
    /// After an error with [`RuntimeError::is_hung`] anything may exist: [`delete`](Driver::delete) it by force, then kill
    /// and remove its cgroup.
    pub async fn create(&self, create: CreateCall<'_>) -> Result<u32, RuntimeError> {
        checked(create.id)?;
        absent(create.pid_file)?;
        let mut args = vec!["create".into()];
        args.extend(create.args());
        args.extend(self.create_flags.iter().map(OsString::from));
        args.push(create.id.0.as_str().into());
        let sealed = match &self.sealed {
            Some(sealed) => sealed.program().await,
            None => None,
        };
        // The descriptor, too: until the call has ended.
        let (_copy, path) = sealed.unzip();
        let mut call = self.call(
            "create container",
            args,
            self.deadlines.create,
            Some(create.log),
        );
        call.copy = path;
        call.lending(create.io).await?;
        created(create.pid_file)
    }

    /// Makes a sandbox without the runtime, of a bundle of pause, and gives back the process id of pause, which runs already. The
    /// runtime does not know it. Errors mean what they mean of [`create`](Driver::create).
    pub async fn create_sandbox(&self, create: CreateCall<'_>) -> Result<u32, RuntimeError> {
        absent(create.pid_file)?;
        let args = vec![
            SANDBOX_VERB.into(),
            create.bundle.into(),
            create.pid_file.into(),
            create.log.into(),
            checked(create.id)?.into(),
        ];
        let call = self.own_call("make the sandbox", args, self.deadlines.create, create.log);
        call.lending(create.io).await?;
        created(create.pid_file)
    }

    /// The process of a [`create_sandbox`](Driver::create_sandbox) in flight.
    pub fn early_process(&self, pid_file: &Path) -> Option<u32> {
        pid_file::read(&early_pid_file(pid_file)).ok()
    }

    /// Lets the init of a created container run. With a handle of it the runtime is only asked where there is
    /// more to be done.
    pub async fn start(
        &self,
        id: &InstanceId,
        init: Option<OwnedFd>,
        log: &Path,
    ) -> Result<(), RuntimeError> {
        if let (Some(init), Some(gate)) = (init, self.gate(id)) {
            let args = vec![START_VERB.into(), gate.into(), log.into()];
            let call = self.own_call("start container", args, self.deadlines.start, log);
            return call.captured_with(Stdio::from(init)).await.map(|_| ());
        }
        let args = vec!["start".into(), checked(id)?.into()];
        let call = self.call("start container", args, self.deadlines.start, Some(log));
        call.captured().await.map(|_| ())
    }

    /// Where the init of a container waits, if to open that is all that is to be done.
    fn gate(&self, id: &InstanceId) -> Option<PathBuf> {
        let (StartGate::Fifo(name) | StartGate::Socket(name)) =
            self.runtime.kind.quirks().start_gate
        else {
            return None;
        };
        let gate = self.root.join(checked(id).ok()?).join(name);
        Some(gate).filter(|gate| !self.has_hooks && gate.exists())
    }

    /// Deletes a container and what the runtime keeps of it; nothing to do is no error. Without `force` it must be dead.
    /// Prefer killing it first and not forcing: `runc delete --force` of a live container takes 110 ms.
    ///
    /// Deletes what the runtime knows of: after a create that was cut off its processes and cgroup may be left, which
    /// [`PodCgroup`](crate::runtime::PodCgroup) kills and removes.
    pub async fn delete(
        &self,
        id: &InstanceId,
        log: &Path,
        force: bool,
    ) -> Result<(), RuntimeError> {
        let id_word = checked(id)?;
        if !self.knows(id) {
            return Ok(());
        }
        let mut args: Vec<OsString> = vec!["delete".into()];
        if force {
            args.push("--force".into());
        }
        args.push(id_word.into());
        let call = self.call("delete container", args, self.deadlines.delete, Some(log));
        match call.captured().await {
            Err(error) if self.knows(id) => Err(error),
            _ => Ok(()),
        }
    }

    /// Whether the runtime keeps anything of this container: each keeps it in a directory of the container's name.
    pub fn knows(&self, id: &InstanceId) -> bool {
        is_plain_name(&id.0) && self.root.join(&id.0).symlink_metadata().is_ok()
    }

    /// Whether a created container has not been started, as far as the runtime's records say.
    pub fn is_waiting_for_start(&self, id: &InstanceId) -> bool {
        let dir = self.root.join(&id.0);
        is_plain_name(&id.0)
            && match self.runtime.kind.quirks().start_gate {
                StartGate::File(gate) | StartGate::Fifo(gate) => dir.join(gate).exists(),
                StartGate::Socket(_) => is_created(&dir),
            }
    }

    /// Whether [`Driver::forget`] does all that `delete` does for a container without OCI hooks of which nothing lives. A process
    /// of the runtime costs a third of a pod's end.
    pub fn keeps_only_files(&self) -> bool {
        self.runtime.kind.quirks().keeps_only_files && !self.systemd_cgroup && !self.has_hooks
    }

    /// Drops what the runtime keeps of a container without asking it: where it [keeps only files](Driver::keeps_only_files), and
    /// as the last resort when `delete` fails though nothing of the container lives: state that the runtime cannot read would be
    /// kept for ever.
    pub fn forget(&self, id: &InstanceId) -> Result<(), RuntimeError> {
        let path = self.root.join(checked(id)?);
        match std::fs::remove_dir_all(&path) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                Err(RuntimeError::Clear { path, source })
            }
            _ => Ok(()),
        }
    }

    /// The options that come before the verb.
    pub(super) fn global_args(&self, log: Option<&Path>) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec!["--root".into(), self.root.as_os_str().into()];
        if let Some(log) = log {
            args.extend([
                "--log".into(),
                log.into(),
                "--log-format".into(),
                "json".into(),
            ]);
        }
        if self.systemd_cgroup {
            args.push("--systemd-cgroup".into());
        }
        args
    }

    /// A call of this program, which takes no options.
    fn own_call<'a>(
        &'a self,
        verb: &'static str,
        args: Vec<OsString>,
        deadline: Duration,
        log: &'a Path,
    ) -> Call<'a> {
        Call {
            verb,
            program: &self.own,
            copy: None,
            args,
            deadline,
            log: Some(log),
            first_in_path: None,
        }
    }

    pub(super) fn call<'a>(
        &'a self,
        verb: &'static str,
        args: Vec<OsString>,
        deadline: Duration,
        log: Option<&'a Path>,
    ) -> Call<'a> {
        let mut all = self.global_args(log);
        all.extend(args);
        Call {
            verb,
            program: &self.runtime.path,
            copy: None,
            args: all,
            deadline,
            log,
            first_in_path: None,
        }
    }
}

/// The process that a call says it has made.
pub(super) fn created(pid_file: &Path) -> Result<u32, RuntimeError> {
    pid_file::read(pid_file).map_err(|source| RuntimeError::PidFile {
        path: pid_file.to_owned(),
        source,
    })
}

/// The id as a word, if it is a plain name.
pub(super) fn checked(id: &InstanceId) -> Result<&str, RuntimeError> {
    if is_plain_name(&id.0) {
        Ok(&id.0)
    } else {
        Err(RuntimeError::InvalidId {
            id: id.0.escape_debug().take(64).collect(),
        })
    }
}

/// Removes a file that an earlier call may have left, so that it is not taken for this call's.
pub(super) fn absent(path: &Path) -> Result<(), RuntimeError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => Err(RuntimeError::Clear {
            path: path.to_owned(),
            source,
        }),
        _ => Ok(()),
    }
}
