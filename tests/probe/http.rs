//! What is asked, which answers count, and where redirects lead.

use crate::probe::world::{Net, PATIENT, SHORT, failure, get, http, request};
use podshim::manifest::{Handler, HttpGet};
use podshim::probe::Answer;
use std::io::Write;
use std::process::Command;
use std::sync::{Arc, Mutex};

fn status(code: u16) -> String {
    format!("HTTP/1.1 {code} x\r\nContent-Length: 0\r\n\r\n")
}

fn redirect(code: u16, to: &str) -> String {
    format!("HTTP/1.1 {code} x\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

#[test]
fn a_status_from_200_to_399_is_a_success() {
    let net = Net::new();
    for code in [200, 204, 302, 399] {
        let port = net.answers(status(code));
        assert_eq!(
            net.probe(&http(port, "/"), PATIENT),
            Answer::Success,
            "{code}"
        );
    }
    for code in [400, 404, 503, 600] {
        let port = net.answers(status(code));
        let text = failure(net.probe(&http(port, "/"), PATIENT));
        assert_eq!(text, format!("HTTP probe failed with statuscode: {code}"));
        assert_eq!(net.hook(&http(port, "/")), Ok(()), "{code}");
    }
}

#[test]
fn nginx_answers() {
    let net = Net::new();
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().display();
    let config = format!(
        "daemon off; master_process off; pid {path}/pid; error_log {path}/error.log; events {{ worker_connections 64; }}
        http {{ access_log off; client_body_temp_path {path}/a; proxy_temp_path {path}/b; fastcgi_temp_path {path}/c;
          uwsgi_temp_path {path}/d; scgi_temp_path {path}/e; root {path};
          server {{ listen 127.0.0.1:8080; listen [::1]:8080; chunked_transfer_encoding on;
            location = /moved {{ return 301 /index.html; }}
            location = /agent {{ if ($http_user_agent = kube-probe/1.37) {{ return 200 yes; }} return 500; }}
            location = /broken {{ return 503; }} }} }}"
    );
    std::fs::write(dir.path().join("nginx.conf"), config).expect("a file");
    std::fs::write(dir.path().join("index.html"), "x".repeat(100_000)).expect("a file");
    let mut command = Command::new("nginx");
    command
        .env(
            "PATH",
            "/usr/local/sbin:/usr/sbin:/sbin:/usr/local/bin:/usr/bin:/bin",
        )
        .arg("-c")
        .arg(dir.path().join("nginx.conf"))
        .stderr(std::process::Stdio::null());
    let _nginx = net.program(command, 8080);
    for path in ["/", "/index.html?q=1", "/moved", "/agent"] {
        assert_eq!(
            net.probe(&http(8080, path), PATIENT),
            Answer::Success,
            "{path}"
        );
    }
    for (path, code) in [("/broken", 503), ("/nothing", 404)] {
        let text = failure(net.probe(&http(8080, path), PATIENT));
        assert_eq!(text, format!("HTTP probe failed with statuscode: {code}"));
    }
    let v6 = Handler::Http(HttpGet {
        host: "::1".into(),
        ..get(8080, "/agent")
    });
    assert_eq!(net.probe(&v6, PATIENT), Answer::Success);
}

#[test]
fn the_server_sees_the_headers_of_the_manifest() {
    let net = Net::new();
    let seen = Arc::new(Mutex::new(String::new()));
    let at_server = Arc::clone(&seen);
    let port = net.serve(move |mut stream| {
        *at_server.lock().expect("lock") = request(&mut stream);
        stream.write_all(status(200).as_bytes()).expect("sent");
    });
    let handler = Handler::Http(HttpGet {
        headers: vec![
            ("X-Token".into(), "t".into()),
            ("Host".into(), "web.example".into()),
        ],
        ..get(port, "/ready?full=1")
    });
    assert_eq!(net.probe(&handler, PATIENT), Answer::Success);
    assert_eq!(
        *seen.lock().expect("lock"),
        "GET /ready?full=1 HTTP/1.1\r\nHost: web.example\r\nUser-Agent: kube-probe/1.37\r\nAccept: */*\r\nX-Token: t\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(net.hook(&handler), Ok(()));
    assert!(
        seen.lock()
            .expect("lock")
            .contains("User-Agent: kube-lifecycle/1.37\r\n")
    );
}

#[test]
fn redirects_are_followed_on_the_same_host_only() {
    let net = Net::new();
    let last = net.answers(status(418));
    for to in [
        format!("http://127.0.0.1:{last}/x"),
        format!("//127.0.0.1:{last}/"),
    ] {
        for code in [301, 302, 303, 307, 308] {
            let first = net.answers(redirect(code, &to));
            let text = failure(net.probe(&http(first, "/"), PATIENT));
            assert_eq!(
                text, "HTTP probe failed with statuscode: 418",
                "{code} {to}"
            );
        }
    }
    // Another host, no place, or another status: the redirect itself is the answer.
    for answer in [
        redirect(302, &format!("http://localhost:{last}/")),
        redirect(304, &format!("http://127.0.0.1:{last}/")),
        status(302),
    ] {
        let first = net.answers(answer);
        assert_eq!(net.probe(&http(first, "/"), PATIENT), Answer::Success);
    }
    let nowhere = net.answers(redirect(302, "ftp://127.0.0.1/"));
    assert_eq!(
        failure(net.probe(&http(nowhere, "/"), PATIENT)),
        "redirected to a `ftp:` address"
    );
}

#[test]
fn a_redirect_that_never_ends_is_given_up_after_ten_requests() {
    let net = Net::new();
    let requests = Arc::new(Mutex::new(0));
    let at_server = Arc::clone(&requests);
    let port = net.serve(move |mut stream| {
        request(&mut stream);
        *at_server.lock().expect("lock") += 1;
        stream
            .write_all(redirect(302, "/again").as_bytes())
            .expect("sent");
    });
    let text = failure(net.probe(&http(port, "/"), PATIENT));
    assert_eq!(text, "stopped after 10 redirects");
    assert_eq!(*requests.lock().expect("lock"), 10);
    assert!(net.hook(&http(port, "/")).is_err());
}

#[test]
fn a_hook_waits_as_long_as_its_caller_does() {
    let net = Net::new();
    let port = net.serve(|mut stream| {
        request(&mut stream);
        std::thread::sleep(SHORT * 2);
        stream.write_all(status(500).as_bytes()).expect("sent");
    });
    assert_eq!(net.hook(&http(port, "/")), Ok(()));
}
