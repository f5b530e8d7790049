//! Pods that know one another by name.

use super::crash::{kill_all, processes};
use super::wire::{ips, serve};
use crate::support::{Host, Pod, on_each_runtime, pod, sh, state, status, until, with};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::fs;

/// A pod that serves its own name.
fn web(name: &str) -> Value {
    with(
        pod(json!({"restartPolicy": "Always", "containers": [sh("c", &serve(name))]})),
        json!({"metadata": {"name": name}}),
    )
}

/// A pod that wants to know the others, running.
fn asked<'a>(host: &'a Host, manifest: &Value) -> Pod<'a> {
    let file = host.manifest(std::slice::from_ref(manifest));
    let file = file.to_str().expect("a path");
    host.podshim(["run", "-d", "--pod-names", "-f", file])
        .expect(0);
    let meta = &manifest["metadata"];
    let name = meta["name"].as_str().expect("a name");
    let pod = match meta["namespace"].as_str() {
        None => host.pod(name),
        Some(namespace) => host.pod(&format!("{namespace}/{name}")),
    };
    pod.until_running();
    pod
}

#[track_caller]
fn until_fetched(from: &Pod<'_>, name: &str) {
    let script = format!("timeout 5 wget -q -O - http://{name}/");
    until(10, &format!("{} fetches from {name}", from.name), || {
        let ran = from.exec("c", &script);
        match ran.code {
            Some(0) if ran.stdout.trim() == name => Ok(()),
            _ => Err(format!("{ran:?}\n{}", hosts(from))),
        }
    });
}

fn hosts(pod: &Pod<'_>) -> String {
    pod.exec("c", "cat /etc/hosts").text()
}

/// The addresses at which a pod believes another to be.
fn knows(pod: &Pod<'_>, name: &str) -> Vec<String> {
    let text = hosts(pod);
    let lines = text.lines().filter(|line| {
        let mut words = line.split_whitespace().skip(1);
        !line.starts_with('#') && words.any(|word| word == name)
    });
    lines
        .filter_map(|line| Some(line.split_whitespace().next()?.to_owned()))
        .collect()
}

#[track_caller]
fn until_known(pod: &Pod<'_>, other: &str, at: &[String]) {
    until(
        10,
        &format!("{} knows {other} at {at:?}", pod.name),
        || match knows(pod, other) {
            known if known == at => Ok(()),
            _ => Err(hosts(pod)),
        },
    );
}

fn addresses(pod: &Value) -> Vec<String> {
    ips(pod).iter().map(ToString::to_string).collect()
}

#[test]
fn pods_that_ask_find_one_another_by_name_whoever_was_first() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let a = asked(host, &web("a"));
        let b = asked(host, &web("b"));
        let silent = host.start(&web("silent"));
        silent.until_running();
        for (from, to) in [(&a, "b"), (&b, "a"), (&a, "silent"), (&a, "a")] {
            until_fetched(from, to);
        }
        let own = hosts(&silent);
        assert!(!own.contains("podshim"), "it did not ask: {own}");

        let full = with(
            web("c"),
            json!({"spec": {"hostname": "www", "subdomain": "s"}}),
        );
        let c = asked(host, &full);
        until_fetched(&a, "c");
        let name = "www.s.default.svc.cluster.local";
        until_known(&a, name, &addresses(&c.json()));
        assert!(knows(&a, "www").is_empty(), "{}", hosts(&a));

        c.podshim("delete", &["--force"]).expect(0);
        until_known(&a, "c", &[]);
        until_known(&b, name, &[]);
        let gone = a.exec("c", "ping -c 1 -w 5 c");
        assert!(gone.stderr.contains("bad address"), "{gone:?}");
        silent.podshim("stop", &["--grace-period", "0"]).expect(0);
        until_known(&a, "silent", &[]);
    });
}

