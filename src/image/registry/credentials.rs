//! Who we are to a registry: Secrets of the pod, then the auth files of the machine and the user. Nothing here is ever shown.
//! Source: containers-auth.json(5); Docker's config.json; Kubernetes, "Interpretation of config.json".

use super::helper::ask_helper;
use super::{PullError, small_file};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Credentials tried for one registry; each costs a request.
const CREDENTIALS: usize = 16;

/// One way to log in.
#[derive(Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// User and password.
    Basic(String, String),
    /// A token to be changed for others, with the OAuth2 endpoint of the registry.
    Refresh(String),
    /// A token as the registry wants it.
    Bearer(String),
}

impl fmt::Debug for Credential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credential")
    }
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, Entry>,
    cred_helpers: BTreeMap<String, String>,
    creds_store: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

/// All credentials, in the order in which they are tried.
#[derive(Default)]
pub(in crate::image) struct Keyring {
    files: Vec<DockerConfig>,
}

impl Keyring {
    /// Reads Secrets — documents of type `dockerconfigjson` or `dockercfg` — and the files of the machine and the user.
    pub fn load(secrets: &[Vec<u8>]) -> Result<Keyring, PullError> {
        let mut files = Vec::new();
        for secret in secrets {
            files.push(parse("a Secret of imagePullSecrets", secret)?);
        }
        for path in paths() {
            if let Some(bytes) = small_file(&path)? {
                files.push(parse(&path.display().to_string(), &bytes)?);
            }
        }
        Ok(Keyring { files })
    }

    /// What may open a repository, the closest match of each file first. `patience` is how long a helper may take.
    pub(super) fn find(
        &self,
        host: &str,
        path: &str,
        patience: Duration,
    ) -> Result<Vec<Credential>, PullError> {
        let repository = format!("{host}/{path}");
        let mut found = Vec::new();
        for file in &self.files {
            let mut entries: Vec<(usize, &Entry)> = file
                .auths
                .iter()
                .filter_map(|(key, entry)| Some((covers(key, &repository)?, entry)))
                .collect();
            entries.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
            found.extend(
                entries
                    .into_iter()
                    .filter_map(|(_, entry)| entry.credential()),
            );
            let helper = file
                .cred_helpers
                .iter()
                .find(|(key, _)| covers(key, &repository).is_some());
            let (server, helper) = match (helper, &file.creds_store) {
                (Some((server, helper)), _) => (server.as_str(), helper),
                // Docker stores its own registry under this name.
                (None, Some(store)) if host == "docker.io" => {
                    ("https://index.docker.io/v1/", store)
                }
                (None, Some(store)) => (host, store),
                (None, None) => continue,
            };
            found.extend(ask_helper(helper, server, patience)?);
        }
        found.truncate(CREDENTIALS);
        Ok(found)
    }
}

impl Entry {
    fn credential(&self) -> Option<Credential> {
        let set = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = set(&self.registrytoken) {
            return Some(Credential::Bearer(token));
        }
        if let Some(token) = set(&self.identitytoken) {
            return Some(Credential::Refresh(token));
        }
        if let Some(auth) = set(&self.auth) {
            let plain = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
            let (user, password) = plain.split_once(':')?;
            let password = password.trim_end_matches('\0');
            return Some(Credential::Basic(user.to_owned(), password.to_owned()));
        }
        Some(Credential::Basic(
            set(&self.username)?,
            set(&self.password)?,
        ))
    }
}

/// An auth file, or the old form that is nothing but its entries. What is wrong with it is told without quoting it.
fn parse(path: &str, bytes: &[u8]) -> Result<DockerConfig, PullError> {
    let shape = |error: serde_json::Error| PullError::Configuration {
        path: path.to_owned(),
        problem: format!(
            "it is no Docker configuration (line {}, column {})",
            error.line(),
            error.column()
        ),
    };
    let value: serde_json::Value = serde_json::from_slice(bytes).map_err(shape)?;
    let is_old = value.as_object().is_some_and(|object| {
        let known = ["auths", "credHelpers", "credsStore"];
        !object.is_empty()
            && !known.iter().any(|key| object.contains_key(*key))
            && object
                .values()
                .all(|entry| entry.get("auth").is_some() || entry.get("username").is_some())
    });
    if is_old {
        return Ok(DockerConfig {
            auths: serde_json::from_value(value).map_err(shape)?,
            ..DockerConfig::default()
        });
    }
    serde_json::from_value(value).map_err(shape)
}

