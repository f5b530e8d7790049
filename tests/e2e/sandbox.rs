//! What the containers of a pod share, and the files that name it.

use crate::support::{on_each_runtime, pod, sh, state, status, status_field, until, with};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::json;
use std::fs;

/// The inode of a namespace of a process of this machine, as the kernel writes it: `net:[4026531840]`.
fn namespace(pid: i32, kind: &str) -> String {
    let link = fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("a live process");
    link.to_string_lossy().into_owned()
}

#[test]
fn c11_containers_share_network_ipc_and_names_and_nothing_else() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({"containers": [
            sh("a", "echo from-a >/dev/shm/x; echo page >/tmp/index.html; httpd -p 127.0.0.1:8080 -h /tmp; exec sleep 1000"),
            sh("b", "sleep 1000"),
        ]})));
        pod.until_running();
        let (a, b, pause) = (pod.pid("a"), pod.pid("b"), pod.pause());
        let own = i32::try_from(std::process::id()).expect("a process id");
        for kind in ["net", "ipc", "uts"] {
            assert_eq!(namespace(a, kind), namespace(pause, kind), "{kind}");
            assert_eq!(namespace(b, kind), namespace(pause, kind), "{kind}");
            assert_ne!(
                namespace(a, kind),
                namespace(own, kind),
                "{kind} is not the host's"
            );
        }
        for kind in ["pid", "mnt"] {
            assert_ne!(namespace(a, kind), namespace(b, kind), "{kind}");
            assert_ne!(namespace(a, kind), namespace(pause, kind), "{kind}");
        }
        assert_eq!(
            pod.exec("b", "tr '\\0' ' ' </proc/1/cmdline").text(),
            "sleep 1000 "
        );
        let page = until(10, "a answers on localhost", || {
            let ran = pod.exec("b", "wget -q -O - http://127.0.0.1:8080/");
            if ran.code == Some(0) {
                Ok(ran.stdout)
            } else {
                Err(ran.stderr)
            }
        });
        assert_eq!(page, "page\n");
        assert_eq!(pod.exec("b", "cat /dev/shm/x").text(), "from-a\n");
        let mount = pod.exec("b", "grep ' /dev/shm ' /proc/mounts").text();
        assert!(
            mount.contains(" tmpfs ") && mount.contains("size=65536k"),
            "{mount}"
        );
    });
}

#[test]
fn the_layer_of_a_container_has_what_it_wrote_and_nothing_else() {
    on_each_runtime(|host| {
        let script = "cat /etc/hosts >/dev/null; echo x >/tmp/x; exec sleep 1000";
        let pod = host.start(&pod(json!({"containers": [sh("a", script)]})));
        pod.until_running();
        let wrote = until(10, "a has written", || {
            let ran = pod.exec("a", "cat /tmp/x");
            if ran.code == Some(0) {
                Ok(ran.stdout)
            } else {
                Err(ran.stderr)
            }
        });
        assert_eq!(wrote, "x\n");
        let layer = host
            .path("data/pods")
            .join(&pod.uid)
            .join("instances/a-0/upper");
        let below = |dir: &str| {
            let entries = fs::read_dir(layer.join(dir)).expect("the layer").flatten();
            entries.map(|entry| entry.file_name()).collect::<Vec<_>>()
        };
        assert_eq!(
            (below(""), below("tmp")),
            (vec!["tmp".into()], vec!["x".into()])
        );
    });
}

#[test]
fn c12_in_a_shared_pid_namespace_pause_reaps_and_nothing_outlives_its_container() {
    on_each_runtime(|host| {
        let pod = host.start(&pod(json!({
            "shareProcessNamespace": true,
            "containers": [
                sh("a", "sleep 1000"),
                sh("b", "(true &); setsid sleep 777 & exit 0"),
            ],
        })));
        pod.until("`a` runs", |pod| state(pod, "a").0 == "running");
        pod.until_terminated("b");
        let pid_1 = pod
            .exec("a", "readlink /proc/1/exe; tr '\\0' ' ' </proc/1/cmdline")
            .text();
        assert!(pid_1.contains("pause"), "{pid_1}");
        until(
            5,
            "only living processes of living containers are left",
            || {
                let script =
                    "cat /proc/[0-9]*/stat /proc/[0-9]*/cmdline 2>/dev/null | tr '\\0' ' '";
                let processes = pod.exec("a", script).stdout;
                assert!(
                    processes.contains("sleep 1000"),
                    "the other container lives:\n{processes}"
                );
                if processes.contains(") Z ") || processes.contains("sleep 777") {
                    Err(processes)
                } else {
                    Ok(())
                }
            },
        );
    });
}

