//! Registries for the tests: Debian's own, and one of ours that counts what it is asked and can be made to misbehave.

use crate::support::until;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

/// The password of `user`: a word that is nowhere by chance.
pub const PASSWORD: &str = "s3cr3t-w0rd";
const HTPASSWD: &str = "user:$2b$04$eR9oBetYsbXfTrimGmO0b.DnnlHpKK1WNJJsNmeqJEr3Pvxtcmn1C";

/// Debian's docker-registry on a free port of loopback.
pub struct Registry {
    child: Child,
    pub host: String,
    directory: tempfile::TempDir,
}

impl Registry {
    /// One that anybody may read and write.
    pub fn start() -> Registry {
        Registry::with("", "")
    }

    /// One that wants `user` and [`PASSWORD`].
    pub fn with_password() -> Registry {
        Registry::with("", "auth: {htpasswd: {realm: test, path: HTPASSWD}}\n")
    }

    /// One that speaks TLS, with this certificate and key.
    pub fn with_tls(certificate: &Path, key: &Path) -> Registry {
        let (certificate, key) = (certificate.display(), key.display());
        Registry::with(
            &format!(", tls: {{certificate: {certificate}, key: {key}}}"),
            "",
        )
    }

    /// The same, and whoever comes must have a certificate of this authority.
    pub fn with_client_authority(certificate: &Path, key: &Path, authority: &Path) -> Registry {
        let [certificate, key, authority] = [certificate, key, authority].map(Path::display);
        Registry::with(
            &format!(", tls: {{certificate: {certificate}, key: {key}, clientcas: [{authority}]}}"),
            "",
        )
    }

    /// `http` is added to that section, `more` are other sections.
    fn with(http: &str, more: &str) -> Registry {
        let directory = tempfile::tempdir().expect("a directory");
        let path = |name: &str| directory.path().join(name).display().to_string();
        let port = {
            let free = TcpListener::bind("127.0.0.1:0").expect("loopback");
            free.local_addr().expect("bound").port()
        };
        let host = format!("127.0.0.1:{port}");
        fs::write(path("htpasswd"), HTPASSWD).expect("a file");
        let text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{host}\"{http}}}\n{}",
            path("store"),
            more.replace("HTPASSWD", &path("htpasswd")),
        );
        fs::write(path("config.yml"), text).expect("a file");
        let child = Command::new("docker-registry")
            .args(["serve", &path("config.yml")])
            // It would take variables of this kind for its own configuration.
            .env_remove("REGISTRY_AUTH_FILE")
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry must be installed");
        until(30, "the registry listens", || {
            TcpStream::connect(&host)
                .map(drop)
                .map_err(|e| e.to_string())
        });
        Registry {
            child,
            host,
            directory,
        }
    }

    /// Copies an image there with skopeo.
    pub fn push(&self, source: &str, name: &str, more: &[&str]) {
        let target = format!("docker://{}/{name}", self.host);
        let mut command = Command::new("skopeo");
        command.args(["copy", "--dest-tls-verify=false"]).args(more);
        command.args([source, &target]);
        // No policy of the machine, no credentials of the user.
        command.env("REGISTRY_AUTH_FILE", self.directory.path().join("none"));
        crate::support::run(&mut command).expect(0);
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: String,
    pub path: String,
    pub headers: BTreeMap<String, String>,
    pub body: String,
}

impl Request {
    /// Where a range asked for begins.
    pub fn from(&self) -> Option<usize> {
        let range = self.headers.get("range")?;
        range
            .strip_prefix("bytes=")?
            .strip_suffix('-')?
            .parse()
            .ok()
    }

    /// The line that tests count.
    pub fn line(&self) -> String {
        format!("{} {}", self.method, self.path)
    }
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    /// Cut the connection after so many bytes of the body.
    pub cut: Option<usize>,
    /// Send nothing more after that, but stay.
    pub stall: bool,
}

impl Answer {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Answer {
        Answer {
            status,
            headers: Vec::new(),
            body: body.into(),
            cut: None,
            stall: false,
        }
    }

    pub fn header(mut self, name: &str, value: impl Into<String>) -> Answer {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// A registry of ours, with the images of a layout by their tags, or something worse.
pub struct Fake {
    pub host: String,
    requests: Arc<Mutex<Vec<Request>>>,
    over: Arc<AtomicBool>,
}

impl Fake {
    /// Answers as `answer` says.
    pub fn start(answer: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").expect("loopback");
        let host = listener.local_addr().expect("bound").to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let over = Arc::new(AtomicBool::new(false));
        let (answer, log, ended) = (Arc::new(answer), requests.clone(), over.clone());
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if ended.load(Ordering::Relaxed) {
                    return;
                }
                let (answer, log, ended) = (answer.clone(), log.clone(), ended.clone());
                thread::spawn(move || serve(stream, &*answer, &log, &ended));
            }
        });
        Fake {
            host,
            requests,
            over,
        }
    }

    /// Serves the layout at `directory`.
    pub fn of(directory: &Path) -> Fake {
        let directory = directory.to_owned();
        Fake::start(move |request| layout(&directory, request))
    }

    /// What was asked so far.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().expect("no panic").clone()
    }

    /// The lines of what was asked since the last call.
    pub fn lines(&self) -> Vec<String> {
        let mut requests = self.requests.lock().expect("no panic");
        requests.drain(..).map(|request| request.line()).collect()
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        let _ = TcpStream::connect(&self.host);
    }
}

