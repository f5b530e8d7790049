//! Where a probe dials from.

use crate::probe::world::{Net, PATIENT, failure, http, probe};
use podshim::manifest::Handler;
use podshim::probe::{Answer, Target};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_server_in_the_namespace_is_reached_only_from_within() {
    let net = Net::new();
    let port = net.answers(OK);
    assert_eq!(net.probe(&http(port, "/"), PATIENT), Answer::Success);
    let elsewhere = Net::new();
    let text = failure(elsewhere.probe(&http(port, "/"), PATIENT));
    assert_eq!(
        text,
        format!("cannot connect to 127.0.0.1:{port}: Connection refused (os error 111)")
    );
}

#[test]
fn a_pod_in_the_host_s_network_is_asked_there() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
    let port = listener.local_addr().expect("address").port();
    let host = Target {
        netns: None,
        address: Ipv4Addr::LOCALHOST.into(),
    };
    let handler = Handler::Tcp {
        host: String::new(),
        port: podshim::manifest::HandlerPort::Number(port),
    };
    assert_eq!(probe(&host, &handler, PATIENT), Answer::Success);
    assert!(matches!(
        Net::new().probe(&handler, PATIENT),
        Answer::Failure(_)
    ));
}

#[test]
fn a_pod_with_an_ipv6_address_is_asked_at_it() {
    let net = Net::new();
    let port = net.serve_on(Ipv6Addr::LOCALHOST.into(), |mut stream| {
        let request = crate::probe::world::request(&mut stream);
        let host = format!(
            "Host: [::1]:{}\r\n",
            stream.local_addr().expect("own").port()
        );
        let status = if request.contains(&host) { 200 } else { 500 };
        let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
        std::io::Write::write_all(&mut stream, answer.as_bytes()).expect("sent");
    });
    let target = Target {
        address: Ipv6Addr::LOCALHOST.into(),
        ..net.target()
    };
    assert_eq!(probe(&target, &http(port, "/"), PATIENT), Answer::Success);
}

#[test]
fn a_namespace_that_is_gone_is_an_error_and_no_failure() {
    let path = Net::new().path.clone();
    let target = Target {
        netns: Some(path.clone()),
        address: Ipv4Addr::LOCALHOST.into(),
    };
    let answer = probe(&target, &http(1, "/"), PATIENT);
    let Answer::Error(text) = answer else {
        panic!("{answer:?}");
    };
    assert!(text.starts_with("cannot open network namespace"), "{text}");
}
