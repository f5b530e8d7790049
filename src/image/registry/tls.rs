//! Whom we believe to be a registry: the authorities of the machine, and those that its administrator gave one registry.
//! Source: containers-certs.d(5).

use super::{PullError, small_file};
use rustls::crypto::ring::default_provider;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Where authorities of one registry are: `<host[:port]>/*.crt`.
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

/// The rules for one registry.
pub(super) fn config(host: &str, trust: Trust) -> Result<TlsConfig, PullError> {
    let mut roots = machine_roots().clone();
    roots.extend(own_roots(host)?);
    Ok(TlsConfig::builder()
        .unversioned_rustls_crypto_provider(Arc::new(default_provider()))
        .root_certs(RootCerts::from(roots))
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

fn own_roots(host: &str) -> Result<Vec<Certificate<'static>>, PullError> {
    let variable = std::env::var(VARIABLE).ok();
    let directories: Vec<&str> = match &variable {
        Some(one) => vec![one],
        None => DIRECTORIES.to_vec(),
    };
    let mut roots = Vec::new();
    for directory in directories {
        let entries = std::fs::read_dir(Path::new(directory).join(host));
        for entry in entries.into_iter().flatten().flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "crt") {
                continue;
            }
            for item in parse_pem(&small_file(&path)?.unwrap_or_default()) {
                match item {
                    Ok(PemItem::Certificate(certificate)) => roots.push(certificate.to_owned()),
                    Ok(_) => {}
                    Err(error) => {
                        return Err(PullError::Configuration {
                            path: path.display().to_string(),
                            problem: error.to_string(),
                        });
                    }
                }
            }
        }
    }
    Ok(roots)
}