fn serve(
    stream: TcpStream,
    answer: &dyn Fn(&Request) -> Answer,
    log: &Mutex<Vec<Request>>,
    over: &AtomicBool,
) {
    let mut reader = BufReader::new(stream.try_clone().expect("a descriptor"));
    while let Some(request) = read(&mut reader) {
        log.lock().expect("no panic").push(request.clone());
        let told = answer(&request);
        if write(&stream, &request, &told).is_err() {
            return;
        }
        if told.stall {
            while !over.load(Ordering::Relaxed) {
                thread::sleep(std::time::Duration::from_millis(20));
            }
        }
        if told.cut.is_some() {
            return;
        }
    }
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader
        .read_line(&mut line)
        .ok()
        .filter(|count| *count > 0)?;
    let mut words = line.split(' ').map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim().split_once(':') else {
            break;
        };
        headers.insert(name.to_lowercase(), value.trim().to_owned());
    }
    let length = headers
        .get("content-length")
        .and_then(|l| l.parse().ok())
        .unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Request {
        method,
        path,
        headers,
        body: String::from_utf8_lossy(&body).into_owned(),
    })
}

fn write(mut stream: &TcpStream, request: &Request, answer: &Answer) -> std::io::Result<()> {
    let mut head = format!("HTTP/1.1 {} x\r\n", answer.status);
    let has = |name: &str| {
        answer
            .headers
            .iter()
            .any(|(n, _)| n.eq_ignore_ascii_case(name))
    };
    if !has("content-length") {
        head += &format!("Content-Length: {}\r\n", answer.body.len());
    }
    for (name, value) in &answer.headers {
        head += &format!("{name}: {value}\r\n");
    }
    stream.write_all(head.as_bytes())?;
    stream.write_all(b"\r\n")?;
    if request.method != "HEAD" {
        let most = answer
            .cut
            .unwrap_or(answer.body.len())
            .min(answer.body.len());
        stream.write_all(&answer.body[..most])?;
    }
    stream.flush()
}

/// What a good registry answers, with the images of a layout by their tags and digests, in every repository.
pub fn layout(directory: &Path, request: &Request) -> Answer {
    let missing = || {
        Answer::new(
            404,
            r#"{"errors":[{"code":"NAME_UNKNOWN","message":"we have no such thing"}]}"#,
        )
    };
    let blob = |digest: &str| -> PathBuf {
        directory
            .join("blobs/sha256")
            .join(digest.trim_start_matches("sha256:"))
    };
    let path = request.path.split('?').next().unwrap_or_default();
    let last = path.rsplit('/').next().unwrap_or_default();
    if path.contains("/manifests/") {
        let index = fs::read(directory.join("index.json")).expect("a layout");
        let index: serde_json::Value = serde_json::from_slice(&index).expect("JSON");
        let tagged = index["manifests"]
            .as_array()
            .expect("manifests")
            .iter()
            .find(|manifest| manifest["annotations"]["org.opencontainers.image.ref.name"] == last);
        let digest = tagged
            .and_then(|m| m["digest"].as_str())
            .unwrap_or(last)
            .to_owned();
        let Ok(bytes) = fs::read(blob(&digest)) else {
            return missing();
        };
        let document: serde_json::Value = serde_json::from_slice(&bytes).expect("JSON");
        let kind = document["mediaType"]
            .as_str()
            .unwrap_or("application/vnd.oci.image.manifest.v1+json");
        return Answer::new(200, bytes)
            .header("Content-Type", kind)
            .header("Docker-Content-Digest", digest);
    }
    if path.contains("/blobs/") {
        let Ok(bytes) = fs::read(blob(last)) else {
            return missing();
        };
        return match request.from() {
            Some(from) if from < bytes.len() => {
                let range = format!("bytes {from}-{}/{}", bytes.len() - 1, bytes.len());
                Answer::new(206, &bytes[from..]).header("Content-Range", range)
            }
            _ => Answer::new(200, bytes),
        };
    }
    match path {
        "/v2/" => Answer::new(200, "{}"),
        _ => missing(),
    }
}
