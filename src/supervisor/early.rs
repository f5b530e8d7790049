//! A sandbox that is joined before whoever makes it is through with it.
//!
//! A runtime makes the namespaces in the first half of its `create`; what follows is pause's root file system and confinement, which
//! are nobody else's. In a native sandbox it is the cgroup that is waited for. So pause counts as created once its init has its
//! namespaces. The rest of the call is waited for by pause's start: containers are created meanwhile, and none is started before.

use crate::base::InstanceId;
use crate::bundle;
use crate::pod::Failure;
use crate::runtime::InitIo;
use crate::supervisor::context::{Context, plain};
use crate::supervisor::instance;
use crate::sys;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Time between two looks for the init of pause: nobody tells.
const LOOK: Duration = Duration::from_millis(1);
/// How often it is looked. The namespaces are there after 1 to 10 ms on an idle machine; where nothing is found in time, the end of
/// the call tells.
const MAX_LOOKS: u32 = 200;

/// The rest of the call that makes a sandbox. It is killed when this is dropped.
#[derive(Debug)]
pub(super) struct Rest {
    call: JoinSet<Result<u32, Failure>>,
    /// Its init, as it was found.
    init: u32,
}

impl Rest {
    /// Waits until pause has been created.
    pub async fn done(mut self) -> Result<(), Failure> {
        match end(&mut self.call).await? {
            told if told == self.init => Ok(()),
            told => Err(plain(format!(
                "process {} was taken for the init of the sandbox, but it is {told}",
                self.init
            ))),
        }
    }

    /// Ends it, and comes back when nothing of it is left to be done.
    pub async fn give_up(mut self) {
        self.call.shutdown().await;
    }
}

/// Lets pause be created; comes back with its process when it can be joined, maybe with the rest of the call.
pub(super) async fn create_pause(
    context: &Arc<Context>,
    instance: &InstanceId,
    io: InitIo,
) -> Result<(u32, Option<Rest>), Failure> {
    let mut call = JoinSet::new();
    let (caller, id) = (Arc::clone(context), instance.clone());
    call.spawn(async move { instance::call(&caller, &id, io).await });
    tokio::select! {
        biased;
        created = end(&mut call) => Ok((created?, None)),
        init = joinable(context, instance) => Ok((init, Some(Rest { call, init }))),
    }
}

async fn end(call: &mut JoinSet<Result<u32, Failure>>) -> Result<u32, Failure> {
    let given_up = || plain("the creation of the sandbox was given up".into());
    let ended = call.join_next().await.and_then(Result::ok);
    ended.unwrap_or_else(|| Err(given_up()))
}

/// The init of pause, when it has every namespace that containers join.
async fn joinable(context: &Context, instance: &InstanceId) -> u32 {
    let namespaces = bundle::joinable(&context.plan.pod);
    // The first process of a PID namespace stays its init; without one there is nothing to tell it by.
    if namespaces.contains(&"pid") {
        for _ in 0..MAX_LOOKS {
            tokio::time::sleep(LOOK).await;
            let early = match context.is_native(instance) {
                true => context.driver.early_process(&context.pid_file(instance)),
                false => None,
            };
            let processes = early.into_iter().chain(context.cgroup.first_pids(instance));
            let mut inits = processes.filter(|pid| sys::has_left(*pid, &namespaces));
            if let Some(init) = inits.next() {
                return init;
            }
        }
    }
    std::future::pending().await
}
