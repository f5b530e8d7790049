//! One request to one registry: TLS, deadlines, redirects. What a registry may make us do is decided here.
//!
//! A redirect never leads to another scheme than http and https, never from https to http, and takes credentials along only to the
//! same origin. Every wait has an end.

use super::PullError;
use super::tls::{self, Trust};
use super::url::Url;
use crate::base::Wall;
use crate::image::error::shown;
use crate::sys;
use jiff::fmt::rfc2822::DateTimeParser;
use serde::Deserialize;
use std::io::Read;
use std::time::Duration;
use ureq::Agent;
use ureq::http::{HeaderMap, Response, header};
use ureq::tls::TlsConfig;

/// Redirects for one request: registries make one, some two.
const REDIRECTS: usize = 5;
/// How long a connection may take, names included.
const CONNECT: Duration = Duration::from_secs(30);
/// Bytes of an error that are read, for its words.
const WORDS_BYTES: u64 = 16 << 10;

/// How many times our patience a whole document may take.
const DOCUMENT_PATIENCE: u32 = 2;

/// GET, or only its headers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    Get,
    Head,
}

/// What came back, its body not read yet.
pub(super) struct Answer {
    /// Where it came from, after all redirects.
    pub url: Url,
    pub status: u16,
    pub headers: HeaderMap,
    body: ureq::Body,
    patience: Duration,
}

/// What sends requests.
pub(super) struct Http {
    /// The registry's name, and what speaks to it.
    host: String,
    agent: Agent,
    /// What speaks to all others: where a registry sends us is nobody that we have to prove ourselves to.
    elsewhere: Agent,
    patience: Duration,
}

impl Http {
    /// For one registry. `patience` is how long nothing may come.
    pub fn new(host: &str, trust: Trust, patience: Duration) -> Result<Http, PullError> {
        let unknown = tls::config(host, trust, None)?;
        let elsewhere = agent(unknown, patience);
        let agent = match tls::identity(host)? {
            None => elsewhere.clone(),
            known => agent(tls::config(host, trust, known)?, patience),
        };
        Ok(Http {
            host: host.to_owned(),
            agent,
            elsewhere,
            patience,
        })
    }

    fn agent_for(&self, url: &Url) -> &Agent {
        match url.host == self.host {
            true => &self.agent,
            false => &self.elsewhere,
        }
    }

    /// Sends a request and follows where it leads. `login` is an `Authorization`.
    pub fn send(
        &self,
        method: Method,
        url: &Url,
        headers: &[(&str, &str)],
        login: Option<&str>,
    ) -> Result<Answer, PullError> {
        let origin = url;
        let mut url = url.clone();
        for _ in 0..=REDIRECTS {
            let mut request = match method {
                Method::Get => self.agent_for(&url).get(url.full()),
                Method::Head => self.agent_for(&url).head(url.full()),
            };
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            if let Some(login) = login.filter(|_| url.same_origin(origin)) {
                request = request.header(header::AUTHORIZATION, login);
            }
            let answer = self.answer(&url, request.call())?;
            let location = match answer.status {
                301 | 302 | 303 | 307 | 308 => answer.header(&header::LOCATION),
                _ => None,
            };
            let Some(location) = location else {
                return Ok(answer);
            };
            let refused = |problem| PullError::Redirect {
                from: url.to_string(),
                to: shown(location.split('?').next().unwrap_or_default().as_bytes()),
                problem,
            };
            let next = url.join(&location).map_err(refused)?;
            if url.secure && !next.secure {
                return Err(refused("it leads from https to http"));
            }
            url = next;
        }
        Err(PullError::Redirect {
            from: origin.to_string(),
            to: url.to_string(),
            problem: "there are more than five redirects",
        })
    }

    /// Posts a form, without following anything.
    pub fn post(&self, url: &Url, form: &[(&str, &str)]) -> Result<Answer, PullError> {
        self.answer(
            url,
            self.agent_for(url)
                .post(url.full())
                .send_form(form.iter().copied()),
        )
    }

    fn answer(
        &self,
        url: &Url,
        response: Result<Response<ureq::Body>, ureq::Error>,
    ) -> Result<Answer, PullError> {
        let response = response.map_err(|error| self.failed(url, error))?;
        let (parts, body) = response.into_parts();
        Ok(Answer {
            url: url.clone(),
            status: parts.status.as_u16(),
            headers: parts.headers,
            body,
            patience: self.patience,
        })
    }

    fn failed(&self, url: &Url, error: ureq::Error) -> PullError {
        reach(url, self.patience, error)
    }
}

