//! Published ports: from everywhere, with the client's address, and never twice.

use super::machine::Machine;
use super::wire::{
    bridge, command, echo, fetch, fetch_from, free_port, host_ip, serve, until_served,
};
use crate::support::{on_each_runtime, pod, sh, until, with};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};

/// A pod with a web server at a port of the host.
fn web(name: &str, port: &Value) -> Value {
    let container = with(sh("c", &serve(name)), json!({"ports": [port]}));
    with(
        pod(json!({"containers": [container]})),
        json!({"metadata": {"name": name}}),
    )
}

fn at(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().expect("an address"), port)
}

#[test]
fn a_published_port_answers_on_every_address_and_sees_who_asks() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let port = free_port();
        let server = host.start(&web("web", &json!({"containerPort": 80, "hostPort": port})));
        let client = host.start(&web("client", &json!({"containerPort": 80})));
        server.until_running();
        client.until_running();
        let outside = SocketAddr::new(host_ip(), port);
        for address in [outside, at("127.0.0.1", port)] {
            until_served(address, "web");
        }
        assert_eq!(fetch_from(&client, "c", outside), "web", "from another pod");
        assert_eq!(fetch_from(&server, "c", outside), "web", "from itself");
        // The loopback of the host is not the pods'.
        let local = client.exec("c", &format!("wget -q -O - http://127.0.0.1:{port}/"));
        assert_ne!(local.code, Some(0));

        let machine = Machine::new();
        let page = machine.run(&format!("wget -q -O - http://{}:{port}/", machine.host));
        assert_eq!(page.trim(), "web", "from another machine");
        until(5, "the server told who asked", || {
            let log = server.podshim("logs", &[]).text();
            log.contains(&machine.address).then_some(()).ok_or(log)
        });
        drop(machine);

        server.podshim("delete", &["--force"]).expect(0);
        assert!(fetch(outside).is_err(), "nobody answers any more");
        let table = command(&format!(
            "nft list table inet {}",
            bridge(host).expect("a pod is left")
        ));
        assert!(!table.contains("dnat ip"), "{table}");
    });
}

#[test]
fn a_port_answers_where_and_how_it_is_asked_to() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let (local, datagrams, six) = (free_port(), free_port(), free_port());
        let script = serve("both");
        let pod = host.start(&pod(
            json!({"containers": [with(sh("c", &script), json!({"ports": [
                {"containerPort": 80, "hostPort": local, "hostIP": "127.0.0.1"},
                {"containerPort": 80, "hostPort": six, "hostIP": "::"},
                {"containerPort": 53, "hostPort": datagrams, "protocol": "UDP"},
                {"containerPort": 99, "hostPort": datagrams, "protocol": "SCTP"},
            ]}))]}),
        ));
        pod.until_running();
        until_served(at("127.0.0.1", local), "both");
        assert!(
            fetch(SocketAddr::new(host_ip(), local)).is_err(),
            "only on loopback"
        );
        assert!(fetch(at("127.0.0.1", six)).is_err(), "only IPv6");
        let v6: Option<IpAddr> = ips_of_host_v6();
        if let Some(v6) = v6 {
            until_served(SocketAddr::new(v6, six), "both");
        }
        send_back_datagrams(pod.pause(), 53);
        until(10, "a datagram comes back", || {
            match echo(SocketAddr::new(host_ip(), datagrams), "hello") {
                Ok(text) if text == "hello" => Ok(()),
                other => Err(format!("{other:?}")),
            }
        });
        let table = command(&format!(
            "nft list table inet {}",
            bridge(host).expect("there is a pod")
        ));
        assert!(
            table.contains(&format!("sctp dport {datagrams} dnat ip to")),
            "{table}"
        );
    });
}

/// Answers every datagram to a port of a pod with itself, until the test program ends. (This busybox has no datagrams.)
fn send_back_datagrams(pause: i32, port: u16) {
    let namespace = std::fs::File::open(format!("/proc/{pause}/ns/net")).expect("pause lives");
    let (ready, is_ready) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).expect("root");
        drop(namespace);
        let socket = std::net::UdpSocket::bind(("0.0.0.0", port)).expect("a free port");
        ready.send(()).expect("the test waits");
        let mut buffer = [0; 64];
        let (n, from) = socket.recv_from(&mut buffer).expect("a datagram");
        socket.send_to(&buffer[..n], from).expect("sent");
    });
    is_ready.recv().expect("it listens");
}

/// The first global IPv6 address of this machine that a default route leaves from.
fn ips_of_host_v6() -> Option<IpAddr> {
    let socket = std::net::UdpSocket::bind("[::]:0").ok()?;
    socket.connect("[2001:db8::1]:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

#[test]
fn a_port_belongs_to_one_pod_and_the_other_is_told_to_which() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let port = free_port();
        let wanted = json!({"containerPort": 80, "hostPort": port});
        let first = host.start(&web("first", &wanted));
        first.until_running();
        let run = |pods: &[Value]| {
            let file = host.manifest(pods);
            host.podshim(["run", "-d", "-f", file.to_str().expect("a path")])
        };
        let local = json!({"containerPort": 80, "hostPort": port, "hostIP": "127.0.0.1"});
        let on_host = with(
            web("other", &json!({"containerPort": port})),
            json!({"spec": {"hostNetwork": true}}),
        );
        for other in [web("other", &wanted), web("other", &local), on_host] {
            let ran = run(&[other]).expect(5);
            let told = ran.stderr.contains(&format!("{port}/TCP"))
                || ran.stderr.contains(&format!(":{port}/TCP"));
            assert!(
                told && ran.stderr.contains("belongs to pod `default/first`"),
                "{}",
                ran.stderr
            );
            host.podshim(["get", "other"]).expect(3);
        }
        run(&[web(
            "other",
            &with(wanted.clone(), json!({"protocol": "UDP"})),
        )])
        .expect(0);
        let (twin, free) = (free_port(), json!({"containerPort": 80}));
        let twin = json!({"containerPort": 80, "hostPort": twin});
        let ran = run(&[web("one", &free), web("two", &twin), web("three", &twin)]).expect(5);
        assert!(
            ran.stderr.contains("belongs to pod `default/two`"),
            "{}",
            ran.stderr
        );
        host.podshim(["get", "one"]).expect(3);

        host.podshim(["delete", "first", "--force"]).expect(0);
        run(&[web("second", &wanted)]).expect(0);
        host.pod("second").until_running();
        until_served(SocketAddr::new(host_ip(), port), "second");
    });
}

#[test]
fn a_port_that_a_process_of_the_machine_uses_is_refused() {
    on_each_runtime(|host| {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = taken.local_addr().expect("bound").port();
        let file = host.manifest(&[web("web", &json!({"containerPort": 80, "hostPort": port}))]);
        let run = || host.podshim(["run", "-d", "-f", file.to_str().expect("a path")]);
        host.set_network(Some("bridge"));
        let ran = run().expect(5);
        assert!(
            ran.stderr.contains("is used by a process of this machine"),
            "{}",
            ran.stderr
        );
        host.set_network(Some("none"));
        let ran = run().expect(2);
        assert!(ran.stderr.contains("--network bridge"), "{}", ran.stderr);
        host.podshim(["get", "web"]).expect(3);
    });
}
