//! The built-in bridge: no configuration, no plugin.

use super::wire::{bridge, command, fetch_from, ips, serve, until_served};
use crate::support::{on_each_runtime, pod, sh, state, status, until, with};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

fn named(name: &str, spec: Value) -> Value {
    with(pod(spec), json!({"metadata": {"name": name}}))
}

#[test]
fn pods_have_addresses_by_default_and_reach_each_other() {
    on_each_runtime(|host| {
        host.set_network(None);
        let a = host.start(&named(
            "a",
            json!({"containers": [sh("c", &serve("of-a"))]}),
        ));
        let b = host.start(&named(
            "b",
            json!({"containers": [sh("c", &serve("of-b"))]}),
        ));
        let (of_a, of_b) = (ips(&a.until_running()), ips(&b.until_running()));
        assert_eq!(of_a.len(), 2, "one of each family: {of_a:?}");
        assert!(of_a[0].is_ipv4() && of_a[1].is_ipv6(), "{of_a:?}");
        for (own, other) in of_a.iter().zip(&of_b) {
            assert_ne!(own, other);
            until_served(SocketAddr::new(*own, 80), "of-a");
            until_served(SocketAddr::new(*other, 80), "of-b");
            assert_eq!(fetch_from(&a, "c", SocketAddr::new(*other, 80)), "of-b");
            assert_eq!(fetch_from(&b, "c", SocketAddr::new(*own, 80)), "of-a");
            a.exec("c", &format!("ping -c 1 -w 5 {other}")).expect(0);
            b.exec("c", &format!("ping -c 1 -w 5 {own}")).expect(0);
        }
        let wide = a.podshim("get", &["-o", "wide"]).text();
        assert!(wide.contains(&of_a[0].to_string()), "{wide}");
        let bridge = bridge(host).expect("a bridge while there are pods");
        command(&format!("nft list table inet {bridge}"));
    });
}

#[test]
fn a_container_knows_its_address_from_its_first_moment() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let field = |name: &str, path: &str| json!({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}});
        let script = "echo $IP $IPS; grep -w p /etc/hosts; ip -4 -o addr show eth0";
        let pod = host.start(&pod(json!({"containers": [
            with(sh("told", script), json!({"env": [field("IP", "status.podIP"), field("IPS", "status.podIPs")]})),
            // It can be created before the address is known, and must not start before.
            sh("untold", "grep -w p /etc/hosts; ip -4 -o addr show eth0"),
        ]})));
        let told = pod.output("told");
        let untold = pod.output("untold");
        let ips = ips(&pod.json());
        let hosts = format!("{}\tp\n{}\tp\n", ips[0], ips[1]);
        assert!(
            told.starts_with(&format!("{} {},{}\n{hosts}", ips[0], ips[0], ips[1])),
            "{told}"
        );
        assert!(untold.starts_with(&hosts), "{untold}");
        for text in [told, untold] {
            assert!(text.contains(&format!("inet {}/", ips[0])), "{text}");
        }
    });
}

#[test]
fn a_new_sandbox_has_a_network_again() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let pod = host.start(&pod(json!({
            "restartPolicy": "Always",
            "containers": [sh("c", &serve("still"))],
        })));
        pod.until_running();
        kill(Pid::from_raw(pod.pause()), Signal::SIGKILL).expect("pause lives");
        let json = pod.until("the container was restarted", |pod| {
            status(pod, "c")["restartCount"] == 1 && state(pod, "c").0 == "running"
        });
        until_served(SocketAddr::new(ips(&json)[0], 80), "still");
    });
}

#[test]
fn the_range_is_the_user_s_if_it_is_free() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge:10.213.99.0/29"));
        let first = host.start(&named(
            "a",
            json!({"containers": [sh("c", "exec sleep 1000")]}),
        ));
        let addresses = ips(&first.until_running());
        assert_eq!(
            addresses,
            ["10.213.99.2".parse::<IpAddr>().expect("an address")]
        );

        let file = host.manifest(&[named(
            "b",
            json!({"containers": [sh("c", "exec sleep 1000")]}),
        )]);
        let file = file.to_str().expect("a path");
        host.set_network(Some("bridge:10.213.98.0/24"));
        let ran = host.podshim(["run", "-d", "-f", file]).expect(7);
        assert!(ran.stderr.contains("10.213.99.0/29"), "{}", ran.stderr);
        first.podshim("delete", &["--force"]).expect(0);

        let taken = format!("bridge:{}/32", super::wire::host_ip());
        host.set_network(Some(&taken));
        let ran = host.podshim(["run", "-d", "-f", file]);
        assert_eq!(ran.code, Some(2), "no room for a pod: {}", ran.stderr);
        let taken = format!("bridge:{}/24", super::wire::host_ip());
        host.set_network(Some(&taken));
        let ran = host.podshim(["run", "-d", "-f", file]).expect(7);
        assert!(ran.stderr.contains("overlaps"), "{}", ran.stderr);
        assert!(
            ran.stderr.contains("hint: choose a free range"),
            "{}",
            ran.stderr
        );
        host.podshim(["get", "b"]).expect(3);
    });
}

