//! From a plan to a running pod: its directory, its name, its keeper.

use crate::api::{self, Client};
use crate::base::{PodUid, to_json};
use crate::cli::exit::{Code, Failed, cannot};
use crate::store::{Dirs, NameTaken, PodDir, claim_name, release_name};
use crate::supervisor::{HOST_MOUNTS, KEEPER_SIGNALS, KEEPER_VERB, PLAN, Plan, SNAPSHOT};
use crate::sys::{self, Lock};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::process::{Child, Command, Stdio};

/// What `up` is to do with a pod after the machine has booted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum AfterBoot {
    /// Run it again, as its restart policy says.
    RunAgain,
    /// Clear away what is left of it.
    Forget,
}

/// Makes the pod exist and starts its keeper. When this fails, nothing is left.
pub(super) fn spawn(plan: &Plan, after_boot: AfterBoot) -> Result<PodDir, Failed> {
    let (dirs, pod) = (&plan.dirs, &plan.pod);
    let dir = dirs.pod(&pod.uid);
    claim_name(dirs, &pod.namespace, &pod.name, &pod.uid).map_err(|e| match &e {
        NameTaken::By { uid, .. } => {
            let hint = format!(
                "delete it with `podshim delete {}` or run with --replace (it has UID {uid})",
                pod.name
            );
            Failed::new(Code::Conflict, e).hint(hint)
        }
        NameTaken::Io { .. } => Failed::from(e),
    })?;
    // What a pod of an earlier boot had is not ours to remove.
    let had_data = dir.data.exists();
    let start = || -> io::Result<()> {
        sys::create_dirs(&dirs.state.join("pods"), 0o700)?;
        // Not recursive: a UID that exists belongs to another pod.
        std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700)
            .create(&dir.state)?;
        // Before there is a plan: whoever finds one with nobody at its lock starts a keeper.
        let lock = Lock::take(&dir.file("lock"))?;
        sys::create_dirs(&dir.data, 0o700)?;
        // It may hold secrets.
        let text = to_json(plan)?;
        sys::write_atomic(&dir.file(PLAN), &text, 0o600)?;
        match after_boot {
            // The state is gone after a boot, the data is not.
            AfterBoot::RunAgain => sys::write_atomic(&dir.data.join(PLAN), &text, 0o600)?,
            AfterBoot::Forget => forget_after_boot(&dir)?,
        }
        if pod
            .shared_volumes()
            .any(|volume| volume.source.is_of_host())
        {
            sys::write_atomic(&dir.file(HOST_MOUNTS), b"", 0o600)?;
        }
        begun(&dir, start_keeper(&dir, lock)?)
    };
    if let Err(error) = start() {
        let conflict = error.kind() == io::ErrorKind::AlreadyExists;
        if !conflict {
            let _ = match had_data {
                true => std::fs::remove_dir_all(&dir.state),
                false => remove_files(dirs, &dir),
            };
        }
        let _ = release_name(dirs, &pod.namespace, &pod.name, &pod.uid);
        let code = if conflict {
            Code::Conflict
        } else {
            Code::Failed
        };
        return Err(Failed::new(
            code,
            cannot(format!("start pod `{}`", pod.name))(error),
        ));
    }
    Ok(dir)
}

/// The pod is not to run again after the machine has booted.
pub(super) fn forget_after_boot(dir: &PodDir) -> io::Result<()> {
    match std::fs::remove_file(dir.data.join(PLAN)) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
        _ => Ok(()),
    }
}

/// The pods that are to run again if the machine has booted since.
pub(super) fn wanted_after_boot(dirs: &Dirs) -> Vec<PodUid> {
    let entries = std::fs::read_dir(dirs.data.join("pods"));
    let entries = entries.into_iter().flatten().flatten();
    let wanted = entries.filter(|entry| entry.path().join(PLAN).exists());
    wanted
        .map(|entry| PodUid(entry.file_name().to_string_lossy().into_owned()))
        .collect()
}

/// Starts a keeper on a pod's directory. It gets the pod's lock, so that there is one at a time, and the listening socket, so that
/// whoever connects from now on is served.
pub(super) fn start_keeper(dir: &PodDir, lock: Lock) -> io::Result<Child> {
    let listener = OwnedFd::from(api::listen(dir)?);
    let log = File::options()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(dir.file("supervisor.log"))?;
    let mut command = Command::new("/proc/self/exe");
    command.args([
        KEEPER_VERB.as_ref(),
        dir.state.as_os_str(),
        dir.data.as_os_str(),
    ]);
    command
        .stdin(Stdio::from(listener))
        .stdout(Stdio::from(lock.into_fd()))
        .stderr(log);
    // Nothing of the caller's surroundings belongs to the pod; the runtime is looked up by its full path.
    command.current_dir("/").env_clear().env(
        "PATH",
        "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    );
    sys::with_signals_blocked(&mut command, &KEEPER_SIGNALS).spawn()
}

/// Waits until the supervisor of a new pod answers: from then on the pod exists. A keeper that ends before leaves nothing but
/// what it had to say.
fn begun(dir: &PodDir, mut keeper: Child) -> io::Result<()> {
    let ask = || Client::connect(dir).and_then(|mut client| client.watch().map(|()| client));
    let answers = ask().and_then(|mut client| client.next_view());
    if matches!(answers, Ok(Some(_))) || dir.file(SNAPSHOT).exists() {
        return Ok(());
    }
    let status = keeper.wait()?;
    let log = dir.file("supervisor.log");
    let said = std::fs::read_to_string(&log)?;
    let mut errors = said.lines().filter_map(|line| line.strip_prefix("error: "));
    let Some(error) = errors.next() else {
        // Perhaps it had no place to say it.
        writeln!(
            File::options().append(true).open(&log)?,
            "ended with {status}"
        )?;
        return Err(io::Error::other(format!("its keeper ended with {status}")));
    };
    Err(io::Error::other(error))
}

/// Removes the directories of a pod that is not running.
pub(super) fn remove_files(dirs: &Dirs, dir: &PodDir) -> io::Result<()> {
    for path in [&dir.data, &dir.state] {
        match std::fs::remove_dir_all(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
    }
    // Parents stay for the next pod, unless this was the last.
    for parent in [dirs.data.join("pods"), dirs.state.join("pods")] {
        let _ = std::fs::remove_dir(parent);
    }
    Ok(())
}
