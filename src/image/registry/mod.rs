//! Images at registries, by the OCI distribution specification (and Docker's, which it comes from). Reading only.
//!
//! ```text
//!  name         host, path, tag, digest; what short names mean      error     why not
//!  config       registries.conf: where a name really is, in order
//!  credentials  Secrets and auth files     helper   programs that keep credentials
//!  session      one repository: manifests and blobs, logged in as far as the registry wants
//!    auth       challenges and tokens
//!    http       one request: redirects, deadlines, sizes       url      tls
//!  receive      a blob into the content store: resumed, retried, verified
//! ```
//!
//! Everything a registry sends is hostile. Invariants: nothing is kept that is not what its digest says; no document is read beyond 4 MiB;
//! every wait has an end; credentials go to the host they are for, its token service, and nowhere else.

mod auth;
mod config;
mod credentials;
mod error;
mod helper;
mod http;
mod name;
mod receive;
mod session;
mod tls;
mod url;

pub(super) use config::{Endpoint, Registries};
pub(super) use credentials::Keyring;
pub use error::PullError;
pub(super) use name::{Name, spellings};
pub(super) use receive::receive;
pub(super) use session::Session;
pub use session::Times;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Bytes of a manifest, index or configuration. Source: distribution-spec, pushing manifests: at least 4 MiB must be accepted.
const DOCUMENT_BYTES: u64 = 4 << 20;
/// Bytes of a file of the configuration.
const FILE_BYTES: u64 = 1 << 20;

/// What a user's environment says about registries: their configuration, credentials, proxies and authorities are found by these names.
pub const ENVIRONMENT: &[&str] = &[
    "HOME",
    "XDG_RUNTIME_DIR",
    "XDG_CONFIG_HOME",
    "REGISTRY_AUTH_FILE",
    "DOCKER_CONFIG",
    "CONTAINERS_REGISTRIES_CONF",
    "CONTAINERS_REGISTRIES_CONF_DIR",
    "CONTAINERS_CERTS_DIR",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
];

/// A file of the configuration; `None` if there is none.
fn small_file(path: &Path) -> Result<Option<Vec<u8>>, PullError> {
    let failed = |problem: String| PullError::Configuration {
        path: path.display().to_string(),
        problem,
    };
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(FILE_BYTES + 1).read_to_end(&mut bytes));
    match read {
        Err(error) if absent(&error) => Ok(None),
        Err(error) => Err(failed(error.to_string())),
        Ok(_) if bytes.len() as u64 > FILE_BYTES => Err(failed("it is larger than 1 MiB".into())),
        Ok(_) => Ok(Some(bytes)),
    }
}

fn absent(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
    )
}
