//! Image references: a transport and a path on this machine, or a registry reference (the place where registries will attach).

use crate::image::ImageError;
use crate::image::digest::Digest;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Bytes of a whole reference; longer ones only cost memory and log space.
const REFERENCE_BYTES: usize = 4096;
/// Bytes of a repository name. Source: distribution reference grammar.
const NAME_BYTES: usize = 255;
/// Characters of a tag. Source: OCI distribution-spec, pulling manifests.
const TAG_CHARS: usize = 128;

/// What stands before a colon and a path.
const TRANSPORTS: [&str; 4] = ["rootfs", "oci", "oci-archive", "docker-archive"];

/// A parsed `image:`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reference {
    /// `rootfs:/dir`: a directory that is the root file system.
    Rootfs(PathBuf),
    /// `oci:/layout[:tag]`: an OCI image layout directory.
    Oci(PathBuf, Option<String>),
    /// `oci-archive:/file[:tag]`: a tar of one.
    OciArchive(PathBuf, Option<String>),
    /// `docker-archive:/file[:reference]`: what `docker save` writes.
    DockerArchive(PathBuf, Option<String>),
    /// `[host[:port]/]name[:tag][@digest]`, normalised: `:latest` if there is neither tag nor digest. No host is ever added.
    Registry(String),
}

impl FromStr for Reference {
    type Err = ImageError;

    /// As skopeo reads them: a path ends at the first colon.
    fn from_str(text: &str) -> Result<Reference, ImageError> {
        parse(text, absolute).map_err(wrong(text))
    }
}

impl Reference {
    /// What somebody types: a path after a transport that does not begin with `/` is one from the working directory. `None`
    /// where there is no transport and it is no name of an image either.
    pub(super) fn typed(text: &str) -> Result<Option<Reference>, ImageError> {
        let transport = text.split_once(':').map_or("", |(transport, _)| transport);
        match parse(text, from_here) {
            Err(_) if !TRANSPORTS.contains(&transport) => Ok(None),
            parsed => parsed.map(Some).map_err(wrong(text)),
        }
    }
}

fn wrong(text: &str) -> impl FnOnce(&'static str) -> ImageError {
    |problem| ImageError::Reference {
        reference: text.chars().take(256).collect(),
        problem,
    }
}

/// Reads the path after a transport.
type ReadPath = fn(&str) -> Result<PathBuf, &'static str>;

fn parse(text: &str, read: ReadPath) -> Result<Reference, &'static str> {
    if text.is_empty() {
        return Err("it is empty");
    }
    if text.len() > REFERENCE_BYTES {
        return Err("it is longer than 4096 bytes");
    }
    if text.chars().any(char::is_control) {
        return Err("it has a control character");
    }
    match text.split_once(':') {
        Some(("rootfs", dir)) => Ok(Reference::Rootfs(read(dir)?)),
        Some(("oci", rest)) => path_and_tag(rest, read).map(|(p, t)| Reference::Oci(p, t)),
        Some(("oci-archive", rest)) => {
            path_and_tag(rest, read).map(|(p, t)| Reference::OciArchive(p, t))
        }
        Some(("docker-archive", rest)) => {
            let (path, tag) = path_and_tag(rest, read)?;
            let tag = tag.map(|name| registry(&name)).transpose()?;
            Ok(Reference::DockerArchive(path, tag))
        }
        _ => registry(text).map(Reference::Registry),
    }
}

fn absolute(path: &str) -> Result<PathBuf, &'static str> {
    if path.starts_with('/') {
        Ok(PathBuf::from(path))
    } else {
        Err("the path after the transport must be absolute")
    }
}

fn from_here(path: &str) -> Result<PathBuf, &'static str> {
    if path.is_empty() {
        return Err("no path follows the transport");
    }
    std::path::absolute(path).map_err(|_| "the working directory is gone: write the whole path")
}

fn path_and_tag(rest: &str, read: ReadPath) -> Result<(PathBuf, Option<String>), &'static str> {
    match rest.split_once(':') {
        None => Ok((read(rest)?, None)),
        Some((_, "")) => Err("nothing follows the colon after the path"),
        Some((path, tag)) => Ok((read(path)?, Some(tag.to_owned()))),
    }
}

/// Checks a registry reference and gives its normal form. Source: distribution reference grammar.
fn registry(text: &str) -> Result<String, &'static str> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    let path_start = rest.rfind('/').map_or(0, |slash| slash + 1);
    let (name, tag) = match rest[path_start..].find(':') {
        Some(colon) => (
            &rest[..path_start + colon],
            Some(&rest[path_start + colon + 1..]),
        ),
        None => (rest, None),
    };
    if TRANSPORTS.contains(&name) {
        // With a tag it could not be told from a path.
        return Err("it is the name of a transport: say the path, or the registry's host");
    }
    if name.len() > NAME_BYTES {
        return Err("its name is longer than 255 bytes");
    }
    let path = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => {
            if !is_host(host) {
                return Err("its registry host is not a name or address with an optional port");
            }
            path
        }
        _ => name,
    };
    if !path.split('/').all(is_component) {
        return Err(
            "its name must be lower-case letters and digits, separated by single . - _ or /",
        );
    }
    if !tag.is_none_or(is_tag) {
        return Err("its tag must be 1 to 128 letters, digits, _ . or -, not starting with . or -");
    }
    if !digest.is_none_or(is_digest) {
        return Err("its digest must be sha256: and 64 lower-case hexadecimal digits");
    }
    Ok(match (tag, digest) {
        (None, None) => format!("{rest}:latest"),
        _ => text.to_owned(),
    })
}

