//! `subPath` and `subPathExpr`: which part of a volume is mounted. What is there on the disk is for others to look at.

use crate::bundle::env::{Environment, pod_environment};
use crate::bundle::{BundleError, ContainerInput};
use crate::manifest::{SubPath, expand};
use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

/// Place in the container's `mounts` → relative path without `..` in its volume, of those mounts that have one. Errors: a variable
/// that is unset or empty, or an expression that leads out of the volume. Source: kubelet `makeMounts`.
pub fn sub_paths(input: &ContainerInput) -> Result<BTreeMap<usize, String>, BundleError> {
    let mut found = BTreeMap::new();
    let mounts = input.container.mounts.iter().enumerate();
    let mut environment = None;
    for (place, sub_path) in mounts.filter_map(|(n, mount)| Some((n, mount.sub_path.as_ref()?))) {
        let path = match sub_path {
            SubPath::Plain(path) => path.clone(),
            SubPath::Expression(text) => {
                let environment = match &mut environment {
                    Some(known) => known,
                    unknown => unknown.insert(pod_environment(input)?),
                };
                expanded(text, environment)?
            }
        };
        found.insert(place, path);
    }
    Ok(found)
}

fn expanded(text: &str, environment: &Environment) -> Result<String, BundleError> {
    let missing = RefCell::new(BTreeSet::new());
    let path = expand(text, |name| {
        let value = environment.value(name).filter(|value| !value.is_empty());
        if value.is_none() {
            missing.borrow_mut().insert(name.to_owned());
        }
        value
    });
    let missing: Vec<String> = missing.into_inner().into_iter().collect();
    if !missing.is_empty() {
        return Err(BundleError::SubPathVariable(missing.join(", ")));
    }
    if path.starts_with('/') {
        return Err(BundleError::SubPathAbsolute(path));
    }
    if path.split('/').any(|element| element == "..") {
        return Err(BundleError::SubPathBackstep(path));
    }
    Ok(path)
}
