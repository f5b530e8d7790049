//! The few URLs there are: those of `httpGet`, and what a server redirects them to. Source: RFC 3986, sections 3 and 5.

/// An absolute `http` or `https` URL without user and fragment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Url {
    /// The scheme.
    pub is_https: bool,
    /// A name or an address, without brackets.
    pub host: String,
    /// Given or by default.
    pub port: u16,
    /// With the query; starts with `/` and has only characters that a request line may have.
    pub path: String,
}

/// Where a redirect leads.
#[derive(Debug, PartialEq, Eq)]
pub struct Redirect {
    /// The place.
    pub url: Url,
    /// It names a host, or at least a scheme.
    pub is_absolute: bool,
}

impl Url {
    /// Builds one; the path is encoded where it must be.
    pub fn new(is_https: bool, host: &str, port: u16, path: &str) -> Url {
        Url {
            is_https,
            host: host.to_owned(),
            port,
            path: encode(path),
        }
    }

    /// `host:port`.
    pub fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    /// What a `Location` means here.
    pub fn redirect(&self, location: &str) -> Result<Redirect, String> {
        let location = location.split('#').next().unwrap_or_default();
        let relative = |path: String| Redirect {
            url: Url::new(self.is_https, &self.host, self.port, &path),
            is_absolute: false,
        };
        if let Some((scheme, rest)) = scheme(location) {
            let is_https = scheme.eq_ignore_ascii_case("https");
            return match rest.strip_prefix("//") {
                Some(rest) if is_https || scheme.eq_ignore_ascii_case("http") => {
                    absolute(is_https, rest)
                }
                _ => Err(format!("redirected to a `{scheme}:` address")),
            };
        }
        if let Some(rest) = location.strip_prefix("//") {
            return absolute(self.is_https, rest);
        }
        let (path, _) = self.path.split_once('?').unwrap_or((&self.path, ""));
        Ok(relative(match location.as_bytes().first() {
            None => self.path.clone(),
            Some(b'/') => without_dots(location),
            Some(b'?') => format!("{path}{location}"),
            Some(_) => {
                let directory = path.rfind('/').map_or("/", |at| &path[..=at]);
                without_dots(&format!("{directory}{location}"))
            }
        }))
    }
}

/// The scheme of a reference and what follows its colon.
fn scheme(reference: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = reference.split_once(':')?;
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
    (scheme.starts_with(|c: char| c.is_ascii_alphabetic()) && scheme.bytes().all(is_word))
        .then_some((scheme, rest))
}

fn absolute(is_https: bool, rest: &str) -> Result<Redirect, String> {
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host_port = authority.rsplit('@').next().unwrap_or_default();
    let (host, port) = match host_port.strip_prefix('[') {
        Some(v6) => v6.split_once(']').unwrap_or(("", "")),
        None => host_port.split_at(host_port.find(':').unwrap_or(host_port.len())),
    };
    let port = match port.strip_prefix(':').unwrap_or(port) {
        "" if is_https => Ok(443),
        "" => Ok(80),
        digits => digits.parse(),
    };
    match port {
        Ok(port) if !host.is_empty() => Ok(Redirect {
            url: Url::new(is_https, host, port, &without_dots(path)),
            is_absolute: true,
        }),
        _ => Err("redirected to an address that cannot be read".to_owned()),
    }
}

/// Takes `.` and `..` out of a path; a query stays as it is. The result starts with `/`.
fn without_dots(reference: &str) -> String {
    let (path, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/').unwrap_or(path).split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                // They name a directory, also at the end.
                if segments.peek().is_none() {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}{query}", kept.join("/"))
}

/// Percent-encodes what a request line may not have; the rest, `%` included, is as written.
fn encode(path: &str) -> String {
    let path = path.split('#').next().unwrap_or_default();
    let mut out = String::with_capacity(path.len());
    if !path.starts_with('/') {
        out.push('/');
    }
    for byte in path.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\\' | b'^' | b'`' | b'{' | b'|' | b'}' => {
                out.push_str(&format!("%{byte:02X}"));
            }
            0x21..=0x7e => out.push(char::from(byte)),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_leads_where_a_browser_would_go() {
        let here = Url::new(false, "10.0.0.1", 8080, "/a/b?x=1");
        for (location, want) in [
            ("/c", "http 10.0.0.1:8080 /c"),
            ("c", "http 10.0.0.1:8080 /a/c"),
            ("../c?d=../e", "http 10.0.0.1:8080 /c?d=../e"),
            ("../../../c/..", "http 10.0.0.1:8080 /"),
            ("?y", "http 10.0.0.1:8080 /a/b?y"),
            ("", "http 10.0.0.1:8080 /a/b?x=1"),
            ("#f", "http 10.0.0.1:8080 /a/b?x=1"),
            ("//h/c", "http h:80 /c"),
            ("https://h", "https h:443 /"),
            ("HTTP://u:p@h:81?q#f", "http h:81 /?q"),
            ("http://[::1]:82/c", "http [::1]:82 /c"),
            ("/a b\u{e9}%20\"", "http 10.0.0.1:8080 /a%20b%C3%A9%20%22"),
        ] {
            let url = here.redirect(location).expect(location).url;
            let scheme = if url.is_https { "https" } else { "http" };
            let got = format!("{scheme} {} {}", url.authority(), url.path);
            assert_eq!(got, want, "{location}");
        }
    }

    #[test]
    fn a_redirect_that_leads_nowhere_is_told() {
        let here = Url::new(false, "h", 80, "/");
        for location in [
            "ftp://h/",
            "http:/h",
            "javascript:0",
            "http://",
            "http://:80/",
            "http://h:99999/",
            "http://[::1",
            "//h:x/",
        ] {
            assert!(here.redirect(location).is_err(), "{location}");
        }
    }

    #[test]
    fn only_a_redirect_with_a_host_is_absolute() {
        let here = Url::new(false, "h", 80, "/");
        let is_absolute = |location| here.redirect(location).expect("a place").is_absolute;
        assert_eq!(
            ["/a", "a", "//h/", "http://h/"].map(is_absolute),
            [false, false, true, true]
        );
    }
}
