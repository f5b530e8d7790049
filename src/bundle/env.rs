//! The environment of a container. Names keep the place of their first appearance; a later value replaces an earlier one.
//! Source: kubelet `makeEnvironmentVariables`.

use crate::bundle::{BundleError, ContainerInput};
use crate::manifest::downward::{self, Facts};
use crate::manifest::{
    ConfigObject, Container, EnvFile, EnvValue, EnvVar, ObjectKind, ObjectRef, env_file_value,
    expand,
};
use std::collections::{BTreeMap, BTreeSet};

/// Variables in order, each name once.
#[derive(Debug, Default)]
pub(crate) struct Environment {
    entries: Vec<(String, String)>,
    places: BTreeMap<String, usize>,
}

impl Environment {
    /// Adds a variable or replaces its value.
    fn set(&mut self, name: String, value: String) -> Result<(), BundleError> {
        if value.contains('\0') {
            return Err(BundleError::EnvValue(name));
        }
        match self.places.get(&name) {
            Some(&place) => self.entries[place].1 = value,
            None => {
                self.places.insert(name.clone(), self.entries.len());
                self.entries.push((name, value));
            }
        }
        Ok(())
    }

    /// The value of a variable.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        let place = self.places.get(name)?;
        Some(self.entries[*place].1.as_str())
    }

    /// As `NAME=value`.
    fn lines(self) -> Vec<String> {
        let pairs = self.entries.into_iter();
        pairs
            .map(|(name, value)| format!("{name}={value}"))
            .collect()
    }
}

/// What the pod defines: `envFrom`, then `env`. Errors: an object or key that is not optional is missing; a value with NUL.
pub(crate) fn pod_environment(input: &ContainerInput) -> Result<Environment, BundleError> {
    let mut environment = Environment::default();
    for from in &input.container.env_from {
        let Some(object) = find(input, &from.source)? else {
            continue;
        };
        for (key, value) in &object.data {
            let name = format!("{}{key}", from.prefix);
            if is_name(&name) {
                let value = text(&name, value)?;
                environment.set(name, value)?;
            }
        }
    }
    for variable in &input.container.env {
        if let Some(value) = value_of(input, variable, &environment)? {
            environment.set(variable.name.clone(), value)?;
        }
    }
    Ok(environment)
}

/// `process.env`: the default `PATH`, `TERM` with a terminal, `HOSTNAME`, the image's, the pod's. `HOME` is left to the runtime.
pub(crate) fn process_environment(
    input: &ContainerInput,
    defaults: &[String],
    hostname: &str,
    pod: Environment,
) -> Result<Vec<String>, BundleError> {
    let mut all = Environment::default();
    let mut add = |line: &str| {
        let (name, value) = line.split_once('=').unwrap_or((line, ""));
        all.set(name.to_owned(), value.to_owned())
    };
    for line in defaults {
        add(line)?;
    }
    if input.container.tty {
        add("TERM=xterm")?;
    }
    add(&format!("HOSTNAME={hostname}"))?;
    for line in input.image.env.iter().filter(|l| !l.starts_with('=')) {
        add(line)?;
    }
    for (name, value) in pod.entries {
        all.set(name, value)?;
    }
    Ok(all.lines())
}

/// What the downward API answers with.
fn facts<'a>(input: &ContainerInput<'a>) -> Facts<'a> {
    Facts {
        pod_ips: &input.sandbox.pod_ips,
        host_ips: &input.host.ips,
        node_name: &input.host.hostname,
        cpu_milli: input.host.cpu_milli,
        memory_bytes: input.host.memory_bytes,
        storage_bytes: input.host.storage_bytes,
    }
}

/// Names of `envFrom` that no environment can hold and that are therefore left out.
pub(crate) fn unusable_names(input: &ContainerInput) -> Vec<String> {
    let sources = input.container.env_from.iter();
    sources
        .filter_map(|from| Some((from, find(input, &from.source).ok()??)))
        .flat_map(|(from, object)| object.data.keys().map(|k| format!("{}{k}", from.prefix)))
        .filter(|name| !is_name(name))
        .collect()
}

fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

/// `None` means: leave the variable as it is, its optional source is absent.
fn value_of(
    input: &ContainerInput,
    variable: &EnvVar,
    before: &Environment,
) -> Result<Option<String>, BundleError> {
    match &variable.value {
        EnvValue::Literal(text) => Ok(Some(expand(text, |name| before.value(name)))),
        EnvValue::Field(field) => Ok(Some(downward::field(field, input.pod, &facts(input)))),
        EnvValue::Resource(resource) => {
            let value =
                downward::resource(resource, input.pod, Some(input.container), &facts(input));
            Ok(Some(value.map_or_else(String::new, |v| v.to_string())))
        }
        EnvValue::Key { object, key } => key_value(input, &variable.name, object, key),
        EnvValue::File {
            file,
            key,
            optional,
        } => file_value(input, file, key, *optional),
    }
}

fn key_value(
    input: &ContainerInput,
    name: &str,
    wanted: &ObjectRef,
    key: &str,
) -> Result<Option<String>, BundleError> {
    let Some(object) = find(input, wanted)? else {
        return Ok(None);
    };
    match object.data.get(key) {
        Some(value) => text(name, value).map(Some),
        None if wanted.optional => Ok(None),
        None => Err(BundleError::KeyMissing {
            kind: match wanted.kind {
                ObjectKind::ConfigMap => "ConfigMap",
                ObjectKind::Secret => "Secret",
            },
            namespace: input.pod.namespace.clone(),
            name: wanted.name.clone(),
            key: key.to_owned(),
        }),
    }
}

/// Files of variables that the container's environment needs.
pub fn env_files(container: &Container) -> BTreeSet<&EnvFile> {
    let values = container.env.iter().map(|variable| &variable.value);
    values
        .filter_map(|value| match value {
            EnvValue::File { file, .. } => Some(file),
            _ => None,
        })
        .collect()
}

fn file_value(
    input: &ContainerInput,
    file: &EnvFile,
    key: &str,
    optional: bool,
) -> Result<Option<String>, BundleError> {
    let path = || file.path.clone();
    let Some(text) = input.volume_parts.env_files.get(file) else {
        return match optional {
            true => Ok(None),
            false => Err(BundleError::EnvFileMissing(path())),
        };
    };
    let value =
        env_file_value(text, key).map_err(|line| BundleError::EnvFile { path: path(), line })?;
    match value.filter(|value| !value.is_empty()) {
        None if !optional => Err(BundleError::EnvFileKey {
            path: path(),
            key: key.to_owned(),
        }),
        value => Ok(value),
    }
}

fn find<'a>(
    input: &ContainerInput<'a>,
    wanted: &ObjectRef,
) -> Result<Option<&'a ConfigObject>, BundleError> {
    let found = input.objects.iter().find(|o| {
        o.kind == wanted.kind && o.name == wanted.name && o.namespace == input.pod.namespace
    });
    match found {
        None if !wanted.optional => Err(BundleError::ObjectMissing {
            kind: match wanted.kind {
                ObjectKind::ConfigMap => "configmap",
                ObjectKind::Secret => "secret",
            },
            name: wanted.name.clone(),
        }),
        found => Ok(found),
    }
}

fn text(name: &str, value: &[u8]) -> Result<String, BundleError> {
    String::from_utf8(value.to_vec()).map_err(|_| BundleError::EnvValue(name.to_owned()))
}
