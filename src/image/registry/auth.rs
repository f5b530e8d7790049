//! What a registry asks for when it says 401, and the token it gives for a credential.
//! Source: RFC 9110, 11.6.1; distribution, token authentication and OAuth2.

use super::PullError;
use super::credentials::Credential;
use super::http::{Http, Method};
use super::url::Url;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use ureq::http::{HeaderMap, header};

/// Bytes of a token with what is around it: large organisations have tokens of tens of kilobytes.
const TOKEN_BYTES: u64 = 1 << 20;

/// What a registry wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
    },
}

impl Challenge {
    /// The strongest challenge that we know: a token rather than a password.
    pub fn of(headers: &HeaderMap) -> Option<Challenge> {
        let all = headers.get_all(header::WWW_AUTHENTICATE).iter();
        let known = all.filter_map(|value| Challenge::parse(value.to_str().ok()?));
        known.max_by_key(|challenge| matches!(challenge, Challenge::Bearer { .. }))
    }

    fn parse(text: &str) -> Option<Challenge> {
        let (scheme, rest) = text.trim().split_once(' ').unwrap_or((text.trim(), ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Challenge::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let parameters = parameters(rest);
        let get = |name: &str| {
            let found = parameters
                .iter()
                .find(|(n, _)| n.eq_ignore_ascii_case(name));
            found.map(|(_, value)| value.clone())
        };
        Some(Challenge::Bearer {
            realm: get("realm")?,
            service: get("service"),
        })
    }
}

/// `name=value` and `name="value"`, separated by commas.
fn parameters(text: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut rest = text;
    while let Some((name, after)) = rest.split_once('=') {
        let mut value = String::new();
        let mut chars = after.chars();
        if let Some(quoted) = after.strip_prefix('"') {
            chars = quoted.chars();
            while let Some(c) = chars.next() {
                match c {
                    '"' => break,
                    '\\' => value.extend(chars.next()),
                    c => value.push(c),
                }
            }
        } else {
            value = after
                .split(',')
                .next()
                .unwrap_or_default()
                .trim()
                .to_owned();
        }
        found.push((name.trim_matches([' ', ',', '\t']).to_owned(), value));
        rest = chars.as_str().split_once(',').map_or("", |(_, rest)| rest);
    }
    found
}

/// The `Authorization` for a challenge; `None` if this credential is not for it, or the token service does not want it.
pub(super) fn login(
    http: &Http,
    registry: &Url,
    repository: &str,
    challenge: &Challenge,
    credential: Option<&Credential>,
) -> Result<Option<String>, PullError> {
    let basic = |user: &str, password: &str| {
        format!("Basic {}", STANDARD.encode(format!("{user}:{password}")))
    };
    match (challenge, credential) {
        (_, Some(Credential::Bearer(token))) => Ok(Some(format!("Bearer {token}"))),
        (Challenge::Basic, Some(Credential::Basic(user, password))) => {
            Ok(Some(basic(user, password)))
        }
        (Challenge::Basic, Some(Credential::Refresh(_)) | None) => Ok(None),
        (Challenge::Bearer { realm, service }, credential) => {
            let realm = registry.join(realm);
            let realm = realm.and_then(|realm| match registry.secure && !realm.secure {
                true => Err("its token service is not encrypted"),
                false => Ok(realm),
            });
            let realm = realm.map_err(|problem| PullError::Refused {
                url: registry.to_string(),
                problem,
            })?;
            let scope = format!("repository:{repository}:pull");
            let service = service.as_deref().unwrap_or_default();
            match credential {
                Some(Credential::Refresh(token)) => {
                    let form = [
                        ("grant_type", "refresh_token"),
                        ("service", service),
                        ("client_id", "podshim"),
                        ("scope", &scope),
                        ("refresh_token", token),
                    ];
                    token_of(http.post(&realm, &form)?)
                }
                Some(Credential::Basic(user, password)) => {
                    get_token(http, &realm, service, &scope, Some(basic(user, password)))
                }
                _ => get_token(http, &realm, service, &scope, None),
            }
        }
    }
}

fn get_token(
    http: &Http,
    realm: &Url,
    service: &str,
    scope: &str,
    login: Option<String>,
) -> Result<Option<String>, PullError> {
    let separator = if realm.rest.contains('?') { '&' } else { '?' };
    let rest = format!(
        "{}{separator}service={}&scope={}",
        realm.rest,
        escaped(service),
        escaped(scope)
    );
    let url = Url::new(realm.secure, &realm.host, &rest);
    token_of(http.send(Method::Get, &url, &[], login.as_deref())?)
}

fn token_of(answer: super::http::Answer) -> Result<Option<String>, PullError> {
    #[derive(Deserialize)]
    struct Token {
        token: Option<String>,
        access_token: Option<String>,
    }
    match answer.status {
        200 => {}
        400 | 401 | 403 => return Ok(None),
        _ => return Err(answer.into_error()),
    }
    let url = answer.url.to_string();
    let bytes = answer.into_bytes(TOKEN_BYTES, "a token may have at most 1 MiB")?;
    let token = serde_json::from_slice::<Token>(&bytes).ok();
    let token = token.and_then(|token| token.token.or(token.access_token));
    // A token is put into a header as it is.
    match token.filter(|token| token.bytes().all(|b| b.is_ascii_graphic())) {
        Some(token) => Ok(Some(format!("Bearer {token}"))),
        None => Err(PullError::Refused {
            url,
            problem: "its answer has no token",
        }),
    }
}

/// For a query.
fn escaped(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read_with_quotes_and_without() {
        let bearer = |realm: &str, service: Option<&str>| {
            Some(Challenge::Bearer {
                realm: realm.to_owned(),
                service: service.map(str::to_owned),
            })
        };
        for (text, challenge) in [
            ("Basic realm=\"x\"", Some(Challenge::Basic)),
            ("basic", Some(Challenge::Basic)),
            (
                "Bearer realm=\"https://a/t?x=1,2\", service=\"s \\\"q\\\"\",scope=\"repository:a:pull\"",
                bearer("https://a/t?x=1,2", Some("s \"q\"")),
            ),
            (
                "BEARER service=s,realm=https://a",
                bearer("https://a", Some("s")),
            ),
            ("Bearer service=\"s\"", None),
            ("Digest realm=\"x\"", None),
            ("", None),
            ("Bearer realm=\"open", bearer("open", None)),
        ] {
            assert_eq!(Challenge::parse(text), challenge, "{text}");
        }
    }
}
