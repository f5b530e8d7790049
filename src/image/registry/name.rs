//! The parts of a registry reference, and which references mean the same image.

use crate::image::digest::Digest;
use std::fmt;

/// What a name without a host has always meant. Source: distribution reference, familiar names.
const DEFAULT_HOST: &str = "docker.io";
const DEFAULT_NAMESPACE: &str = "library/";
/// Other spellings of it.
const DEFAULT_HOST_ALIAS: &str = "index.docker.io";

/// A registry reference in its parts. [`Reference`](crate::image::Reference) has checked the grammar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::image) struct Name {
    /// With its port, if it has one; absent in a short name.
    pub host: Option<String>,
    pub path: String,
    pub tag: Option<String>,
    pub digest: Option<Digest>,
}

impl Name {
    /// Takes a reference in its normal form apart.
    pub fn new(reference: &str) -> Name {
        let (rest, digest) = match reference.split_once('@') {
            Some((rest, digest)) => (rest, digest.parse().ok()),
            None => (reference, None),
        };
        let last = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (rest, tag) = match rest[last..].find(':') {
            Some(colon) => (
                &rest[..last + colon],
                Some(rest[last + colon + 1..].to_owned()),
            ),
            None => (rest, None),
        };
        let (host, path) = match rest.split_once('/') {
            Some((host, path)) if is_host(host) => (Some(host.to_owned()), path),
            _ => (None, rest),
        };
        Name {
            host,
            path: path.to_owned(),
            tag,
            digest,
        }
    }

    /// The same image at this registry.
    pub fn at(&self, host: &str) -> Name {
        let host = match host {
            DEFAULT_HOST_ALIAS => DEFAULT_HOST,
            host => host,
        };
        let path = if host == DEFAULT_HOST && !self.path.contains('/') {
            format!("{DEFAULT_NAMESPACE}{}", self.path)
        } else {
            self.path.clone()
        };
        Name {
            host: Some(host.to_owned()),
            path,
            ..self.clone()
        }
    }

    /// The whole name: short names are the default registry's.
    pub fn whole(&self) -> Name {
        self.at(self.host.as_deref().unwrap_or(DEFAULT_HOST))
    }

    /// Which manifest: the digest if there is one, whatever the tag says.
    pub fn manifest(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// Host and path, without tag and digest.
    pub fn repository(&self) -> String {
        match &self.host {
            Some(host) => format!("{host}/{}", self.path),
            None => self.path.clone(),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.repository())?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// Whether the first component of a name is a registry and not a namespace.
fn is_host(component: &str) -> bool {
    component.contains(['.', ':']) || component == "localhost"
}

/// Every spelling of a reference under which its image may have been stored, the given one first.
pub(in crate::image) fn spellings(reference: &str) -> Vec<String> {
    let whole = Name::new(reference).whole();
    let mut found = vec![reference.to_owned(), whole.to_string()];
    if whole.host.as_deref() == Some(DEFAULT_HOST) {
        let short = Name {
            host: None,
            ..whole.clone()
        };
        let plain = whole.path.strip_prefix(DEFAULT_NAMESPACE);
        if let Some(plain) = plain.filter(|plain| !plain.contains('/')) {
            let familiar = Name {
                path: plain.to_owned(),
                ..short.clone()
            };
            found.push(familiar.to_string());
            found.push(format!("{DEFAULT_HOST}/{familiar}"));
        }
        found.push(short.to_string());
    }
    let mut seen = std::collections::BTreeSet::new();
    found.retain(|name| seen.insert(name.clone()));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_without_a_host_is_the_default_registrys() {
        for (short, whole) in [
            ("app:1", "docker.io/library/app:1"),
            ("team/app:1", "docker.io/team/app:1"),
            ("index.docker.io/app:1", "docker.io/library/app:1"),
            ("localhost/app:1", "localhost/app:1"),
            ("host:5000/a/b:1", "host:5000/a/b:1"),
        ] {
            assert_eq!(Name::new(short).whole().to_string(), whole);
        }
    }

    #[test]
    fn a_digest_beats_the_tag() {
        let digest = format!("sha256:{}", "a".repeat(64));
        let name = Name::new(&format!("host:5000/app:latest@{digest}"));
        assert_eq!(name.manifest(), digest);
        assert_eq!(name.tag.as_deref(), Some("latest"));
        assert_eq!(name.repository(), "host:5000/app");
    }

    #[test]
    fn the_spellings_of_a_familiar_name_are_one_image() {
        for one in ["app:1", "docker.io/app:1", "docker.io/library/app:1"] {
            for other in ["app:1", "docker.io/app:1", "docker.io/library/app:1"] {
                assert!(spellings(one).contains(&other.to_owned()), "{one} {other}");
            }
        }
        assert_eq!(spellings("host.org/app:1"), ["host.org/app:1"]);
    }
}
