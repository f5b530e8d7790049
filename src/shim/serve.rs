//! The server of one pod: ttrpc in, events out, until its last container is gone.

use super::args::Args;
use super::options::ShimOptions;
use super::place::{Place, known_runtimes};
use super::service::Service;
use super::start::OPTIONS;
use super::{Error, events};
use crate::supervisor::Quiet;
use crate::supervisor::task::run_tasks;
use crate::sys;
use containerd_shim_protos::shim_async::create_task;
use containerd_shim_protos::ttrpc::asynchronous::Server;
use containerd_shim_protos::ttrpc::asynchronous::transport::Listener;
use rustix::fs::{Mode, OFlags};
use std::os::unix::net::UnixListener;
use std::sync::Arc;
use std::time::Duration;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tracing::level_filters::LevelFilter;

/// The names of the same service. Source: containerd 1.6 and 2.x.
const SERVICES: [&str; 2] = ["containerd.task.v2.Task", "containerd.task.v3.Task"];
/// How long the last events may take when everything else is over.
const FLUSH_DEADLINE: Duration = Duration::from_secs(3);

/// Serves until the pod is over, or until it is told to stop: then containers go on, and `delete` cleans up.
pub(super) fn serve(args: &Args) -> Result<(), Error> {
    if args.socket.is_empty() || args.namespace.is_empty() {
        return Err("cannot serve: containerd starts this with `start`".into());
    }
    let listener = UnixListener::from(rustix::stdio::stdin().try_clone_to_owned()?);
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    nix::unistd::dup2_stdin(&null)?;
    sys::heed_signals();
    // A signal to the process group of containerd is not for the pod.
    let _ = nix::unistd::setsid();
    // Directories for `file://` logs and the like must not depend on who ran containerd.
    nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
    sys::become_subreaper()?;
    log_to_containerd(args.debug);
    let place = Place {
        socket: args.socket.clone().into(),
    };
    let (runtime, quiet) = Quiet::runtime()?;
    let is_over = runtime.block_on(run(args, &place, listener, quiet))?;
    if is_over {
        let group = place.group();
        let _lock = group.lock()?;
        group.remove();
        // Absent is what is wanted.
        let _ = std::fs::remove_file(&place.socket);
    }
    Ok(())
}

/// Whether the pod is over, and not only this server.
async fn run(
    args: &Args,
    place: &Place,
    listener: UnixListener,
    quiet: Quiet,
) -> Result<bool, Error> {
    let group = place.group();
    let options = std::fs::read(group.dir.join(OPTIONS)).ok();
    let options = options.and_then(|text| serde_json::from_slice(&text).ok());
    let options: ShimOptions = options.unwrap_or_default();
    let (sender, receiver) = mpsc::unbounded_channel();
    let known = known_runtimes();
    let (tasks, all) = run_tasks(group, args.namespace.clone(), known, sender, quiet);
    let address = std::env::var("TTRPC_ADDRESS").unwrap_or_default();
    let namespace = args.namespace.clone();
    let publisher =
        tokio::spawn(async move { events::publish(&address, &namespace, receiver).await });
    let service = Arc::new(Service::new(tasks, options, place.clone()));
    listener.set_nonblocking(true)?;
    let mut server = Server::new().add_listener(Listener::try_from(listener)?);
    for name in SERVICES {
        let methods = create_task(service.clone()).into_values();
        let named = methods.map(|methods| (name.to_owned(), methods));
        server = server.register_service(named.collect());
    }
    server.start().await?;
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let is_over = tokio::select! {
        ended = all => {
            ended?;
            true
        }
        _ = term.recv() => false,
        _ = int.recv() => false,
    };
    // What containerd has not heard by now it learns from `delete`.
    let _late = tokio::time::timeout(FLUSH_DEADLINE, publisher).await;
    // Answers that are on their way are written first.
    server.shutdown().await?;
    Ok(is_over)
}

/// Sends what this process logs to containerd, which reads the FIFO `log` of the first bundle. A reader that does not keep up
/// loses lines: a log never holds up a pod.
fn log_to_containerd(debug: bool) {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    if let Ok(log) = rustix::fs::open("log", flags, Mode::empty()) {
        // Then it stays on /dev/null.
        let _ = nix::unistd::dup2_stderr(&log);
    }
    let level = if debug {
        LevelFilter::DEBUG
    } else {
        LevelFilter::WARN
    };
    sys::log_to_stderr(level);
}
