//! `resources` of containers and of the pod.

use super::check::{self, Path, quoted, required};
use crate::base::Quantity;
use crate::manifest::finding::Findings;
use crate::manifest::{defaults, grammar, qos};
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::BTreeMap;

type Amounts = BTreeMap<String, Text>;

const STANDARD: [&str; 3] = ["cpu", "memory", "ephemeral-storage"];

/// Size of the pages of a `hugepages-<size>` resource, if it is one.
pub fn page_size(resource: &str) -> Option<Quantity> {
    let size: Quantity = resource.strip_prefix("hugepages-")?.parse().ok()?;
    (!size.is_zero() && !size.is_negative()).then_some(size)
}

/// One amount of a resource: readable, not negative, whole where parts make no sense.
pub fn amount(
    resource: &str,
    amount: &Text,
    at: &Path,
    findings: &mut Findings,
) -> Option<Quantity> {
    let value = check::amount(findings, at, amount)?;
    if resource.contains('/') && value.milli() % 1000 != 0 {
        findings.invalid(at, quoted(&amount.0), "must be an integer");
    }
    if let Some(size) = page_size(resource)
        && value.units() % size.units() != 0
    {
        findings.invalid(
            at,
            quoted(&amount.0),
            format!("must be a multiple of the page size {size}"),
        );
    }
    Some(value)
}

/// Requests and limits of a container.
pub fn container(container: &core::Container, at: &Path, findings: &mut Findings) {
    let Some(resources) = &container.resources else {
        return;
    };
    let at = at.field("resources");
    both(resources, known_to_containers, &at, findings);
}

fn known_to_containers(resource: &str, at: &Path, findings: &mut Findings) {
    if resource.contains('/') {
        check::text(findings, at, resource, grammar::qualified_name);
    } else if !STANDARD.contains(&resource) && page_size(resource).is_none() {
        findings.invalid(
            at,
            quoted(resource),
            "must be a standard resource for containers",
        );
    }
}

fn known_to_pods(resource: &str, at: &Path, findings: &mut Findings) {
    if !["cpu", "memory"].contains(&resource) && page_size(resource).is_none() {
        findings.unsupported(at, resource, &["cpu", "hugepages-<size>", "memory"]);
    }
}

fn both(
    resources: &core::ResourceRequirements,
    known: fn(&str, &Path, &mut Findings),
    at: &Path,
    findings: &mut Findings,
) {
    let (limits_at, requests_at) = (at.field("limits"), at.field("requests"));
    let mut limits = BTreeMap::new();
    for (name, text) in resources.limits.iter().flatten() {
        known(name, &limits_at.key(name), findings);
        if let Some(limit) = amount(name, text, &limits_at.key(name), findings) {
            limits.insert(name.as_str(), limit);
        }
    }
    for (name, text) in resources.requests.iter().flatten() {
        let at = requests_at.key(name);
        let declared = resources
            .limits
            .as_ref()
            .and_then(|limits| limits.get(name));
        if declared == Some(text) {
            // Whatever is wrong with it has been said of the limit, which it may well have been copied from.
            continue;
        }
        known(name, &at, findings);
        let whole = page_size(name).is_some() || name.contains('/');
        let Some(request) = amount(name, text, &at, findings) else {
            continue;
        };
        match limits.get(name.as_str()) {
            None if whole && declared.is_none() => {
                required(
                    findings,
                    &limits_at.key(name),
                    "Limit must be set for non overcommitable resources",
                );
            }
            Some(limit) if whole && request != *limit => {
                findings.invalid(
                    &at,
                    quoted(&text.0),
                    format!("must be equal to {name} limit of {limit}"),
                );
            }
            Some(limit) if !whole && request > *limit => {
                findings.invalid(
                    &at,
                    quoted(&text.0),
                    format!("must be less than or equal to {name} limit of {limit}"),
                );
            }
            _ => {}
        }
    }
    let all = || {
        resources
            .limits
            .iter()
            .chain(&resources.requests)
            .flat_map(BTreeMap::keys)
    };
    let huge = all().any(|name| page_size(name).is_some());
    if huge && !all().any(|name| ["cpu", "memory"].contains(&name.as_str())) {
        findings.forbidden(at, "HugePages require cpu or memory");
    }
}

/// Requests and limits of the pod, and of its containers against them.
pub fn pod(spec: &core::PodSpec, at: &Path, findings: &mut Findings) {
    let Some(resources) = &spec.resources else {
        return;
    };
    let own = at.field("resources");
    if resources
        .claims
        .as_ref()
        .is_some_and(|claims| !claims.is_empty())
    {
        findings.forbidden(
            own.field("claims"),
            "may not be set for resources of the pod",
        );
    }
    both(resources, known_to_pods, &own, findings);
    for (name, text) in resources.requests.iter().flatten() {
        let amounts = defaults::roles(spec).map(|(role, one)| {
            let requests = one.resources.as_ref().and_then(|own| own.requests.as_ref());
            (role, read(requests, name))
        });
        if let (Ok(request), Some(sum)) = (text.0.parse::<Quantity>(), qos::aggregate(amounts))
            && request < sum
        {
            let detail =
                format!("must be greater than or equal to aggregate container requests of {sum}");
            findings.invalid(own.field("requests").key(name), quoted(&text.0), detail);
        }
    }
    let app = spec
        .containers
        .iter()
        .enumerate()
        .map(|entry| ("containers", entry));
    let init = spec
        .init_containers
        .iter()
        .flatten()
        .enumerate()
        .map(|entry| ("initContainers", entry));
    for (list, (index, one)) in app.chain(init) {
        let limits = one.resources.as_ref().and_then(|own| own.limits.as_ref());
        for (name, text) in limits.into_iter().flatten() {
            if let (Some(most), Ok(limit)) = (
                read(resources.limits.as_ref(), name),
                text.0.parse::<Quantity>(),
            ) && limit > most
            {
                let at = at
                    .field(list)
                    .index(index)
                    .field("resources")
                    .field("limits")
                    .key(name);
                findings.invalid(
                    at,
                    quoted(&text.0),
                    format!("must be less than or equal to pod limits of {most}"),
                );
            }
        }
    }
}

fn read(amounts: Option<&Amounts>, name: &str) -> Option<Quantity> {
    amounts?.get(name)?.0.parse().ok()
}
