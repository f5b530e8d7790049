//! The text of a GET as the kubelet sends it.

use super::url::Url;
use super::{Asker, Problem};
use crate::manifest::HttpGet;
use std::fmt::Write;

/// The most that is sent, in bytes: an ordinary server takes 8 KiB of headers, and a helper keeps all of it.
pub const MAX_REQUEST_BYTES: usize = 64 * 1024;

/// Headers that are not simply copied: some have a default, the others belong to the connection. Source: kubelet,
/// pkg/probe/http; Go, net/http, which it sends with.
const OWN_HEADERS: &[&str] = &[
    "Accept",
    "Host",
    "User-Agent",
    "Content-Length",
    "Transfer-Encoding",
    "Trailer",
];

/// The headers of one `httpGet`, which every redirect repeats.
#[derive(Clone, Debug)]
pub struct Headers {
    /// What to ask the server as, when the manifest says.
    pub host: Option<String>,
    /// Ready to be sent, each line with its end.
    lines: String,
}

impl Headers {
    /// Those of the manifest; `User-Agent` and `Accept` have defaults, and an empty one of these is left out.
    pub fn new(get: &HttpGet, asker: Asker) -> Result<Headers, Problem> {
        let given = |wanted: &str| {
            let mut headers = get.headers.iter();
            headers.find_map(|(name, value)| name.eq_ignore_ascii_case(wanted).then_some(value))
        };
        let agent = match asker {
            Asker::Probe => "kube-probe/1.37",
            Asker::Hook => "kube-lifecycle/1.37",
        };
        let mut lines = String::new();
        let mut push = |name: &str, value: &str| {
            let is_header = name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !is_header || value.bytes().any(|b| b.is_ascii_control() && b != b'\t') {
                let text = format!("header `{}` cannot be sent", name.escape_default());
                return Err(Problem::Theirs(text));
            }
            // Writing to a `String` cannot fail.
            let _ = write!(lines, "{name}: {}\r\n", value.trim());
            Ok(())
        };
        for (name, default) in [("User-Agent", agent), ("Accept", "*/*")] {
            let value = given(name).map_or(default, String::as_str);
            if !value.is_empty() {
                push(name, value)?;
            }
        }
        for (name, value) in &get.headers {
            let is_ours = |own: &&str| name.eq_ignore_ascii_case(own);
            if !OWN_HEADERS.iter().any(is_ours) {
                push(name, value)?;
            }
        }
        let host = given("Host").filter(|host| !host.is_empty());
        if host.is_some_and(|host| host.bytes().any(|b| b.is_ascii_control() || b == b' ')) {
            return Err(Problem::Theirs("header `Host` cannot be sent".to_owned()));
        }
        Ok(Headers {
            host: host.cloned(),
            lines,
        })
    }

    /// Leaves out what nobody but the server that was meant may read.
    pub fn without_authorization(mut self) -> Headers {
        let lines = self.lines.split_inclusive('\n');
        let is_public = |line: &&str| {
            let name = line.split(':').next().unwrap_or_default();
            !name.eq_ignore_ascii_case("Authorization")
        };
        self.lines = lines.filter(is_public).collect();
        self
    }

    /// The request for this URL.
    pub fn get(&self, url: &Url) -> Result<String, Problem> {
        let authority = url.authority();
        let host = self.host.as_ref().unwrap_or(&authority);
        let text = format!(
            "GET {} HTTP/1.1\r\nHost: {host}\r\n{}Connection: close\r\n\r\n",
            url.path, self.lines
        );
        match text.len() <= MAX_REQUEST_BYTES {
            true => Ok(text),
            false => Err(Problem::Ours(format!(
                "the request has {} bytes, at most {MAX_REQUEST_BYTES} are sent",
                text.len()
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::HandlerPort;

    fn headers(of: &[(&str, &str)], asker: Asker) -> Result<Headers, Problem> {
        let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let get = HttpGet {
            host: String::new(),
            port: HandlerPort::Number(80),
            path: "/".into(),
            https: false,
            headers: of.iter().map(owned).collect(),
        };
        Headers::new(&get, asker)
    }

    fn text(of: &[(&str, &str)], asker: Asker) -> String {
        let url = Url::new(false, "::1", 80, "/p?q");
        let headers = headers(of, asker).expect("headers");
        headers.get(&url).expect("a request")
    }

    #[test]
    fn a_request_says_who_asks_and_that_it_is_the_last_one() {
        assert_eq!(
            text(&[], Asker::Probe),
            "GET /p?q HTTP/1.1\r\nHost: [::1]:80\r\nUser-Agent: kube-probe/1.37\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        );
        assert!(text(&[], Asker::Hook).contains("\r\nUser-Agent: kube-lifecycle/1.37\r\n"));
    }

    #[test]
    fn headers_of_the_manifest_replace_the_defaults_and_empty_ones_remove_them() {
        let given = [
            ("X-A", "1"),
            ("x-a", " 2 "),
            ("accept", ""),
            ("USER-AGENT", "me"),
            ("host", "example"),
            ("Content-Length", "5"),
            ("transfer-encoding", "chunked"),
        ];
        assert_eq!(
            text(&given, Asker::Probe),
            "GET /p?q HTTP/1.1\r\nHost: example\r\nUser-Agent: me\r\nX-A: 1\r\nx-a: 2\r\nConnection: close\r\n\r\n"
        );
        assert!(!text(&[("User-Agent", "")], Asker::Probe).contains("User-Agent"));
    }

    #[test]
    fn a_header_that_would_begin_another_line_is_not_sent() {
        for header in [
            ("X", "a\r\nY: b"),
            ("X\r\nY", "a"),
            ("X", "\0"),
            ("Host", "a\nb"),
        ] {
            assert!(headers(&[header], Asker::Probe).is_err(), "{header:?}");
        }
    }

    #[test]
    fn authorization_can_be_taken_out() {
        let all = headers(&[("authorization", "secret"), ("X", "1")], Asker::Hook);
        let public = all.expect("headers").without_authorization();
        let text = public
            .get(&Url::new(false, "h", 80, "/"))
            .expect("a request");
        assert!(
            !text.contains("secret") && text.contains("X: 1\r\n"),
            "{text}"
        );
    }

    #[test]
    fn a_request_of_any_size_is_not_sent() {
        let url = Url::new(false, "h", 80, &"x".repeat(MAX_REQUEST_BYTES));
        let headers = headers(&[], Asker::Probe).expect("headers");
        assert!(matches!(headers.get(&url), Err(Problem::Ours(_))));
    }
}
