//! Connections that are opened and closed.

use crate::probe::world::{Net, PATIENT, SHORT, failure, within};
use podshim::manifest::{Handler, HandlerPort};
use podshim::probe::Answer;
use std::net::{TcpListener, TcpStream};

fn tcp(host: &str, port: u16) -> Handler {
    Handler::Tcp {
        host: host.into(),
        port: HandlerPort::Number(port),
    }
}

#[test]
fn a_port_that_somebody_listens_at_is_a_success() {
    let net = Net::new();
    let port = net.serve(drop);
    for host in ["", "127.0.0.1", "localhost", "127.1"] {
        assert_eq!(
            net.probe(&tcp(host, port), PATIENT),
            Answer::Success,
            "{host}"
        );
    }
    assert!(failure(net.probe(&tcp("127.0.0.2", 1), PATIENT)).contains("refused"));
    assert!(failure(net.probe(&tcp("10.1.2.3", 1), PATIENT)).contains("unreachable"));
    let text = failure(net.probe(&tcp("no such name", 1), PATIENT));
    assert!(
        text.starts_with("cannot look up `no such name`: "),
        "{text}"
    );
}

#[test]
fn a_server_that_does_not_accept_in_time_is_a_failure() {
    let net = Net::new();
    let (listener, _queued) = net.within(|| {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bind");
        // The shortest queue there is, filled.
        rustix::net::listen(&listener, 0).expect("listen");
        let address = listener.local_addr().expect("address");
        let first = TcpStream::connect(address).expect("queued");
        (listener, first)
    });
    let port = listener.local_addr().expect("address").port();
    assert_eq!(
        failure(within(SHORT, || net.probe(&tcp("", port), SHORT))),
        "no answer within 400ms"
    );
}

/// On loopback a dialler may be given the very port it dials, and TCP then connects it to itself.
#[test]
fn a_connection_to_itself_is_no_server() {
    let net = Net::new();
    net.within(|| {
        let range = "/proc/sys/net/ipv4/ip_local_port_range";
        std::fs::write(range, "40000 40000").expect("one port to dial from");
    });
    assert_eq!(
        failure(net.probe(&tcp("", 40000), PATIENT)),
        "cannot connect to 127.0.0.1:40000: nobody listens"
    );
}

#[test]
fn a_port_without_a_number_and_a_handler_of_others_are_errors() {
    let net = Net::new();
    let unknown = Handler::Tcp {
        host: String::new(),
        port: HandlerPort::Unknown("web".into()),
    };
    assert_eq!(
        net.probe(&unknown, PATIENT),
        Answer::Error("the container has no port named `web`".into())
    );
    for other in [Handler::Sleep(0), Handler::Exec(vec!["true".into()])] {
        assert!(matches!(net.probe(&other, PATIENT), Answer::Error(_)));
        assert!(net.hook(&other).is_err());
    }
}

#[test]
fn a_tcp_hook_always_fails() {
    let net = Net::new();
    let port = net.serve(drop);
    let text = net.hook(&tcp("", port)).expect_err("a failure");
    assert!(text.contains("always fails"), "{text}");
}
