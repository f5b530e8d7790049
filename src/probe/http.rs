//! GETs of probes and hooks, with the redirects that the kubelet follows. Source: kubelet, pkg/probe/http and
//! pkg/kubelet/lifecycle; Go, net/http.

use super::request::Headers;
use super::response::{BodyReader, Head, HeadReader};
use super::url::Url;
use super::{Asker, Prober, Problem, dial, number, tls};
use crate::manifest::HttpGet;
use std::io;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests of one run, the redirected ones included. Source: Go, net/http, `defaultCheckRedirect`.
const MAX_REQUESTS: usize = 10;
/// Bytes of an answer that are read at once: an ordinary one is smaller.
const PIECE_BYTES: usize = 2048;

/// A status from 200 to 399 is a success.
pub async fn probe(prober: &Prober<'_>, get: &HttpGet) -> Result<(), Problem> {
    let headers = Headers::new(get, Asker::Probe)?;
    let reply = visit(prober, first(prober, get)?, headers).await?;
    let status = reply.head.status;
    reply.read_body().await?;
    match status {
        200..300 => Ok(()),
        300..400 => {
            tracing::debug!(status, "the probe ends at a redirect that is not followed");
            Ok(())
        }
        _ => Err(Problem::Theirs(format!(
            "HTTP probe failed with statuscode: {status}"
        ))),
    }
}

/// Any answer is a success. A server that answers https in plain http is asked in plain http, without `Authorization`.
pub async fn hook(prober: &Prober<'_>, get: &HttpGet) -> Result<(), Problem> {
    let headers = Headers::new(get, Asker::Hook)?;
    let url = first(prober, get)?;
    match visit(prober, url.clone(), headers.clone()).await {
        Err(Problem::NotTls) => {
            let plain = Url {
                is_https: false,
                ..url
            };
            let headers = headers.without_authorization();
            visit(prober, plain, headers).await.map(drop)
        }
        other => other.map(drop),
    }
}

fn first(prober: &Prober<'_>, get: &HttpGet) -> Result<Url, Problem> {
    let host = match get.host.as_str() {
        "" => prober.target.address.to_string(),
        host => host.to_owned(),
    };
    Ok(Url::new(get.https, &host, number(&get.port)?, &get.path))
}

/// Asks, and follows redirects as long as they stay on the host; the last answer, its body still to come.
async fn visit(prober: &Prober<'_>, mut url: Url, mut headers: Headers) -> Result<Reply, Problem> {
    for _ in 0..MAX_REQUESTS {
        let reply = Reply::get(prober, &url, &headers).await?;
        let location = match (reply.head.status, &reply.head.location) {
            (301 | 302 | 303 | 307 | 308, Some(location)) => location,
            _ => return Ok(reply),
        };
        let next = url.redirect(location).map_err(Problem::Theirs)?;
        if next.url.host != url.host {
            return Ok(reply);
        }
        if next.is_absolute {
            headers.host = None;
        }
        url = next.url;
    }
    Err(Problem::Theirs(format!(
        "stopped after {MAX_REQUESTS} redirects"
    )))
}

/// Where an answer comes from.
enum Connection {
    Plain(TcpStream),
    Tls(tls::Session),
}

impl Connection {
    async fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        match self {
            Connection::Plain(stream) => stream.read(piece).await,
            Connection::Tls(session) => session.read(piece).await,
        }
    }
}

/// An answer whose head has come.
struct Reply {
    head: Head,
    /// What came of the body with the head.
    rest: Vec<u8>,
    connection: Connection,
}

impl Reply {
    async fn get(prober: &Prober<'_>, url: &Url, headers: &Headers) -> Result<Reply, Problem> {
        let request = headers.get(url)?;
        let mut stream = dial::connect(prober, &url.host, url.port).await?;
        let mut connection = if url.is_https {
            Connection::Tls(tls::Session::open(prober, &url.host, stream, &request).await?)
        } else {
            let sent = stream.write_all(request.as_bytes()).await;
            sent.map_err(|e| Problem::Theirs(format!("cannot send the request: {e}")))?;
            Connection::Plain(stream)
        };
        let mut reader = HeadReader::default();
        let mut piece = [0; PIECE_BYTES];
        loop {
            let length = connection.read(&mut piece).await.map_err(unreadable)?;
            if length == 0 {
                return Err(Problem::Theirs(reader.closed()));
            }
            let head = reader.take(&piece[..length]).map_err(Problem::Theirs)?;
            if let Some((head, rest)) = head {
                return Ok(Reply {
                    head,
                    rest,
                    connection,
                });
            }
        }
    }

    /// Waits for the end of the body, or for as much of it as anybody would look at.
    async fn read_body(mut self) -> Result<(), Problem> {
        let mut body = BodyReader::new(&self.head);
        let mut is_complete = body.take(&self.rest).map_err(Problem::Theirs)?;
        let mut piece = [0; PIECE_BYTES];
        while !is_complete {
            is_complete = match self.connection.read(&mut piece).await.map_err(unreadable)? {
                0 => return body.closed().map_err(Problem::Theirs),
                length => body.take(&piece[..length]).map_err(Problem::Theirs)?,
            };
        }
        Ok(())
    }
}

fn unreadable(error: io::Error) -> Problem {
    Problem::Theirs(format!("cannot read the answer: {error}"))
}
