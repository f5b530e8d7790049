//! https, against OpenSSL and against what is not TLS at all.

use crate::probe::world::{
    Net, PATIENT, SHORT, failure, get, http, https, request, until_closed, within,
};
use crate::support::until;
use podshim::manifest::{Handler, HttpGet};
use podshim::probe::Answer;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

/// A certificate that nobody signed, for a name that nobody asks for, long past its end.
fn certificate(dir: &Path) {
    let mut command = Command::new("openssl");
    command
        .args([
            "req",
            "-x509",
            "-newkey",
            "rsa:2048",
            "-nodes",
            "-days",
            "1",
            "-subj",
            "/CN=other",
        ])
        .args(["-keyout", "key", "-out", "certificate"])
        .current_dir(dir)
        .stderr(Stdio::null());
    assert!(command.status().expect("openssl").success());
}

fn openssl(dir: &Path, port: u16, arguments: &[&str]) -> Command {
    let mut command = Command::new("openssl");
    command
        .args([
            "s_server",
            "-quiet",
            "-cert",
            "certificate",
            "-key",
            "key",
            "-accept",
        ])
        .arg(format!("127.0.0.1:{port}"))
        .args(arguments)
        .current_dir(dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command
}

#[test]
fn a_server_with_any_certificate_is_asked_over_tls() {
    let net = Net::new();
    let dir = tempfile::tempdir().expect("a directory");
    certificate(dir.path());
    for (port, arguments) in [
        (8443, &["-www", "-tls1_2"][..]),
        (8444, &["-www", "-tls1_3"]),
        // Files: `HTTP/1.0 200 ok` for one that exists, no status for others.
        (8445, &["-WWW"]),
    ] {
        let _server = net.program(openssl(dir.path(), port, arguments), port);
        let path = if port == 8445 { "/certificate" } else { "/" };
        assert_eq!(
            net.probe(&https(port, path), PATIENT),
            Answer::Success,
            "{port}"
        );
        assert_eq!(net.hook(&https(port, path)), Ok(()));
        let text = failure(net.probe(&http(port, path), PATIENT));
        assert!(!text.is_empty());
    }
}

#[test]
fn a_server_that_offers_nothing_we_take_is_a_failure_with_its_reason() {
    let net = Net::new();
    let dir = tempfile::tempdir().expect("a directory");
    certificate(dir.path());
    let old = ["-www", "-tls1_2", "-cipher", "AES128-SHA"];
    let _server = net.program(openssl(dir.path(), 8443, &old), 8443);
    let text = failure(net.probe(&https(8443, "/"), PATIENT));
    assert!(text.starts_with("cannot speak TLS: "), "{text}");
    assert!(net.hook(&https(8443, "/")).is_err());
}

#[test]
fn a_server_that_answers_https_in_plain_http_fails_a_probe_and_is_asked_again_by_a_hook() {
    let net = Net::new();
    let seen = Arc::new(Mutex::new(Vec::new()));
    let at_server = Arc::clone(&seen);
    let port = net.serve(move |mut stream| {
        // What begins TLS has no lines; a plain server answers it all the same.
        let mut first = [0; 1];
        stream.peek(&mut first).expect("a byte");
        if first == *b"G" {
            at_server.lock().expect("lock").push(request(&mut stream));
        }
        let answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n";
        stream.write_all(answer).expect("sent");
        until_closed(stream);
    });
    let handler = Handler::Http(HttpGet {
        https: true,
        headers: vec![
            ("Authorization".into(), "secret".into()),
            ("X".into(), "1".into()),
        ],
        ..get(port, "/stop")
    });
    assert_eq!(
        failure(net.probe(&handler, PATIENT)),
        "the server answers https in plain http"
    );
    assert_eq!(net.hook(&handler), Ok(()));
    let seen = seen.lock().expect("lock");
    assert_eq!(seen.len(), 1);
    assert!(seen[0].starts_with("GET /stop HTTP/1.1\r\n"), "{}", seen[0]);
    assert!(
        seen[0].contains("X: 1\r\n") && !seen[0].contains("secret"),
        "{}",
        seen[0]
    );
}

#[test]
fn a_stalled_handshake_is_cut_in_time_and_leaves_no_helper() {
    let net = Net::new();
    // An address that no other test uses, to know the helper by.
    let host = "127.0.0.77";
    let port = net.serve_on(host.parse().expect("an address"), until_closed);
    let handler = Handler::Http(HttpGet {
        host: host.into(),
        https: true,
        ..get(port, "/")
    });
    assert_eq!(
        failure(within(SHORT, || net.probe(&handler, SHORT))),
        "no answer within 400ms"
    );
    let is_helper = |pid: &u32| {
        let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let ends_with_host = line.ends_with(format!("tls\0{host}\0").as_bytes());
        ends_with_host && podshim::sys::parent(*pid) == Some(std::process::id())
    };
    until(
        PATIENT.as_secs(),
        "no helper is left",
        || match podshim::sys::processes().find(is_helper) {
            Some(pid) => Err(format!("process {pid}")),
            None => Ok(()),
        },
    );
}

#[test]
fn garbage_and_silence_are_failures() {
    let net = Net::new();
    let port = net.serve(|mut stream| {
        stream
            .write_all(b"\x16\x03\x01\xff\xff garbage")
            .expect("sent");
        until_closed(stream);
    });
    let text = failure(net.probe(&https(port, "/"), PATIENT));
    assert!(text.starts_with("cannot speak TLS: "), "{text}");
    let gone = net.serve(drop);
    let text = failure(net.probe(&https(gone, "/"), PATIENT));
    assert!(text.starts_with("cannot speak TLS: "), "{text}");
}
