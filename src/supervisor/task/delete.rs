//! Removing a container that has ended: output, runtime, mounts, record.

use crate::image::unmount_all;
use crate::supervisor::task::create::Context;
use crate::supervisor::task::handle::Result;
use crate::supervisor::task::place::Place;
use crate::supervisor::task::streams::Streams;
use crate::supervisor::task::types::TaskError;
use std::sync::Arc;
use std::time::Duration;

/// How long the output of a container may take to be where it belongs. Source: containerd.
const DRAIN_DEADLINE: Duration = Duration::from_secs(10);
/// The same for an added process: a child of it that holds its output open is usual.
pub(super) const EXEC_DRAIN_DEADLINE: Duration = Duration::from_secs(2);

/// Removes what is left of a container. Whatever the runtime says, at the end nothing of it lives.
pub(super) async fn delete(
    context: Arc<Context>,
    place: Arc<Place>,
    streams: Option<Streams>,
) -> Result<()> {
    if let Some(streams) = streams {
        streams.drain(DRAIN_DEADLINE).await;
    }
    let deleted = delete_by_force(&place).await;
    unmount_all(&place.root());
    context.group.forget(&place.id.0);
    deleted
}

async fn delete_by_force(place: &Place) -> Result<()> {
    let (driver, id, log) = (&place.driver, &place.id, place.log());
    let Err(error) = driver.delete(id, &log, false).await else {
        return Ok(());
    };
    tracing::warn!(%id, %error, "cannot delete a container that has ended: killing all of it");
    if let Some(cgroup) = &place.cgroup {
        cgroup.kill_all().await.map_err(|e| TaskError::failed(&e))?;
    }
    if let Err(error) = driver.delete(id, &log, true).await {
        // Nothing of it lives: what the runtime keeps of it is only a file.
        driver.forget(id).map_err(|_| TaskError::failed(&error))?;
        if let Some(cgroup) = &place.cgroup {
            cgroup.remove().await.map_err(|e| TaskError::failed(&e))?;
        }
    }
    Ok(())
}
