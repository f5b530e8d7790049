//! One container with its ports and mounts.

use super::lifecycle::{self, Names};
use super::pod::{present, restart_policy_of};
use super::{env, resources, security};
use crate::base::Signal;
use crate::manifest::{
    Container, Port, Propagation, Protocol, PullPolicy, RecursiveReadOnly, RestartPolicy, Role,
    SubPath, VolumeDevice, VolumeMount, grammar,
};
use k8s_openapi::api::core::v1 as core;
use std::collections::BTreeMap;

/// The container. `annotations` are the pod's: one of them may name its AppArmor profile.
pub fn container(
    raw: core::Container,
    role: Role,
    annotations: &BTreeMap<String, String>,
) -> Option<Container> {
    let core::Container {
        args,
        command,
        env,
        env_from,
        image,
        image_pull_policy,
        lifecycle,
        liveness_probe,
        name,
        ports,
        readiness_probe,
        resize_policy: _,
        resources: own_resources,
        restart_policy,
        restart_policy_rules,
        security_context,
        startup_probe,
        stdin,
        stdin_once,
        termination_message_path,
        termination_message_policy,
        tty,
        volume_devices,
        volume_mounts,
        working_dir,
    } = raw;
    let mut own_security = security::container(security_context.unwrap_or_default())?;
    own_security.apparmor = own_security
        .apparmor
        .or_else(|| security::annotated(&name, annotations));
    let stop_signal = lifecycle.as_ref().and_then(stop_signal);
    let names = Names {
        ports: ports.as_deref().unwrap_or_default(),
        env: env.as_deref().unwrap_or_default(),
    };
    let probes = [startup_probe, liveness_probe, readiness_probe];
    let lifecycle = lifecycle::lifecycle(probes, lifecycle, &names)?;
    Some(Container {
        role,
        image: image?,
        pull_policy: pull_policy(&image_pull_policy?)?,
        command: command.unwrap_or_default(),
        args: args.unwrap_or_default(),
        working_dir: present(working_dir),
        env_from: env_from
            .into_iter()
            .flatten()
            .map(env::env_from)
            .collect::<Option<_>>()?,
        env: env
            .into_iter()
            .flatten()
            .map(env::env)
            .collect::<Option<_>>()?,
        ports: ports
            .into_iter()
            .flatten()
            .map(port)
            .collect::<Option<_>>()?,
        resources: own_resources.map(resources::resources).unwrap_or_default(),
        restart_policy: own_restart_policy(restart_policy)?,
        restart_rules: restart_policy_rules
            .into_iter()
            .flatten()
            .map(lifecycle::restart_rule)
            .collect::<Option<_>>()?,
        lifecycle,
        mounts: volume_mounts
            .into_iter()
            .flatten()
            .map(mount)
            .collect::<Option<_>>()?,
        devices: volume_devices.into_iter().flatten().map(device).collect(),
        security: own_security,
        termination_message_path: absolute(termination_message_path?),
        termination_message_from_logs: termination_message_policy? == "FallbackToLogsOnError",
        stop_signal,
        target: None,
        stdin: stdin == Some(true),
        stdin_once: stdin_once == Some(true),
        tty: tty == Some(true),
        name,
    })
}

fn own_restart_policy(text: Option<String>) -> Option<Option<RestartPolicy>> {
    match present(text) {
        None => Some(None),
        Some(text) => restart_policy_of(&text).map(Some),
    }
}

fn stop_signal(raw: &core::Lifecycle) -> Option<Signal> {
    grammar::stop_signal(raw.stop_signal.as_ref()?)
}

/// `imagePullPolicy` and `pullPolicy`.
pub fn pull_policy(text: &str) -> Option<PullPolicy> {
    Some(match text {
        "Always" => PullPolicy::Always,
        "IfNotPresent" => PullPolicy::IfNotPresent,
        "Never" => PullPolicy::Never,
        _ => return None,
    })
}

fn port(raw: core::ContainerPort) -> Option<Port> {
    let core::ContainerPort {
        container_port,
        host_ip,
        host_port,
        name,
        protocol,
    } = raw;
    Some(Port {
        name: present(name),
        container_port: container_port.try_into().ok()?,
        host_port: match host_port {
            None | Some(0) => None,
            Some(port) => Some(port.try_into().ok()?),
        },
        host_ip: host_ip.unwrap_or_default(),
        protocol: match protocol?.as_str() {
            "TCP" => Protocol::Tcp,
            "UDP" => Protocol::Udp,
            "SCTP" => Protocol::Sctp,
            _ => return None,
        },
    })
}

fn mount(raw: core::VolumeMount) -> Option<VolumeMount> {
    let core::VolumeMount {
        bind_mount_options,
        mount_path,
        mount_propagation,
        name,
        read_only,
        recursive_read_only,
        sub_path,
        sub_path_expr,
    } = raw;
    let plain = present(sub_path).map(SubPath::Plain);
    Some(VolumeMount {
        volume: name,
        path: absolute(mount_path),
        sub_path: plain.or(present(sub_path_expr).map(SubPath::Expression)),
        read_only: read_only == Some(true),
        propagation: match mount_propagation.as_deref() {
            None | Some("None") => Propagation::None,
            Some("HostToContainer") => Propagation::HostToContainer,
            Some("Bidirectional") => Propagation::Bidirectional,
            Some(_) => return None,
        },
        recursive_read_only: match recursive_read_only.as_deref() {
            None | Some("Disabled") => RecursiveReadOnly::Disabled,
            Some("IfPossible") => RecursiveReadOnly::IfPossible,
            Some("Enabled") => RecursiveReadOnly::Enabled,
            Some(_) => return None,
        },
        options: bind_mount_options.unwrap_or_default(),
    })
}

fn device(raw: core::VolumeDevice) -> VolumeDevice {
    let core::VolumeDevice { device_path, name } = raw;
    VolumeDevice {
        volume: name,
        path: absolute(device_path),
    }
}

/// A relative path is taken from `/`.
fn absolute(path: String) -> String {
    if path.starts_with('/') {
        path
    } else {
        format!("/{path}")
    }
}
