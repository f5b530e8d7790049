//! Making a container: mounts, streams, runtime. What fails halfway is taken back.

use crate::base::InstanceId;
use crate::image::{mount_all, unmount_all};
use crate::runtime::{ContainerCgroup, CreateCall, Driver, OomWatch, find_known, is_plain_name};
use crate::supervisor::task::config;
use crate::supervisor::task::group::{Group, TaskRecord};
use crate::supervisor::task::handle::Result;
use crate::supervisor::task::place::{Place, Restore};
use crate::supervisor::task::streams::{Streams, Wiring};
use crate::supervisor::task::types::{CreateTask, Refusal, RuntimeChoice, TaskError, TaskStdio};
use crate::sys;
use serde::Deserialize;
use serde::de::IgnoredAny;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where containerd's own shim keeps the runtime's state, a directory per namespace: `runc --root` finds the same containers.
const RUNTIME_ROOT: &str = "/run/containerd/runc";

/// What is the same for all containers of a shim.
#[derive(Debug)]
pub(super) struct Context {
    pub group: Group,
    pub namespace: String,
    /// What runtimes said of themselves.
    pub known: PathBuf,
}

/// A container that was made, or will be by its start.
pub(super) struct Made {
    pub place: Place,
    pub init: Option<Init>,
}

/// The init of a container that was made.
pub(super) struct Init {
    pub pid: u32,
    pub pidfd: OwnedFd,
    pub streams: Streams,
    pub oom: Option<OomWatch>,
}

/// What is read of an OCI configuration.
#[derive(Deserialize)]
struct Document {
    linux: Option<Linux>,
    hooks: Option<IgnoredAny>,
}

#[derive(Default, Deserialize)]
struct Linux {
    namespaces: Option<Vec<Namespace>>,
    #[serde(rename = "cgroupsPath")]
    cgroups_path: Option<String>,
}

#[derive(Deserialize)]
struct Namespace {
    #[serde(rename = "type")]
    kind: String,
    path: Option<String>,
}

/// The part of it that matters here.
struct Config {
    has_own_pids: bool,
    has_hooks: bool,
    cgroups_path: String,
}

pub(super) async fn create(context: Arc<Context>, task: &CreateTask) -> Result<Made> {
    if !is_plain_name(&task.id) {
        let id: String = task.id.escape_debug().take(64).collect();
        return Err(TaskError::new(
            Refusal::Invalid,
            format!("cannot use `{id}` as a container id"),
        ));
    }
    let config = read_config(&task.bundle.join("config.json"))?;
    let driver = driver(&context, &task.runtime, &config).await?;
    let place = place(&context, task, config, driver);
    let root = place.root();
    mount_all(&task.mounts, &root).map_err(|e| TaskError::failed(&e))?;
    let made = match place.restore {
        None => make(&context, place, &task.stdio).await,
        Some(_) => announced(&context, place),
    };
    if made.is_err() {
        unmount_all(&root);
    }
    made
}

/// Nothing of it runs yet, and there is something to clean up.
fn announced(context: &Context, place: Place) -> Result<Made> {
    // Its cgroup is nobody's business until it is started: others may be in it.
    let record = TaskRecord {
        cgroup: None,
        ..place.record.clone()
    };
    let written = context.group.write(&record);
    written.map_err(|e| TaskError::failed(&e))?;
    Ok(Made { place, init: None })
}

async fn driver(context: &Context, choice: &RuntimeChoice, config: &Config) -> Result<Driver> {
    let wanted = Some(choice.binary.as_str()).filter(|name| !name.is_empty());
    let runtime = find_known(wanted, &context.known).await;
    let runtime = runtime.map_err(|e| TaskError::failed(&e))?;
    let root = match choice.root.as_str() {
        "" => RUNTIME_ROOT,
        root => root,
    };
    let mut create_flags = Vec::new();
    for (wanted, flag) in [
        (choice.no_pivot_root, "--no-pivot"),
        (choice.no_new_keyring, "--no-new-keyring"),
    ] {
        create_flags.extend(wanted.then_some(flag));
    }
    // A path of `slice:prefix:name` is for systemd, whatever was configured; without systemd it is taken as it is written.
    let is_for_systemd = config.cgroups_path.split(':').count() == 3;
    Ok(Driver {
        systemd_cgroup: choice.systemd_cgroup
            || (is_for_systemd && Path::new("/run/systemd/system").is_dir()),
        has_hooks: config.has_hooks,
        create_flags,
        criu: Some(PathBuf::from(&choice.criu_path)).filter(|path| !path.as_os_str().is_empty()),
        ..Driver::new(runtime, Path::new(root).join(&context.namespace))
    })
}

