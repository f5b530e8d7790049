//! Probes, hooks and restart rules. Names of ports are looked up here, and what a probe's command may refer to is replaced.

use crate::manifest::expand::expand;
use crate::manifest::{
    Handler, HandlerPort, HttpGet, Lifecycle, Probe, RestartAction, RestartRule,
};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

/// What names in the handlers of one container mean.
pub struct Names<'a> {
    /// `ports`.
    pub ports: &'a [core::ContainerPort],
    /// `env`: a probe's command sees the values as they are written, and nothing for those from elsewhere.
    pub env: &'a [core::EnvVar],
}

/// The probes in the order startup, liveness, readiness, and the hooks.
pub fn lifecycle(
    probes: [Option<core::Probe>; 3],
    hooks: Option<core::Lifecycle>,
    names: &Names<'_>,
) -> Option<Lifecycle> {
    let [startup, liveness, readiness] = probes.map(|raw| raw.map(|raw| names.probe(raw)));
    let core::Lifecycle {
        post_start,
        pre_stop,
        stop_signal: _,
    } = hooks.unwrap_or_default();
    Some(Lifecycle {
        startup: all_or_nothing(startup)?,
        liveness: all_or_nothing(liveness)?,
        readiness: all_or_nothing(readiness)?,
        post_start: all_or_nothing(post_start.map(|raw| names.hook(raw)))?,
        pre_stop: all_or_nothing(pre_stop.map(|raw| names.hook(raw)))?,
    })
}

/// An absent value is fine, a present one that cannot be read is not.
fn all_or_nothing<T>(value: Option<Option<T>>) -> Option<Option<T>> {
    match value {
        None => Some(None),
        Some(value) => value.map(Some),
    }
}

impl Names<'_> {
    fn probe(&self, raw: core::Probe) -> Option<Probe> {
        let core::Probe {
            exec,
            failure_threshold,
            grpc,
            http_get,
            initial_delay_seconds,
            period_seconds,
            success_threshold,
            tcp_socket,
            termination_grace_period_seconds,
            timeout_seconds,
        } = raw;
        let seconds = |value: Option<i32>| u64::try_from(value.unwrap_or_default()).ok();
        let handler = if let Some(exec) = exec {
            let words = exec.command?;
            let lookup = |name: &str| self.variable(name);
            Handler::Exec(words.iter().map(|word| expand(word, lookup)).collect())
        } else if let Some(grpc) = grpc {
            let core::GRPCAction {
                mode: _,
                port,
                service,
            } = grpc;
            Handler::Grpc {
                port: port.try_into().ok()?,
                service: service.unwrap_or_default(),
            }
        } else {
            self.network(http_get, tcp_socket)?
        };
        Some(Probe {
            handler,
            initial_delay_seconds: seconds(initial_delay_seconds)?,
            timeout_seconds: seconds(timeout_seconds)?.max(1),
            period_seconds: seconds(period_seconds)?.max(1),
            success_threshold: u32::try_from(success_threshold.unwrap_or(1)).ok()?.max(1),
            failure_threshold: u32::try_from(failure_threshold.unwrap_or(3)).ok()?.max(1),
            grace_seconds: all_or_nothing(
                termination_grace_period_seconds.map(|grace| grace.try_into().ok()),
            )?,
        })
    }

    fn hook(&self, raw: core::LifecycleHandler) -> Option<Handler> {
        let core::LifecycleHandler {
            exec,
            http_get,
            sleep,
            tcp_socket,
        } = raw;
        if let Some(exec) = exec {
            return exec.command.map(Handler::Exec);
        }
        if let Some(core::SleepAction { seconds }) = sleep {
            return seconds.try_into().ok().map(Handler::Sleep);
        }
        self.network(http_get, tcp_socket)
    }

    fn network(
        &self,
        http: Option<core::HTTPGetAction>,
        tcp: Option<core::TCPSocketAction>,
    ) -> Option<Handler> {
        if let Some(http) = http {
            let core::HTTPGetAction {
                host,
                http_headers,
                path,
                port,
                protocol: _,
                scheme,
            } = http;
            let path = path.unwrap_or_default();
            let headers = http_headers.into_iter().flatten();
            return Some(Handler::Http(HttpGet {
                host: host.unwrap_or_default(),
                port: self.port(&port)?,
                path: if path.starts_with('/') {
                    path
                } else {
                    format!("/{path}")
                },
                https: scheme.as_deref() == Some("HTTPS"),
                headers: headers.map(|header| (header.name, header.value)).collect(),
            }));
        }
        let core::TCPSocketAction { host, port } = tcp?;
        Some(Handler::Tcp {
            host: host.unwrap_or_default(),
            port: self.port(&port)?,
        })
    }

    /// A name is one of the container's own ports, else perhaps a number in quotes.
    fn port(&self, raw: &IntOrString) -> Option<HandlerPort> {
        let name = match raw {
            IntOrString::Int(number) => return (*number).try_into().ok().map(HandlerPort::Number),
            IntOrString::String(name) => name,
        };
        let named = self
            .ports
            .iter()
            .find(|port| port.name.as_ref() == Some(name))
            .and_then(|port| u16::try_from(port.container_port).ok());
        let number = named.or_else(|| name.parse().ok().filter(|number| *number > 0));
        Some(number.map_or_else(|| HandlerPort::Unknown(name.clone()), HandlerPort::Number))
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let variable = self.env.iter().rev().find(|one| one.name == name)?;
        Some(variable.value.as_deref().unwrap_or_default())
    }
}

/// One of `restartPolicyRules`.
pub fn restart_rule(raw: core::ContainerRestartRule) -> Option<RestartRule> {
    let core::ContainerRestartRule { action, exit_codes } = raw;
    let core::ContainerRestartRuleOnExitCodes { operator, values } = exit_codes?;
    Some(RestartRule {
        action: match action.as_str() {
            "Restart" => RestartAction::Restart,
            "RestartAllContainers" => RestartAction::RestartAllContainers,
            _ => return None,
        },
        is_not_in: match operator.as_str() {
            "In" => false,
            "NotIn" => true,
            _ => return None,
        },
        codes: values.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests;
