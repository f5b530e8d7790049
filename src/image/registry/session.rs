//! A repository at one registry, and our login there. Shared by the threads that receive its layers.

use super::auth::{Challenge, login};
use super::config::Endpoint;
use super::credentials::{Credential, Keyring};
use super::http::{Answer, Http, Method, Stream};
use super::tls::Trust;
use super::url::Url;
use super::{DOCUMENT_BYTES, PullError};
use crate::image::digest::Digest;
use std::sync::{Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;
use ureq::http::header::{ACCEPT, CONTENT_TYPE, HeaderName, RANGE};

/// Where the default registry really answers. Source: distribution reference, and every client since.
const DEFAULT_SERVER: (&str, &str) = ("docker.io", "registry-1.docker.io");
/// Manifests and indexes, OCI's and Docker's.
const ACCEPTED: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json";
/// Times a request for a document is sent before we give up.
const ATTEMPTS: u32 = 4;

/// How long we bear with a registry.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// How long it may send nothing.
    pub patience: Duration,
    /// Until the second attempt of what may help itself; each further wait is twice as long.
    pub first_wait: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Times {
            patience: Duration::from_secs(60),
            first_wait: Duration::from_millis(500),
        }
    }
}

/// A repository at a registry.
pub(in crate::image) struct Session {
    http: Http,
    server: Url,
    /// As people write it.
    host: String,
    path: String,
    credentials: Vec<Credential>,
    pub(super) times: Times,
    login: Mutex<Login>,
}

/// How far we came with the credentials. Number `credentials.len()` is to be nobody.
#[derive(Default)]
struct Login {
    /// The one to try next.
    next: usize,
    authorization: Option<String>,
    /// Whether the registry has accepted it: later it can only have expired.
    proven: bool,
}

/// A manifest or index, as the registry sent it.
pub(in crate::image) struct Document {
    pub bytes: Vec<u8>,
    /// As its header says.
    pub media_type: Option<String>,
}

impl Session {
    /// Opens a repository. Only an insecure registry is ever spoken to without TLS, and only if it has none.
    pub fn open(
        endpoint: &Endpoint,
        keyring: &Keyring,
        times: Times,
    ) -> Result<Session, PullError> {
        let host = match endpoint.host.as_str() {
            host if host == DEFAULT_SERVER.0 => DEFAULT_SERVER.1,
            host => host,
        };
        let trust = match endpoint.insecure {
            true => Trust::Anyone,
            false => Trust::Known,
        };
        let http = Http::new(host, trust, times.patience)?;
        let mut server = Url::new(true, host, "/v2/");
        if endpoint.insecure && http.send(Method::Get, &server, &[], None).is_err() {
            server.secure = false;
        }
        Ok(Session {
            http,
            server,
            host: endpoint.host.clone(),
            path: endpoint.path.clone(),
            credentials: keyring.find(&endpoint.host, &endpoint.path, times.patience)?,
            times,
            login: Mutex::default(),
        })
    }

    /// The digest of a manifest, without the manifest. `None` if the registry does not tell.
    pub fn digest(&self, which: &str) -> Result<Option<Digest>, PullError> {
        let path = format!("manifests/{which}");
        let answer = self.patiently(|| {
            let answer = self.request(Method::Head, &path, &[(ACCEPT, ACCEPTED)])?;
            // 405: it has no HEAD.
            expect(answer, &[200, 405])
        })?;
        let name = HeaderName::from_static("docker-content-digest");
        Ok(answer.header(&name).and_then(|text| text.parse().ok()))
    }

    /// A manifest or index, by tag or digest.
    pub fn manifest(&self, which: &str) -> Result<Document, PullError> {
        let path = format!("manifests/{which}");
        self.patiently(|| {
            let answer = self.request(Method::Get, &path, &[(ACCEPT, ACCEPTED)])?;
            let answer = expect(answer, &[200])?;
            let media_type = answer.header(&CONTENT_TYPE);
            let told = answer.header(&HeaderName::from_static("docker-content-digest"));
            let url = answer.url.to_string();
            let bytes = answer.into_bytes(DOCUMENT_BYTES, "a manifest may have at most 4 MiB")?;
            let digest = Digest::of(&bytes);
            // Digests of other kinds than ours cannot be compared; what was asked for by digest is compared by the caller.
            let told = told.and_then(|told| told.parse::<Digest>().ok());
            if told.is_some_and(|told| told != digest) {
                let problem = "the digest in its header is not that of the document";
                return Err(PullError::Refused { url, problem });
            }
            Ok(Document { bytes, media_type })
        })
    }

