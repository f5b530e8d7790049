//! Checkpoints: a container written to files, and one made of such files again. The runtime has `criu` do it.
//!
//! A call that was cut off while it wrote may leave the container frozen; one that was cut off while it restored may leave anything
//! in the container's cgroup, where `criu` works, too.

use crate::base::InstanceId;
use crate::runtime::call::Call;
use crate::runtime::complaint::printable;
use crate::runtime::driver::{absent, checked, created};
use crate::runtime::{CreateCall, Driver, RuntimeError, Version, small_file};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// All memory is written, or read: 100 GiB at 100 MB/s. Whoever wants the container before that gives the call up.
const DEADLINE: Duration = Duration::from_secs(20 * 60);
/// What the program is called.
const CRIU: &str = "criu";
/// How much of the end of its log is searched, in bytes: the cause is among the last lines.
const LOG_TAIL_BYTES: u64 = 16 * 1024;

/// What `checkpoint` is told.
#[derive(Debug)]
pub struct CheckpointCall<'a> {
    /// The container.
    pub id: &'a InstanceId,
    /// Directory for the image, which the runtime makes.
    pub image: &'a Path,
    /// Directory for logs; it exists.
    pub work: &'a Path,
    /// File for the runtime's complaints; appended to.
    pub log: &'a Path,
    /// How.
    pub options: &'a CheckpointOptions,
}

/// How a checkpoint is made.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CheckpointOptions {
    /// The container goes on afterwards.
    pub leave_running: bool,
    /// TCP connections may be open.
    pub open_tcp: bool,
    /// Unix sockets may be connected to the outside.
    pub external_unix_sockets: bool,
    /// A terminal may be shared with the outside.
    pub terminal: bool,
    /// Locks of files are written, too.
    pub file_locks: bool,
    /// Kinds of namespaces whose content is left out.
    pub empty_namespaces: Vec<String>,
    /// How cgroups are handled; empty for what the runtime chooses.
    pub cgroups_mode: String,
}

/// How the runtime is told which `criu` to run.
#[derive(Debug, Default, PartialEq, Eq)]
struct Criu {
    option: Option<PathBuf>,
    first_in_path: Option<PathBuf>,
}

impl Driver {
    /// Writes a running or frozen container to files. Unless it is to go on it is killed afterwards, and the runtime forgets it.
    pub async fn checkpoint(&self, checkpoint: &CheckpointCall<'_>) -> Result<(), RuntimeError> {
        let log = checkpoint.work.join("dump.log");
        absent(&log)?;
        let args = checkpoint_args(checkpoint)?;
        let call = self.with_criu("checkpoint container", args, checkpoint.log)?;
        call.captured().await.map_err(|e| explained(e, &log))?;
        Ok(())
    }

    /// Makes a container of such files, which runs at once, and gives back the process id of its init in our PID namespace.
    pub async fn restore(
        &self,
        create: CreateCall<'_>,
        image: &Path,
        work: &Path,
    ) -> Result<u32, RuntimeError> {
        let log = work.join("restore.log");
        absent(&log)?;
        absent(create.pid_file)?;
        let mut args: Vec<OsString> = vec!["restore".into(), "--detach".into()];
        args.extend(["--image-path".into(), image.into()]);
        args.extend(["--work-path".into(), work.into()]);
        args.extend(create.args());
        // Its other flags are of `create` alone.
        let flags = self.create_flags.iter().filter(|f| **f == "--no-pivot");
        args.extend(flags.map(OsString::from));
        args.push(checked(create.id)?.into());
        let call = self.with_criu("restore container", args, create.log)?;
        call.lending(create.io)
            .await
            .map_err(|e| explained(e, &log))?;
        created(create.pid_file)
    }

    fn with_criu<'a>(
        &'a self,
        verb: &'static str,
        args: Vec<OsString>,
        log: &'a Path,
    ) -> Result<Call<'a>, RuntimeError> {
        let criu = self.find_criu()?;
        let mut call = self.call(verb, args, DEADLINE, Some(log));
        if let Some(program) = criu.option {
            call.args.splice(0..0, ["--criu".into(), program.into()]);
        }
        call.first_in_path = criu.first_in_path;
        Ok(call)
    }

    fn find_criu(&self) -> Result<Criu, RuntimeError> {
        let runtime = &self.runtime;
        let name = || format!("{} {}", runtime.kind.quirks().name, runtime.version);
        if runtime.features.checkpoints == Some(false) {
            return Err(RuntimeError::NoCheckpoints { runtime: name() });
        }
        let missing = |tried: &Path| RuntimeError::NoCriu {
            tried: tried.display().to_string(),
        };
        let Some(wanted) = &self.criu else {
            // As the runtime looks for it.
            which::which(CRIU).map_err(|_| missing(Path::new(CRIU)))?;
            return Ok(Criu::default());
        };
        let found = which::which(wanted).map_err(|_| missing(wanted))?;
        let last = runtime.kind.quirks().criu_option_before;
        let takes_option = last.is_some_and(|last| {
            Version::read(&runtime.version).is_some_and(|version| version < last)
        });
        told(&found, takes_option).ok_or_else(|| RuntimeError::CriuName {
            path: wanted.clone(),
            runtime: name(),
        })
    }
}

