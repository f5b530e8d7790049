//! What the loop knows of the world outside the machine, and how operations report back to it.

use crate::base::{Exit, InstanceId, Mono, to_json};
use crate::image::Image;
use crate::manifest::{Container, ProbeKind};
use crate::pod::{
    DiskUse, Failure, InstanceKind, Machine, OpId, Outcome, ProbeAnswer, Refusal, RequestId,
};
use crate::runtime::Sealed;
use crate::stdio::{PumpReport, Stop, Tap};
use crate::store::ExitRecord;
use crate::supervisor::context::Context;
use crate::supervisor::early::Rest;
use crate::supervisor::instance::{Created, Output};
use crate::supervisor::mounts;
use crate::supervisor::record::Record;
use crate::supervisor::{FORMAT, Hands, LINK, Snapshot, SupervisorError, sandbox};
use crate::sys;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinHandle, JoinSet};

/// How long a copy of the runtime is kept for the next container: they are created together, or seldom.
const SEALED_FOR: Duration = Duration::from_secs(1);
/// Those who attach at once and are not taken yet: no more are connected.
const MAX_TAPPING: usize = 64;

/// Everything outside the machine. Owned by the loop alone.
pub(super) struct World {
    pub context: Arc<Context>,
    pub hands: Hands,
    /// Every operation in flight.
    pub tasks: JoinSet<Completion>,
    /// Running processes and the pumps of their output.
    pub live: HashMap<InstanceId, Live>,
    /// Instances that have ended, of which the machine has not heard: their last words are being read.
    pub ending: HashSet<InstanceId>,
    /// Records read from the exit record so far.
    pub exits_read: usize,
    /// Exits of processes not known yet, while creates are in flight: one of them may be theirs.
    pub unclaimed: Vec<(usize, ExitRecord)>,
    pub creates_in_flight: usize,
    /// Operations of the machine that run, but for hooks, which may take minutes.
    pub operations: HashSet<OpId>,
    /// What is no longer worth waiting for.
    pub haste: watch::Sender<Haste>,
    pub replies: HashMap<RequestId, oneshot::Sender<Result<(), Refusal>>>,
    pub record: Record,
    pub boot_id: String,
    pub session: u32,
    /// The copy of the runtime is dropped then, if there is one.
    pub unseal_at: Option<Mono>,
    /// What the keeper understands.
    pub link: String,
    /// The process that reaps the containers, while it lives.
    pub keeper: Option<u32>,
}

/// How urgent the end of the pod is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Haste {
    /// It is not.
    None,
    /// No image is waited for any more.
    Leave,
    /// Nothing that makes or starts anything is.
    Kill,
}

/// A process of ours and its output.
pub(super) struct Live {
    pub pidfd: Option<OwnedFd>,
    pub pump: Option<Pump>,
    /// What is still done to make it, of a pause that can be joined already.
    pub rest: Option<Rest>,
    /// Probes and hooks that run in it: they end when it is dropped.
    pub handlers: Vec<AbortHandle>,
}

impl Live {
    pub fn new(pidfd: Option<OwnedFd>, pump: Option<Pump>) -> Live {
        Live {
            pidfd,
            pump,
            rest: None,
            handlers: Vec::new(),
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        self.handlers.iter().for_each(AbortHandle::abort);
    }
}

/// The task that moves an instance's output into its log.
pub(super) struct Pump {
    pub stop: oneshot::Sender<Stop>,
    /// Takes those who attach.
    pub taps: mpsc::Sender<Tap>,
    /// The instance's terminal, or the end that writes its standard input.
    pub input: Option<OwnedFd>,
    pub task: JoinHandle<PumpReport>,
}

/// How a task of the loop ended.
pub(super) enum Completion {
    /// An operation of the machine, and what it changed in the world.
    Done(OpId, Result<Change, Failure>),
    /// The same of a create: its process may have ended already.
    Created(OpId, Result<Change, Failure>),
    /// The start of a pause that was known before it was made, and could not be: its end is its maker's, and nobody tells it.
    Unmade(OpId, InstanceId, Failure),
    /// An image is not here, and is asked for elsewhere; the operation goes on.
    Pulling(OpId),
    /// An instance's output is drained after its end.
    Ended {
        instance: InstanceId,
        exit: Exit,
        oom_killed: bool,
        message: String,
    },
    /// A probe was run once.
    Probed {
        instance: InstanceId,
        kind: ProbeKind,
        answer: ProbeAnswer,
    },
    /// The disk was measured: what was found, and why not everything.
    Measured(DiskUse, Option<String>),
    /// A process that is not the keeper's child ended: nobody will reap it for us.
    Vanished { instance: InstanceId, exit: Exit },
}

impl Completion {
    /// Whether it is an operation that failed.
    pub fn has_failed(&self) -> bool {
        matches!(
            self,
            Completion::Done(_, Err(_)) | Completion::Created(_, Err(_))
        )
    }
}

/// What an operation changed.
pub(super) enum Change {
    Prepared(BTreeMap<String, PathBuf>),
    /// Of this container and of the image volumes that it mounts.
    Images(String, BTreeMap<String, Image>),
    Created(InstanceId, InstanceKind, Box<Created>),
    Started(InstanceId),
    Network(Vec<String>),
    Deleted(InstanceId),
    Nothing,
}

impl World {
    pub fn new(context: Context, hands: Hands) -> Result<World, SupervisorError> {
        let record = Record::open(&context.dir)?;
        Ok(World {
            context: Arc::new(context),
            hands,
            tasks: JoinSet::new(),
            live: HashMap::new(),
            ending: HashSet::new(),
            exits_read: 0,
            unclaimed: Vec::new(),
            creates_in_flight: 0,
            operations: HashSet::new(),
            haste: watch::Sender::new(Haste::None),
            replies: HashMap::new(),
            record,
            boot_id: sys::boot_id(),
            session: sys::session(std::process::id()).unwrap_or(0),
            unseal_at: None,
            link: LINK.to_owned(),
            keeper: Some(std::os::unix::process::parent_id()),
        })
    }

