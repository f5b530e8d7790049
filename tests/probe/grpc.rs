//! The health check over HTTP/2, against the gRPC of others and against frames of every kind.

use crate::probe::world::{Net, PATIENT, SHORT, failure};
use podshim::manifest::Handler;
use podshim::probe::Answer;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;

/// A health service for the services `""`, `down` and `slow`; `other` as first argument leaves it out.
const SERVER: &str = r#"
import grpc, sys, time
from concurrent import futures
def check(request, context):
    service = request[2:].decode()
    assert len(request) == (2 + len(service) if service else 0)
    assert context.time_remaining() is not None
    if service == "slow":
        time.sleep(60)
    if service not in ("", "down"):
        context.abort(grpc.StatusCode.NOT_FOUND, "no such service, and a text: ä" * 100)
    return b"\x08\x01" if service == "" else b"\x08\x02"
server = grpc.server(futures.ThreadPoolExecutor(4))
if sys.argv[1:] != ["other"]:
    handler = grpc.unary_unary_rpc_method_handler(check)
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("grpc.health.v1.Health", {"Check": handler}),))
assert server.add_insecure_port("127.0.0.1:5000") == 5000
server.start()
server.wait_for_termination()
"#;

fn grpc(port: u16, service: &str) -> Handler {
    Handler::Grpc {
        port,
        service: service.into(),
    }
}

/// The distribution's Python, which has the distribution's gRPC.
fn python(arguments: &[&str]) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.args(["-c", SERVER]).args(arguments);
    command
}

#[test]
fn a_grpc_server_says_which_of_its_services_serve() {
    let net = Net::new();
    let _server = net.program(python(&[]), 5000);
    assert_eq!(net.probe(&grpc(5000, ""), PATIENT), Answer::Success);
    for (service, text) in [
        ("down", "the service is NOT_SERVING"),
        (
            "unheard.of",
            "the health check ended with NOT_FOUND: the server does not know this service",
        ),
    ] {
        assert_eq!(failure(net.probe(&grpc(5000, service), PATIENT)), text);
    }
    // The server is told the limit, too, and may be the first to give up.
    let slow = failure(net.probe(&grpc(5000, "slow"), SHORT));
    let late = [
        "no answer within 400ms",
        "the health check ended with DEADLINE_EXCEEDED",
    ];
    assert!(late.contains(&slow.as_str()), "{slow}");
}

#[test]
fn a_grpc_server_without_a_health_service_fails() {
    let net = Net::new();
    let _server = net.program(python(&["other"]), 5000);
    assert_eq!(
        failure(net.probe(&grpc(5000, ""), PATIENT)),
        "the health check ended with UNIMPLEMENTED: the server has no grpc.health.v1.Health"
    );
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("short").to_be_bytes();
    [&length[1..], &[kind, flags], &stream.to_be_bytes(), payload].concat()
}

/// Reads what a client says unasked, to the end of its message.
fn call(stream: &mut TcpStream) {
    let mut preface = [0; 24];
    stream.read_exact(&mut preface).expect("a preface");
    assert_eq!(preface, *b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    loop {
        let (kind, flags, _) = next(stream);
        if (kind, flags) == (0, 1) {
            return;
        }
    }
}

fn next(stream: &mut TcpStream) -> (u8, u8, Vec<u8>) {
    let mut head = [0; 9];
    stream.read_exact(&mut head).expect("a frame");
    let mut payload = vec![0; usize::from(head[1]) << 8 | usize::from(head[2])];
    stream.read_exact(&mut payload).expect("its payload");
    (head[3], head[4], payload)
}

const SETTINGS: u8 = 4;
const GRPC_STATUS_0: &[u8] = b"\x00\x0bgrpc-status\x010";
const SERVING: &[u8] = b"\0\0\0\0\x02\x08\x01";

/// What a probe says to these frames after the settings.
fn answer_to(net: &Net, frames: &[Vec<u8>]) -> Answer {
    let bytes = [frame(SETTINGS, 0, 0, &[]), frames.concat()].concat();
    let port = net.serve(move |mut stream| {
        call(&mut stream);
        // Some are refused before the end.
        let _ = stream.write_all(&bytes);
        let _ = stream.read_to_end(&mut Vec::new());
    });
    net.probe(&grpc(port, "s"), PATIENT)
}

#[test]
fn an_answer_in_every_shape_of_frames_is_read() {
    let net = Net::new();
    let trailers = [&b"\x40\x0agrpc-other\x01x"[..], GRPC_STATUS_0].concat();
    let (first, second) = trailers.split_at(5);
    let window = frame(8, 0, 0, &[0, 0, 1, 0]);
    let settings_ack = frame(SETTINGS, 1, 0, &[]);
    for (what, frames) in [
        (
            "plain",
            vec![
                frame(1, 0x4, 1, b"\x88"),
                frame(0, 0, 1, SERVING),
                frame(1, 0x5, 1, &trailers),
            ],
        ),
        (
            "with everything in between",
            vec![
                settings_ack,
                window,
                frame(0xfa, 0xff, 1, b"of a later version"),
                frame(2, 0, 1, &[0; 5]),
                frame(1, 0x4 | 0x8 | 0x20, 1, b"\x02\0\0\0\0\0\x88\0\0"),
                frame(0, 0x8, 1, b"\x01\0\0\0\0\0"),
                frame(0, 0, 1, b"\x02\x08"),
                frame(7, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0]),
                frame(0, 0, 1, b"\x01"),
                frame(1, 0x1, 1, first),
                frame(9, 0, 1, b""),
                frame(9, 0x4, 1, second),
            ],
        ),
    ] {
        assert_eq!(answer_to(&net, &frames), Answer::Success, "{what}");
    }
}