/// How a runtime is told of this program; `None` if it cannot be.
fn told(criu: &Path, takes_option: bool) -> Option<Criu> {
    if takes_option {
        return Some(Criu {
            option: Some(criu.to_owned()),
            ..Criu::default()
        });
    }
    let has_the_name = criu.file_name().is_some_and(|name| name == CRIU);
    has_the_name.then(|| Criu {
        first_in_path: criu.parent().map(Path::to_owned),
        ..Criu::default()
    })
}

fn checkpoint_args(call: &CheckpointCall<'_>) -> Result<Vec<OsString>, RuntimeError> {
    let options = call.options;
    let mut args: Vec<OsString> = vec!["checkpoint".into()];
    args.extend(["--image-path".into(), call.image.into()]);
    args.extend(["--work-path".into(), call.work.into()]);
    for (wanted, flag) in [
        (options.leave_running, "--leave-running"),
        (options.open_tcp, "--tcp-established"),
        (options.external_unix_sockets, "--ext-unix-sk"),
        (options.terminal, "--shell-job"),
        (options.file_locks, "--file-locks"),
    ] {
        args.extend(wanted.then(|| flag.into()));
    }
    for namespace in &options.empty_namespaces {
        args.extend(["--empty-ns".into(), namespace.into()]);
    }
    if !options.cgroups_mode.is_empty() {
        let mode = options.cgroups_mode.as_str();
        args.extend(["--manage-cgroups-mode".into(), mode.into()]);
    }
    args.push(checked(call.id)?.into());
    Ok(args)
}

/// A no with what `criu` says of it: the runtime knows only that it failed.
fn explained(error: RuntimeError, log: &Path) -> RuntimeError {
    let RuntimeError::Refused(mut refused) = error else {
        return error;
    };
    let text = small_file::read_tail(log, 0, LOG_TAIL_BYTES).unwrap_or_default();
    if let Some(cause) = cause(&text) {
        refused.log = Some(format!("{}: {cause}", refused.reason()));
    }
    RuntimeError::Refused(refused)
}

/// The first error of the end of a log, `(00.01) Error (criu/file.c:7): what`: those that follow are its consequences.
fn cause(log: &str) -> Option<String> {
    log.lines()
        .find_map(|line| line.split_once("Error (")?.1.split_once("): "))
        .map(|(_, what)| printable(what))
        .filter(|what| !what.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checkpoint_says_what_is_wanted_and_no_more() {
        let id = InstanceId("c-0".into());
        let of = |options: &CheckpointOptions| {
            let call = CheckpointCall {
                id: &id,
                image: Path::new("/i"),
                work: Path::new("/w"),
                log: Path::new("/l"),
                options,
            };
            let args = checkpoint_args(&call).expect("a plain name");
            let words: Vec<_> = args.iter().map(|word| word.to_string_lossy()).collect();
            words.join(" ")
        };
        let least = CheckpointOptions::default();
        assert_eq!(of(&least), "checkpoint --image-path /i --work-path /w c-0");
        let all = CheckpointOptions {
            leave_running: true,
            open_tcp: true,
            external_unix_sockets: true,
            terminal: true,
            file_locks: true,
            empty_namespaces: vec!["network".into()],
            cgroups_mode: "soft".into(),
        };
        assert_eq!(
            of(&all),
            "checkpoint --image-path /i --work-path /w --leave-running --tcp-established --ext-unix-sk --shell-job --file-locks \
             --empty-ns network --manage-cgroups-mode soft c-0"
        );
    }

    #[test]
    fn a_criu_of_another_name_is_only_for_runtimes_that_take_it() {
        let by_option = told(Path::new("/x/criu-4"), true).and_then(|criu| criu.option);
        assert_eq!(by_option.as_deref(), Some(Path::new("/x/criu-4")));
        assert_eq!(told(Path::new("/x/criu-4"), false), None);
        let by_path = told(Path::new("/x/criu"), false).and_then(|criu| criu.first_in_path);
        assert_eq!(by_path.as_deref(), Some(Path::new("/x")));
    }

    #[test]
    fn the_first_error_of_a_log_is_the_cause() {
        let log = "(00.01) Warn  (criu/a.c:1): careful\n(00.02) Error (criu/tty.c:9): tty: \u{1b}no\n\
                   (00.03) Error (criu/cr-dump.c:1): Dumping FAILED.\n";
        assert_eq!(cause(log).as_deref(), Some("tty: no"));
        for log in ["", "Error (", "(00.1) Error (a.c:1): \u{1}\n"] {
            assert_eq!(cause(log), None, "{log}");
        }
    }
}
