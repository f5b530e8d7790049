//! `start`: finds the server of the pod or begins one, and answers with its address.

use super::args::Args;
use super::bootstrap::{Bootstrap, STDIN_MAX_BYTES};
use super::place::Place;
use super::{Error, PROGRAM};
use crate::runtime::ContainerCgroup;
use crate::supervisor::task::TaskError;
use crate::sys;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// The file in the shim's directory with what containerd said of the runtime at the start of the pod.
pub(super) const OPTIONS: &str = "options";
/// The highest score there is. Source: proc_pid_oom_score_adj(5).
const OOM_SCORE_MAX: i32 = 1000;

pub(super) fn start(args: &Args) -> Result<Vec<u8>, Error> {
    let mut input = Vec::new();
    let stdin = std::io::stdin().lock();
    stdin.take(STDIN_MAX_BYTES).read_to_end(&mut input)?;
    let bootstrap = Bootstrap::read(&input, &args.id, &args.namespace)?;
    let bundle = std::env::current_dir()?;
    let sockets = bootstrap.socket_dir.as_deref();
    let place = Place::of_bundle(&bundle, &args.address, &args.namespace, &args.id, sockets);
    let group = place.group();
    let _lock = group
        .lock()
        .map_err(|e| format!("cannot lock `{}`: {e}", group.dir.display()))?;
    if !place.is_alive() {
        begin(args, &bootstrap, &place)?;
    }
    place.write(&bundle)?;
    bootstrap.answer(&place.address())
}

/// Begins a server. The socket listens before anybody hears of it.
fn begin(args: &Args, bootstrap: &Bootstrap, place: &Place) -> Result<(), Error> {
    let socket = &place.socket;
    let cannot = |what: &str, error: std::io::Error| -> Error {
        format!("cannot {what} `{}`: {error}", socket.display()).into()
    };
    let parent = socket.parent().unwrap_or(Path::new("/"));
    sys::create_dirs(parent, 0o711).map_err(|e| cannot("make the directory of", e))?;
    match std::fs::remove_file(socket) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            return Err(cannot("remove the stale socket", error));
        }
        _ => {}
    }
    let listener = UnixListener::bind(socket).map_err(|e| cannot("listen at", e))?;
    let begun = std::fs::set_permissions(socket, PermissionsExt::from_mode(0o600))
        .map_err(|e| cannot("protect", e))
        .and_then(|()| {
            let options = serde_json::to_vec(&bootstrap.options)?;
            sys::write_atomic(&place.group().dir.join(OPTIONS), &options, 0o600)?;
            spawn(args, bootstrap, place, listener)
        });
    if begun.is_err() {
        // Nobody will ever listen there.
        let _ = std::fs::remove_file(socket);
    }
    begun
}

fn spawn(
    args: &Args,
    bootstrap: &Bootstrap,
    place: &Place,
    listener: UnixListener,
) -> Result<(), Error> {
    let mut command = Command::new("/proc/self/exe");
    command
        .arg0(PROGRAM)
        .args(["-namespace", &args.namespace, "-id", &args.id])
        .args(["-address", &args.address])
        .arg("-socket")
        .arg(&place.socket)
        .args(args.debug.then_some("-debug"))
        .stdin(Stdio::from(OwnedFd::from(listener)))
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    if let Some(address) = &bootstrap.ttrpc_address {
        command.env("TTRPC_ADDRESS", address);
    }
    let mut child = command
        .spawn()
        .map_err(|e| format!("cannot start the server of the shim: {e}"))?;
    if let Err(error) = join_cgroup(&bootstrap.options.shim_cgroup, child.id()) {
        let _ = child.kill();
        let _ = child.wait();
        return Err(error);
    }
    // containerd shall outlive its shims; raising the score needs no right.
    let parent = std::os::unix::process::parent_id();
    let read = std::fs::read_to_string(format!("/proc/{parent}/oom_score_adj"));
    if let Some(score) = read.ok().and_then(|text| text.trim().parse::<i32>().ok()) {
        let score = (score + 1).min(OOM_SCORE_MAX).to_string();
        // Without it the kernel chooses as it does.
        let _ = std::fs::write(format!("/proc/{}/oom_score_adj", child.id()), score);
    }
    Ok(())
}

/// Moves the server to the cgroup that was configured for shims.
fn join_cgroup(path: &str, pid: u32) -> Result<(), Error> {
    if path.is_empty() {
        return Ok(());
    }
    let cgroup = ContainerCgroup::at(Path::new(path))
        .ok_or_else(|| format!("cannot use `{path}` as the cgroup of the shim"))?;
    cgroup
        .adopt(pid)
        .map_err(|e| TaskError::failed(&e).message.into())
}
