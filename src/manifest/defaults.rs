//! The defaults of `core/v1`, applied to the object before it is checked. Source: Kubernetes pkg/apis/core/v1/defaults.go.
//!
//! Amounts are rounded up to milli-units and brought into canonical form here; what cannot be read stays for validation.

use crate::base::Quantity;
use crate::manifest::Role;
use crate::manifest::qos;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::BTreeMap;

type Amounts = BTreeMap<String, Text>;

/// Mode of the files of a volume: `rw-r--r--`.
const FILE_MODE: i32 = 0o644;

/// Fills in every default.
pub fn apply(pod: &mut core::Pod) {
    fill(&mut pod.metadata.namespace, "default");
    let spec = pod.spec.get_or_insert_default();
    fill(&mut spec.restart_policy, "Always");
    fill(&mut spec.dns_policy, "ClusterFirst");
    fill(&mut spec.scheduler_name, "default-scheduler");
    spec.termination_grace_period_seconds.get_or_insert(30);
    spec.security_context.get_or_insert_default();
    spec.enable_service_links.get_or_insert(true);
    let host_network = spec.host_network == Some(true);
    let init = spec.init_containers.iter_mut().flatten();
    for one in init.chain(&mut spec.containers) {
        container(one, host_network);
    }
    spec.volumes.iter_mut().flatten().for_each(volume);
    spec.overhead.iter_mut().for_each(canonical_all);
    pod_resources(spec);
}

/// `imagePullPolicy` of an image reference.
fn pull_policy(image: &str) -> &'static str {
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    match last.split_once(':') {
        Some((_, "latest")) => "Always",
        None if !digest => "Always",
        _ => "IfNotPresent",
    }
}

fn fill(field: &mut Option<String>, default: &str) {
    if field.as_deref().is_none_or(str::is_empty) {
        *field = Some(default.to_owned());
    }
}

fn fill_number(field: &mut Option<i32>, default: i32) {
    if matches!(field, None | Some(0)) {
        *field = Some(default);
    }
}

fn canonical(text: &mut Text) {
    if let Ok(amount) = text.0.parse::<Quantity>() {
        text.0 = amount.rounded_to_milli().to_string();
    }
}

fn canonical_all(amounts: &mut Amounts) {
    amounts.values_mut().for_each(canonical);
}

fn container(container: &mut core::Container, host_network: bool) {
    let policy = pull_policy(container.image.as_deref().unwrap_or_default());
    fill(&mut container.image_pull_policy, policy);
    fill(
        &mut container.termination_message_path,
        "/dev/termination-log",
    );
    fill(&mut container.termination_message_policy, "File");
    for port in container.ports.iter_mut().flatten() {
        fill(&mut port.protocol, "TCP");
        if host_network {
            fill_number(&mut port.host_port, port.container_port);
        }
    }
    if let Some(resources) = &mut container.resources {
        requirements(resources);
        for (name, limit) in resources.limits.iter().flatten() {
            let requests = resources.requests.get_or_insert_default();
            requests
                .entry(name.clone())
                .or_insert_with(|| limit.clone());
        }
    }
    for env in container.env.iter_mut().flatten() {
        if let Some(source) = &mut env.value_from {
            field_ref(source.field_ref.as_mut());
            resource_ref(source.resource_field_ref.as_mut());
        }
    }
    let probes = [
        &mut container.liveness_probe,
        &mut container.readiness_probe,
        &mut container.startup_probe,
    ];
    probes.into_iter().flatten().for_each(probe);
    if let Some(lifecycle) = &mut container.lifecycle {
        for handler in [&mut lifecycle.post_start, &mut lifecycle.pre_stop]
            .into_iter()
            .flatten()
        {
            http_get(handler.http_get.as_mut());
        }
    }
}

fn requirements(resources: &mut core::ResourceRequirements) {
    resources.limits.iter_mut().for_each(canonical_all);
    resources.requests.iter_mut().for_each(canonical_all);
}

fn probe(probe: &mut core::Probe) {
    fill_number(&mut probe.timeout_seconds, 1);
    fill_number(&mut probe.period_seconds, 10);
    fill_number(&mut probe.success_threshold, 1);
    fill_number(&mut probe.failure_threshold, 3);
    http_get(probe.http_get.as_mut());
    if let Some(grpc) = &mut probe.grpc {
        grpc.service.get_or_insert_default();
    }
}

fn http_get(action: Option<&mut core::HTTPGetAction>) {
    if let Some(action) = action {
        fill(&mut action.path, "/");
        fill(&mut action.scheme, "HTTP");
    }
}