#[test]
fn what_is_no_answer_is_a_failure() {
    let net = Net::new();
    let headers = || frame(1, 0x4, 1, b"\x88");
    let end = || frame(1, 0x5, 1, GRPC_STATUS_0);
    let many = |one: Vec<u8>| vec![one; 100];
    for (frames, text) in [
        (vec![], "no answer within 400ms"),
        (vec![end()], "the answer is not gRPC"),
        (vec![headers(), end()], "the answer is malformed"),
        (
            vec![frame(1, 0x5, 1, b"\x8d")],
            "the server answered with HTTP status 404",
        ),
        (
            vec![headers(), frame(0, 0, 1, b"\0\0\0\0\0"), end()],
            "the service is UNKNOWN",
        ),
        (
            vec![headers(), frame(0, 0, 1, b"\x01\0\0\0\x02\x08\x01"), end()],
            "the answer is malformed",
        ),
        (vec![frame(1, 0x5, 1, b"\xff")], "the answer is malformed"),
        (
            vec![frame(1, 0, 1, b"\x88"), end()],
            "the answer is malformed",
        ),
        (vec![frame(9, 0x4, 1, b"\x88")], "the answer is malformed"),
        (vec![frame(1, 0x5, 3, b"\x88")], "the answer is malformed"),
        (vec![frame(5, 0x4, 1, &[0; 5])], "the answer is malformed"),
        (vec![frame(0, 0x8, 1, b"\x09")], "the answer is malformed"),
        (
            vec![frame(3, 0, 1, &[0, 0, 0, 7])],
            "the server cut the call with HTTP/2 error 7",
        ),
        (
            vec![frame(7, 0, 0, &[0; 8])],
            "the server does not take the call",
        ),
        (
            many(frame(6, 0, 0, &[0; 8])),
            "the server goes on talking without an answer",
        ),
        (
            many(frame(0, 0, 1, &[0; 1000])),
            "the answer is too long for a health check",
        ),
        (
            [vec![frame(1, 0, 1, b"")], many(frame(9, 0, 1, &[0; 1000]))].concat(),
            "the headers of the answer are too long",
        ),
        (
            vec![frame(0, 0, 1, &vec![0; 20_000])],
            "the answer is not HTTP/2",
        ),
    ] {
        let answer = match frames.is_empty() {
            true => {
                let port = net.serve(crate::probe::world::until_closed);
                net.probe(&grpc(port, ""), SHORT)
            }
            false => answer_to(&net, &frames),
        };
        assert_eq!(failure(answer), text);
    }
    let port = net.answers("HTTP/1.1 400 Bad Request\r\n\r\n");
    assert_eq!(
        failure(net.probe(&grpc(port, ""), PATIENT)),
        "the answer is not HTTP/2"
    );
    let long = grpc(port, &"s".repeat(5000));
    assert!(matches!(net.probe(&long, PATIENT), Answer::Error(_)));
}

#[test]
fn a_ping_is_answered() {
    let net = Net::new();
    let port = net.serve(|mut stream| {
        call(&mut stream);
        let ping = frame(6, 0, 0, b"12345678");
        stream
            .write_all(&[frame(SETTINGS, 0, 0, &[]), ping].concat())
            .expect("sent");
        assert_eq!(next(&mut stream), (SETTINGS, 1, Vec::new()));
        assert_eq!(next(&mut stream), (6, 1, b"12345678".to_vec()));
        let answer = [
            frame(1, 0x4, 1, b"\x88"),
            frame(0, 0, 1, SERVING),
            frame(1, 0x5, 1, GRPC_STATUS_0),
        ];
        stream.write_all(&answer.concat()).expect("sent");
    });
    assert_eq!(net.probe(&grpc(port, ""), PATIENT), Answer::Success);
}
