//! Why a registry did not give what was asked for.

use std::fmt;
use std::time::Duration;

/// An image could not be pulled. Never holds a credential or a token.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// No connection, or one that broke.
    #[error("cannot reach `{url}`")]
    Reach {
        /// Without its query, which may hold a signature.
        url: String,
        /// Why.
        #[source]
        source: Box<ureq::Error>,
    },
    /// It answered with an error.
    #[error("cannot get `{url}`: the registry answered {status}{}{}", said(.words), wanted(*.later))]
    Answer {
        /// Without its query.
        url: String,
        /// HTTP status.
        status: u16,
        /// What the registry said, if it said anything.
        words: String,
        /// When it wants to be asked again, if it says so.
        later: Option<Duration>,
    },
    /// No credential that we have opens it.
    #[error("cannot log in to `{host}`{}", said(.words))]
    LogIn {
        /// The registry.
        host: String,
        /// What the registry said.
        words: String,
    },
    /// Nothing, or next to nothing, came for too long.
    #[error("cannot get `{url}`: nothing came for {} seconds", .patience.as_secs())]
    Stalled {
        /// Without its query.
        url: String,
        /// How long we waited.
        patience: Duration,
    },
    /// It sent something that no registry sends.
    #[error("cannot accept what `{url}` sent: {problem}")]
    Refused {
        /// Without its query.
        url: String,
        /// The rule.
        problem: &'static str,
    },
    /// It redirected to where we do not go.
    #[error("cannot follow `{from}` to `{to}`: {problem}")]
    Redirect {
        /// Who redirected.
        from: String,
        /// Where to, as far as it can be told.
        to: String,
        /// The rule.
        problem: &'static str,
    },
    /// `registries.conf` blocks it.
    #[error("cannot use `{0}`: registries.conf blocks it")]
    Blocked(String),
    /// A file of the configuration cannot be read. Its content may be secret and is not told.
    #[error("cannot read `{path}`: {problem}")]
    Configuration {
        /// The file, or what stands for one.
        path: String,
        /// Why.
        problem: String,
    },
    /// A credential helper failed.
    #[error("cannot run `{program}`: {problem}")]
    Helper {
        /// The program.
        program: String,
        /// Why.
        problem: String,
    },
}

/// `: words`, or nothing.
fn said(words: &str) -> impl fmt::Display {
    match words {
        "" => String::new(),
        words => format!(": {words}"),
    }
}

/// `, and wants to be asked again in …`, or nothing.
fn wanted(later: Option<Duration>) -> impl fmt::Display {
    later.map_or(String::new(), |later| {
        format!(", and wants to be asked again in {} s", later.as_secs())
    })
}

/// The longest that we wait because a registry says so: whoever wants more time is asked by the next attempt to get the image.
const LATER_MAX: Duration = Duration::from_secs(60);

impl PullError {
    /// How long to wait before the same request is sent again: our own time, or what the registry wants.
    pub(super) fn wait(&self, own: Duration) -> Duration {
        match self {
            PullError::Answer { later, .. } => later.map_or(own, |later| later.max(own)),
            _ => own,
        }
    }

    /// Whether the same request may succeed a little later.
    pub(super) fn may_pass(&self) -> bool {
        match self {
            PullError::Reach { source, .. } => !is_tls(source),
            PullError::Stalled { .. } => true,
            PullError::Answer { status, later, .. } => {
                matches!(status, 408 | 429 | 500..=599)
                    && later.is_none_or(|later| later <= LATER_MAX)
            }
            PullError::LogIn { .. }
            | PullError::Refused { .. }
            | PullError::Redirect { .. }
            | PullError::Blocked(_)
            | PullError::Configuration { .. }
            | PullError::Helper { .. } => false,
        }
    }

    /// What the user can do about it, if we know.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            PullError::Reach { url, source } if is_tls(source) || hung_up(url, source) => {
                let host = url.split('/').nth(2).unwrap_or(url);
                format!(
                    "if `{host}` speaks plain HTTP or has a certificate that nobody signed, add to registries.conf: [[registry]] location = \"{host}\" insecure = true; put its own authority into /etc/containers/certs.d/{host}/ca.crt"
                )
            }
            PullError::Reach { .. } | PullError::Stalled { .. } => {
                "check the network, HTTPS_PROXY and the registry; `podshim image load` brings an image without a registry".to_owned()
            }
            PullError::Answer { status: 404, .. } => {
                "check the name and the tag of the image".to_owned()
            }
            PullError::LogIn { host, .. } => format!(
                "log in to `{host}` (`skopeo login {host}` or REGISTRY_AUTH_FILE), or name a Secret in imagePullSecrets"
            ),
            PullError::Answer { .. }
            | PullError::Refused { .. }
            | PullError::Redirect { .. }
            | PullError::Blocked(_)
            | PullError::Configuration { .. }
            | PullError::Helper { .. } => return None,
        })
    }
}

/// Whether an encrypted connection was closed without a word: what speaks plain HTTP may do so. It may also be a moment's trouble.
fn hung_up(url: &str, error: &ureq::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionReset, UnexpectedEof};
    let kinds = [ConnectionAborted, ConnectionReset, UnexpectedEof];
    let closed = matches!(error, ureq::Error::Io(error) if kinds.contains(&error.kind()));
    closed && url.starts_with("https://")
}

fn is_tls(error: &ureq::Error) -> bool {
    match error {
        ureq::Error::Tls(_) | ureq::Error::Rustls(_) => true,
        // rustls' errors come through the stream that it reads from.
        ureq::Error::Io(error) => {
            error.kind() == std::io::ErrorKind::InvalidData && error.get_ref().is_some()
        }
        _ => false,
    }
}
