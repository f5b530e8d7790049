//! The times the rules use.

use std::time::Duration;

/// Times the rules use. The defaults are Kubernetes'; tests and configuration may change them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Second crash back-off; the first restart never waits. Source: kubelet, 10 s.
    pub backoff_initial: Duration,
    /// Longest crash back-off. Source: kubelet, 300 s.
    pub backoff_max: Duration,
    /// An instance that ran longer than this starts the back-off anew. Source: kubelet, 600 s.
    pub backoff_reset: Duration,
    /// Between tries of everything that is no restart: configuration errors, sandbox, network, removal.
    pub retry: Duration,
    /// First wait after an image could not be brought. Source: kubelet, 10 s.
    pub image_backoff_initial: Duration,
    /// Longest wait for an image. Source: kubelet, 300 s.
    pub image_backoff_max: Duration,
    /// Between two measurements of what a pod uses of the disk. Source: kubelet, monitoring interval of the eviction manager.
    pub disk_period: Duration,
    /// Between two kills of an instance that does not end.
    pub kill_repeat: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            backoff_initial: Duration::from_secs(10),
            backoff_max: Duration::from_secs(300),
            backoff_reset: Duration::from_secs(600),
            retry: Duration::from_secs(10),
            image_backoff_initial: Duration::from_secs(10),
            image_backoff_max: Duration::from_secs(300),
            disk_period: Duration::from_secs(10),
            kill_repeat: Duration::from_secs(1),
        }
    }
}
