//! Operations on one instance: create it, delete it.
//!
//! The runtime's standard streams *are* the container's: it gets the pipes, and complains to its log file only. The keeper holds
//! the other ends from before the create, so that a container never writes into a pipe that nobody can read.

use crate::base::InstanceId;
use crate::bundle::{self, BundleError, ContainerInput, Sandbox, VolumeParts};
use crate::image;
use crate::manifest::{Container, Profile};
use crate::pod::{Failure, FailureReason, InstanceKind};
use crate::runtime::{CreateCall, InitIo, Quirks, RuntimeError};
use crate::stdio::{self, ConsoleSocket, LogFile, StdioEnds, StdioPipes};
use crate::supervisor::context::{Context, failure, other, plain, runtime_failure};
use crate::supervisor::early::{self, Rest};
use crate::supervisor::{FileId, Hands, Process, parts, sandbox};
use crate::sys;
use crate::volume;
use nix::mount::{MsFlags, mount};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How long the runtime may take to send the terminal: it has done so when `create` ends.
const CONSOLE_DEADLINE: Duration = Duration::from_secs(5);

/// An instance that waits for its start.
#[derive(Debug)]
pub(super) struct Created {
    pub process: Process,
    pub pidfd: Option<OwnedFd>,
    pub output: Option<Output>,
    /// What the runtime still does, of pause.
    pub rest: Option<Rest>,
}

/// Our ends of an instance's output.
#[derive(Debug)]
pub(super) struct Output {
    pub stdout: OwnedFd,
    pub stderr: Option<OwnedFd>,
    /// Its terminal, or the end that writes its standard input, if that is open.
    pub input: Option<OwnedFd>,
    pub log: LogFile,
}

/// Writes the bundle of an instance and lets the runtime create it.
pub(super) async fn create(
    context: &Arc<Context>,
    hands: &Hands,
    instance: &InstanceId,
    kind: &InstanceKind,
    exits_before: usize,
) -> Result<Created, Failure> {
    let bundle = context.dir.bundle(instance);
    sys::create_dirs(&bundle, 0o700).map_err(|e| bundle_failure("cannot make the bundle", &e))?;
    let (io, output) = match kind {
        InstanceKind::Pause => (write_pause_bundle(context, instance)?, None),
        InstanceKind::Container { name, attempt } => {
            let container = context.plan.pod.container(name).ok_or_else(|| Failure {
                reason: FailureReason::CreateContainerError,
                message: format!("pod has no container `{name}`"),
            })?;
            write_container_bundle(context, hands, instance, container, *attempt)?;
            let (io, output) = open_stdio(context, instance, container, *attempt)?;
            (io, Some(output))
        }
    };
    let (pid, rest) = match kind {
        InstanceKind::Pause => early::create_pause(context, instance, io).await?,
        InstanceKind::Container { .. } => (call(context, instance, io).await?, None),
    };
    if let (Some(sandbox), InstanceKind::Container { .. }) = (&hands.sandbox, kind) {
        still_there(context, hands, sandbox)?;
    }
    let pipes = output.as_ref().and_then(Stdio::pipes);
    let output = match output {
        None => None,
        Some(stdio) => Some(stdio.connect(context, instance).await?),
    };
    let attempt = match kind {
        InstanceKind::Pause => 0,
        InstanceKind::Container { attempt, .. } => *attempt,
    };
    let start_time = sys::start_time(pid).unwrap_or(0);
    let process = Process {
        pid,
        attempt,
        start_time,
        exits_before,
        started: false,
        pipes,
    };
    Ok(Created {
        process,
        pidfd: sys::pidfd(pid).ok(),
        output,
        rest,
    })
}

/// Lets an instance be created of its bundle; gives its process.
pub(super) async fn call(
    context: &Context,
    instance: &InstanceId,
    io: InitIo,
) -> Result<u32, Failure> {
    let create = CreateCall {
        id: instance,
        bundle: &context.dir.bundle(instance),
        pid_file: &context.pid_file(instance),
        log: &context.runtime_log(instance),
        io,
    };
    let created = match context.is_native(instance) {
        true => context.driver.create_sandbox(create).await,
        false => context.driver.create(create).await,
    };
    created.map_err(|e| runtime_failure(&e))
}

