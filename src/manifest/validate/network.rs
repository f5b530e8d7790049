//! Ports, DNS, host aliases.

use super::check::{Path, each, name, number, one_of, required, text};
use crate::manifest::finding::Findings;
use crate::manifest::grammar;
use k8s_openapi::api::core::v1 as core;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use std::collections::BTreeSet;

/// Name servers that a resolver reads. Source: glibc MAXNS.
const NAMESERVERS_MAX: usize = 3;
/// Search domains, and the characters of them all. Source: Kubernetes `MaxDNSSearchPaths`, `MaxDNSSearchListChars`.
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARS_MAX: usize = 2048;

/// Host ports that are taken, as `protocol/address/number`.
pub type HostPorts = BTreeSet<String>;

/// Ports of one container; `taken` are the host ports of those before it.
pub fn ports(
    container: &core::Container,
    host_network: bool,
    taken: &mut HostPorts,
    at: &Path,
    findings: &mut Findings,
) {
    let mut names = BTreeSet::new();
    for (at, port) in each(&container.ports, &at.field("ports")) {
        if let Some(port_name) = port.name.as_deref().filter(|name| !name.is_empty()) {
            text(findings, &at.field("name"), port_name, grammar::port_name);
            if !names.insert(port_name) {
                findings.duplicate(at.field("name"), port_name);
            }
        }
        match port.container_port {
            0 => required(findings, &at.field("containerPort"), ""),
            given => number(
                findings,
                &at.field("containerPort"),
                Some(given.into()),
                grammar::port,
            ),
        }
        if let Some(ip) = port.host_ip.as_deref().filter(|ip| !ip.is_empty()) {
            text(findings, &at.field("hostIP"), ip, grammar::ip);
        }
        let host_port = port.host_port.unwrap_or(0);
        if host_port != 0 {
            // With the host's network it may be a copy, of which all has been said.
            if host_port != port.container_port {
                number(
                    findings,
                    &at.field("hostPort"),
                    Some(host_port.into()),
                    grammar::port,
                );
            }
            let (protocol, ip) = (port.protocol.as_deref(), port.host_ip.as_deref());
            let key = format!(
                "{}/{}/{host_port}",
                protocol.unwrap_or_default(),
                ip.unwrap_or_default()
            );
            if !taken.insert(key.clone()) {
                findings.duplicate(at.field("hostPort"), key);
            }
            if host_network && host_port != port.container_port {
                findings.invalid(
                    at.field("hostPort"),
                    host_port,
                    "must match `containerPort` when `hostNetwork` is true",
                );
            }
        }
        one_of(
            findings,
            &at.field("protocol"),
            port.protocol.as_deref(),
            &["SCTP", "TCP", "UDP"],
        );
    }
}

/// `dnsPolicy` and `dnsConfig`.
pub fn dns(spec: &core::PodSpec, at: &Path, findings: &mut Findings) {
    let policies = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"];
    one_of(
        findings,
        &at.field("dnsPolicy"),
        spec.dns_policy.as_deref(),
        &policies,
    );
    let none = core::PodDNSConfig::default();
    let config = spec.dns_config.as_ref().unwrap_or(&none);
    let at = at.field("dnsConfig");
    let nameservers = config.nameservers.as_deref().unwrap_or_default();
    if nameservers.is_empty() && spec.dns_policy.as_deref() == Some("None") {
        let detail = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        required(findings, &at.field("nameservers"), detail);
    }
    if nameservers.len() > NAMESERVERS_MAX {
        findings.too_many(
            at.field("nameservers"),
            nameservers.len(),
            "must have at most 3 items",
        );
    }
    for (at, nameserver) in each(&config.nameservers, &at.field("nameservers")) {
        text(findings, &at, nameserver, grammar::ip);
    }
    let searches = config.searches.as_deref().unwrap_or_default();
    if searches.len() > SEARCHES_MAX {
        findings.too_many(
            at.field("searches"),
            searches.len(),
            "must have at most 32 items",
        );
    }
    if searches.join(" ").len() > SEARCH_CHARS_MAX {
        let detail = "may not be more than 2048 characters, spaces between domains included";
        findings.too_long(at.field("searches"), detail);
    }
    for (at, domain) in each(&config.searches, &at.field("searches")) {
        text(findings, &at, domain, grammar::search_domain);
    }
    for (at, option) in each(&config.options, &at.field("options")) {
        name(
            findings,
            &at.field("name"),
            option.name.as_deref().unwrap_or_default(),
            one_word,
        );
        if let Some(value) = &option.value {
            text(findings, &at.field("value"), value, one_word);
        }
    }
}

/// An option becomes a part of one line of `resolv.conf`.
fn one_word(text: &str) -> grammar::Outcome {
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("must not contain white space");
    }
    Ok(())
}

/// `hostAliases`.
pub fn host_aliases(spec: &core::PodSpec, at: &Path, findings: &mut Findings) {
    for (at, alias) in each(&spec.host_aliases, &at.field("hostAliases")) {
        text(findings, &at.field("ip"), &alias.ip, grammar::ip);
        for (at, hostname) in each(&alias.hostnames, &at.field("hostnames")) {
            text(findings, &at, hostname, grammar::subdomain);
        }
    }
}

/// A port by number or by name.
pub fn port(port: &IntOrString, at: &Path, findings: &mut Findings) {
    match port {
        IntOrString::Int(port) => number(findings, at, Some((*port).into()), grammar::port),
        IntOrString::String(name) => text(findings, at, name, grammar::port_name),
    }
}
