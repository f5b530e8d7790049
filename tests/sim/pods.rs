//! Pods of many shapes, without a manifest.

use podshim::base::{PodUid, Signal};
use podshim::manifest::{
    Container, ContainerSecurity, DnsConfig, DnsPolicy, Handler, Lifecycle, Medium, Pod,
    PodSecurity, Probe, PullPolicy, Resources, RestartAction, RestartPolicy, RestartRule, Role,
    Volume, VolumeSource,
};
use std::collections::BTreeMap;

/// A pod of these containers; restart policy Never, grace 30 s.
pub fn pod(containers: Vec<Container>) -> Pod {
    Pod {
        name: "p".into(),
        namespace: "default".into(),
        uid: PodUid("uid".into()),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        restart_policy: RestartPolicy::Never,
        termination_grace_period_seconds: 30,
        active_deadline_seconds: None,
        host_network: false,
        host_pid: false,
        host_ipc: false,
        share_process_namespace: false,
        hostname: None,
        hostname_override: None,
        subdomain: None,
        set_hostname_as_fqdn: false,
        dns_policy: DnsPolicy::ClusterFirst,
        dns_config: DnsConfig::default(),
        host_aliases: Vec::new(),
        security: PodSecurity::default(),
        resources: None,
        overhead: BTreeMap::new(),
        node_name: None,
        service_account: "default".into(),
        runtime_class: None,
        image_pull_secrets: Vec::new(),
        volumes: Vec::new(),
        containers,
        object: serde_json::json!({}),
    }
}

/// A container with nothing special.
pub fn container(name: &str, role: Role) -> Container {
    Container {
        name: name.into(),
        role,
        image: "img:1".into(),
        pull_policy: PullPolicy::IfNotPresent,
        command: Vec::new(),
        args: Vec::new(),
        working_dir: None,
        env_from: Vec::new(),
        env: Vec::new(),
        ports: Vec::new(),
        resources: Resources::default(),
        restart_policy: (role == Role::Sidecar).then_some(RestartPolicy::Always),
        restart_rules: Vec::new(),
        lifecycle: Lifecycle::default(),
        mounts: Vec::new(),
        devices: Vec::new(),
        security: ContainerSecurity::default(),
        termination_message_path: "/dev/termination-log".into(),
        termination_message_from_logs: false,
        stop_signal: None,
        target: None,
        stdin: false,
        stdin_once: false,
        tty: false,
    }
}

/// Bytes of the volume that the pods of the simulator have.
pub const SIZE_LIMIT: u64 = 1 << 20;

/// An `emptyDir` on disk.
pub fn empty_dir(name: &str, limit: Option<u64>) -> Volume {
    Volume {
        name: name.into(),
        source: VolumeSource::EmptyDir {
            medium: Medium::Disk,
            size_limit: limit.map(|bytes| bytes.to_string().parse().expect("a quantity")),
            mode: None,
        },
    }
}

/// App containers of these names.
pub fn apps(names: &[&str]) -> Vec<Container> {
    names.iter().map(|n| container(n, Role::App)).collect()
}

/// One of the shapes the simulator runs; `pick` chooses.
pub fn shape(pick: u64) -> Pod {
    let init = |n| container(n, Role::Init);
    let side = |n| container(n, Role::Sidecar);
    let app = |n| container(n, Role::App);
    let mut pod = pod(match pick % 6 {
        0 => vec![app("a")],
        1 => vec![app("a"), app("b"), app("c")],
        2 => vec![init("i"), init("j"), app("a")],
        3 => vec![side("s"), side("t"), app("a")],
        4 => vec![init("i"), side("s"), init("j"), app("a"), app("b")],
        _ => vec![side("s"), init("i"), app("a"), app("b")],
    });
    let pick = pick / 6;
    pod.restart_policy = match pick % 3 {
        0 => RestartPolicy::Always,
        1 => RestartPolicy::OnFailure,
        _ => RestartPolicy::Never,
    };
    let pick = pick / 3;
    pod.share_process_namespace = pick.is_multiple_of(4);
    pod.termination_grace_period_seconds = [30, 1, 0, 5][(pick / 4 % 4) as usize];
    if (pick / 16).is_multiple_of(4) {
        pod.active_deadline_seconds = Some(200);
    }
    let last = pod.containers.len() - 1;
    let own = &mut pod.containers[last];
    own.restart_policy = match pick / 64 % 4 {
        0 => Some(RestartPolicy::Never),
        1 => Some(RestartPolicy::Always),
        _ => None,
    };
    if (pick / 256).is_multiple_of(2) {
        own.pull_policy = PullPolicy::Always;
    }
    if (pick / 97).is_multiple_of(3) {
        pod.volumes = vec![empty_dir("d", Some(SIZE_LIMIT))];
    }
    if (pick / 512).is_multiple_of(4) {
        own.stop_signal = Some(Signal::INT);
    }
    let pick = pick / 2048;
    if pick.is_multiple_of(2) {
        let lasting = pod.containers.iter_mut().filter(|c| c.role != Role::Init);
        for (container, n) in lasting.zip(1..) {
            container.lifecycle = lifecycle(pick / 2 / n);
        }
    }
    if (pick / 128).is_multiple_of(3) {
        let own = &mut pod.containers[0];
        own.restart_policy = own.restart_policy.or(Some(RestartPolicy::Never));
        own.restart_rules = vec![RestartRule {
            action: match (pick / 384).is_multiple_of(2) {
                true => RestartAction::RestartAllContainers,
                false => RestartAction::Restart,
            },
            is_not_in: false,
            codes: vec![1, 2],
        }];
    }
    pod
}

/// Any choice of probes and hooks.
fn lifecycle(pick: u64) -> Lifecycle {
    let probe = |bit: u64| (pick >> bit & 1 == 1).then(|| probe(1 + bit as u32 % 3));
    Lifecycle {
        startup: probe(0),
        liveness: probe(1),
        readiness: probe(2),
        post_start: (pick >> 3 & 1 == 1).then_some(Handler::Sleep(1)),
        pre_stop: (pick >> 4 & 1 == 1).then_some(Handler::Sleep(1)),
    }
}

/// A probe with nothing special: every second, at once.
pub fn probe(failures: u32) -> Probe {
    Probe {
        handler: Handler::Exec(vec!["true".into()]),
        initial_delay_seconds: 0,
        timeout_seconds: 1,
        period_seconds: 1,
        success_threshold: 1,
        failure_threshold: failures,
        grace_seconds: None,
    }
}
