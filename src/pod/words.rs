//! The kubelet's words. Source: Kubernetes kubelet, `pod-semantics` 4.5 and 4.13.

use crate::pod::FailureReason;

pub(super) const COMPLETED: &str = "Completed";
pub(super) const ERROR: &str = "Error";
pub(super) const OOM_KILLED: &str = "OOMKilled";
pub(super) const START_ERROR: &str = "StartError";
pub(super) const RESTARTING_ALL: &str = "RestartingAllContainers";
pub(super) const STATUS_UNKNOWN: &str = "ContainerStatusUnknown";
pub(super) const LOST_MESSAGE: &str =
    "The container could not be located when the pod was terminated";

pub(super) const CONTAINER_CREATING: &str = "ContainerCreating";
pub(super) const POD_INITIALIZING: &str = "PodInitializing";
pub(super) const CRASH_LOOP: &str = "CrashLoopBackOff";
pub(super) const RUN_ERROR: &str = "RunContainerError";
pub(super) const POST_START_ERROR: &str = "PostStartHookError";
pub(super) const IMAGE_BACKOFF: &str = "ImagePullBackOff";

pub(super) const DEADLINE: &str = "DeadlineExceeded";
pub(super) const DEADLINE_MESSAGE: &str =
    "Pod was active on the node longer than the specified deadline";

/// Source: kubelet, eviction manager, `Reason`.
pub(super) const EVICTED: &str = "Evicted";

impl FailureReason {
    /// As `status` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            FailureReason::ErrImagePull => "ErrImagePull",
            FailureReason::InvalidImageName => "InvalidImageName",
            FailureReason::ErrImageNeverPull => "ErrImageNeverPull",
            FailureReason::CreateContainerConfigError => "CreateContainerConfigError",
            FailureReason::CreateContainerError | FailureReason::Other => "CreateContainerError",
            FailureReason::StartError | FailureReason::RuntimeHung => START_ERROR,
        }
    }
}