/// A container that cannot be described.
pub(super) fn unusable(error: &BundleError) -> Failure {
    let reason = match error.reason() {
        bundle::Reason::CreateContainerConfigError => FailureReason::CreateContainerConfigError,
        bundle::Reason::CreateContainerError => FailureReason::CreateContainerError,
    };
    failure(reason, "", error)
}

fn bundle_failure(what: &str, cause: &dyn std::error::Error) -> Failure {
    failure(FailureReason::CreateContainerError, what, cause)
}

/// After a create: was pause the same process all the time? Otherwise its number may have been another's, and the container is in
/// foreign namespaces; it has run nothing yet and is deleted.
fn still_there(context: &Context, hands: &Hands, sandbox: &Sandbox) -> Result<(), Failure> {
    let same = context.pause(hands).is_some_and(|process| {
        sandbox.pause_proc == format!("/proc/{}", process.pid)
            && sys::start_time(process.pid) == Some(process.start_time)
    });
    if same {
        return Ok(());
    }
    Err(plain(
        "the sandbox ended while the container was created".into(),
    ))
}

fn write_pause_bundle(context: &Context, instance: &InstanceId) -> Result<InitIo, Failure> {
    let bundle = context.dir.bundle(instance);
    let config = context.plan.pause_config(instance);
    write_config(&bundle, &config.map_err(|e| bundle_failure("", &e))?)?;
    let rootfs = bundle.join("rootfs");
    let bind = || {
        sys::create_dirs(&rootfs, 0o755)?;
        mount(
            Some(&context.pause_root()),
            &rootfs,
            None::<&str>,
            MsFlags::MS_BIND,
            None::<&str>,
        )?;
        Ok::<_, io::Error>(())
    };
    bind().map_err(|e| bundle_failure("cannot mount the root of pause", &e))?;
    let null = || {
        File::options()
            .read(true)
            .write(true)
            .open("/dev/null")
            .map(OwnedFd::from)
    };
    let open = || {
        Ok::<_, io::Error>(InitIo::Pipes {
            stdin: null()?,
            stdout: null()?,
            stderr: null()?,
        })
    };
    open().map_err(|e| bundle_failure("cannot open /dev/null", &e))
}

fn write_config(bundle: &Path, json: &[u8]) -> Result<(), Failure> {
    // 0600: the environment may hold secrets.
    sys::write_atomic(&bundle.join("config.json"), json, 0o600)
        .map_err(|e| bundle_failure("cannot write config.json", &e))
}

fn write_container_bundle(
    context: &Context,
    hands: &Hands,
    instance: &InstanceId,
    container: &Container,
    attempt: u32,
) -> Result<(), Failure> {
    let bundle = context.dir.bundle(instance);
    let image = hands.images.get(&container.name).ok_or_else(|| Failure {
        reason: FailureReason::CreateContainerError,
        message: format!("image `{}` has not been resolved", container.image),
    })?;
    let sandbox = hands
        .sandbox
        .as_ref()
        .ok_or_else(|| plain("there is no sandbox to join".into()))?;
    let rootfs = bundle.join("rootfs");
    mount_root(context, instance, image, &rootfs)
        .map_err(|e| bundle_failure("cannot mount the root file system", &e))?;
    sandbox::write_hosts(context, hands)?;
    let termination_log = bundle.join("termination-log");
    stdio::create_message_file(&termination_log)
        .map_err(|e| bundle_failure("cannot make the termination log", &e))?;
    let users = image::user_files(&rootfs)
        .map_err(|e| bundle_failure("cannot read the users of the image", &e))?;
    let profile = container.security.seccomp.as_ref().or(context
        .plan
        .pod
        .security
        .seccomp
        .as_ref());
    let seccomp_localhost = match profile {
        Some(Profile::Localhost(name)) => Some(context.seccomp_profile(name)?),
        _ => None,
    };
    let image_volumes = writable_image_volumes(container, image, &rootfs);
    let paths = context.paths(hands);
    let target = target_proc(hands, container)?;
    let input = ContainerInput {
        target_proc: target.as_deref(),
        pod: &context.plan.pod,
        container,
        instance,
        attempt,
        objects: &context.plan.objects,
        image: &image.config,
        users: &users,
        sandbox,
        host: &context.plan.host,
        paths: &paths,
        volume_parts: &VolumeParts::default(),
        termination_log: &termination_log,
        image_volumes: &image_volumes,
        seccomp_localhost: seccomp_localhost.as_deref(),
        seccomp_default: bundle::DEFAULT_SECCOMP,
        apparmor_default: None,
        runtime_rro: context.plan.runtime.features.rro.unwrap_or(false),
    };
    let volume_parts = parts::look_up(context, hands, &input)?;
    let spec = bundle::container_spec(&ContainerInput {
        volume_parts: &volume_parts,
        ..input
    });
    let mut spec = spec.map_err(|e| unusable(&e))?;
    adapt(&mut spec, context.plan.runtime.kind.quirks());
    write_config(&bundle, &bundle::to_json(&spec))
}

