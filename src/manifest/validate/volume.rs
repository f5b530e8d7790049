//! `volumes`.

use super::check::{self, Path, each, name, number, one_of, quoted, required};
use super::env::{self, Place};
use super::resources::page_size;
use crate::manifest::finding::Findings;
use crate::manifest::grammar;
use k8s_openapi::api::core::v1 as core;
use std::collections::BTreeSet;

const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];

/// Checks every volume. `names` are the pod's containers.
pub fn volumes(
    volumes: &Option<Vec<core::Volume>>,
    names: &[&str],
    at: &Path,
    findings: &mut Findings,
) {
    let mut seen = BTreeSet::new();
    for (at, volume) in each(volumes, at) {
        name(findings, &at.field("name"), &volume.name, grammar::label);
        if !volume.name.is_empty() && !seen.insert(volume.name.as_str()) {
            findings.duplicate(at.field("name"), volume.name.as_str());
        }
        let fields = serde_json::to_value(volume).unwrap_or_default();
        let sources = fields
            .as_object()
            .into_iter()
            .flat_map(|fields| fields.keys());
        for source in sources.filter(|field| *field != "name").skip(1) {
            findings.forbidden(at.field(source), "may not specify more than 1 volume type");
        }
        source(volume, names, &at, findings);
    }
}

fn source(volume: &core::Volume, names: &[&str], at: &Path, findings: &mut Findings) {
    if let Some(source) = &volume.empty_dir {
        empty_dir(source, &at.field("emptyDir"), findings);
    }
    if let Some(source) = &volume.host_path {
        let at = at.field("hostPath");
        name(
            findings,
            &at.field("path"),
            &source.path,
            grammar::without_backsteps,
        );
        one_of(
            findings,
            &at.field("type"),
            source.type_.as_deref(),
            &HOST_PATH_TYPES,
        );
    }
    if let Some(source) = &volume.config_map {
        let at = at.field("configMap");
        name(
            findings,
            &at.field("name"),
            &source.name,
            grammar::subdomain,
        );
        mode(source.default_mode, &at.field("defaultMode"), findings);
        items(&source.items, &at, None, findings);
    }
    if let Some(source) = &volume.secret {
        let at = at.field("secret");
        let secret = source.secret_name.as_deref().unwrap_or_default();
        name(
            findings,
            &at.field("secretName"),
            secret,
            grammar::subdomain,
        );
        mode(source.default_mode, &at.field("defaultMode"), findings);
        items(&source.items, &at, None, findings);
    }
    if let Some(source) = &volume.downward_api {
        let at = at.field("downwardAPI");
        mode(source.default_mode, &at.field("defaultMode"), findings);
        downward(&source.items, names, &at, None, findings);
    }
    if let Some(source) = &volume.projected {
        projected(source, names, &at.field("projected"), findings);
    }
    if let Some(source) = &volume.persistent_volume_claim {
        let at = at.field("persistentVolumeClaim").field("claimName");
        name(findings, &at, &source.claim_name, grammar::subdomain);
    }
    if let Some(source) = &volume.ephemeral {
        let at = at.field("ephemeral").field("volumeClaimTemplate");
        match &source.volume_claim_template {
            None => required(findings, &at, ""),
            Some(template) => volume_mode(
                template.spec.volume_mode.as_deref(),
                at.field("spec").field("volumeMode"),
                findings,
            ),
        }
    }
    if let Some(source) = &volume.image {
        let at = at.field("image");
        let pull = source.pull_policy.as_deref();
        one_of(
            findings,
            &at.field("pullPolicy"),
            pull,
            &["Always", "IfNotPresent", "Never"],
        );
        if source.reference.as_deref().unwrap_or_default().is_empty() {
            required(findings, &at.field("reference"), "");
        }
    }
}

/// Of a claim: there are no block devices to give.
pub fn volume_mode(mode: Option<&str>, at: impl Into<String>, findings: &mut Findings) {
    match mode.unwrap_or_default() {
        "" | "Filesystem" => {}
        "Block" => {
            findings.not_supported(at, "volumes of claims are directories; for a block device, use hostPath of type BlockDevice");
        }
        other => {
            findings.unsupported(at, other, &["Block", "Filesystem"]);
        }
    }
}

/// Sizes of the huge pages that containers of the pod ask for, in bytes.
pub fn page_sizes(spec: &core::PodSpec) -> BTreeSet<u64> {
    let init = spec.init_containers.iter().flatten();
    init.chain(&spec.containers)
        .filter_map(|container| container.resources.as_ref())
        .flat_map(|resources| [&resources.limits, &resources.requests])
        .flatten()
        .flat_map(|amounts| amounts.keys())
        .filter_map(|name| u64::try_from(page_size(name)?.units()).ok())
        .collect()
}

