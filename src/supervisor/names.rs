//! A pod that asked to know the others of its namespace by name: when one of them comes, changes or goes, its `/etc/hosts` is
//! written anew. The kernel wakes the supervisor; one that died missed nothing, for its successor reads everything first.

use crate::base::Mono;
use crate::network;
use crate::supervisor::world::World;
use crate::supervisor::{Plan, sandbox};
use crate::sys;
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::Duration;
use tokio::io::unix::AsyncFd;

/// When a watch that could not be had is asked for again: the kernel gives each user 128, whatever they watch.
const RETRY: Duration = Duration::from_secs(10);

/// What the supervisor hears of other pods.
pub(super) enum Names {
    /// Nothing: the pod did not ask.
    Unasked,
    /// Each change.
    Asked {
        state: PathBuf,
        namespace: String,
        ear: Ear,
    },
}

/// How a change is heard of.
pub(super) enum Ear {
    /// The kernel tells.
    Watch(AsyncFd<OwnedFd>),
    /// It cannot now; from then on it is tried again.
    Deaf(Mono),
}

impl Names {
    /// Begins to watch, if the plan says so.
    pub fn watch(plan: &Plan) -> Names {
        if !plan.pod_names {
            return Names::Unasked;
        }
        let (state, namespace) = (plan.dirs.state.clone(), plan.pod.namespace.clone());
        let ear = open(&state).unwrap_or_else(|error| {
            tracing::warn!(
                "the names of other pods come late: cannot watch them: {error} (hint: raise fs.inotify.max_user_instances)"
            );
            Ear::deaf()
        });
        Names::Asked {
            state,
            namespace,
            ear,
        }
    }

    /// Waits until something may have changed; for ever if nobody asked.
    pub async fn changed(&mut self) {
        let Names::Asked {
            state,
            namespace,
            ear,
        } = self
        else {
            return std::future::pending().await;
        };
        loop {
            match ear {
                Ear::Watch(watch) => {
                    let heard = match watch.readable().await {
                        Ok(mut ready) => {
                            ready.clear_ready();
                            network::names_changed(watch.get_ref(), namespace)
                        }
                        Err(error) => Err(error),
                    };
                    match heard {
                        Ok(false) => {}
                        Ok(true) => return,
                        // Somebody has removed the directory.
                        Err(_) => {
                            *ear = open(state).unwrap_or_else(|_| Ear::deaf());
                            return;
                        }
                    }
                }
                Ear::Deaf(until) => {
                    tokio::time::sleep(until.since(sys::now().mono)).await;
                    *ear = open(state).unwrap_or_else(|_| Ear::deaf());
                    return;
                }
            }
        }
    }
}

impl Ear {
    fn deaf() -> Ear {
        Ear::Deaf(sys::now().mono + RETRY)
    }
}

fn open(state: &std::path::Path) -> io::Result<Ear> {
    Ok(Ear::Watch(sys::watch(network::watch_names(state)?)?))
}

impl World {
    /// Writes the names of others into the pod's hosts file, if the pod asked for them and has one now.
    pub fn tell_names(&self) {
        let context = &self.context;
        if !context.plan.pod_names || !sandbox::hosts(context).exists() {
            return;
        }
        if let Err(failure) = sandbox::write_hosts(context, &self.hands) {
            tracing::warn!("{}", failure.message);
        }
    }
}
