//! Servers that stall, trickle, flood, leave early or speak something else.

use crate::probe::world::{Net, PATIENT, SHORT, failure, http, request, until_closed, within};
use podshim::manifest::Handler;
use podshim::probe::Answer;
use std::io::Write;
use std::sync::mpsc;
use std::time::Duration;

const GIGABYTE: usize = 1024 * 1024 * 1024;
const PIECE_BYTES: usize = 64 * 1024;
/// Gives up well before a flood of a gigabyte would have passed.
const QUICK: Duration = Duration::from_secs(5);

fn grpc(port: u16) -> Handler {
    Handler::Grpc {
        port,
        service: String::new(),
    }
}

#[test]
fn a_server_that_stalls_is_cut_in_time() {
    let net = Net::new();
    let silent = net.serve(until_closed);
    let in_head = net.serve(|mut stream| {
        request(&mut stream);
        stream.write_all(b"HTTP/1.1 200 OK\r\n").expect("sent");
        until_closed(stream);
    });
    let in_body = net.serve(|mut stream| {
        request(&mut stream);
        stream
            .write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n123")
            .expect("sent");
        until_closed(stream);
    });
    let trickling = net.serve(|mut stream| {
        request(&mut stream);
        while stream.write_all(b"H").is_ok() {
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    for handler in [
        http(silent, "/"),
        http(in_head, "/"),
        http(in_body, "/"),
        http(trickling, "/"),
        grpc(silent),
    ] {
        let text = failure(within(SHORT, || net.probe(&handler, SHORT)));
        assert_eq!(text, "no answer within 400ms", "{handler:?}");
    }
}

#[test]
fn a_gigabyte_is_not_read() {
    let net = Net::new();
    let (tell, told) = mpsc::channel();
    let flood = |start: &'static str, more: &'static str| {
        let tell = tell.clone();
        net.serve(move |mut stream| {
            request(&mut stream);
            let mut sent = stream.write_all(start.as_bytes());
            let piece = more.repeat(PIECE_BYTES / more.len());
            let mut pieces = 0;
            while sent.is_ok() && pieces < GIGABYTE / PIECE_BYTES {
                sent = stream.write_all(piece.as_bytes());
                pieces += 1;
            }
            tell.send(pieces * PIECE_BYTES).expect("told");
        })
    };
    for (start, more, is_success) in [
        ("HTTP/1.1 200 OK\r\n\r\n", "x", true),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n",
            "x",
            true,
        ),
        (
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n40000000\r\n",
            "x",
            true,
        ),
        ("HTTP/1.1 200 OK\r\n", "X: y\r\n", false),
        ("HTTP/1.1 200 OK\r\nX: ", "y", false),
        ("", "x", false),
    ] {
        let port = flood(start, more);
        let answer = within(QUICK, || net.probe(&http(port, "/"), PATIENT));
        assert_eq!(answer == Answer::Success, is_success, "{start} {answer:?}");
        let sent = told.recv_timeout(PATIENT).expect("the server is done");
        assert!(sent < GIGABYTE / 8, "{start}: {sent} bytes left the server");
        assert!(matches!(net.probe(&grpc(port), SHORT), Answer::Failure(_)));
        told.recv_timeout(PATIENT).expect("the server is done");
    }
}

#[test]
fn a_server_that_leaves_early_or_speaks_something_else_is_a_failure() {
    let net = Net::new();
    for (answer, text) in [
        ("", "the server closed the connection without an answer"),
        (
            "HTTP/1.1 200 OK\r\nA: b",
            "the server closed the connection within the headers",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n123",
            "the server closed the connection within the body",
        ),
        ("SSH-2.0-x\r\n\r\n", "the answer is not HTTP"),
        ("\0\x01\x7f\n\n", "the answer is not HTTP"),
    ] {
        let port = net.answers(answer);
        assert_eq!(failure(net.probe(&http(port, "/"), PATIENT)), text);
    }
    let port = net.serve(drop);
    // Closed at once, which the kernel tells in one of two ways.
    let text = failure(net.probe(&http(port, "/"), PATIENT));
    assert!(text.contains("closed") || text.contains("reset"), "{text}");
}
