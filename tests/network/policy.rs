//! Machines that drop what they forward unless they are told otherwise, as Docker leaves them, and machines without nft. podshim
//! runs on an island of the test's own, so this machine's policy is never touched.

use super::crash::cut_short;
use super::machine::{Island, Machine};
use super::wire::{free_port, ips, serve};
use crate::support::{Background, Host, Pod, background, on_each_runtime, pod, sh, until, with};
use serde_json::{Value, json};
use std::net::{IpAddr, SocketAddr};
use std::process::Command;
use std::time::Duration;

/// Moments at which everything of podshim that works on the network is killed.
const MOMENTS_MS: [u64; 5] = [30, 80, 120, 160, 220];

fn web(name: &str, port: u16) -> Value {
    let container = with(
        sh("c", &serve(name)),
        json!({"ports": [{"containerPort": 80, "hostPort": port}]}),
    );
    with(
        pod(json!({"containers": [container]})),
        json!({"metadata": {"name": name}}),
    )
}

/// A web server on another machine.
fn serves(machine: &Machine, host: &Host, page: &str) -> Background {
    let root = host.path("far");
    std::fs::create_dir_all(&root).expect("ours");
    std::fs::write(root.join("index.html"), page).expect("ours");
    let [enter, place] = machine.before();
    let mut command = Command::new(enter);
    command.args([&place, "busybox", "httpd", "-f", "-p", "80", "-h"]);
    background(command.arg(root), b"")
}

#[track_caller]
fn until_fetched(what: &str, page: &str, fetch: impl Fn() -> crate::support::Ran) {
    until(10, what, || {
        let ran = fetch();
        match ran.stdout.trim() == page {
            true => Ok(()),
            false => Err(format!("{ran:?}")),
        }
    });
}

fn ask(before: &[String], line: &str) -> crate::support::Ran {
    let words = before.iter().map(String::as_str);
    let words: Vec<&str> = words.chain(line.split_whitespace()).collect();
    crate::support::run(Command::new(words[0]).args(&words[1..]))
}

fn wget(to: &str) -> String {
    // (This busybox crashes with a timeout of wget's own.)
    format!("timeout 3 wget -q -O - http://{to}/")
}

/// Everything that the kernel of an island has of podshim: links, and rules of any kind.
fn traces(island: &Island<'_>) -> String {
    let looks = [
        "ip -o link show",
        "nft list ruleset",
        "iptables-save",
        "ip6tables-save",
        "iptables-legacy-save",
        "ip6tables-legacy-save",
    ];
    let all: String = looks.iter().map(|look| island.run(look)).collect();
    let ours = all.lines().filter(|line| line.contains("podshim"));
    ours.collect::<Vec<_>>().join("\n")
}

/// Pods reach one another, others, and are reached at their ports; then nothing is left.
fn works_and_leaves_nothing(host: &Host, island: &Island<'_>, keeper_of_rules: &str) {
    let far = Machine::beside(island);
    let mut server = serves(&far, host, "far");
    let (port_a, port_b) = (free_port(), free_port());
    let a = host.start(&web("a", port_a));
    let b = host.start(&web("b", port_b));
    let (of_a, of_b) = (ips(&a.until_running()), ips(&b.until_running()));
    let rules = island.run(keeper_of_rules);
    assert!(rules.contains(&format!("{}:80", of_a[0])), "{rules}");

    let at = |ip: IpAddr| SocketAddr::new(ip, 80).to_string();
    let at_far = format!("{}:80", far.address);
    let within = |pod: &Pod<'_>, to: &str| pod.exec("c", &wget(to));
    for (from, to, page) in [(&a, of_b[0], "b"), (&b, of_a[0], "a")] {
        until_fetched("one pod fetches from the other", page, || {
            within(from, &at(to))
        });
    }
    until_fetched("one pod fetches from the other, v6", "b", || {
        within(&a, &at(of_b[1]))
    });
    // Others have no route to pods: an answer proves that they see the machine's address.
    until_fetched("a pod fetches from another machine", "far", || {
        within(&a, &at_far)
    });
    let near = &far.host;
    until_fetched("a pod fetches from a published port", "b", || {
        within(&a, &format!("{near}:{port_b}"))
    });
    until_fetched("another machine fetches from a published port", "a", || {
        ask(
            &far.before(),
            &format!("busybox {}", wget(&format!("{near}:{port_a}"))),
        )
    });
    for to in [
        format!("127.0.0.1:{port_b}"),
        format!("{near}:{port_b}"),
        at(of_b[0]),
    ] {
        until_fetched("the machine itself fetches", "b", || {
            ask(&island.before(), &format!("busybox {}", wget(&to)))
        });
    }
    // What nobody published stays out of reach also for who knows the way.
    far.run(&format!("ip route add default via {near}"));
    let refused = ask(&far.before(), &format!("busybox {}", wget(&at(of_a[0]))));
    assert_ne!(refused.code, Some(0), "{refused:?}");

    a.podshim("delete", &["--force"]).expect(0);
    until_fetched("the other pod still reaches others", "far", || {
        within(&b, &at_far)
    });
    b.podshim("delete", &["--force"]).expect(0);
    assert_eq!(traces(island), "");
    server.stop();
}

