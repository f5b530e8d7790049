//! `port-forward`.

use super::wire::{fetch, serve, until_served};
use crate::support::{Background, Host, on_each_runtime, pod, sh, until, with};
use serde_json::json;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

/// Starts it and reads from its output where it listens, one line each.
fn forward(host: &Host, ports: &[&str], listeners: usize) -> (Background, Vec<SocketAddr>) {
    let args = [&["port-forward", "p"], ports].concat();
    let mut running = host.background(args);
    let at = until(10, "it listens", || {
        let said = running.stdout();
        let words = said
            .lines()
            .filter_map(|line| line.strip_prefix("Forwarding from ")?.split(' ').next());
        let at: Vec<SocketAddr> = words.filter_map(|word| word.parse().ok()).collect();
        if at.len() == listeners {
            Ok(at)
        } else {
            Err(format!("{said}{} {:?}", running.stderr(), running.ended()))
        }
    });
    (running, at)
}

#[test]
fn a_port_of_a_pod_without_addresses_is_reached_many_times_at_once() {
    const CLIENTS: usize = 50;
    on_each_runtime(|host| {
        let web = with(
            sh("c", &serve("inside")),
            json!({"ports": [{"name": "web", "containerPort": 80}]}),
        );
        host.start(&pod(json!({"containers": [web]})))
            .until_running();
        let (mut running, at) = forward(host, &[":80", "127.0.0.1::web"], 3);
        for address in &at {
            until_served(*address, "inside");
        }
        let clients: Vec<_> = (0..CLIENTS)
            .map(|_| {
                let address = at[0];
                std::thread::spawn(move || fetch(address))
            })
            .collect();
        for client in clients {
            let page = client.join().expect("a client").expect("an answer");
            assert_eq!(page.trim(), "inside");
        }
        let taken = at[0].port().to_string();
        let ran = host
            .podshim(["port-forward", "p", &format!("{taken}:80")])
            .expect(5);
        assert!(
            ran.stderr.contains(&format!("127.0.0.1:{taken}")),
            "{}",
            ran.stderr
        );
        host.podshim(["port-forward", "p", "nothing"]).expect(3);
        host.podshim(["delete", "p", "--force"]).expect(0);
        let code = until(10, "it ends with the pod", || {
            running.ended().ok_or(running.stderr())
        });
        assert_eq!(code, 1, "{}", running.stderr());
        host.podshim(["port-forward", "p", ":80"]).expect(3);
    });
}

#[test]
fn the_end_of_one_side_is_told_to_the_other_which_goes_on() {
    on_each_runtime(|host| {
        // It answers only when its input has ended.
        let pod_ = pod(json!({"containers": [sh("c", "exec nc -ll -p 7 -e sh -c 'wc -c'")]}));
        host.start(&pod_).until_running();
        let (mut running, at) = forward(host, &[":7"], 2);
        let count = until(10, "the count of what was sent", || {
            let mut stream = TcpStream::connect(at[0]).map_err(|e| e.to_string())?;
            stream
                .set_read_timeout(Some(Duration::from_secs(5)))
                .expect("a timeout");
            let sent = stream
                .write_all(&vec![b'x'; 300_000])
                .and_then(|()| stream.shutdown(Shutdown::Write));
            sent.map_err(|e| e.to_string())?;
            let mut text = String::new();
            stream
                .read_to_string(&mut text)
                .map_err(|e| e.to_string())?;
            if text.is_empty() {
                Err("nothing".to_owned())
            } else {
                Ok(text)
            }
        });
        assert_eq!(count.trim(), "300000");
        running.stop();
    });
}

#[test]
fn a_port_where_nobody_listens_closes_the_connection_and_the_rest_goes_on() {
    on_each_runtime(|host| {
        host.start(&pod(json!({"containers": [sh("c", &serve("inside"))]})))
            .until_running();
        let (mut running, at) = forward(host, &["127.0.0.1::81", "[::1]::80"], 2);
        assert!(fetch(at[0]).map_or(true, |text| text.is_empty()));
        until(5, "the refusal is told", || {
            let said = running.stderr();
            said.contains("port 81 of the pod")
                .then_some(())
                .ok_or(said)
        });
        until_served(at[1], "inside");
        running.stop();
        // What it listened on is free again.
        TcpListener::bind(at[1]).expect("free");
    });
}