#[test]
fn a_pod_that_moves_is_followed_also_by_a_supervisor_that_was_killed() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let (a, b) = (asked(host, &web("a")), asked(host, &web("b")));
        until_fetched(&a, "b");
        let before = addresses(&b.json());
        kill(Pid::from_raw(b.pause()), Signal::SIGKILL).expect("pause lives");
        let json = b.until("the container was restarted", |pod| {
            status(pod, "c")["restartCount"] == 1 && state(pod, "c").0 == "running"
        });
        let after = addresses(&json);
        assert_ne!(before, after);
        until_known(&a, "b", &after);
        until_fetched(&a, "b");
        until_known(&b, "b", &after);

        // What changes while nobody listens is seen afterwards, and so is what changes then.
        kill_all(processes(host, "__supervisor"));
        let c = asked(host, &web("c"));
        until_fetched(&a, "c");
        until_fetched(&b, "c");
        let restarts = status(&a.json(), "c")["restartCount"].clone();
        assert_eq!(restarts, 0, "no container noticed");
        c.podshim("delete", &["--force"]).expect(0);
        until_known(&a, "c", &[]);
    });
}

#[test]
fn a_name_is_known_in_its_namespace_only_and_the_pods_own_names_win() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let aliases = json!({"spec": {"hostAliases": [{"ip": "192.0.2.1", "hostnames": ["b"]}]}});
        let a = asked(host, &with(web("a"), aliases));
        let b = asked(host, &web("b"));
        let apart = json!({"metadata": {"namespace": "apart"}});
        let x = asked(host, &with(web("x"), apart.clone()));
        let y = asked(host, &with(web("y"), apart));
        until_fetched(&x, "y");
        until_fetched(&b, "a");
        for (pod, other) in [(&a, "x"), (&a, "y"), (&b, "x"), (&x, "a"), (&y, "b")] {
            assert!(knows(pod, other).is_empty(), "{}", hosts(pod));
        }
        assert_eq!(knows(&a, "b"), ["192.0.2.1"]);
        // The host clears away its own namespace only.
        for pod in [x, y] {
            pod.podshim("delete", &["--force"]).expect(0);
        }
    });
}

/// Nobody but root can write there; what is there is read as if anybody could.
#[test]
fn what_is_no_name_of_a_pod_never_gets_into_a_hosts_file() {
    on_each_runtime(|host| {
        host.set_network(Some("bridge"));
        let a = asked(host, &web("a"));
        let dir = host.path("state/network/names");
        let own = fs::read_to_string(dir.join(format!("default_a_{}", a.uid))).expect("its name");
        let evil = own.replace(&addresses(&a.json())[0], "10.66.66.66");
        assert_ne!(own, evil);
        for (name, text) in [
            ("default_good_1", evil.clone()),
            ("default_bad name_2", evil.clone()),
            ("default_bad\nname_3", evil.clone()),
            ("default_www.example.com_4", evil.clone()),
            ("default_localhost_5", evil.clone()),
            ("default_garbage_6", "{".to_owned()),
            ("default_garbage_7", "x".repeat(1 << 20)),
            ("default_garbage", evil.clone()),
        ] {
            fs::write(dir.join(name), text).expect("ours");
        }
        fs::create_dir(dir.join("default_garbage_8")).expect("ours");
        until_known(
            &a,
            "good",
            &["10.66.66.66".to_owned(), addresses(&a.json())[1].clone()],
        );
        let text = hosts(&a);
        assert_eq!(text.matches("10.66.66.66").count(), 1, "{text}");
        for bad in ["bad", "\nname", "\tname", "example", "garbage"] {
            assert!(!text.contains(bad), "{text}");
        }
        // Somebody who clears everything away is survived, too.
        fs::remove_dir_all(&dir).expect("ours");
        until_known(&a, "good", &[]);
        let b = asked(host, &web("b"));
        until_known(&a, "b", &addresses(&b.json()));
    });
}

#[test]
fn names_need_a_network_and_lost_ones_are_found() {
    on_each_runtime(|host| {
        host.set_network(Some("none"));
        let file = host.manifest(&[web("a")]);
        let file = file.to_str().expect("a path");
        let ran = host
            .podshim(["run", "-d", "--pod-names", "-f", file])
            .expect(2);
        assert!(ran.stderr.contains("--pod-names"), "{}", ran.stderr);
        host.podshim(["get", "a"]).expect(3);

        host.set_network(Some("bridge"));
        let a = asked(host, &web("a"));
        let lost = host.path("state/network/names/default_lost_0123");
        fs::write(&lost, "").expect("ours");
        let said = host.podshim(["doctor"]).stdout;
        assert!(said.contains("the name of pod 0123"), "{said}");
        host.podshim(["doctor", "--fix"]);
        assert!(!lost.exists());
        until_fetched(&a, "a");
    });
}
