//! `registries.conf`: which registries a name means, where they really are, and which of them we may trust blindly.
//! Source: containers-registries.conf(5), version 2.

use super::name::Name;
use super::{PullError, small_file};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Names a file that replaces the machine's.
const FILE_VARIABLE: &str = "CONTAINERS_REGISTRIES_CONF";
/// Names a directory that replaces the machine's.
const DIRECTORY_VARIABLE: &str = "CONTAINERS_REGISTRIES_CONF_DIR";
const FILE: &str = "/etc/containers/registries.conf";
const DIRECTORY: &str = "/etc/containers/registries.conf.d";
/// Registries tried for one short name, and mirrors for one registry.
const ALTERNATIVES: usize = 16;

/// What all files say together; later ones win.
#[derive(Debug, Default)]
pub(in crate::image) struct Registries {
    search: Vec<String>,
    aliases: BTreeMap<String, String>,
    registries: BTreeMap<String, Registry>,
}

/// A place to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::image) struct Endpoint {
    /// With its port, if it has one.
    pub host: String,
    /// Path of the image there.
    pub path: String,
    /// HTTP and unknown certificates are fine.
    pub insecure: bool,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct File {
    unqualified_search_registries: Option<Vec<String>>,
    aliases: BTreeMap<String, String>,
    registry: Vec<Registry>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Registry {
    prefix: String,
    location: String,
    insecure: bool,
    blocked: bool,
    mirror_by_digest_only: bool,
    mirror: Vec<Mirror>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", default)]
struct Mirror {
    location: String,
    insecure: bool,
    pull_from_mirror: String,
}

impl Registries {
    /// Reads the machine's files, or those that the environment names, and the user's.
    pub fn load() -> Result<Registries, PullError> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        let own = variable("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .or(variable("HOME").map(|home| Path::new(&home).join(".config")))
            .map(|dir| dir.join("containers"));
        let mut files = Vec::new();
        match (variable(FILE_VARIABLE), &own) {
            (Some(file), _) => files.push(PathBuf::from(file)),
            (None, Some(own)) if own.join("registries.conf").is_file() => {
                files.push(own.join("registries.conf"));
            }
            _ => files.push(PathBuf::from(FILE)),
        }
        match (variable(DIRECTORY_VARIABLE), own) {
            (Some(directory), _) => files.extend(dropped_in(Path::new(&directory))),
            (None, own) => {
                files.extend(dropped_in(Path::new(DIRECTORY)));
                files.extend(
                    own.map_or(Vec::new(), |own| dropped_in(&own.join("registries.conf.d"))),
                );
            }
        }
        let mut all = Registries::default();
        for file in files {
            if let Some(bytes) = small_file(&file)? {
                all.add(&String::from_utf8_lossy(&bytes))
                    .map_err(|problem| PullError::Configuration {
                        path: file.display().to_string(),
                        problem,
                    })?;
            }
        }
        Ok(all)
    }

    fn add(&mut self, text: &str) -> Result<(), String> {
        // Its message names line and column; what it quotes is no secret.
        let file: File = toml::from_str(text).map_err(|error| error.to_string())?;
        if let Some(search) = file.unqualified_search_registries {
            self.search = search;
        }
        self.aliases.extend(file.aliases);
        for mut registry in file.registry {
            if registry.prefix.is_empty() {
                registry.prefix.clone_from(&registry.location);
            }
            if registry.prefix.is_empty() {
                return Err("a [[registry]] must have a prefix or a location".to_owned());
            }
            let mirrors = registry.mirror.iter().map(|mirror| &mirror.location);
            if let Some(location) = mirrors
                .chain([&registry.location])
                .find(|l| l.contains("://"))
            {
                return Err(format!(
                    "`{location}` must be a host and a path, without a scheme"
                ));
            }
            self.registries.insert(registry.prefix.clone(), registry);
        }
        Ok(())
    }

    /// The whole names that a name may mean, in the order to try them.
    pub fn candidates(&self, name: &Name) -> Vec<Name> {
        if let Some(host) = &name.host {
            return vec![name.at(host)];
        }
        if let Some(target) = self.aliases.get(&name.path) {
            let target = Name::new(target);
            return vec![Name {
                tag: name.tag.clone(),
                digest: name.digest.clone(),
                ..target.whole()
            }];
        }
        if self.search.is_empty() {
            return vec![name.whole()];
        }
        let registries = self.search.iter().take(ALTERNATIVES);
        registries.map(|host| name.at(host)).collect()
    }

    /// Where to ask for a whole name, in order: mirrors, then the registry itself.
    pub fn endpoints(&self, name: &Name) -> Result<Vec<Endpoint>, PullError> {
        let repository = name.repository();
        let direct = |location: &str, insecure| {
            let (host, path) = location.split_once('/')?;
            Some(Endpoint {
                host: host.to_owned(),
                path: path.to_owned(),
                insecure,
            })
        };
        let known = self
            .registries
            .values()
            .filter_map(|registry| Some((matched(&registry.prefix, &repository)?, registry)))
            .max_by_key(|(length, _)| *length);
        let Some((length, registry)) = known else {
            return Ok(direct(&repository, false).into_iter().collect());
        };
        if registry.blocked {
            return Err(PullError::Blocked(repository));
        }
        let moved = |location: &str, insecure| {
            let rest = &repository[length..];
            direct(
                &format!("{}{rest}", location.trim_end_matches('/')),
                insecure,
            )
        };
        let wanted = |mirror: &&Mirror| match mirror.pull_from_mirror.as_str() {
            "digest-only" => name.digest.is_some(),
            "tag-only" => name.digest.is_none(),
            _ => !registry.mirror_by_digest_only || name.digest.is_some(),
        };
        let mirrors = registry.mirror.iter().filter(wanted).take(ALTERNATIVES);
        let mut found: Vec<Endpoint> = mirrors
            .filter_map(|mirror| moved(&mirror.location, mirror.insecure))
            .collect();
        // A pattern has no location that could be put in its place.
        let location = match registry.location.as_str() {
            "" => None,
            _ if registry.prefix.starts_with("*.") => None,
            location => Some(location),
        };
        found.extend(match location {
            Some(location) => moved(location, registry.insecure),
            None => direct(&repository, registry.insecure),
        });
        Ok(found)
    }
}

/// Bytes of a repository that a prefix covers. A prefix ends at a `/`; `*.` stands for any part of the host.
fn matched(prefix: &str, repository: &str) -> Option<usize> {
    if let Some(domain) = prefix.strip_prefix('*') {
        let host = repository.split('/').next().unwrap_or_default();
        return (host.len() > domain.len() && host.ends_with(domain)).then_some(host.len());
    }
    let rest = repository.strip_prefix(prefix)?;
    (rest.is_empty() || rest.starts_with('/')).then_some(prefix.len())
}

/// The `*.conf` of a directory, by name.
fn dropped_in(directory: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "conf")
        })
        .collect();
    files.sort();
    files
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registries(text: &str) -> Registries {
        let mut registries = Registries::default();
        registries.add(text).expect("TOML");
        registries
    }

    fn asked(registries: &Registries, name: &str) -> Vec<String> {
        let names = registries.candidates(&Name::new(name)).into_iter();
        let endpoints = names.flat_map(|name| registries.endpoints(&name).expect("not blocked"));
        endpoints
            .map(|e| {
                format!(
                    "{}/{}{}",
                    e.host,
                    e.path,
                    if e.insecure { " insecure" } else { "" }
                )
            })
            .collect()
    }

    #[test]
    fn without_a_file_a_short_name_is_the_default_registrys() {
        let none = Registries::default();
        assert_eq!(asked(&none, "app:1"), ["docker.io/library/app"]);
        assert_eq!(asked(&none, "h.org/app:1"), ["h.org/app"]);
    }

    #[test]
    fn aliases_come_before_the_search_list() {
        let both = registries(
            "unqualified-search-registries = ['a.org', 'docker.io']\n[aliases]\n'app' = 'b.org/x/app'",
        );
        assert_eq!(asked(&both, "app:1"), ["b.org/x/app"]);
        assert_eq!(
            asked(&both, "other:1"),
            ["a.org/other", "docker.io/library/other"]
        );
    }

    #[test]
    fn the_longest_prefix_rewrites_and_mirrors_come_first() {
        let text = "
            [[registry]]
            location = 'a.org'
            insecure = true
            [[registry]]
            prefix = 'a.org/team'
            location = 'b.org/copy/team'
            [[registry.mirror]]
            location = 'm.org:5000/team'
            insecure = true
            [[registry.mirror]]
            location = 'd.org'
            pull-from-mirror = 'digest-only'
        ";
        let registries = registries(text);
        assert_eq!(asked(&registries, "a.org/app:1"), ["a.org/app insecure"]);
        assert_eq!(
            asked(&registries, "a.org/team/app:1"),
            ["m.org:5000/team/app insecure", "b.org/copy/team/app"]
        );
        assert_eq!(
            asked(&registries, "a.org/teams/app:1"),
            ["a.org/teams/app insecure"]
        );
        let digest = format!("a.org/team/app@sha256:{}", "0".repeat(64));
        assert_eq!(asked(&registries, &digest).len(), 3);
    }

    #[test]
    fn a_pattern_covers_the_hosts_below_a_domain() {
        let registries = registries("[[registry]]\nprefix = '*.a.org'\nblocked = true");
        let blocked = |name: &str| registries.endpoints(&Name::new(name)).is_err();
        assert!(blocked("x.a.org/app:1"));
        assert!(!blocked("a.org/app:1"));
        assert!(!blocked("xa.org/app:1"));
    }

    #[test]
    fn a_registry_without_a_place_is_refused() {
        let error = Registries::default().add("[[registry]]\ninsecure = true");
        assert!(
            error
                .expect_err("no place")
                .contains("prefix or a location")
        );
        assert!(Registries::default().add("registry = 1").is_err());
        let scheme = "[[registry]]\nprefix = 'a.org'\nlocation = 'https://b.org'";
        assert!(Registries::default().add(scheme).is_err());
    }
}