/// Says in the runtime's own words what it would not understand otherwise.
fn adapt(spec: &mut oci_spec::runtime::Spec, quirks: &Quirks) {
    if let Some(linux) = spec
        .linux_mut()
        .as_mut()
        .filter(|_| quirks.short_propagation)
    {
        let word = linux.rootfs_propagation().as_deref();
        let short = word.map(|word| word.trim_start_matches('r').to_owned());
        linux.set_rootfs_propagation(short);
    }
}

/// The container whose processes an ephemeral one sees, while it runs.
fn target_proc(hands: &Hands, container: &Container) -> Result<Option<String>, Failure> {
    let Some(target) = &container.target else {
        return Ok(None);
    };
    let of_target = |id: &InstanceId| id.0.rsplit_once('-').map(|(name, _)| name) == Some(target);
    let mut processes = hands.processes.iter().rev();
    let found = processes.find(|(id, process)| of_target(id) && process.started);
    let Some((_, process)) = found else {
        return Err(Failure {
            reason: FailureReason::CreateContainerConfigError,
            message: format!("target container `{target}` does not run"),
        });
    };
    Ok(Some(format!("/proc/{}", process.pid)))
}

/// Mounts the image's layers, over what every container has mounts on, with a writable one of the instance's own on top.
fn mount_root(
    context: &Context,
    instance: &InstanceId,
    image: &image::Image,
    rootfs: &Path,
) -> io::Result<()> {
    let data = context.dir.instance_data(instance);
    let (upper, work) = (data.join("upper"), data.join("work"));
    sys::create_dirs(&data, 0o700)?;
    for dir in [&upper, &work, rootfs] {
        sys::create_dirs(dir, 0o755)?;
    }
    // The root directory of the overlay is that of its upper layer.
    if let Some(top) = image.layers.last() {
        let top = top.metadata()?;
        std::os::unix::fs::chown(&upper, Some(top.uid()), Some(top.gid()))?;
        std::fs::set_permissions(&upper, top.permissions())?;
    }
    let lowest = image::mount_points(&context.plan.dirs.data)?;
    let layers: Vec<_> = std::iter::once(lowest)
        .chain(image.layers.iter().cloned())
        .collect();
    image::mount_overlay(&layers, &upper, &work, rootfs)
}

/// A path that the image declares a volume is writable even on a read-only root: it is bound onto itself from the instance's own
/// layer, which already has the image's content and goes with the instance.
fn writable_image_volumes(
    container: &Container,
    image: &image::Image,
    rootfs: &Path,
) -> BTreeMap<String, PathBuf> {
    if !container.security.read_only_root {
        return BTreeMap::new();
    }
    let paths = bundle::image_volumes(container, &image.config);
    paths
        .into_iter()
        .filter_map(|path| Some((path.clone(), image::resolve_in_root(rootfs, &path).ok()?)))
        .collect()
}

/// The container's ends for the runtime, and ours.
struct Stdio {
    ours: Option<StdioEnds>,
    console: Option<ConsoleSocket>,
    log: LogFile,
}

