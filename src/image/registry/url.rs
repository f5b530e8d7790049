//! Addresses of registries: `http` and `https` only, never with a user in them.

use crate::image::error::shown;
use std::fmt;

/// Bytes of an address: signed ones of object stores have two thousand.
const URL_BYTES: usize = 16 << 10;

/// An absolute address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    /// Whether it is encrypted.
    pub secure: bool,
    /// With its port, if it has one.
    pub host: String,
    /// Path and query, from the slash on.
    pub rest: String,
}

impl Url {
    /// An address of a registry.
    pub fn new(secure: bool, host: &str, rest: &str) -> Url {
        Url {
            secure,
            host: host.to_owned(),
            rest: rest.to_owned(),
        }
    }

    /// Reads an absolute address.
    pub fn parse(text: &str) -> Result<Url, &'static str> {
        if text.len() > URL_BYTES {
            return Err("the address is longer than 16 KiB");
        }
        let uri: ureq::http::Uri = text.parse().map_err(|_| "it is no address")?;
        let secure = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => false,
            _ => return Err("only http and https are followed"),
        };
        let host = uri.authority().map(|a| a.as_str()).unwrap_or_default();
        if host.is_empty() || host.contains('@') {
            return Err("it must have a host and no user");
        }
        let rest = uri.path_and_query().map_or("/", |rest| rest.as_str());
        Ok(Url::new(secure, host, rest))
    }

    /// Where a `Location` that was found here leads.
    pub fn join(&self, location: &str) -> Result<Url, &'static str> {
        let scheme = if self.secure { "https" } else { "http" };
        if let Some(rest) = location.strip_prefix("//") {
            return Url::parse(&format!("{scheme}://{rest}"));
        }
        let has_scheme = location
            .split(['/', '?', '#'])
            .next()
            .is_some_and(|start| start.contains(':'));
        if has_scheme {
            return Url::parse(location);
        }
        let path = self.rest.split('?').next().unwrap_or("/");
        let base = match location.starts_with('/') {
            true => "",
            false => path.rsplit_once('/').map_or("", |(directory, _)| directory),
        };
        let slash = if location.starts_with('/') { "" } else { "/" };
        Url::parse(&format!("{scheme}://{}{base}{slash}{location}", self.host))
    }

    /// Whether what may be told here may be told there.
    pub fn same_origin(&self, other: &Url) -> bool {
        let with_port = |url: &Url| {
            let bracket = url.host.rfind(']').unwrap_or(0);
            match url.host[bracket..].contains(':') {
                true => url.host.to_ascii_lowercase(),
                false => format!(
                    "{}:{}",
                    url.host.to_ascii_lowercase(),
                    if url.secure { 443 } else { 80 }
                ),
            }
        };
        self.secure == other.secure && with_port(self) == with_port(other)
    }

    /// The whole address, for the request alone.
    pub fn full(&self) -> String {
        let scheme = if self.secure { "https" } else { "http" };
        format!("{scheme}://{}{}", self.host, self.rest)
    }
}

impl fmt::Display for Url {
    /// Without the query: object stores put signatures there.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let full = self.full();
        f.write_str(&shown(
            full.split('?').next().unwrap_or_default().as_bytes(),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locations_are_joined_and_strange_ones_refused() {
        let base = Url::parse("https://host:5000/v2/a/blobs/x?y=1").expect("an address");
        let join = |location: &str| base.join(location).map(|url| url.full());
        assert_eq!(join("/z"), Ok("https://host:5000/z".to_owned()));
        assert_eq!(join("z"), Ok("https://host:5000/v2/a/blobs/z".to_owned()));
        assert_eq!(join("//b/z"), Ok("https://b/z".to_owned()));
        assert_eq!(join("http://b"), Ok("http://b/".to_owned()));
        assert_eq!(
            join("?q=a:b"),
            Ok("https://host:5000/v2/a/blobs/?q=a:b".to_owned())
        );
        for bad in [
            "file:///etc/passwd",
            "ftp://a/b",
            "gopher:x",
            "https://user:secret@host/",
            "http:///x",
            "https://a/\u{7f}",
        ] {
            assert!(join(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_origin_is_scheme_host_and_port() {
        let same = |a: &str, b: &str| {
            Url::parse(a)
                .expect(a)
                .same_origin(&Url::parse(b).expect(b))
        };
        assert!(same("https://a/x", "https://A:443/y"));
        assert!(!same("https://a/x", "http://a/x"));
        assert!(!same("https://a/x", "https://a:444/x"));
        assert!(!same("https://a/x", "https://b/x"));
    }

    #[test]
    fn what_is_told_has_no_query() {
        let url = Url::parse("https://a/b?signature=secret").expect("an address");
        assert_eq!(url.to_string(), "https://a/b");
    }
}
