//! A network namespace with servers in it, and how they are asked.

use crate::support::until;
use podshim::manifest::{Handler, HandlerPort, HttpGet};
use podshim::probe::{Answer, Prober, Target};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

/// Enough for any server that answers at all.
pub const PATIENT: Duration = Duration::from_secs(20);
/// What a machine under load may add to a time.
const SLACK: Duration = Duration::from_secs(3);
/// Short, for those that never do.
pub const SHORT: Duration = Duration::from_millis(400);

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace that lives as long as this.
pub struct Net {
    pub path: PathBuf,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Net {
    pub fn new() -> Net {
        let (jobs, work) = mpsc::channel::<Job>();
        let (tell, told) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET).expect("needs root");
            let (process, thread) = (std::process::id(), nix::unistd::gettid());
            let path = PathBuf::from(format!("/proc/{process}/task/{thread}/ns/net"));
            tell.send(path).expect("told");
            work.iter().for_each(|job| job());
        });
        let path = told.recv().expect("a namespace");
        podshim::sys::raise_loopback(&path).expect("lo");
        Net {
            path,
            jobs: Some(jobs),
            thread: Some(thread),
        }
    }

    /// Does something in the namespace.
    pub fn within<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (tell, told) = mpsc::channel();
        let job = Box::new(move || drop(tell.send(job())));
        self.jobs.as_ref().expect("open").send(job).expect("alive");
        told.recv().expect("done")
    }

    /// A server on loopback; what it does with each connection is up to the test. It serves until the test ends.
    pub fn serve(&self, answer: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
        self.serve_on(Ipv4Addr::LOCALHOST.into(), answer)
    }

    pub fn serve_on(
        &self,
        address: IpAddr,
        answer: impl Fn(TcpStream) + Send + Sync + 'static,
    ) -> u16 {
        let listener = self.within(move || TcpListener::bind((address, 0)).expect("bind"));
        let port = listener.local_addr().expect("address").port();
        let answer = std::sync::Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let answer = std::sync::Arc::clone(&answer);
                std::thread::spawn(move || answer(stream));
            }
        });
        port
    }

    /// A server that sends this and closes, once it has the request.
    pub fn answers(&self, answer: impl Into<Vec<u8>>) -> u16 {
        let answer = answer.into();
        self.serve(move |mut stream| {
            request(&mut stream);
            // Some of those who ask do not listen to the end.
            let _ = stream.write_all(&answer);
        })
    }

    /// A program in the namespace that serves at this port; it is there when this returns.
    pub fn program(&self, mut command: Command, port: u16) -> Server {
        let child = self.within(move || command.stdin(Stdio::null()).spawn().expect("the server"));
        let mut server = Server(child);
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        until(PATIENT.as_secs(), "the server listens", || {
            let connected = self.within(move || TcpStream::connect(address).map(drop));
            assert_eq!(server.0.try_wait().expect("status"), None, "it has ended");
            connected.map_err(|error| error.to_string())
        });
        server
    }

    pub fn target(&self) -> Target {
        Target {
            netns: Some(self.path.clone()),
            address: Ipv4Addr::LOCALHOST.into(),
        }
    }

    pub fn probe(&self, handler: &Handler, timeout: Duration) -> Answer {
        probe(&self.target(), handler, timeout)
    }

    pub fn hook(&self, handler: &Handler) -> Result<(), String> {
        let target = self.target();
        on_a_loop(prober(&target).hook(handler))
    }
}

impl Drop for Net {
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(thread) = self.thread.take() {
            // Its failure has been told by the job that failed.
            let _ = thread.join();
        }
    }
}

/// A process that ends with this.
pub struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        self.0.kill().expect("killed");
        self.0.wait().expect("reaped");
    }
}

pub fn on_a_loop<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime")
        .block_on(future)
}

fn prober(target: &Target) -> Prober<'_> {
    Prober {
        target,
        program: Path::new(env!("CARGO_BIN_EXE_podshim")),
    }
}

pub fn probe(target: &Target, handler: &Handler, timeout: Duration) -> Answer {
    on_a_loop(prober(target).probe(handler, timeout))
}

/// The headers of a request.
pub fn request(stream: &mut TcpStream) -> String {
    let mut reader = BufReader::new(stream.try_clone().expect("the stream"));
    let mut text = String::new();
    while !text.ends_with("\r\n\r\n") && reader.read_line(&mut text).is_ok_and(|n| n > 0) {}
    text
}

/// Reads until the other side leaves.
pub fn until_closed(mut stream: TcpStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest);
}

pub fn get(port: u16, path: &str) -> HttpGet {
    HttpGet {
        host: String::new(),
        port: HandlerPort::Number(port),
        path: path.into(),
        https: false,
        headers: Vec::new(),
    }
}

pub fn http(port: u16, path: &str) -> Handler {
    Handler::Http(get(port, path))
}

pub fn https(port: u16, path: &str) -> Handler {
    Handler::Http(HttpGet {
        https: true,
        ..get(port, path)
    })
}

/// Asserts that something ends soon after so long.
pub fn within<T>(limit: Duration, work: impl FnOnce() -> T) -> T {
    let begin = podshim::sys::now().mono;
    let result = work();
    let took = Duration::from_millis(podshim::sys::now().mono.0 - begin.0);
    assert!(took < limit + SLACK, "{took:?}");
    result
}

/// The text of a failure.
pub fn failure(answer: Answer) -> String {
    match answer {
        Answer::Failure(text) => {
            assert!(!text.contains('\n'), "{text}");
            text
        }
        other => panic!("{other:?}"),
    }
}