/// Bytes of a repository that a key covers: `host`, `host/path`, with a scheme or `/v1/` as Docker writes them, with `*` in the host
/// as Kubernetes allows.
fn covers(key: &str, repository: &str) -> Option<usize> {
    let key = key
        .strip_prefix("https://")
        .or(key.strip_prefix("http://"))
        .unwrap_or(key)
        .trim_end_matches('/');
    let key = key
        .strip_suffix("/v1")
        .or(key.strip_suffix("/v2"))
        .unwrap_or(key);
    let (key_host, key_path) = key.split_once('/').unwrap_or((key, ""));
    let (host, path) = repository.split_once('/')?;
    let key_host = match key_host {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    };
    let rest = path.strip_prefix(key_path)?;
    let path_fits = key_path.is_empty() || rest.is_empty() || rest.starts_with('/');
    (path_fits && host_matches(key_host, host)).then_some(key_host.len() + key_path.len())
}

/// Label by label; `*` stands for a part of one label.
fn host_matches(pattern: &str, host: &str) -> bool {
    let labels = |text: &str| text.split('.').map(str::to_owned).collect::<Vec<_>>();
    let (pattern, host) = (labels(pattern), labels(host));
    pattern.len() == host.len()
        && pattern
            .iter()
            .zip(&host)
            .all(|(p, h)| match p.split_once('*') {
                Some((start, end)) => {
                    h.len() >= start.len() + end.len() && h.starts_with(start) && h.ends_with(end)
                }
                None => p == h,
            })
}

/// The auth files, in the order of containers-auth.json(5). `REGISTRY_AUTH_FILE` replaces the others.
fn paths() -> Vec<PathBuf> {
    let variable = |name| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    if let Some(file) = variable("REGISTRY_AUTH_FILE") {
        return vec![file];
    }
    let home = variable("HOME");
    let below = |dir: &Option<PathBuf>, file: &str| dir.as_ref().map(|dir| dir.join(file));
    let run = variable("XDG_RUNTIME_DIR").or_else(|| {
        let uid = rustix::process::geteuid().as_raw();
        Some(Path::new("/run/containers").join(uid.to_string()))
    });
    let run = match variable("XDG_RUNTIME_DIR") {
        Some(_) => below(&run, "containers/auth.json"),
        None => below(&run, "auth.json"),
    };
    let config = variable("XDG_CONFIG_HOME").or(below(&home, ".config"));
    let docker = variable("DOCKER_CONFIG").or(below(&home, ".docker"));
    [
        run,
        below(&config, "containers/auth.json"),
        below(&docker, "config.json"),
        below(&home, ".dockercfg"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_cover_hosts_and_paths_as_docker_and_kubernetes_write_them() {
        for (key, repository, fits) in [
            ("h.org", "h.org/a/b", true),
            ("https://h.org/v2/", "h.org/a", true),
            ("https://index.docker.io/v1/", "docker.io/library/a", true),
            ("h.org:5000", "h.org/a", false),
            ("h.org/team", "h.org/team/a", true),
            ("h.org/team", "h.org/teams/a", false),
            ("*.h.org", "x.h.org/a", true),
            ("*.h.org", "h.org/a", false),
            ("*.h.org", "x.y.h.org/a", false),
            ("r-*.h.org", "r-1.h.org/a", true),
            ("evil.org", "h.org/evil.org", false),
        ] {
            assert_eq!(
                covers(key, repository).is_some(),
                fits,
                "{key} {repository}"
            );
        }
    }

    #[test]
    fn the_closest_key_comes_first() {
        let text = r#"{"auths": {"h.org": {"auth": "YTph"}, "h.org/team": {"username": "b", "password": "b"},
            "other.org": {"auth": "Yzpj"}, "broken.org": {"auth": "?"}}}"#;
        let keyring = Keyring {
            files: vec![parse("f", text.as_bytes()).expect("JSON")],
        };
        let found = keyring
            .find("h.org", "team/app", Duration::ZERO)
            .expect("no helper");
        let basic = |text: &str| Credential::Basic(text.to_owned(), text.to_owned());
        assert!(found == [basic("b"), basic("a")]);
        assert!(
            keyring
                .find("broken.org", "a", Duration::ZERO)
                .expect("no helper")
                .is_empty()
        );
    }

    #[test]
    fn both_forms_are_read_and_errors_quote_nothing() {
        let old = parse("f", br#"{"h.org": {"auth": "YTph"}}"#).expect("old form");
        assert_eq!(old.auths.len(), 1);
        assert!(parse("f", b"{}").expect("empty").auths.is_empty());
        let error = parse("f", br#"{"auths": {"h": {"auth": "c2VjcmV0" "x"}}}"#);
        let text = error.err().expect("no JSON").to_string();
        assert!(!text.contains("c2VjcmV0"), "{text}");
    }
}
