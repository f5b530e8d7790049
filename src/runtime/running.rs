//! The verbs for a running container: pause, resume, update.

use crate::base::InstanceId;
use crate::runtime::driver::checked;
use crate::runtime::{Driver, RuntimeError};
use std::path::Path;

impl Driver {
    /// Freezes all processes of a container.
    pub async fn pause(&self, id: &InstanceId, log: &Path) -> Result<(), RuntimeError> {
        let args = vec!["pause".into(), checked(id)?.into()];
        let call = self.call("pause container", args, self.deadlines.start, Some(log));
        call.captured().await.map(|_| ())
    }

    /// Lets them go on.
    pub async fn resume(&self, id: &InstanceId, log: &Path) -> Result<(), RuntimeError> {
        let args = vec!["resume".into(), checked(id)?.into()];
        let call = self.call("resume container", args, self.deadlines.start, Some(log));
        call.captured().await.map(|_| ())
    }

    /// Changes limits. `resources` is a file with an OCI `linux.resources` object; what it does not name stays.
    pub async fn update(
        &self,
        id: &InstanceId,
        log: &Path,
        resources: &Path,
    ) -> Result<(), RuntimeError> {
        let args = vec![
            "update".into(),
            "--resources".into(),
            resources.into(),
            checked(id)?.into(),
        ];
        let call = self.call("update container", args, self.deadlines.start, Some(log));
        call.captured().await.map(|_| ())
    }
}