fn agent(tls: TlsConfig, patience: Duration) -> Agent {
    Agent::config_builder()
        .tls_config(tls)
        .http_status_as_error(false)
        .max_redirects(0)
        .timeout_resolve(Some(CONNECT.min(patience)))
        .timeout_connect(Some(CONNECT.min(patience)))
        .timeout_send_request(Some(patience))
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience))
        .user_agent(concat!("podshim/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// A failure on the way.
fn reach(url: &Url, patience: Duration, error: ureq::Error) -> PullError {
    let url = url.to_string();
    match error {
        ureq::Error::Timeout(ureq::Timeout::Connect | ureq::Timeout::Resolve) => {
            let source = Box::new(error);
            PullError::Reach { url, source }
        }
        ureq::Error::Timeout(_) => PullError::Stalled { url, patience },
        error => PullError::Reach {
            url,
            source: Box::new(error),
        },
    }
}

impl Answer {
    /// A header as text.
    pub fn header(&self, name: &header::HeaderName) -> Option<String> {
        Some(self.headers.get(name)?.to_str().ok()?.to_owned())
    }

    /// The body as it comes, with an error that says whose it is.
    pub fn into_stream(self) -> Stream {
        Stream {
            url: self.url,
            patience: self.patience,
            body: self.body.into_with_config().limit(u64::MAX).reader(),
        }
    }

    /// The whole body, of at most `limit` bytes.
    pub fn into_bytes(self, limit: u64, problem: &'static str) -> Result<Vec<u8>, PullError> {
        let url = self.url.to_string();
        let bytes = self.into_start(limit + 1)?;
        match bytes.len() as u64 > limit {
            true => Err(PullError::Refused { url, problem }),
            false => Ok(bytes),
        }
    }

    /// The first bytes of the body. What comes drop by drop is given up.
    fn into_start(self, most: u64) -> Result<Vec<u8>, PullError> {
        let mut bytes = Vec::new();
        let mut stream = self.into_stream();
        let mut buffer = vec![0; 16 << 10];
        let end = sys::now().mono + stream.patience * DOCUMENT_PATIENCE;
        while (bytes.len() as u64) < most {
            let left = most - bytes.len() as u64;
            let room = usize::try_from(left).map_or(buffer.len(), |left| left.min(buffer.len()));
            let count = stream.read(&mut buffer[..room])?;
            if count == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..count]);
            if sys::now().mono > end {
                return Err(PullError::Stalled {
                    url: stream.url.to_string(),
                    patience: stream.patience * DOCUMENT_PATIENCE,
                });
            }
        }
        Ok(bytes)
    }

    /// The error that this answer is.
    pub fn into_error(self) -> PullError {
        let (url, status) = (self.url.to_string(), self.status);
        let later = match status {
            429 | 503 => self.header(&header::RETRY_AFTER),
            _ => None,
        };
        PullError::Answer {
            url,
            status,
            later: later.and_then(|text| later_than(sys::now().wall, &text)),
            words: self.words(),
        }
    }

    /// What the registry says of an error: its own words, made harmless.
    pub fn words(self) -> String {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<One>,
        }
        #[derive(Deserialize)]
        struct One {
            code: Option<String>,
            message: Option<String>,
        }
        // What cannot be read says nothing.
        let body = self.into_start(WORDS_BYTES).unwrap_or_default();
        let told = |one: &One| {
            let words = [&one.code, &one.message].into_iter().flatten().cloned();
            words.collect::<Vec<_>>().join(": ")
        };
        let text = match serde_json::from_slice::<Errors>(&body) {
            Ok(errors) => errors
                .errors
                .iter()
                .map(told)
                .collect::<Vec<_>>()
                .join(", "),
            Err(_) => String::from_utf8_lossy(&body).trim().to_owned(),
        };
        shown(text.as_bytes())
    }
}

/// How long after `now` a `Retry-After` is: seconds, or a date. Source: RFC 9110, 10.2.3.
fn later_than(now: Wall, text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let date = DateTimeParser::new().parse_timestamp(text.trim()).ok()?;
    let date = u64::try_from(date.as_millisecond()).ok()?;
    Some(Duration::from_millis(date.saturating_sub(now.0)))
}

/// A body that is being received.
pub(super) struct Stream {
    pub url: Url,
    patience: Duration,
    body: ureq::BodyReader<'static>,
}

impl Stream {
    /// Bytes received, at most as many as fit; none at the end.
    pub fn read(&mut self, buffer: &mut [u8]) -> Result<usize, PullError> {
        self.body
            .read(buffer)
            .map_err(|error| reach(&self.url, self.patience, ureq::Error::from(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_to_come_back_is_seconds_or_a_date() {
        // 1994-11-06T08:49:37Z, the date of the RFC.
        let then = Wall(784_111_777_000);
        let later = |text: &str| later_than(then, text).map(|later| later.as_secs());
        assert_eq!(later("120"), Some(120));
        assert_eq!(later(" 0 "), Some(0));
        assert_eq!(later("Sun, 06 Nov 1994 08:50:37 GMT"), Some(60));
        // What is over is now.
        assert_eq!(later("Sun, 06 Nov 1994 08:00:00 GMT"), Some(0));
        for nonsense in ["", "-1", "soon", "1.5", "99999999999999999999999"] {
            assert_eq!(later(nonsense), None, "{nonsense}");
        }
    }
}
