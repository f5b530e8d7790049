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
pub fn processes(host: &Host, verb: &str) -> Vec<i32> {
    let directory = host.path("state");
    let all = std::fs::read_dir("/proc").expect("/proc").flatten();
    all.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter(|pid| {
            let line = proc_file(*pid, "cmdline");
            line.contains(verb) && line.contains(&*directory.to_string_lossy())
        })
        .collect()
}

pub fn kill_all(pids: Vec<i32>) {
    for pid in pids {
        // It may just have ended.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
}

/// Kills all of podshim that works on the network of a pod of this host.
pub fn kill_network(host: &Host) {
    kill_all(processes(host, "__network"));
    kill_all(processes(host, "__supervisor"));
}

/// The pod `name` of a manifest is started and deleted, and all that works on its network is killed so long after the beginning of
/// each; then it is deleted for good.
pub fn cut_short(host: &Host, name: &str, manifest: &str, moment: Duration) {
    for command in [
        &["run", "-d", "-f", manifest],
        &["delete", name, "--force"][..],
    ] {
        let command = host.background(command);
        sleep(moment);
        kill_network(host);
        // Whether it could: it was cut short.
        let _ = command.wait();
    }
    host.podshim(["delete", name, "--force", "--ignore-not-found"])
        .expect(0);
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
            kill_network(host);
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
            kill_network(host);
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

/// A pod of this name that serves its name, published at a port of the machine.
fn published(name: &str) -> (serde_json::Value, SocketAddr) {
    let port = super::wire::free_port();
    let ports = json!({"ports": [{"containerPort": 80, "hostPort": port}]});
    let base = pod(json!({
        "restartPolicy": "Always",
        "containers": [with(sh("c", &serve(name)), ports)],
    }));
    let at = SocketAddr::from(([127, 0, 0, 1], port));
    (with(base, json!({"metadata": {"name": name}})), at)
}

/// Whether the record of the bridge knows a pod.
fn has_lease(host: &Host, uid: &str) -> bool {
    let record = std::fs::read_to_string(host.path("state/network/bridge.json"));
    record.is_ok_and(|text| text.contains(uid))
}

#[test]
fn a_pod_that_is_removed_without_its_supervisor_gives_its_network_back() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let (stays, at_stays) = published("stays");
        let (goes, at_goes) = published("goes");
        let (stays, goes) = (host.start(&stays), host.start(&goes));
        for (pod, at, page) in [(&stays, at_stays, "stays"), (&goes, at_goes, "goes")] {
            pod.until_running();
            until_served(at, page);
        }
        let links = || command("ip -o link show").matches("default/goes").count();
        let broken = |uid: &str| {
            let plan = host.path("state/pods").join(uid).join("plan.json");
            std::fs::write(plan, "{").expect("ours");
        };
        assert_eq!(links(), 1, "the look is right");
        broken(&goes.uid);
        host.podshim(["delete", "--force", "goes"]).expect(0);
        assert!(!has_lease(host, &goes.uid));
        assert_eq!(links(), 0);
        let rules = command("nft list ruleset");
        assert!(!rules.contains(&at_goes.port().to_string()), "{rules}");
        until_served(at_stays, "stays");
        broken(&stays.uid);
        host.podshim(["delete", "--force", "stays"]).expect(0);
        assert_eq!(bridge(host), None, "it went with the last pod");
        assert!(!host.path("state/network/bridge.json").exists());
    });
}

#[test]
fn shutdown_gives_networks_back_though_every_supervisor_is_dead() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let pods = ["a", "b"].map(|name| {
            let (manifest, at) = published(name);
            (host.start(&manifest), at)
        });
        for (pod, at) in &pods {
            pod.until_running();
            until_served(*at, &pod.name);
        }
        kill_all(processes(host, "__keeper"));
        kill_all(processes(host, "__supervisor"));
        host.podshim(["shutdown", "--all", "--grace-period", "0"])
            .expect(0);
        assert_eq!(bridge(host), None);
        assert!(!host.path("state/network/bridge.json").exists());
    });
}

#[test]
fn after_a_boot_pods_have_networks_again_and_those_that_do_not_run_have_none() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let (again, at) = published("again");
        let (never, _) = published("never");
        let never = with(never, json!({"spec": {"restartPolicy": "Never"}}));
        let (again, never) = (host.start(&again), host.start(&never));
        again.until_running();
        never.until_running();
        again.crash_with_machine();
        never.crash_with_machine();
        // The kernel has forgotten; what is written in a state directory that outlives a boot has not.
        let name = bridge(host).expect("a bridge");
        command(&format!("ip link delete {name}"));
        command(&format!("nft delete table inet {name}"));
        host.podshim(["up"]).expect(0);
        again.until_running();
        until_served(at, "again");
        never.until_phase("Failed");
        until(10, "its address is free", || {
            match has_lease(host, &never.uid) {
                false => Ok(()),
                true => Err(command("ip -o link show")),
            }
        });
        assert!(has_lease(host, &again.uid), "the look is right");
    });
}
