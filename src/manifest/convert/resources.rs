//! Amounts.

use crate::base::Quantity;
use crate::manifest::Resources;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as Text;
use std::collections::BTreeMap;

/// Requests and limits.
pub fn resources(raw: core::ResourceRequirements) -> Resources {
    let core::ResourceRequirements {
        claims: _,
        limits,
        requests,
    } = raw;
    Resources {
        requests: amounts(requests),
        limits: amounts(limits),
    }
}

/// Amounts by the name of their resource.
pub fn amounts(raw: Option<BTreeMap<String, Text>>) -> BTreeMap<String, Quantity> {
    let amounts = raw.into_iter().flatten();
    amounts
        .filter_map(|(name, text)| Some((name, text.0.parse().ok()?)))
        .collect()
}