    /// Takes in what an operation changed; what the machine is to hear of it.
    pub fn absorb(&mut self, result: Result<Change, Failure>) -> Outcome {
        match result {
            Err(failure) => Outcome::Failed(failure),
            Ok(Change::Nothing) => Outcome::Ok,
            Ok(Change::Prepared(volumes)) => {
                self.hands.mounts = mounts::seen(&self.context, volumes.values());
                self.hands.volumes = volumes;
                Outcome::Ok
            }
            Ok(Change::Images(container, images)) => {
                let own = images.get(&container);
                let outcome = Outcome::ImageReady {
                    image_id: own.map(|image| image.id.clone()).unwrap_or_default(),
                    stop_signal: own.and_then(|image| image.config.stop_signal.parse().ok()),
                };
                self.hands.images.extend(images);
                outcome
            }
            Ok(Change::Created(instance, kind, created)) => self.adopt(instance, &kind, *created),
            Ok(Change::Started(instance)) => {
                if let Some(process) = self.hands.processes.get_mut(&instance) {
                    process.started = true;
                }
                Outcome::Ok
            }
            Ok(Change::Network(pod_ips)) => {
                if let Some(sandbox) = &mut self.hands.sandbox {
                    sandbox.pod_ips.clone_from(&pod_ips);
                }
                // Containers that were created meanwhile have the file already; they start after this.
                match sandbox::write_hosts(&self.context, &self.hands) {
                    Ok(()) => Outcome::NetworkReady { pod_ips },
                    Err(failure) => Outcome::Failed(failure),
                }
            }
            Ok(Change::Deleted(instance)) => {
                self.forget(&instance);
                Outcome::Ok
            }
        }
    }

    /// Drops what is known of an instance.
    pub fn forget(&mut self, instance: &InstanceId) {
        self.hands.processes.remove(instance);
        let live = self.live.remove(instance);
        if let Some(pump) = live.and_then(|mut live| live.pump.take()) {
            // It goes without an exit of its own: nothing more will come.
            let _ = pump.stop.send(Stop::Ended);
        }
    }

    fn adopt(&mut self, instance: InstanceId, kind: &InstanceKind, created: Created) -> Outcome {
        let pid = created.process.pid;
        if matches!(kind, InstanceKind::Pause) {
            let pause_proc = format!("/proc/{pid}");
            self.hands.sandbox = Some(crate::bundle::Sandbox {
                pause_proc,
                pod_ips: Vec::new(),
            });
        }
        self.hands
            .processes
            .insert(instance.clone(), created.process);
        let mut live = Live::new(created.pidfd, created.output.map(start_pump));
        live.rest = created.rest;
        self.live.insert(instance.clone(), live);
        if self.keeper.is_none() {
            self.watch_orphan(&instance);
        }
        Outcome::Created { pid }
    }

    /// From now on what is not worth waiting for any more is given up.
    pub fn hurry(&self, haste: Haste) {
        self.haste.send_if_modified(|now| {
            let more = *now < haste;
            *now = (*now).max(haste);
            more
        });
    }

    /// Containers are about to be created: a runtime that would copy itself for each is copied once.
    pub fn seal_runtime(&mut self) {
        let driver = &self.context.driver;
        if !driver.runtime.kind.quirks().copies_itself {
            return;
        }
        self.unseal_at = Some(sys::now().mono + SEALED_FOR);
        if driver.sealed.is_none() {
            let sealed = Sealed::begin(&driver.runtime.path);
            Arc::make_mut(&mut self.context).driver.sealed = Some(sealed);
        }
    }

    /// The others come later than a copy should take memory.
    pub fn unseal_runtime(&mut self) {
        self.unseal_at = None;
        Arc::make_mut(&mut self.context).driver.sealed = None;
    }

    /// Containers that were added while the pod runs belong to it from now on.
    pub fn know(&mut self, ephemeral: &[Container]) {
        let known = &self.context.plan.pod;
        let fresh = |one: &&Container| known.container(&one.name).is_none();
        let fresh: Vec<Container> = ephemeral.iter().filter(fresh).cloned().collect();
        if !fresh.is_empty() {
            let context = Arc::make_mut(&mut self.context);
            context.plan.pod.containers.extend(fresh);
        }
    }

    /// Writes down what is. What fails is reported and tried again.
    pub fn write_down(&mut self, machine: &Machine) -> io::Result<()> {
        let snapshot = Snapshot {
            format: FORMAT,
            boot_id: self.boot_id.clone(),
            session: self.session,
            link: self.link.clone(),
            state: machine.state().clone(),
            view: machine.view(),
            hands: self.hands.clone(),
        };
        self.record.write(to_json(&snapshot)?)
    }
}

/// Starts to move an instance's output into its log.
pub(super) fn start_pump(output: Output) -> Pump {
    let (stop, stopped) = oneshot::channel();
    let (taps, tapping) = mpsc::channel(MAX_TAPPING);
    let wait = async { stopped.await.unwrap_or(Stop::HandedOver) };
    let task = tokio::spawn(crate::stdio::pump(
        output.stdout,
        output.stderr,
        output.log,
        tapping,
        wait,
    ));
    Pump {
        stop,
        taps,
        input: output.input,
        task,
    }
}
