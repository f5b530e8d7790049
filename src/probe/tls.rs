//! TLS as a pipe: the supervisor connects and speaks HTTP, a short-lived process in between encrypts. Nobody checks the
//! certificate: a probe asks whether the server lives, and its name and issuer are its own. Source: kubelet, pkg/probe/http.
//!
//! ```text
//!  supervisor ──request, end──▶ helper ══TLS══▶ server        the helper's standard input is the connected socket,
//!             ◀─'+' answer───          ◀══════               its standard output a socket to the supervisor
//! ```
//!
//! The first byte of the answer is `+`, or `!` when the server does not speak TLS, or `-` before one line that says why not.

use super::request::MAX_REQUEST_BYTES;
use super::{Prober, Problem, helper};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};
use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

const SPEAKS: u8 = b'+';
const IS_PLAIN: u8 = b'!';
const REFUSED: u8 = b'-';
/// Longest line about a failure that is read, in bytes.
const MAX_REASON_BYTES: u64 = 512;
/// Bytes that are passed on at once.
const PIECE_BYTES: usize = 4096;

/// An answer that comes over TLS.
pub struct Session {
    stream: tokio::net::UnixStream,
    /// Ends with the session.
    _helper: tokio::process::Child,
}

impl Session {
    /// Sends a request over a connection; the answer can then be read.
    pub async fn open(
        prober: &Prober<'_>,
        host: &str,
        server: tokio::net::TcpStream,
        request: &str,
    ) -> Result<Session, Problem> {
        let ours = |e: io::Error| Problem::Ours(format!("cannot run the TLS helper: {e}"));
        let (stream, theirs) = UnixStream::pair().map_err(ours)?;
        stream.set_nonblocking(true).map_err(ours)?;
        let mut stream = tokio::net::UnixStream::from_std(stream).map_err(ours)?;
        let helper = helper::tls_command(prober.program, host)
            .stdin(OwnedFd::from(server.into_std().map_err(ours)?))
            .stdout(OwnedFd::from(theirs))
            .spawn()
            .map_err(ours)?;
        stream.write_all(request.as_bytes()).await.map_err(ours)?;
        stream.shutdown().await.map_err(ours)?;
        let session = match stream.read_u8().await.map_err(ours)? {
            SPEAKS => Session {
                stream,
                _helper: helper,
            },
            IS_PLAIN => return Err(Problem::NotTls),
            _ => {
                let mut reason = Vec::new();
                let mut stream = stream.take(MAX_REASON_BYTES);
                stream.read_to_end(&mut reason).await.map_err(ours)?;
                let reason = String::from_utf8_lossy(&reason);
                return Err(Problem::Theirs(format!("cannot speak TLS: {reason}")));
            }
        };
        Ok(session)
    }

    /// The next piece of the answer; 0 at its end.
    pub async fn read(&mut self, piece: &mut [u8]) -> io::Result<usize> {
        self.stream.read(piece).await
    }
}

/// The helper's side: standard input is the server, standard output who asks.
pub fn relay(host: &str) -> io::Result<()> {
    let server = TcpStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let mut asker = UnixStream::from(io::stdout().as_fd().try_clone_to_owned()?);
    server.set_nonblocking(false)?;
    let mut request = Vec::new();
    let limit = u64::try_from(MAX_REQUEST_BYTES).unwrap_or(u64::MAX);
    (&asker).take(limit).read_to_end(&mut request)?;
    match send(server, host, &request) {
        Ok(Some(server)) => {
            asker.write_all(&[SPEAKS])?;
            pass_on(server, asker)
        }
        Ok(None) => asker.write_all(&[IS_PLAIN]),
        Err(error) => {
            asker.write_all(&[REFUSED])?;
            asker.write_all(error.to_string().as_bytes())
        }
    }
}

type Stream = StreamOwned<ClientConnection, TcpStream>;

/// Shakes hands and sends the request; `None` when the server answers in plain HTTP.
fn send(mut server: TcpStream, host: &str, request: &[u8]) -> io::Result<Option<Stream>> {
    let mut client = client(host).map_err(io::Error::other)?;
    while client.wants_write() {
        client.write_tls(&mut server)?;
    }
    // No record of TLS begins with this letter.
    let mut first = [0; 1];
    if server.peek(&mut first)? == 1 && first == *b"H" {
        return Ok(None);
    }
    let mut stream = StreamOwned::new(client, server);
    stream.write_all(request)?;
    stream.flush()?;
    Ok(Some(stream))
}

fn pass_on(mut server: Stream, mut asker: UnixStream) -> io::Result<()> {
    let mut piece = [0; PIECE_BYTES];
    loop {
        let length = match server.read(&mut piece) {
            // Many servers leave without a word; whether something is missing shows in the answer.
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return Ok(()),
            read => read?,
        };
        if length == 0 {
            return Ok(());
        }
        asker.write_all(&piece[..length])?;
    }
}

fn client(host: &str) -> Result<ClientConnection, Error> {
    let provider = Arc::new(ring::default_provider());
    let believer = Arc::new(Believer(Arc::clone(&provider)));
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(believer)
        .with_no_client_auth();
    let name = ServerName::try_from(host.to_owned());
    // A name that TLS cannot carry is not sent, as none is for an address.
    config.enable_sni = name.is_ok();
    let name = name.unwrap_or_else(|_| std::net::IpAddr::from([127, 0, 0, 1]).into());
    ClientConnection::new(Arc::new(config), name)
}

/// Believes every certificate and every signature.
#[derive(Debug)]
struct Believer(Arc<CryptoProvider>);

impl ServerCertVerifier for Believer {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
