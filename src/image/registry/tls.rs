//! Whom we believe to be a registry: the authorities of the machine, and those that its administrator gave one registry; and what
//! that one knows us by.
//! Source: containers-certs.d(5).

use super::{PullError, small_file};
use rustls::crypto::ring::default_provider;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig, parse_pem};

/// Where authorities of one registry are, `<host[:port]>/*.crt`, and what it knows us by, `*.cert` and `*.key`.
const DIRECTORIES: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];
/// Names a directory that replaces both.
const VARIABLE: &str = "CONTAINERS_CERTS_DIR";

/// How much a registry must prove.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    /// A certificate of a known authority.
    Known,
    /// Nothing: `insecure = true`.
    Anyone,
}

/// The rules for one registry, which may ask for our `identity`. *Errors*: its authorities cannot be read.
pub(super) fn config(
    host: &str,
    trust: Trust,
    identity: Option<ClientCert>,
) -> Result<TlsConfig, PullError> {
    let mut roots = machine_roots().clone();
    roots.extend(own_roots(host)?);
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
        .root_certs(RootCerts::from(roots))
        .client_cert(identity)
        .disable_verification(trust == Trust::Anyone)
        .build())
}

/// Read once: there are a hundred and fifty.
fn machine_roots() -> &'static Vec<Certificate<'static>> {
    static ROOTS: OnceLock<Vec<Certificate<'static>>> = OnceLock::new();
    ROOTS.get_or_init(|| {
        // A machine without authorities can reach insecure registries, and those whose authority is in certs.d.
        let found = rustls_native_certs::load_native_certs().certs;
        let owned = |der: &[u8]| Certificate::from_der(der).to_owned();
        found.iter().map(|der| owned(der.as_ref())).collect()
    })
}

/// The files of one registry whose names end so, by name.
fn files(host: &str, extension: &str) -> Vec<PathBuf> {
    let variable = std::env::var(VARIABLE).ok();
    let directories: Vec<&str> = match &variable {
        Some(one) => vec![one],
        None => DIRECTORIES.to_vec(),
    };
    let mut found = Vec::new();
    for directory in directories {
        let entries = std::fs::read_dir(Path::new(directory).join(host));
        let paths = entries.into_iter().flatten().flatten().map(|e| e.path());
        let mut paths: Vec<PathBuf> = paths
            .filter(|path| path.extension().is_some_and(|own| own == extension))
            .collect();
        paths.sort();
        found.extend(paths);
    }
    found
}

fn unusable(path: &Path, problem: impl ToString) -> PullError {
    PullError::Configuration {
        path: path.display().to_string(),
        problem: problem.to_string(),
    }
}

fn own_roots(host: &str) -> Result<Vec<Certificate<'static>>, PullError> {
    let mut roots = Vec::new();
    for path in files(host, "crt") {
        roots.extend(certificates(&path)?);
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, PullError> {
    let mut found = Vec::new();
    for item in parse_pem(&small_file(path)?.unwrap_or_default()) {
        match item {
            Ok(PemItem::Certificate(certificate)) => found.push(certificate.to_owned()),
            Ok(_) => {}
            Err(error) => return Err(unusable(path, error)),
        }
    }
    Ok(found)
}

/// What a registry knows us by: `NAME.cert` with its `NAME.key`; of several the first by name. *Errors*: any of them cannot be used.
pub(super) fn identity(host: &str) -> Result<Option<ClientCert>, PullError> {
    let keys = files(host, "key");
    let certs = files(host, "cert");
    if let Some(key) = keys.iter().find(|key| !key.with_extension("cert").exists()) {
        let cert = key.with_extension("cert");
        return Err(unusable(key, format!("there is no `{}`", cert.display())));
    }
    let mut found = None;
    for path in certs {
        let chain = certificates(&path)?;
        if chain.is_empty() {
            return Err(unusable(&path, "there is no certificate in it"));
        }
        let key_path = path.with_extension("key");
        let Some(key) = small_file(&key_path)? else {
            return Err(unusable(
                &path,
                format!("its key `{}` is missing", key_path.display()),
            ));
        };
        // What it says of the content is not told: it may be a part of the key.
        let key = PrivateKey::from_pem(&key)
            .map_err(|_| unusable(&key_path, "there is no key in it that can be used"))?;
        warn_if_open(&key_path);
        found.get_or_insert(ClientCert::new_with_certs(&chain, key));
    }
    Ok(found)
}

/// Others can read the key: whoever put it there may want to know.
fn warn_if_open(path: &Path) {
    let mode = path.metadata().map(|meta| meta.permissions().mode());
    if mode.is_ok_and(|mode| mode & 0o077 != 0) {
        tracing::warn!(
            "others than its owner can read the key `{0}` (hint: chmod 0600 {0})",
            path.display()
        );
    }
}
