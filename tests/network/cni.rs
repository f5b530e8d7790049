//! CNI with Debian's plugins, and with one of our own that writes down what it is told.

use super::crash::cut_short;
use super::wire::{command, fetch_from, free_port, host_ip, ips, serve, until_served};
use crate::support::{Host, on_each_runtime, pod, sh, until, with};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

/// Moments at which helper and supervisor are killed, counted from the start of the pod or of its end.
const KILL_MOMENTS_MS: [u64; 6] = [60, 90, 120, 150, 190, 240];

/// A network of Debian's plugins with names and ranges of this test's own, its leases below the host's directory.
struct Lab {
    /// Of the network: rules are told apart by it.
    name: String,
    bridge: String,
    leases: PathBuf,
}

impl Lab {
    fn new(host: &Host, version: &str, tag: u8) -> Lab {
        let lab = Lab {
            name: format!("lab{tag}p{}", std::process::id()),
            bridge: format!("cni{tag}p{}", std::process::id()),
            leases: host.path("leases"),
        };
        let ranges = json!([
            [{"subnet": format!("10.215.{tag}.0/24")}],
            [{"subnet": format!("fd15:{tag}::/64")}],
        ]);
        write(
            host,
            "10-lab.conflist",
            &json!({
                "cniVersion": version, "name": lab.name,
                "plugins": [
                    {"type": "bridge", "bridge": lab.bridge, "isGateway": true, "hairpinMode": true,
                     "ipam": {"type": "host-local", "dataDir": lab.leases, "ranges": ranges,
                              "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}},
                    {"type": "portmap", "capabilities": {"portMappings": true}},
                    {"type": "bandwidth", "capabilities": {"bandwidth": true}},
                ],
            }),
        );
        lab
    }

    fn leased(&self) -> Vec<String> {
        let entries = fs::read_dir(self.leases.join(&self.name))
            .into_iter()
            .flatten()
            .flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<_> = names
            .filter(|name| name.starts_with("10.") || name.starts_with("fd"))
            .collect();
        names.sort();
        names
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // The plugin leaves its bridge to whoever made the configuration.
        command(&format!("ip link delete {}", self.bridge));
    }
}

fn write(host: &Host, name: &str, value: &Value) {
    fs::create_dir_all(host.path("cni")).expect("a directory of ours");
    fs::write(host.path("cni").join(name), value.to_string()).expect("a file of ours");
}

fn named(name: &str, spec: Value) -> Value {
    with(pod(spec), json!({"metadata": {"name": name}}))
}

#[test]
fn a_configured_network_is_the_default_and_its_plugins_do_all() {
    on_each_runtime(|host| {
        for (version, tag) in [("0.3.1", 1), ("0.4.0", 2), ("1.0.0", 3)] {
            let lab = Lab::new(host, version, tag);
            host.set_network(None);
            let port = free_port();
            let web = with(
                sh("c", &serve("of-a")),
                json!({"ports": [{"containerPort": 80, "hostPort": port}]}),
            );
            let limited =
                json!({"metadata": {"annotations": {"kubernetes.io/egress-bandwidth": "10M"}}});
            let first = named("a", json!({"containers": [web.clone()]}));
            let a = host.start(&with(first, limited));
            let b = host.start(&named(
                "b",
                json!({"containers": [sh("c", &serve("of-b"))]}),
            ));
            let (of_a, of_b) = (ips(&a.until_running()), ips(&b.until_running()));
            assert_eq!(of_a.len(), 2, "{of_a:?}");
            assert!(
                of_a[0].to_string().starts_with(&format!("10.215.{tag}.")),
                "{of_a:?}"
            );
            assert_eq!(lab.leased().len(), 4, "{:?}", lab.leased());
            until_served(SocketAddr::new(of_a[0], 80), "of-a");
            until_served(SocketAddr::new(of_b[0], 80), "of-b");
            assert_eq!(fetch_from(&a, "c", SocketAddr::new(of_b[1], 80)), "of-b");
            assert_eq!(fetch_from(&b, "c", SocketAddr::new(of_a[0], 80)), "of-a");
            until_served(SocketAddr::new(host_ip(), port), "of-a");
            for (from, to) in [(&a, &of_b), (&b, &of_a)] {
                for ip in to {
                    from.exec("c", &format!("ping -c 1 -w 5 {ip}")).expect(0);
                }
            }
            let file = host.manifest(&[named("c", json!({"containers": [web]}))]);
            let file = file.to_str().expect("a path");
            let ran = host.podshim(["run", "-d", "-f", file]).expect(5);
            let holder = "belongs to pod `default/a`";
            assert!(ran.stderr.contains(holder), "{}", ran.stderr);
            let hosts = a.exec("c", "cat /etc/hosts").text();
            assert!(hosts.contains(&format!("{}\ta", of_a[0])), "{hosts}");
            let shaped = command("tc qdisc");
            assert!(
                shaped.contains("tbf") && shaped.contains("rate 10Mbit"),
                "{shaped}"
            );
            let said = host.podshim(["doctor"]).stdout;
            // portmap and bandwidth of Debian 12 fail in their own CHECK.
            let ours = said.contains("CNI plugin `bridge`");
            assert!(!ours, "CHECK is content: {said}");
            host.podshim(["delete", "--all", "--force"]).expect(0);
            assert_eq!(lab.leased(), Vec::<String>::new());
            let rules = command("iptables-save");
            assert!(!rules.contains(&a.uid), "{rules}");
        }
    });
}

/// A plugin that appends what it is told to a file, one JSON object a line, and answers with an address. `FAIL` beside it names
/// the commands that it refuses.
fn recorder(host: &Host, kind: &str) -> PathBuf {
    let dir = host.path("plugins");
    fs::create_dir_all(&dir).expect("a directory of ours");
    let calls = dir.join(format!("{kind}.calls"));
    let script = format!(
        "#!/bin/sh\ninput=$(cat)\n\
         printf '{{\"command\":\"%s\",\"id\":\"%s\",\"netns\":\"%s\",\"ifname\":\"%s\",\"args\":\"%s\",\"input\":%s}}\\n' \
         \"$CNI_COMMAND\" \"$CNI_CONTAINERID\" \"$CNI_NETNS\" \"$CNI_IFNAME\" \"$CNI_ARGS\" \"$input\" >>'{calls}'\n\
         if grep -qw \"$CNI_COMMAND\" '{fail}' 2>/dev/null; then\n  \
         echo '{{\"cniVersion\":\"1.1.0\",\"code\":11,\"msg\":\"not now\",\"details\":\"told to\"}}'; exit 1\nfi\n\
         [ \"$CNI_COMMAND\" != ADD ] || echo '{{\"cniVersion\":\"1.1.0\",\"ips\":[{{\"address\":\"192.0.2.9/24\"}}],\"by\":\"{kind}\"}}'\n",
        calls = calls.display(),
        fail = dir.join(format!("{kind}.FAIL")).display(),
    );
    let path = dir.join(kind);
    fs::write(&path, script).expect("a file of ours");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("ours");
    calls
}

fn calls(path: &PathBuf) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn words(calls: &[Value]) -> Vec<&str> {
    calls
        .iter()
        .map(|call| call["command"].as_str().expect("a word"))
        .collect()
}

/// A network of two recorders, `one` and `two`.
fn chain(host: &Host) -> (PathBuf, PathBuf) {
    let paths = (recorder(host, "one"), recorder(host, "two"));
    write(
        host,
        "20-chain.conflist",
        &json!({
            "cniVersion": "0.4.0", "cniVersions": ["1.0.0", "1.1.0"], "name": "chain",
            "plugins": [
                {"type": "one", "own": 1, "capabilities": {"ips": true, "mac": true, "dns": true}},
                {"type": "two", "capabilities": {"portMappings": true}},
            ],
        }),
    );
    host.set_cni_path(&host.path("plugins"));
    host.set_network(Some("cni:chain"));
    paths
}

#[test]
fn plugins_are_told_what_the_specification_says() {
    on_each_runtime(|host| {
        let (one, two) = chain(host);
        let pod = host.start(&with(
            pod(json!({
                "dnsConfig": {"nameservers": ["192.0.2.53"], "options": [{"name": "ndots", "value": "2"}]},
                "containers": [with(sh("c", "exec sleep 1000"), json!({"ports": [{"containerPort": 80, "hostPort": free_port()}]}))],
            })),
            json!({"metadata": {"annotations": {
                "network.podshim.io/ips": "192.0.2.9/24", "network.podshim.io/mac": "02:00:00:00:00:09"}}}),
        ));
        let json = pod.until_running();
        assert_eq!(json["status"]["podIP"], "192.0.2.9");
        host.podshim(["doctor"]);
        pod.podshim("delete", &["--force"]).expect(0);
        let (one, two) = (calls(&one), calls(&two));
        assert_eq!(words(&one), ["STATUS", "ADD", "CHECK", "DEL"]);
        assert_eq!(words(&two), ["STATUS", "ADD", "CHECK", "DEL"]);
        let (add, check, del) = (&one[1], &one[2], &one[3]);
        assert_eq!(add["id"], pod.uid.as_str());
        assert_eq!(add["ifname"], "eth0");
        assert!(
            add["netns"]
                .as_str()
                .is_some_and(|path| path.starts_with("/proc/")),
            "{add}"
        );
        let args = add["args"].as_str().expect("text");
        assert!(
            args.contains("K8S_POD_NAMESPACE=default;K8S_POD_NAME=p;"),
            "{args}"
        );
        assert_eq!(add["input"]["name"], "chain");
        assert_eq!(add["input"]["cniVersion"], "1.1.0");
        assert_eq!(add["input"]["own"], 1);
        assert!(add["input"]["prevResult"].is_null() && add["input"]["capabilities"].is_null());
        assert_eq!(
            add["input"]["runtimeConfig"],
            json!({
                "ips": ["192.0.2.9/24"], "mac": "02:00:00:00:00:09",
                "dns": {"servers": ["192.0.2.53"], "searches": [], "options": ["ndots:2"]},
            })
        );
        assert_eq!(two[1]["input"]["prevResult"]["by"], "one");
        assert_eq!(
            two[1]["input"]["runtimeConfig"]["portMappings"][0]["containerPort"],
            80
        );
        for later in [check, del, &two[2], &two[3]] {
            assert_eq!(later["input"]["prevResult"]["by"], "two");
        }
    });
}

#[test]
fn what_a_plugin_refuses_is_told_undone_and_tried_again() {
    on_each_runtime(|host| {
        let (one, two) = chain(host);
        let fail = host.path("plugins").join("two.FAIL");
        fs::write(&fail, "ADD").expect("a file of ours");
        let pod = host.start(&pod(json!({"containers": [sh("c", "exec sleep 1000")]})));
        until(20, "the refusal is told", || {
            let events = pod.podshim("events", &[]).text();
            let told =
                events.contains("CNI plugin `two` failed to ADD: not now; told to (code 11)");
            told.then_some(()).ok_or(events)
        });
        until(20, "what was done is undone", || {
            let calls = calls(&one);
            (words(&calls).last() == Some(&"DEL"))
                .then_some(())
                .ok_or(format!("{calls:?}"))
        });
        assert_eq!(words(&calls(&two))[1..3], ["ADD", "DEL"]);
        fs::remove_file(&fail).expect("ours");
        pod.until_running();

        // A DEL that fails is tried until it does not; every plugin is asked each time.
        fs::write(&fail, "DEL").expect("a file of ours");
        let delete = host.background(["delete", "p", "--force"]);
        until(20, "it was refused", || {
            let calls = calls(&one);
            let last_two = words(&calls);
            (last_two
                .iter()
                .rev()
                .take_while(|word| **word == "DEL")
                .count()
                >= 1)
                .then_some(())
                .ok_or(format!("{last_two:?}"))
        });
        fs::remove_file(&fail).expect("ours");
        delete.wait().expect(0);
    });
}

#[test]
fn status_configuration_and_missing_plugins_are_looked_at_before_anything_is_made() {
    on_each_runtime(|host| {
        chain(host);
        let file = host.manifest(&[pod(json!({"containers": [sh("c", "true")]}))]);
        let run = || {
            host.podshim(["run", "-d", "-f", file.to_str().expect("a path")])
                .expect(7)
                .stderr
        };
        let fail = host.path("plugins").join("one.FAIL");
        fs::write(&fail, "STATUS").expect("a file of ours");
        assert!(run().contains("failed to STATUS: not now"));
        fs::remove_file(&fail).expect("ours");
        fs::remove_file(host.path("plugins").join("two")).expect("ours");
        let said = run();
        assert!(
            said.contains("cannot find CNI plugin `two`") && said.contains("hint:"),
            "{said}"
        );
        host.set_network(Some("cni:other"));
        assert!(run().contains("cannot find CNI network `other`"));
        fs::write(host.path("cni").join("00-broken.conf"), "{").expect("ours");
        host.set_network(None);
        assert!(run().contains("00-broken.conf"));
        host.podshim(["get", "p"]).expect(3);
    });
}

/// After a reboot the state is gone and the plugins' leases are not.
#[test]
fn a_lost_pod_is_detached_with_what_add_returned_and_without_its_namespace() {
    on_each_runtime(|host| {
        let (one, _) = chain(host);
        let pod = host.start(&pod(json!({"containers": [sh("c", "exec sleep 1000")]})));
        pod.until_running();
        let kept = host
            .path("data/network/cni")
            .join(format!("{}.json", pod.uid));
        let attachment = fs::read(&kept).expect("what ADD returned");
        pod.podshim("delete", &["--force"]).expect(0);
        assert!(!kept.exists());
        let before = calls(&one).len();
        fs::create_dir_all(kept.parent().expect("a directory")).expect("ours");
        fs::write(&kept, attachment).expect("ours");
        let said = host.podshim(["doctor"]).stdout;
        assert!(
            said.contains(&format!("the CNI network of pod {}", pod.uid)),
            "{said}"
        );
        let fixed = host.podshim(["doctor", "--fix"]).stdout;
        assert!(fixed.contains("fixed"), "{fixed}");
        let calls = calls(&one);
        assert_eq!(words(&calls[before..]), ["DEL", "GC"]);
        let del = &calls[before];
        assert_eq!((&del["netns"], &del["id"]), (&json!(""), &json!(pod.uid)));
        assert_eq!(del["input"]["prevResult"]["by"], "two");
        assert_eq!(
            calls[before + 1]["input"]["cni.dev/valid-attachments"],
            json!([])
        );
        assert!(!kept.exists());
    });
}

/// Plugins leave what they have done when they are killed; podshim calls `DEL` with what it had written down before.
#[test]
fn plugins_that_are_killed_leave_no_lease_no_link_and_no_rule() {
    on_each_runtime(|host| {
        let lab = Lab::new(host, "1.0.0", 4);
        host.set_network(Some(&format!("cni:{}", lab.name)));
        let ports = json!({"ports": [{"containerPort": 80, "hostPort": free_port()}]});
        let manifest = named(
            "a",
            json!({"containers": [with(sh("c", &serve("on")), ports)]}),
        );
        let file = host.manifest(&[manifest]);
        let file = file.to_str().expect("a path");
        // So that the bridge is there, which the plugin leaves to its user.
        let other = host.start(&named(
            "other",
            json!({"containers": [sh("c", "exec sleep 1000")]}),
        ));
        other.until_running();
        let look = || {
            let ports = format!("ip -o link show master {}", lab.bridge);
            let rules = command("iptables-save") + &command("ip6tables-save");
            let ours = rules.lines().filter(|line| line.contains(&lab.name));
            let mut ours: Vec<String> = ours.map(str::to_owned).collect();
            ours.sort();
            (command(&ports).lines().count(), lab.leased(), ours)
        };
        let before = look();
        assert_eq!((before.0, before.1.len()), (1, 2), "the look is right");
        for moment in KILL_MOMENTS_MS {
            cut_short(host, "a", file, Duration::from_millis(moment));
            assert_eq!(look(), before, "after {moment} ms");
        }
        other.podshim("delete", &["--force"]).expect(0);
        // A write that was cut short may leave its unnamed beginning there, and nothing else.
        let kept = fs::read_dir(host.path("data/network/cni"));
        let kept = kept.into_iter().flatten().flatten();
        let names = kept.map(|entry| entry.file_name().to_string_lossy().into_owned());
        assert!(names.into_iter().all(|name| name.starts_with(".new-")));
    });
}