fn open_stdio(
    context: &Context,
    instance: &InstanceId,
    container: &Container,
    attempt: u32,
) -> Result<(InitIo, Stdio), Failure> {
    let opened = context.open_log(&container.name, attempt);
    let log = opened.map_err(|e| bundle_failure("cannot open the container's log", &e))?;
    if let Some(dir) = log.path().parent() {
        // Old logs that cannot be removed are no reason not to run.
        let _ = stdio::prune_attempts(dir, attempt);
    }
    if container.tty {
        let socket = ConsoleSocket::bind(&context.dir.bundle(instance).join("console"));
        let console = socket.map_err(|e| bundle_failure("cannot make the console socket", &e))?;
        let io = InitIo::Console {
            socket: console.path().to_owned(),
        };
        return Ok((
            io,
            Stdio {
                ours: None,
                console: Some(console),
                log,
            },
        ));
    }
    let StdioPipes {
        ours,
        container: theirs,
    } = StdioPipes::new(container.stdin)
        .map_err(|e| bundle_failure("cannot make the container's pipes", &e))?;
    context.hold(instance, &[ours.stdout.as_fd(), ours.stderr.as_fd()]);
    if let Some(stdin) = &ours.stdin {
        context.hold_input(instance, stdin.as_fd());
    }
    let stdin = theirs.stdin.ok_or_else(|| {
        bundle_failure(
            "cannot open standard input",
            &io::Error::from(io::ErrorKind::NotFound),
        )
    })?;
    let io = InitIo::Pipes {
        stdin,
        stdout: theirs.stdout,
        stderr: theirs.stderr,
    };
    Ok((
        io,
        Stdio {
            ours: Some(ours),
            console: None,
            log,
        },
    ))
}

impl Stdio {
    /// What its pipes are, to find them again in the container.
    fn pipes(&self) -> Option<[FileId; 2]> {
        let ours = self.ours.as_ref()?;
        Some([
            FileId::of(&ours.stdout).ok()?,
            FileId::of(&ours.stderr).ok()?,
        ])
    }

    /// What the pump reads: our pipe ends, or the terminal that the runtime has sent by now.
    async fn connect(self, context: &Context, instance: &InstanceId) -> Result<Output, Failure> {
        if let Some(ours) = self.ours {
            return Ok(Output {
                stdout: ours.stdout,
                stderr: Some(ours.stderr),
                input: ours.stdin,
                log: self.log,
            });
        }
        let console = self.console.ok_or_else(|| Failure {
            reason: FailureReason::CreateContainerError,
            message: "the instance has no output".into(),
        })?;
        let master = console
            .receive(CONSOLE_DEADLINE)
            .await
            .map_err(|e| bundle_failure("cannot receive the container's terminal", &e))?;
        context.hold(instance, &[master.as_fd()]);
        Ok(Output {
            input: master.try_clone().ok(),
            stdout: master,
            stderr: None,
            log: self.log,
        })
    }
}

/// Nothing of the instance lives, so that force is the exception: it makes runc look for a process for a tenth of a second. A
/// runtime that did not answer is not asked a second time: it would cost as long again.
async fn ask_to_delete(context: &Context, instance: &InstanceId) -> Result<(), RuntimeError> {
    let log = context.runtime_log(instance);
    match context.driver.delete(instance, &log, false).await {
        Err(error) if !error.is_hung() => context.driver.delete(instance, &log, true).await,
        answer => answer,
    }
}

/// Removes whatever is left of an instance: processes, what the runtime keeps, cgroup, root file system, bundle, data. Nothing
/// there is no error. The runtime is only asked where it may keep more than files; what it cannot delete, by force, is dropped.
pub(super) async fn delete(context: &Context, instance: &InstanceId) -> Result<(), Failure> {
    let failed = |e: &dyn std::error::Error| other("", e);
    let (cgroup, driver) = (&context.cgroup, &context.driver);
    if !driver.keeps_only_files() {
        cgroup.kill_all(instance).await.map_err(|e| failed(&e))?;
        if let Err(error) = ask_to_delete(context, instance).await {
            tracing::warn!(%instance, reason = error.reason(), "the runtime cannot delete what it keeps of an instance: dropped");
        }
    }
    let cleared = cgroup.clear_container(instance).await;
    cleared.map_err(|e| failed(&e))?;
    driver.forget(instance).map_err(|e| failed(&e))?;
    let bundle = context.dir.bundle(instance);
    // Before anything is removed: a volume is on the other side of each.
    volume::release_places(&context.sub_paths(instance)).map_err(|e| failed(&e))?;
    let remove = || {
        sandbox::unmount(&bundle.join("rootfs"))?;
        sandbox::remove_tree(&bundle)?;
        sandbox::remove_tree(&context.dir.instance_data(instance))
    };
    remove().map_err(|e| failed(&e))?;
    context.release(instance);
    Ok(())
}