#[test]
fn a_full_range_says_so_and_the_next_pod_gets_the_address_that_comes_free() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge:10.213.97.0/30"));
        let sleep = json!({"containers": [sh("c", "exec sleep 1000")]});
        let a = host.start(&named("a", sleep.clone()));
        a.until_running();
        let b = host.start(&named("b", sleep));
        let told = until(20, "b says why it waits", || {
            let events = b.podshim("events", &[]).text();
            events
                .contains("no address is free")
                .then_some(events.clone())
                .ok_or(events)
        });
        assert!(told.contains("10.213.97.0/30"), "{told}");
        a.podshim("delete", &["--force"]).expect(0);
        // It is tried again every ten seconds.
        let addresses = ips(&b.until_running());
        assert_eq!(
            addresses,
            ["10.213.97.2".parse::<IpAddr>().expect("an address")]
        );
    });
}

/// Ten commands at once, five pods each.
#[test]
fn fifty_pods_in_parallel_get_fifty_addresses() {
    const COMMANDS: usize = 10;
    const PODS: usize = 5;
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let sleep = || json!({"containers": [sh("c", "exec sleep 1000")]});
        let file = |k: usize| {
            let pods: Vec<Value> = (0..PODS)
                .map(|n| named(&format!("p{k}-{n}"), sleep()))
                .collect();
            host.manifest(&pods)
        };
        let files: Vec<_> = (0..COMMANDS).map(file).collect();
        let runs: Vec<_> = files
            .iter()
            .map(|file| {
                host.background([
                    "run".as_ref(),
                    "-d".as_ref(),
                    "-f".as_ref(),
                    file.as_os_str(),
                ])
            })
            .collect();
        for run in runs {
            run.wait().expect(0);
        }
        let mut seen = BTreeSet::new();
        for (k, n) in (0..COMMANDS).flat_map(|k| (0..PODS).map(move |n| (k, n))) {
            let json = host.pod(&format!("p{k}-{n}")).until_running();
            seen.extend(ips(&json));
        }
        assert_eq!(seen.len(), 2 * COMMANDS * PODS, "{seen:?}");
        host.podshim(["delete", "--all", "--force"]).expect(0);
    });
}

#[test]
fn a_pod_joins_a_namespace_that_is_there_and_leaves_it_as_it_was() {
    on_each_runtime(|host| {
        let name = format!("podshim-test-{}", std::process::id());
        let path = format!("/run/netns/{name}");
        command(&format!("ip netns add {name}"));
        command(&format!("ip -n {name} link add d0 type bridge"));
        command(&format!("ip -n {name} addr add 192.0.2.77/24 dev d0"));
        command(&format!("ip -n {name} link set d0 up"));
        host.set_network(Some(&format!("ns:{path}")));
        let pod = host.start(&pod(json!({"containers": [sh("c", "exec sleep 1000")]})));
        let json = pod.until_running();
        assert_eq!(json["status"]["podIP"], "192.0.2.77");
        let inside = std::fs::read_link(format!("/proc/{}/ns/net", pod.pid("c"))).expect("alive");
        let kept = command(&format!("stat -Lc net:[%i] {path}"));
        assert_eq!(inside.to_string_lossy(), kept.trim());
        pod.exec("c", "ping -c 1 -w 5 127.0.0.1").expect(0);
        pod.podshim("delete", &["--force"]).expect(0);
        let left = command(&format!("ip -n {name} -br addr show d0"));
        assert!(left.contains("192.0.2.77/24"), "{left}");
        command(&format!("ip netns delete {name}"));

        let file = host.file(
            "gone.yaml",
            &crate::support::pod(json!({"containers": [sh("c", "true")]})).to_string(),
        );
        let ran = host
            .podshim(["run", "-d", "-f", file.to_str().expect("a path")])
            .expect(7);
        assert!(ran.stderr.contains(&path), "{}", ran.stderr);
    });
}
