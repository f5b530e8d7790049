//! The pod itself.

use super::{container, resources, security, volume};
use crate::base::PodUid;
use crate::manifest::defaults::init_role;
use crate::manifest::validate::page_sizes;
use crate::manifest::{DnsConfig, DnsPolicy, HostAlias, Pod, RestartPolicy, Role};
use k8s_openapi::api::core::v1 as core;
use serde_json::Value;

/// The pod; `object` is its defaulted form as JSON.
pub fn pod(raw: core::Pod, object: Value) -> Option<Pod> {
    let core::Pod {
        metadata,
        spec,
        status: _,
    } = raw;
    let spec = spec?;
    let pages = page_sizes(&spec);
    let pages = pages.first().copied().filter(|_| pages.len() == 1);
    let core::PodSpec {
        active_deadline_seconds,
        affinity: _,
        automount_service_account_token: _,
        containers,
        dns_config,
        dns_policy,
        enable_service_links: _,
        ephemeral_containers: _,
        eviction_responders: _,
        host_aliases,
        host_ipc,
        host_network,
        host_pid,
        host_users: _,
        hostname,
        hostname_override,
        image_pull_secrets,
        init_containers,
        node_name,
        node_selector: _,
        os: _,
        overhead,
        preemption_policy: _,
        priority: _,
        priority_class_name: _,
        readiness_gates: _,
        resource_claims: _,
        resources: own_resources,
        restart_policy,
        runtime_class_name,
        scheduler_name: _,
        scheduling_gates: _,
        scheduling_group: _,
        security_context,
        service_account,
        service_account_name,
        set_hostname_as_fqdn,
        share_process_namespace,
        subdomain,
        termination_grace_period_seconds,
        tolerations: _,
        topology_spread_constraints: _,
        volumes,
    } = spec;
    let annotations = metadata.annotations.unwrap_or_default();
    let init = init_containers
        .into_iter()
        .flatten()
        .map(|one| (init_role(&one), one));
    let all = init.chain(containers.into_iter().map(|one| (Role::App, one)));
    let own_resources = own_resources.map(resources::resources);
    Some(Pod {
        name: metadata.name?,
        namespace: metadata.namespace?,
        uid: PodUid(metadata.uid?),
        labels: metadata.labels.unwrap_or_default(),
        restart_policy: restart_policy_of(&restart_policy?)?,
        termination_grace_period_seconds: u64::try_from(termination_grace_period_seconds?)
            .unwrap_or(1),
        active_deadline_seconds: active_deadline_seconds
            .and_then(|seconds| seconds.try_into().ok()),
        host_network: host_network == Some(true),
        host_pid: host_pid == Some(true),
        host_ipc: host_ipc == Some(true),
        share_process_namespace: share_process_namespace == Some(true),
        hostname: present(hostname),
        hostname_override: present(hostname_override),
        subdomain: present(subdomain),
        set_hostname_as_fqdn: set_hostname_as_fqdn == Some(true),
        dns_policy: dns_policy_of(&dns_policy?)?,
        dns_config: dns_config.map(dns).unwrap_or_default(),
        host_aliases: host_aliases.into_iter().flatten().map(host_alias).collect(),
        security: security::pod(security_context.unwrap_or_default())?,
        resources: own_resources.filter(|own| !own.requests.is_empty() || !own.limits.is_empty()),
        overhead: resources::amounts(overhead),
        node_name: present(node_name),
        service_account: present(service_account_name)
            .or(present(service_account))
            .unwrap_or_else(|| "default".to_owned()),
        runtime_class: present(runtime_class_name),
        image_pull_secrets: image_pull_secrets
            .into_iter()
            .flatten()
            .map(|secret| secret.name)
            .filter(|name| !name.is_empty())
            .collect(),
        volumes: volumes
            .into_iter()
            .flatten()
            .map(|one| volume::volume(one, pages))
            .collect::<Option<_>>()?,
        containers: all
            .map(|(role, one)| container::container(one, role, &annotations))
            .collect::<Option<_>>()?,
        annotations,
        object,
    })
}

/// Empty text is no text.
pub fn present(text: Option<String>) -> Option<String> {
    text.filter(|text| !text.is_empty())
}

/// `restartPolicy` of pod or container.
pub fn restart_policy_of(text: &str) -> Option<RestartPolicy> {
    Some(match text {
        "Always" => RestartPolicy::Always,
        "OnFailure" => RestartPolicy::OnFailure,
        "Never" => RestartPolicy::Never,
        _ => return None,
    })
}

fn dns_policy_of(text: &str) -> Option<DnsPolicy> {
    Some(match text {
        "Default" => DnsPolicy::Default,
        "ClusterFirst" => DnsPolicy::ClusterFirst,
        "ClusterFirstWithHostNet" => DnsPolicy::ClusterFirstWithHostNet,
        "None" => DnsPolicy::None,
        _ => return None,
    })
}

fn dns(raw: core::PodDNSConfig) -> DnsConfig {
    let core::PodDNSConfig {
        nameservers,
        options,
        searches,
    } = raw;
    let option = |core::PodDNSConfigOption { name, value }| Some((name?, value));
    DnsConfig {
        nameservers: nameservers.unwrap_or_default(),
        searches: searches.unwrap_or_default(),
        options: options.into_iter().flatten().filter_map(option).collect(),
    }
}

fn host_alias(raw: core::HostAlias) -> HostAlias {
    let core::HostAlias { hostnames, ip } = raw;
    HostAlias {
        ip,
        hostnames: hostnames.unwrap_or_default(),
    }
}
