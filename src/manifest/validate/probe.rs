//! Probes and lifecycle hooks.

use super::check::{Path, each, number, one_of, required, text};
use super::network;
use crate::manifest::finding::Findings;
use crate::manifest::grammar;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

const LIVENESS: &str = "livenessProbe";
const READINESS: &str = "readinessProbe";
const STARTUP: &str = "startupProbe";

/// Probes and hooks of a container that may have them.
pub fn all(container: &core::Container, spec: &core::PodSpec, at: &Path, findings: &mut Findings) {
    if let Some(lifecycle) = &container.lifecycle {
        let at = at.field("lifecycle");
        let grace = spec.termination_grace_period_seconds.unwrap_or(30).max(0);
        for (field, hook) in [
            ("postStart", &lifecycle.post_start),
            ("preStop", &lifecycle.pre_stop),
        ] {
            if let Some(hook) = hook {
                self::hook(hook, container, grace, &at.field(field), findings);
            }
        }
        if let Some(signal) = &lifecycle.stop_signal {
            stop_signal(signal, spec, &at.field("stopSignal"), findings);
        }
    }
    for (field, probe) in [
        (LIVENESS, &container.liveness_probe),
        (READINESS, &container.readiness_probe),
        (STARTUP, &container.startup_probe),
    ] {
        if let Some(probe) = probe {
            self::probe(probe, container, field, &at.field(field), findings);
        }
    }
}

/// A plain init container has neither.
pub fn none(container: &core::Container, at: &Path, findings: &mut Findings) {
    for (field, set) in [
        ("lifecycle", container.lifecycle.is_some()),
        (LIVENESS, container.liveness_probe.is_some()),
        (READINESS, container.readiness_probe.is_some()),
        (STARTUP, container.startup_probe.is_some()),
    ] {
        if set {
            let detail = "may not be set for init containers without restartPolicy=Always";
            findings.forbidden(at.field(field), detail);
        }
    }
}

fn stop_signal(signal: &str, spec: &core::PodSpec, at: &Path, findings: &mut Findings) {
    if spec.os.as_ref().is_none_or(|os| os.name.is_empty()) {
        findings.forbidden(
            at,
            "may not be set for containers with empty `spec.os.name`",
        );
    }
    let names = grammar::stop_signals();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    one_of(findings, at, Some(signal), &names);
}

fn probe(
    probe: &core::Probe,
    container: &core::Container,
    kind: &str,
    at: &Path,
    findings: &mut Findings,
) {
    let handlers = [
        ("exec", probe.exec.is_some()),
        ("grpc", probe.grpc.is_some()),
        ("httpGet", probe.http_get.is_some()),
        ("tcpSocket", probe.tcp_socket.is_some()),
    ];
    one_handler(&handlers, at, findings);
    actions(
        container,
        probe.exec.as_ref(),
        probe.http_get.as_ref(),
        probe.tcp_socket.as_ref(),
        at,
        findings,
    );
    if let Some(grpc) = &probe.grpc {
        number(
            findings,
            &at.field("grpc").field("port"),
            Some(grpc.port.into()),
            grammar::port,
        );
    }
    for (field, value) in [
        ("initialDelaySeconds", probe.initial_delay_seconds),
        ("timeoutSeconds", probe.timeout_seconds),
        ("periodSeconds", probe.period_seconds),
        ("successThreshold", probe.success_threshold),
        ("failureThreshold", probe.failure_threshold),
    ] {
        number(
            findings,
            &at.field(field),
            value.map(i64::from),
            |value| match value {
                0.. => Ok(()),
                _ => Err("must be greater than or equal to 0"),
            },
        );
    }
    let success = probe.success_threshold.unwrap_or(1);
    if kind != READINESS && success > 1 {
        findings.invalid(at.field("successThreshold"), success, "must be 1");
    }
    let at = at.field("terminationGracePeriodSeconds");
    match probe.termination_grace_period_seconds {
        Some(grace) if kind == READINESS => {
            findings.invalid(&at, grace, "must not be set for readinessProbes");
        }
        Some(grace) if grace <= 0 => {
            findings.invalid(&at, grace, "must be greater than 0");
        }
        _ => {}
    }
}

fn hook(
    hook: &core::LifecycleHandler,
    container: &core::Container,
    grace: i64,
    at: &Path,
    findings: &mut Findings,
) {
    let handlers = [
        ("exec", hook.exec.is_some()),
        ("httpGet", hook.http_get.is_some()),
        ("sleep", hook.sleep.is_some()),
        ("tcpSocket", hook.tcp_socket.is_some()),
    ];
    one_handler(&handlers, at, findings);
    actions(
        container,
        hook.exec.as_ref(),
        hook.http_get.as_ref(),
        hook.tcp_socket.as_ref(),
        at,
        findings,
    );
    if hook.tcp_socket.is_some() {
        findings.warn(
            at.field("tcpSocket"),
            "always fails when it runs, as in Kubernetes: use httpGet, exec or sleep",
        );
    }
    if let Some(sleep) = &hook.sleep
        && !(0..=grace).contains(&sleep.seconds)
    {
        let detail =
            format!("must be between 0 and terminationGracePeriodSeconds ({grace}), inclusive");
        findings.invalid(at.field("sleep").field("seconds"), sleep.seconds, detail);
    }
}

fn one_handler(handlers: &[(&str, bool)], at: &Path, findings: &mut Findings) {
    let mut set = handlers.iter().filter(|(_, set)| *set);
    if set.next().is_none() {
        required(findings, at, "must specify a handler type");
    }
    for (field, _) in set {
        findings.forbidden(at.field(field), "may not specify more than 1 handler type");
    }
}

/// The actions that probes and hooks share.
fn actions(
    container: &core::Container,
    exec: Option<&core::ExecAction>,
    http_get: Option<&core::HTTPGetAction>,
    tcp_socket: Option<&core::TCPSocketAction>,
    at: &Path,
    findings: &mut Findings,
) {
    if let Some(exec) = exec {
        let at = at.field("exec").field("command");
        if exec.command.as_ref().is_none_or(Vec::is_empty) {
            required(findings, &at, "");
        }
        for (at, word) in each(&exec.command, &at) {
            text(findings, &at, word, grammar::no_nul);
        }
    }
    if let Some(http) = http_get {
        let at = at.field("httpGet");
        port(container, &http.port, &at.field("port"), findings);
        one_of(
            findings,
            &at.field("scheme"),
            http.scheme.as_deref(),
            &["HTTP", "HTTPS"],
        );
        for (at, header) in each(&http.http_headers, &at.field("httpHeaders")) {
            text(
                findings,
                &at.field("name"),
                &header.name,
                grammar::http_header,
            );
        }
    }
    if let Some(tcp) = tcp_socket {
        let at = at.field("tcpSocket").field("port");
        port(container, &tcp.port, &at, findings);
    }
}

/// A port by number or by one of the container's names. Kubernetes takes any name, and then never runs the handler.
fn port(container: &core::Container, port: &IntOrString, at: &Path, findings: &mut Findings) {
    network::port(port, at, findings);
    let mut ports = container.ports.iter().flatten();
    if let IntOrString::String(name) = port
        && grammar::port_name(name).is_ok()
        && !ports.any(|known| known.name.as_ref() == Some(name))
    {
        findings.warn(
            at,
            format!("the container has no port named `{name}`: this cannot be run"),
        );
    }
}