fn is_host(host: &str) -> bool {
    let (name, port) = match host.rsplit_once(':') {
        Some((name, port)) if !port.ends_with(']') => (name, Some(port)),
        _ => (host, None),
    };
    let port_fits = port.is_none_or(|p| !p.starts_with('+') && p.parse::<u16>().is_ok());
    let address = name
        .strip_prefix('[')
        .and_then(|inner| inner.strip_suffix(']'));
    let name_fits = match address {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => name.split('.').all(|label| {
            !label.is_empty()
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
        }),
    };
    port_fits && name_fits
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_component(text: &str) -> bool {
    let alphanumeric = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends_fit = |edge: Option<&u8>| edge.is_some_and(alphanumeric);
    ends_fit(text.as_bytes().first())
        && ends_fit(text.as_bytes().last())
        && text
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(|run| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    (1..=TAG_CHARS).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    digest.parse::<Digest>().is_ok()
}

impl fmt::Display for Reference {
    /// The normal form, which reads back as the same reference.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (transport, path, tag) = match self {
            Reference::Registry(name) => return f.write_str(name),
            Reference::Rootfs(path) => ("rootfs", path, &None),
            Reference::Oci(path, tag) => ("oci", path, tag),
            Reference::OciArchive(path, tag) => ("oci-archive", path, tag),
            Reference::DockerArchive(path, tag) => ("docker-archive", path, tag),
        };
        write!(f, "{transport}:{}", path.display())?;
        match tag {
            Some(tag) => write!(f, ":{tag}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pod::FailureReason;

    #[test]
    fn every_transport_is_read_and_prints_as_it_reads() {
        for text in [
            "rootfs:/srv/a:b,c",
            "oci:/l",
            "oci:/l:v1",
            "oci:/l:example.org/a:v1",
            "oci-archive:/a.tar:v1",
            "docker-archive:/a.tar",
            "docker-archive:/a.tar:app:1",
            "app:latest",
            "a/b__c/d--e.f:V_1.2-x",
            "example.org:5000/app:1",
            "localhost/app:1",
            "[::1]:5000/app:1",
        ] {
            let parsed: Reference = text.parse().expect(text);
            assert_eq!(parsed.to_string(), text);
        }
        let digest = format!("app@sha256:{}", "a".repeat(64));
        assert_eq!(
            digest.parse::<Reference>().expect("digest").to_string(),
            digest
        );
    }

    #[test]
    fn what_is_typed_may_be_a_path_from_here() {
        let here = std::env::current_dir().expect("a working directory");
        let typed = |text: &str| Reference::typed(text).expect(text).expect("a reference");
        let expected = Reference::OciArchive(here.join("a/b.tar"), Some("v1".into()));
        assert_eq!(typed("oci-archive:./a/b.tar:v1"), expected);
        assert_eq!(typed("oci:l"), Reference::Oci(here.join("l"), None));
        assert_eq!(typed("oci:/l"), Reference::Oci("/l".into(), None));
        for text in ["oci:", "oci:l:", "docker-archive:a:App", "rootfs:"] {
            Reference::typed(text).expect_err(text);
        }
        // Perhaps a file.
        assert_eq!(Reference::typed("./A.tar").expect("no transport"), None);
    }

    #[test]
    fn only_latest_is_ever_added() {
        let text = |t: &str| t.parse::<Reference>().expect(t).to_string();
        assert_eq!(text("app"), "app:latest");
        assert_eq!(text("host:5000/app"), "host:5000/app:latest");
        assert_eq!(
            text("docker-archive:/a:app"),
            "docker-archive:/a:app:latest"
        );
    }

    #[test]
    fn what_is_no_reference_is_an_invalid_image_name() {
        let long_tag = format!("app:{}", "t".repeat(129));
        let long_name = "n".repeat(256);
        let long = format!("oci:/{}", "n".repeat(5000));
        for bad in [
            "",
            " ",
            "App",
            "app:",
            "app:.x",
            "app@sha256:ab",
            "app@md5:0123",
            "a//b",
            "a/",
            "/a",
            "a..b",
            "a___b",
            "-a",
            "a-",
            "a\n",
            "host:99999/app",
            "exa_mple.org/app",
            "oci:rel",
            "oci:",
            "oci:/l:",
            "rootfs:rel",
            "docker-archive:/a:App",
            "dir:/x",
            "app:1:2",
            &long_tag,
            &long_name,
            &long,
        ] {
            let error = bad.parse::<Reference>().expect_err(bad);
            assert_eq!(error.reason(), FailureReason::InvalidImageName, "{bad}");
        }
    }
}
