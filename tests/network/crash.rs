//! `kill -9` in the middle, and what is lost: nothing of the network stays, and no address is taken twice.

use super::wire::{bridge, command, ips, serve, until_served};
use crate::support::{Host, on_each_runtime, pod, proc_file, sh, until, with};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::net::SocketAddr;
use std::thread::sleep;
use std::time::Duration;

/// Moments at which the supervisor is killed, counted from the start of the pod or of its end. A start takes some 200 ms here.
const MOMENTS_MS: [u64; 8] = [0, 20, 40, 60, 90, 120, 160, 220];

/// Processes of this host with this hidden verb.
fn processes(host: &Host, verb: &str) -> Vec<i32> {
    let directory = host.path("state");
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = proc_file(*pid, "cmdline");
            line.contains(verb) && line.contains(&*directory.to_string_lossy())
        })
        .collect()
}

fn kill_all(pids: Vec<i32>) {
    for pid in pids {
        // It may just have ended.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

#[test]
fn a_killed_supervisor_or_helper_leaves_nothing_of_the_network() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let published =
            json!({"ports": [{"containerPort": 80, "hostPort": super::wire::free_port()}]});
        let manifest = host.manifest(&[pod(
            json!({"containers": [with(sh("c", &serve("on")), published)]}),
        )]);
        let manifest = manifest.to_str().expect("a path");
        for (round, moment) in MOMENTS_MS.iter().enumerate() {
            let run = host.background(["run", "-d", "-f", manifest]);
            sleep(Duration::from_millis(*moment));
            kill_all(processes(host, "__network"));
            kill_all(processes(host, "__supervisor"));
            let _ = run.wait();
            if host.podshim(["get", "p"]).code != Some(0) {
                // It was killed before the pod existed.
                host.podshim(["run", "-d", "-f", manifest]).expect(0);
            }
            if round % 2 == 0 {
                // Whatever was cut short, the pod comes up by itself.
                let address = ips(&host.pod("p").until_running());
                until_served(SocketAddr::new(address[0], 80), "on");
            }
            let delete = host.background(["delete", "p", "--force"]);
            sleep(Duration::from_millis(*moment));
            kill_all(processes(host, "__network"));
            kill_all(processes(host, "__supervisor"));
            let _ = delete.wait();
            host.podshim(["delete", "p", "--force", "--ignore-not-found"])
                .expect(0);
            assert_eq!(bridge(host), None, "after {moment} ms");
            assert!(
                !host.path("state/network/bridge.json").exists(),
                "after {moment} ms"
            );
        }
    });
}

#[test]
fn what_a_lost_pod_leaves_is_found_and_removed() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let sleeper = host.start(&pod(json!({"containers": [sh("c", "exec sleep 1000")]})));
        sleeper.until_running();
        let lease = std::fs::read(host.path("state/network/bridge.json")).expect("a record");
        let name = bridge(host).expect("a bridge");
        let mac =
            std::fs::read_to_string(format!("/sys/class/net/{name}/address")).expect("a link");
        sleeper.podshim("delete", &["--force"]).expect(0);
        // As if it had died without a word: its lease, its link, the bridge, the rules.
        std::fs::write(host.path("state/network/bridge.json"), lease).expect("ours");
        let alias = format!("podshim {} default/p", host.path("state").display());
        let link = format!("lost{}", std::process::id());
        command(&format!(
            "ip link add {name} address {} type bridge",
            mac.trim()
        ));
        command(&format!("ip link add {link} type veth peer name {link}x"));
        let aliased = std::process::Command::new("ip")
            .args(["link", "set", &link, "alias", &alias])
            .status();
        assert!(aliased.expect("ip").success());
        // Its exit code is about the runtime, too.
        let said = host.podshim(["doctor"]).stdout;
        assert!(
            said.contains(&format!("the address of pod {}", sleeper.uid)),
            "{said}"
        );
        assert!(said.contains(&format!("link {link}")), "{said}");
        host.podshim(["doctor", "--fix"]);
        assert!(!std::path::Path::new(&format!("/sys/class/net/{name}")).exists());
        let said = host.podshim(["doctor"]).stdout;
        assert!(
            said.contains("nothing is left of pods that are gone"),
            "{said}"
        );

        // A pod that finds a dead one's lease takes its address, if need be.
        let record = host.path("state/network/bridge.json");
        host.set_network(Some("bridge:10.213.96.0/30"));
        let first = host.start(&pod(json!({"containers": [sh("c", "exec sleep 1000")]})));
        let had = ips(&first.until_running());
        let lease = std::fs::read(&record).expect("a record");
        first.podshim("delete", &["--force"]).expect(0);
        std::fs::write(&record, lease).expect("ours");
        let second = host.start(&pod(json!({"containers": [sh("c", "exec sleep 1000")]})));
        let has = until(20, "it has an address", || {
            let has = ips(&second.json());
            if has.is_empty() {
                Err(second.podshim("events", &[]).text())
            } else {
                Ok(has)
            }
        });
        assert_eq!(had, has);
    });
}