/// An island that drops what it forwards, also between the ports of a bridge.
fn that_drops(host: &Host) -> Island<'_> {
    let island = Island::new(host);
    for program in ["iptables", "ip6tables"] {
        island.run(&format!("{program} -P FORWARD DROP"));
    }
    island.run("busybox sysctl -w net.ipv4.ip_forward=0");
    for sysctl in ["bridge-nf-call-iptables", "bridge-nf-call-ip6tables"] {
        // It is there only where the kernel has the module for it.
        if std::path::Path::new("/proc/sys/net/bridge")
            .join(sysctl)
            .exists()
        {
            island.run(&format!("busybox sysctl -w net.bridge.{sysctl}=1"));
        }
    }
    island
}

#[test]
fn a_machine_that_forwards_nothing_by_its_policy_lets_pods_through_and_nobody_else() {
    on_each_runtime(|host| {
        let island = that_drops(host);
        host.set_network(Some("bridge"));
        works_and_leaves_nothing(host, &island, "nft list ruleset");
        let policy = island.run("iptables -S FORWARD");
        assert_eq!(policy.trim(), "-P FORWARD DROP", "as it was");
        let forwards = island.run("busybox sysctl -n net.ipv4.ip_forward");
        assert_eq!(forwards.trim(), "1", "it was off, is needed, and stays");
        // What the owner of the machine forbids stays forbidden.
        let far = Machine::beside(&island);
        let mut server = serves(&far, host, "far");
        island.run(&format!("iptables -A FORWARD -d {} -j REJECT", far.address));
        let c = host.start(&web("c", free_port()));
        c.until_running();
        let ran = c.exec("c", &wget(&format!("{}:80", far.address)));
        assert_ne!(ran.code, Some(0), "{ran:?}");
        // Somebody who empties the chain meanwhile is noticed with the next pod.
        island.run("iptables -F FORWARD");
        let d = host.start(&web("d", free_port()));
        d.until_running();
        until_fetched("a pod fetches from another machine", "far", || {
            c.exec("c", &wget(&format!("{}:80", far.address)))
        });
        server.stop();
        host.podshim(["delete", "--all", "--force"]).expect(0);
        assert_eq!(traces(&island), "");
    });
}

/// The words that hide nft from a command; it is a file of this machine, hidden in a mount namespace of the command's own.
fn without_nft(island: &Island<'_>) -> Vec<String> {
    let script =
        "for nft in /usr/sbin/nft /sbin/nft; do mount --bind /dev/null $nft; done; exec \"$@\"";
    let words = [
        "unshare",
        "--mount",
        "--propagation",
        "slave",
        "sh",
        "-c",
        script,
        "sh",
    ];
    let words = words.map(str::to_owned);
    island.before().into_iter().chain(words).collect()
}

#[test]
fn without_nft_iptables_does_all_and_keeps_nothing_whenever_it_is_cut_short() {
    on_each_runtime(|host| {
        let island = that_drops(host);
        host.set_before(&without_nft(&island));
        host.set_network(Some("bridge"));
        works_and_leaves_nothing(host, &island, "iptables-save");
        let manifest = host.manifest(&[web("a", free_port())]);
        let manifest = manifest.to_str().expect("a path");
        for moment in MOMENTS_MS {
            cut_short(host, "a", manifest, Duration::from_millis(moment));
            assert_eq!(traces(&island), "", "after {moment} ms");
        }
    });
}
