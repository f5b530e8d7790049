//! The rules, as people are told of them. Source: `pod-semantics` 4.2, 4.3, 4.7, 4.10.

use super::Subject;
use crate::manifest::{RestartPolicy, Role};
use crate::pod::Terminated;
use crate::pod::state::Cause as End;
use std::time::Duration;

impl Subject<'_> {
    /// Why container `k`, having ended like this, starts again or does not.
    pub fn restart_rule(&self, k: usize, ended: &Terminated) -> String {
        let spec = &self.look.spec.containers[k];
        let code = ended.exit_code;
        if self.known.state.is_ending() {
            return "a pod that is on its way out restarts nothing".into();
        }
        if let Some(rule) = spec.rules.iter().find(|rule| rule.matches(code)) {
            return format!(
                "restartPolicyRules: exit code {code} means {:?}",
                rule.action
            );
        }
        let is_success = ended.is_success(self.look.is_app(k));
        match (spec.role, spec.restart_policy) {
            (Role::Ephemeral, _) => "a container for debugging runs once".into(),
            (Role::Sidecar, _) => "a sidecar is always restarted".into(),
            (Role::Init, _) if is_success => {
                "an init container that has succeeded is not run again".into()
            }
            (Role::Init, RestartPolicy::Always | RestartPolicy::OnFailure) => {
                format!(
                    "an init container that fails (exit code {code}) is run again, unless restartPolicy is Never"
                )
            }
            (Role::App, RestartPolicy::Always) => {
                "restartPolicy Always restarts it, whatever its exit code".into()
            }
            (Role::App, RestartPolicy::OnFailure) if is_success => {
                "restartPolicy OnFailure does not restart exit code 0".into()
            }
            (Role::App, RestartPolicy::OnFailure) => {
                format!("restartPolicy OnFailure restarts exit code {code}")
            }
            (Role::Init | Role::App, RestartPolicy::Never) => {
                "restartPolicy Never does not restart it".into()
            }
        }
    }

    /// How long crashes wait.
    pub fn backoff_rule(&self, delay: Duration) -> String {
        let settings = self.known.settings;
        let initial = settings.backoff_initial.min(settings.backoff_max);
        format!(
            "the first restart is immediate, the next ones wait {} doubling to {}: this one {}; more than {} of running begins anew",
            span(initial),
            span(settings.backoff_max),
            span(delay),
            span(settings.backoff_reset),
        )
    }

    /// Why everything is taken down.
    pub fn end_rule(&self, cause: End) -> String {
        match cause {
            End::Stop => "a stop was asked for: nothing starts any more".into(),
            End::Deadline => "activeDeadlineSeconds has passed: the pod has failed".into(),
            End::Evicted => {
                "the pod uses more of the disk than it may: it has failed and is stopped with a grace of 1s, whatever its own".into()
            }
            End::Completed => "nothing is left to run: what still runs is stopped".into(),
            End::RestartAll { trigger } => {
                let name = self.look.spec.containers.get(trigger).map_or("", |c| &c.name);
                format!("`{name}` ended with an exit code that starts all containers again, in the same sandbox")
            }
            End::SandboxLost => {
                "the sandbox was lost: all containers end with it, and start again in a new one unless restartPolicy is Never".into()
            }
        }
    }
}

/// A span as people write it: `300ms`, `40s`, `1m20s`, `5m`.
pub fn span(span: Duration) -> String {
    let (seconds, ms) = (span.as_secs(), span.subsec_millis());
    match (seconds / 60, seconds % 60, ms) {
        (0, 0, ms) if ms > 0 => format!("{ms}ms"),
        (0, seconds, 0) => format!("{seconds}s"),
        (0, seconds, ms) => format!("{seconds}.{ms:03}s"),
        (minutes, 0, _) => format!("{minutes}m"),
        (minutes, seconds, _) => format!("{minutes}m{seconds}s"),
    }
}