fn field_ref(reference: Option<&mut core::ObjectFieldSelector>) {
    if let Some(reference) = reference {
        fill(&mut reference.api_version, "v1");
    }
}

fn resource_ref(reference: Option<&mut core::ResourceFieldSelector>) {
    if let Some(divisor) = reference.and_then(|reference| reference.divisor.as_mut()) {
        canonical(divisor);
    }
}

fn downward(files: &mut Option<Vec<core::DownwardAPIVolumeFile>>) {
    for file in files.iter_mut().flatten() {
        field_ref(file.field_ref.as_mut());
        resource_ref(file.resource_field_ref.as_mut());
    }
}

fn volume(volume: &mut core::Volume) {
    let nameless = core::Volume {
        name: volume.name.clone(),
        ..core::Volume::default()
    };
    if *volume == nameless {
        volume.empty_dir = Some(core::EmptyDirVolumeSource::default());
    }
    if let Some(source) = &mut volume.empty_dir {
        source.size_limit.iter_mut().for_each(canonical);
    }
    if let Some(source) = &mut volume.host_path {
        source.type_.get_or_insert_default();
    }
    if let Some(source) = &mut volume.config_map {
        source.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(source) = &mut volume.secret {
        source.default_mode.get_or_insert(FILE_MODE);
    }
    if let Some(source) = &mut volume.downward_api {
        source.default_mode.get_or_insert(FILE_MODE);
        downward(&mut source.items);
    }
    if let Some(source) = &mut volume.projected {
        source.default_mode.get_or_insert(FILE_MODE);
        for part in source.sources.iter_mut().flatten() {
            if let Some(part) = &mut part.downward_api {
                downward(&mut part.items);
            }
            if let Some(part) = &mut part.service_account_token {
                part.expiration_seconds.get_or_insert(3600);
            }
        }
    }
    if let Some(source) = &mut volume.image {
        let policy = pull_policy(source.reference.as_deref().unwrap_or_default());
        fill(&mut source.pull_policy, policy);
    }
}

/// Requests of the pod follow from those of its containers, else from its own limits.
fn pod_resources(spec: &mut core::PodSpec) {
    let Some(mut resources) = spec.resources.take() else {
        return;
    };
    requirements(&mut resources);
    let huge = |name: &str| name.starts_with("hugepages-");
    let sum = |pick: fn(&core::ResourceRequirements) -> &Option<Amounts>, name: &str| {
        let amounts = roles(spec).map(|(role, one)| {
            let amounts = one.resources.as_ref().and_then(|own| pick(own).as_ref());
            (role, amounts.and_then(|own| own.get(name)?.0.parse().ok()))
        });
        qos::aggregate(amounts).map(|sum: Quantity| Text(sum.to_string()))
    };
    let named = |pick: fn(&core::ResourceRequirements) -> &Option<Amounts>| {
        let names = roles(spec).filter_map(move |(_, one)| pick(one.resources.as_ref()?).as_ref());
        names.flat_map(BTreeMap::keys).cloned().collect::<Vec<_>>()
    };
    for name in named(|own| &own.limits)
        .into_iter()
        .filter(|name| huge(name))
    {
        if let Some(total) = sum(|own| &own.limits, &name) {
            resources
                .limits
                .get_or_insert_default()
                .entry(name)
                .or_insert(total);
        }
    }
    if let Some(limits) = resources
        .limits
        .as_ref()
        .filter(|limits| !limits.is_empty())
    {
        let requests = resources.requests.get_or_insert_default();
        for name in named(|own| &own.requests) {
            if ["cpu", "memory"].contains(&name.as_str())
                && let Some(total) = sum(|own| &own.requests, &name)
            {
                requests.entry(name).or_insert(total);
            }
        }
        for (name, limit) in limits {
            requests
                .entry(name.clone())
                .or_insert_with(|| limit.clone());
        }
    }
    spec.resources = Some(resources);
}

/// Every container with its role, in the order in which they start.
pub fn roles(spec: &core::PodSpec) -> impl Iterator<Item = (Role, &core::Container)> {
    let init = spec
        .init_containers
        .iter()
        .flatten()
        .map(|one| (init_role(one), one));
    init.chain(spec.containers.iter().map(|one| (Role::App, one)))
}

/// What an entry of `initContainers` is.
pub fn init_role(container: &core::Container) -> Role {
    match container.restart_policy.as_deref() {
        Some("Always") => Role::Sidecar,
        _ => Role::Init,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn defaulted(spec: Value) -> Value {
        let pod = json!({"metadata": {"name": "p"}, "spec": spec});
        let mut pod: core::Pod = serde_json::from_value(pod).expect("a pod");
        apply(&mut pod);
        serde_json::to_value(pod).expect("json")["spec"].take()
    }

    #[test]
    fn a_minimal_pod_with_a_probe_gets_every_default() {
        let spec = defaulted(json!({"containers": [{"name": "c", "image": "img:1",
            "ports": [{"containerPort": 80}],
            "readinessProbe": {"httpGet": {"port": 80}, "timeoutSeconds": 0}}]}));
        let want = json!({
            "restartPolicy": "Always", "dnsPolicy": "ClusterFirst", "schedulerName": "default-scheduler",
            "terminationGracePeriodSeconds": 30, "securityContext": {}, "enableServiceLinks": true,
            "containers": [{
                "name": "c", "image": "img:1", "imagePullPolicy": "IfNotPresent",
                "terminationMessagePath": "/dev/termination-log", "terminationMessagePolicy": "File",
                "ports": [{"containerPort": 80, "protocol": "TCP"}],
                "readinessProbe": {"httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
                    "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
            }],
        });
        assert_eq!(spec, want);
    }

    #[test]
    fn the_pull_policy_follows_the_tag() {
        for (image, policy) in [
            ("img", "Always"),
            ("img:1", "IfNotPresent"),
            ("img:latest", "Always"),
            ("host:5000/img", "Always"),
            ("host:5000/img:2", "IfNotPresent"),
            ("img@sha256:0", "IfNotPresent"),
            ("img:latest@sha256:0", "Always"),
            ("img:1@sha256:0", "IfNotPresent"),
        ] {
            assert_eq!(pull_policy(image), policy, "{image}");
        }
    }

    #[test]
    fn amounts_are_canonical_and_requests_follow_limits() {
        let spec = defaulted(
            json!({"containers": [{"name": "c", "image": "i:1", "resources": {
            "limits": {"cpu": "0.5", "memory": "1.5Gi", "ephemeral-storage": "1e3"},
            "requests": {"cpu": "100n", "memory": "1.5.2"}}}]}),
        );
        let want = json!({
            "limits": {"cpu": "500m", "memory": "1536Mi", "ephemeral-storage": "1e3"},
            "requests": {"cpu": "1m", "memory": "1.5.2", "ephemeral-storage": "1e3"},
        });
        assert_eq!(spec["containers"][0]["resources"], want);
    }

    #[test]
    fn requests_of_the_pod_follow_from_containers_then_from_its_limits() {
        let spec = defaulted(json!({
        "resources": {"limits": {"cpu": "2", "memory": "1Gi"}},
        "initContainers": [{"name": "i", "resources": {"requests": {"cpu": "900m"}}}],
        "containers": [
            {"name": "a", "resources": {"requests": {"cpu": "250m"}, "limits": {"hugepages-2Mi": "4Mi"}}},
            {"name": "b", "resources": {"requests": {"cpu": "250m"}}},
        ]}));
        let want = json!({
            "limits": {"cpu": "2", "memory": "1Gi", "hugepages-2Mi": "4Mi"},
            "requests": {"cpu": "900m", "memory": "1Gi", "hugepages-2Mi": "4Mi"},
        });
        assert_eq!(spec["resources"], want);
    }

    #[test]
    fn host_network_publishes_every_port_and_volumes_get_theirs() {
        let spec = defaulted(json!({
        "hostNetwork": true,
        "containers": [{"name": "c", "ports": [{"containerPort": 80}, {"containerPort": 81, "hostPort": 82}]}],
        "volumes": [
            {"name": "e"}, {"name": "h", "hostPath": {"path": "/"}}, {"name": "s", "secret": {"secretName": "s"}},
            {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        ]}));
        assert_eq!(spec["containers"][0]["ports"][0]["hostPort"], 80);
        assert_eq!(spec["containers"][0]["ports"][1]["hostPort"], 82);
        let volumes = json!([
            {"name": "e", "emptyDir": {}},
            {"name": "h", "hostPath": {"path": "/", "type": ""}},
            {"name": "s", "secret": {"secretName": "s", "defaultMode": 420}},
            {"name": "p", "projected": {"defaultMode": 420,
                "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}]}},
        ]);
        assert_eq!(spec["volumes"], volumes);
    }
}