/// What is known of a container before it is made.
fn place(context: &Context, task: &CreateTask, config: Config, driver: Driver) -> Place {
    let restore = task.checkpoint.as_ref().map(|image| Restore {
        image: image.clone(),
        work: match task.runtime.criu_work_path.as_str() {
            "" => task.bundle.join("work"),
            path => PathBuf::from(path),
        },
    });
    // Who is restored works there long before the number of its init is known.
    let named = restore.is_some() && !driver.systemd_cgroup;
    let cgroup = named.then(|| ContainerCgroup::named(&config.cgroups_path));
    Place {
        id: InstanceId(task.id.clone()),
        bundle: task.bundle.clone(),
        cgroup: None,
        has_own_pids: config.has_own_pids,
        wiring: Wiring {
            dir: context.group.dir.clone(),
            container: task.id.clone(),
            namespace: context.namespace.clone(),
            io_uid: task.runtime.io_uid,
            io_gid: task.runtime.io_gid,
        },
        record: TaskRecord {
            id: task.id.clone(),
            bundle: task.bundle.clone(),
            pid: 0,
            started: None,
            runtime: driver.runtime.clone(),
            root: driver.root.clone(),
            systemd_cgroup: driver.systemd_cgroup,
            cgroup: cgroup.flatten().as_ref().map(ContainerCgroup::path),
            ended: None,
        },
        driver,
        restore,
    }
}

/// Makes the container, of a checkpoint if it has one.
pub(super) async fn make(context: &Context, mut place: Place, stdio: &TaskStdio) -> Result<Made> {
    let (driver, id, log) = (&place.driver, &place.id, place.log());
    let (io, connected) = place.wiring.lend(stdio).await?.split();
    let call = CreateCall {
        id,
        bundle: &place.bundle,
        pid_file: &place.pid_file(),
        log: &log,
        io,
    };
    let done = match &place.restore {
        None => driver.create(call).await,
        Some(restore) => driver.restore(call, &restore.image, &restore.work).await,
    };
    let pid = match done {
        Ok(pid) => pid,
        Err(error) => {
            undo(&place, error.is_hung()).await;
            return Err(TaskError::of_runtime(&error));
        }
    };
    // From here on the init lives: what fails must not leave it.
    let held = async {
        let failed = |e: std::io::Error| TaskError::failed(&e);
        let pidfd = sys::pidfd(pid).map_err(failed)?;
        let streams = connected.finish().await?;
        let cgroup = ContainerCgroup::of_process(pid);
        let record = TaskRecord {
            pid,
            started: sys::start_time(pid),
            cgroup: cgroup.as_ref().map(ContainerCgroup::path),
            ..place.record.clone()
        };
        context.group.write(&record).map_err(failed)?;
        Ok((pidfd, streams, cgroup, record))
    };
    let (pidfd, streams, cgroup, record) = match held.await {
        Ok(held) => held,
        Err(error) => {
            // Its own failure would hide the first.
            let _ = driver.delete(id, &log, true).await;
            return Err(error);
        }
    };
    place.record = record;
    place.cgroup = cgroup;
    place.restore = None;
    // Without a memory controller nothing is killed for want of memory.
    let oom = place.cgroup.clone();
    let init = Init {
        pid,
        pidfd,
        streams,
        oom: oom.and_then(|cgroup| OomWatch::new(cgroup).ok()),
    };
    Ok(Made {
        place,
        init: Some(init),
    })
}

/// After a call that failed: what the runtime knows is deleted, also when it `is_hung` and does not know how much it made.
pub(super) async fn undo(place: &Place, is_hung: bool) {
    let (driver, id) = (&place.driver, &place.id);
    let cgroup = place.record.container_cgroup().filter(|_| is_hung);
    if let Some(cgroup) = &cgroup
        && let Err(error) = cgroup.kill_all().await
    {
        tracing::warn!(%id, %error, "cannot kill what was restored in part");
    }
    if (is_hung || driver.knows(id))
        && let Err(error) = driver.delete(id, &place.log(), true).await
    {
        tracing::warn!(%id, %error, "cannot delete what a failed create left");
    }
    if let Some(cgroup) = &cgroup {
        // The runtime has removed it, or never made it.
        let _ = cgroup.remove().await;
    }
}

fn read_config(path: &Path) -> Result<Config> {
    let unreadable = |error: std::io::Error| {
        TaskError::new(
            Refusal::Invalid,
            format!("cannot read `{}`: {error}", path.display()),
        )
    };
    let document: Document = config::read_config(path).map_err(unreadable)?;
    let linux = document.linux.unwrap_or_default();
    let is_own = |one: &Namespace| one.path.as_deref().is_none_or(str::is_empty);
    let mut namespaces = linux.namespaces.iter().flatten();
    Ok(Config {
        has_own_pids: namespaces.any(|one| one.kind == "pid" && is_own(one)),
        has_hooks: document.hooks.is_some(),
        cgroups_path: linux.cgroups_path.unwrap_or_default(),
    })
}