#[test]
fn c13_host_name_and_hosts_file_are_the_pods() {
    on_each_runtime(|host| {
        let script = "hostname; echo $HOSTNAME; cat /etc/hostname; cat /etc/hosts";
        let pod = host.start(&pod(json!({
            "hostname": "h", "subdomain": "s",
            "hostAliases": [{"ip": "192.0.2.7", "hostnames": ["one", "two"]}],
            "containers": [sh("c", script)],
        })));
        // The pod has loopback only, so its own line has 127.0.0.1.
        let expected = "h\nh\nh\n\
            # Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
            fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n\
            127.0.0.1\th.s.default.svc.cluster.local\th\n\
            \n# Entries added by HostAliases.\n192.0.2.7\tone\ttwo\n";
        assert_eq!(pod.output("c"), expected);
    });
}

#[test]
fn c14_a_dns_policy_of_none_uses_the_given_servers_only() {
    on_each_runtime(|host| {
        let dns = |config: serde_json::Value| {
            pod(
                json!({"dnsPolicy": "None", "dnsConfig": config, "containers": [sh("c", "cat /etc/resolv.conf")]}),
            )
        };
        let full = host.start(&dns(json!({
            "nameservers": ["9.9.9.9"], "searches": ["a.b"],
            "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}],
        })));
        assert_eq!(
            full.output("c"),
            "search a.b\nnameserver 9.9.9.9\noptions ndots:2 edns0\n"
        );
        let file = host.manifest(&[dns(json!({"searches": ["a.b"]}))]);
        host.podshim(["check".as_ref(), "-f".as_ref(), file.as_os_str()])
            .expect(2);
    });
}

#[test]
fn c15_when_pause_dies_the_pod_gets_a_new_sandbox() {
    on_each_runtime(|host| {
        let volume = json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}]});
        let pod = host.start(&pod(json!({
            "restartPolicy": "Always",
            "volumes": [{"name": "d", "emptyDir": {}}],
            "initContainers": [with(sh("i", "echo ran >>/d/init"), volume.clone())],
            "containers": [with(sh("c", "trap 'exit 0' TERM; while :; do sleep 0.1; done"), volume)],
        })));
        pod.until_running();
        let old = namespace(pod.pid("c"), "net");
        // Held open, so that its number cannot be given to the new one.
        let _held =
            fs::File::open(format!("/proc/{}/ns/net", pod.pid("c"))).expect("a live process");
        kill(Pid::from_raw(pod.pause()), Signal::SIGKILL).expect("pause lives");
        pod.until("the container was restarted", |pod| {
            status(pod, "c")["restartCount"] == 1 && state(pod, "c").0 == "running"
        });
        assert_eq!(pod.exec("c", "cat /d/init").text(), "ran\nran\n");
        let new = namespace(pod.pid("c"), "net");
        assert_ne!(new, old);
        assert_eq!(new, namespace(pod.pause(), "net"));
    });
}

#[test]
fn pause_has_no_capability() {
    on_each_runtime(|host| {
        for kind in ["runtime", "native"] {
            host.set_sandbox(Some(kind));
            let pod = host.start(&pod(json!({
                "shareProcessNamespace": true,
                "hostname": "h",
                "securityContext": {"sysctls": [{"name": "net.ipv4.ip_unprivileged_port_start", "value": "80"}]},
                "containers": [sh("c", "sleep 1000")],
            })));
            pod.until_running();
            for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
                let is = status_field(pod.pause(), set);
                assert_eq!(is, "0000000000000000", "{kind}: {set}");
            }
            let port = "cat /proc/sys/net/ipv4/ip_unprivileged_port_start; hostname";
            assert_eq!(pod.exec("c", port).text(), "80\nh\n");
            pod.podshim("delete", &[]).expect(0);
        }
    });
}

#[test]
fn c16_safe_sysctls_are_set_and_others_reject_the_pod() {
    on_each_runtime(|host| {
        let with_sysctl = |name: &str, value: &str| {
            pod(json!({
                "securityContext": {"sysctls": [{"name": name, "value": value}]},
                "containers": [sh("c", "cat /proc/sys/net/ipv4/ip_unprivileged_port_start")],
            }))
        };
        let safe = host.start(&with_sysctl("net.ipv4.ip_unprivileged_port_start", "1000"));
        assert_eq!(safe.output("c"), "1000\n");
        safe.podshim("delete", &[]).expect(0);

        let file = host.manifest(&[with_sysctl("kernel.msgmax", "65536")]);
        host.podshim([
            "run".as_ref(),
            "-d".as_ref(),
            "-f".as_ref(),
            file.as_os_str(),
        ]);
        let rejected = host.pod("p");
        let json = rejected.until_phase("Failed");
        assert_eq!(json["status"]["reason"], "SysctlForbidden");
        assert_eq!(
            json["status"]["message"],
            "Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted"
        );
        assert!(
            crate::support::cgroups_of(&rejected.uid).is_empty(),
            "no sandbox was made"
        );
    });
}