    /// A small blob: the configuration.
    pub fn document(&self, digest: &Digest) -> Result<Vec<u8>, PullError> {
        self.patiently(|| {
            let answer = self.request(Method::Get, &format!("blobs/{digest}"), &[])?;
            let problem = "a JSON document may have at most 4 MiB";
            expect(answer, &[200])?.into_bytes(DOCUMENT_BYTES, problem)
        })
    }

    /// A blob from a byte on; also where it really starts, which a registry may set back to 0.
    pub(super) fn blob(&self, digest: &Digest, from: u64) -> Result<(u64, Stream), PullError> {
        let range = format!("bytes={from}-");
        let headers = [(RANGE, range.as_str())];
        let headers = if from == 0 { &[][..] } else { &headers };
        let answer = self.request(Method::Get, &format!("blobs/{digest}"), headers)?;
        let wanted: &[u16] = if from == 0 { &[200] } else { &[200, 206, 416] };
        let answer = expect(answer, wanted)?;
        let start = match answer.status {
            206 => from,
            200 => 0,
            // It has not as much as we have: from the beginning.
            _ => return self.blob(digest, 0),
        };
        if answer.status == 206 {
            let told = answer.header(&ureq::http::header::CONTENT_RANGE);
            let told = told.unwrap_or_default();
            if !told.starts_with(&format!("bytes {from}-")) {
                return Err(PullError::Refused {
                    url: answer.url.to_string(),
                    problem: "it is another part than was asked for",
                });
            }
        }
        Ok((start, answer.into_stream()))
    }

    /// Sends a request again while it may help.
    fn patiently<T>(&self, ask: impl Fn() -> Result<T, PullError>) -> Result<T, PullError> {
        let mut wait = self.times.first_wait;
        for _ in 1..ATTEMPTS {
            match ask() {
                Err(error) if error.may_pass() => sleep(error.wait(wait)),
                done => return done,
            }
            wait *= 2;
        }
        ask()
    }

    /// One request, with the login that the registry wants.
    fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(HeaderName, &str)],
    ) -> Result<Answer, PullError> {
        let rest = format!("/v2/{}/{path}", self.path);
        let url = Url::new(self.server.secure, &self.server.host, &rest);
        let headers: Vec<(&str, &str)> = headers.iter().map(|(n, v)| (n.as_str(), *v)).collect();
        loop {
            let used = self.locked().authorization.clone();
            let answer = self.http.send(method, &url, &headers, used.as_deref())?;
            // 403 is 401 of a registry that lets nobody see whether something exists.
            let denied = matches!(answer.status, 401 | 403) && answer.url.same_origin(&url);
            if !denied {
                self.locked().proven |= used.is_some();
                return Ok(answer);
            }
            let status = answer.status;
            let challenge = Challenge::of(&answer.headers);
            let words = answer.words();
            let another = match challenge {
                Some(challenge) => self.log_in(&challenge, used.as_ref())?,
                None => false,
            };
            if !another && status == 403 {
                return Err(PullError::Answer {
                    url: url.to_string(),
                    status,
                    words,
                    later: None,
                });
            }
            if !another {
                let host = self.host.clone();
                return Err(PullError::LogIn { host, words });
            }
        }
    }

    /// Finds the next login after one that was refused; false when there is none.
    fn log_in(&self, challenge: &Challenge, refused: Option<&String>) -> Result<bool, PullError> {
        // Held over the exchange: of several threads whose token expired, one gets the next.
        let mut login_state = self.locked();
        if login_state.authorization.as_ref() != refused {
            return Ok(true);
        }
        if login_state.proven {
            login_state.next = login_state.next.saturating_sub(1);
            login_state.proven = false;
        }
        login_state.authorization = None;
        while login_state.next <= self.credentials.len() {
            let credential = self.credentials.get(login_state.next);
            login_state.next += 1;
            let authorization = login(&self.http, &self.server, &self.path, challenge, credential)?;
            if authorization.is_some() && authorization.as_ref() != refused {
                login_state.authorization = authorization;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn locked(&self) -> std::sync::MutexGuard<'_, Login> {
        // A thread that panicked left a login that is merely refused again.
        self.login.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The answer if its status is one of these.
fn expect(answer: Answer, wanted: &[u16]) -> Result<Answer, PullError> {
    match wanted.contains(&answer.status) {
        true => Ok(answer),
        false => Err(answer.into_error()),
    }
}