/// An emptyDir of huge pages has some to give. Source: kubelet, emptyDir, `getPageSize`.
pub fn huge_pages(spec: &core::PodSpec, at: &Path, findings: &mut Findings) {
    let sizes = page_sizes(spec);
    for (at, volume) in each(&spec.volumes, at) {
        let medium = volume
            .empty_dir
            .as_ref()
            .and_then(|dir| dir.medium.as_deref());
        let at = at.field("emptyDir").field("medium");
        let detail = match medium.unwrap_or_default() {
            "HugePages" if sizes.len() != 1 => {
                "needs containers that ask for huge pages of one size"
            }
            medium => match page_size(&medium.replacen("HugePages-", "hugepages-", 1)) {
                Some(size)
                    if !u64::try_from(size.units()).is_ok_and(|size| sizes.contains(&size)) =>
                {
                    "needs a container that asks for huge pages of this size"
                }
                _ => continue,
            },
        };
        findings.invalid(&at, quoted(medium.unwrap_or_default()), detail);
    }
}

fn empty_dir(source: &core::EmptyDirVolumeSource, at: &Path, findings: &mut Findings) {
    if let Some(limit) = &source.size_limit {
        check::amount(findings, &at.field("sizeLimit"), limit);
    }
    let medium = source.medium.as_deref().unwrap_or_default();
    let huge = medium
        .strip_prefix("HugePages-")
        .is_some_and(|size| page_size(&format!("hugepages-{size}")).is_some());
    if !huge {
        let supported = ["", "HugePages", "HugePages-<size>", "Memory"];
        one_of(findings, &at.field("medium"), Some(medium), &supported);
    }
    number(
        findings,
        &at.field("mode"),
        source.mode.map(i64::from),
        |mode| match mode {
            0..=0o1777 => Ok(()),
            _ => Err("must be a number between 0 and 01777 (octal), both inclusive"),
        },
    );
}

fn mode(mode: Option<i32>, at: &Path, findings: &mut Findings) {
    number(findings, at, mode.map(i64::from), grammar::mode);
}

/// Paths of files that the sources of a projected volume have been told to make.
type Taken = BTreeSet<String>;

/// Only sources of a projected volume may not make the same file; elsewhere the last one wins.
fn file(path: &str, taken: Option<&mut Taken>, at: &Path, findings: &mut Findings) {
    name(findings, at, path, grammar::volume_file);
    if let Some(taken) = taken
        && !path.is_empty()
        && !taken.insert(grammar::shortest(path))
    {
        findings.invalid(at, quoted(path), "conflicting duplicate paths");
    }
}

fn items(
    items: &Option<Vec<core::KeyToPath>>,
    at: &Path,
    mut taken: Option<&mut Taken>,
    findings: &mut Findings,
) {
    for (at, item) in each(items, &at.field("items")) {
        name(findings, &at.field("key"), &item.key, grammar::config_key);
        file(
            &item.path,
            taken.as_deref_mut(),
            &at.field("path"),
            findings,
        );
        mode(item.mode, &at.field("mode"), findings);
    }
}

fn downward(
    files: &Option<Vec<core::DownwardAPIVolumeFile>>,
    names: &[&str],
    at: &Path,
    mut taken: Option<&mut Taken>,
    findings: &mut Findings,
) {
    for (at, item) in each(files, &at.field("items")) {
        file(
            &item.path,
            taken.as_deref_mut(),
            &at.field("path"),
            findings,
        );
        match (&item.field_ref, &item.resource_field_ref) {
            (Some(reference), None) => {
                env::field_ref(reference, Place::Volume, &at.field("fieldRef"), findings)
            }
            (None, Some(reference)) => {
                env::resource_ref(
                    reference,
                    Place::Volume,
                    names,
                    &at.field("resourceFieldRef"),
                    findings,
                );
            }
            (None, None) => required(
                findings,
                &at,
                "one of fieldRef and resourceFieldRef is required",
            ),
            (Some(_), Some(_)) => {
                let detail = "fieldRef and resourceFieldRef can not be specified simultaneously";
                findings.invalid(&at, quoted("resource"), detail);
            }
        }
        mode(item.mode, &at.field("mode"), findings);
    }
}

fn projected(
    source: &core::ProjectedVolumeSource,
    names: &[&str],
    at: &Path,
    findings: &mut Findings,
) {
    mode(source.default_mode, &at.field("defaultMode"), findings);
    let mut taken = Taken::new();
    for (at, part) in each(&source.sources, &at.field("sources")) {
        let fields = serde_json::to_value(part).unwrap_or_default();
        let kinds: Vec<&String> = fields
            .as_object()
            .into_iter()
            .flat_map(|fields| fields.keys())
            .collect();
        if kinds.is_empty() {
            required(findings, &at, "must specify a source type");
        }
        for kind in kinds.iter().skip(1) {
            findings.forbidden(
                at.field(kind),
                "may not specify more than 1 volume type per source",
            );
        }
        if let Some(part) = &part.config_map {
            let at = at.field("configMap");
            name(findings, &at.field("name"), &part.name, grammar::subdomain);
            items(&part.items, &at, Some(&mut taken), findings);
        }
        if let Some(part) = &part.secret {
            let at = at.field("secret");
            name(findings, &at.field("name"), &part.name, grammar::subdomain);
            items(&part.items, &at, Some(&mut taken), findings);
        }
        if let Some(part) = &part.downward_api {
            downward(
                &part.items,
                names,
                &at.field("downwardAPI"),
                Some(&mut taken),
                findings,
            );
        }
        if let Some(part) = &part.service_account_token {
            let at = at.field("serviceAccountToken");
            file(&part.path, Some(&mut taken), &at.field("path"), findings);
        }
    }
}
