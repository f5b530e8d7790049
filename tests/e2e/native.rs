//! `--sandbox native`: what a runtime makes of pause, podshim makes itself, and nobody can tell but by the clock.

use crate::support::{
    Host, Pod, on_each_runtime, pod, proc_file, sh, state, status, status_field, until, with,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

/// What a process may, who it is, and what it leaves open for the next program.
const STATUS: [&str; 13] = [
    "Umask",
    "Uid",
    "Gid",
    "Groups",
    "Threads",
    "SigBlk",
    "SigCgt",
    "CapInh",
    "CapPrm",
    "CapEff",
    "CapBnd",
    "CapAmb",
    "NoNewPrivs",
];
const NAMESPACES: [&str; 8] = ["cgroup", "ipc", "mnt", "net", "pid", "time", "user", "uts"];

/// Starts the same pod with a sandbox of each kind, under other names.
fn of_each_kind(host: &Host, manifest: &Value) -> [(i32, String); 2] {
    ["runtime", "native"].map(|kind| {
        host.set_sandbox(Some(kind));
        let pod = host.start(&with(manifest.clone(), json!({"metadata": {"name": kind}})));
        let json = pod.until_running();
        for container in json["spec"]["containers"].as_array().expect("containers") {
            let name = container["name"].as_str().expect("a name");
            assert_eq!(state(&json, name).0, "running", "{kind}: {json:#}");
        }
        (pod.pause(), pod.uid.clone())
    })
}

/// Everything that is to be the same, one line each.
fn likeness(pid: i32, uid: &str, runtime: &str) -> Vec<String> {
    let mut lines: Vec<String> = STATUS
        .iter()
        .map(|field| format!("{field}: {}", status_field(pid, field)))
        .collect();
    // youki was built without seccomp.
    if runtime == "runc" {
        for field in ["Seccomp", "Seccomp_filters"] {
            lines.push(format!("{field}: {}", status_field(pid, field)));
        }
    }
    let depth = status_field(pid, "NSpid").split_whitespace().count();
    lines.push(format!("PID namespaces: {depth}"));
    for name in [
        "limits",
        "oom_score_adj",
        "cmdline",
        "comm",
        "coredump_filter",
    ] {
        lines.push(format!("{name}: {}", proc_file(pid, name)));
    }
    // runc adds HOME.
    let environment = proc_file(pid, "environ");
    let environment = environment.split('\0').filter(|v| !v.starts_with("HOME="));
    lines.extend(environment.map(str::to_owned));
    let stat = proc_file(pid, "stat");
    let fields: Vec<&str> = stat.split(' ').collect();
    // Process group and session are its own; it has no terminal.
    let own = [fields[4], fields[5]].map(|id| id == pid.to_string());
    lines.push(format!("leads group and session: {own:?}, {}", fields[6]));
    for name in NAMESPACES {
        let of =
            |process: &str| fs::read_link(format!("/proc/{process}/ns/{name}")).expect("alive");
        let is_own = of(&pid.to_string()) != of("self");
        lines.push(format!("{name} namespace of its own: {is_own}"));
    }
    for line in proc_file(pid, "cgroup").lines() {
        // youki leaves out hierarchies without controllers.
        if runtime == "runc" || !(line.contains(":name=") || line.contains("::")) {
            lines.push(line.replace(uid, "UID"));
        }
    }
    let mut descriptors: Vec<String> = fs::read_dir(format!("/proc/{pid}/fd"))
        .expect("alive")
        .map(|entry| entry.expect("an entry").path())
        .map(|fd| format!("{} {:?}", fd.display(), fs::read_link(&fd)))
        .map(|line| line.replace(&pid.to_string(), "PID"))
        .collect();
    descriptors.sort();
    lines.extend(descriptors);
    let mut mounts: Vec<String> = proc_file(pid, "mountinfo")
        .lines()
        // Numbers of mounts and devices are of each its own.
        .map(|line| {
            line.splitn(4, ' ')
                .last()
                .unwrap_or(line)
                .replace(uid, "UID")
        })
        .collect();
    mounts.sort();
    lines.extend(mounts);
    for link in ["cwd", "root"] {
        lines.push(format!(
            "{:?}",
            fs::read_link(format!("/proc/{pid}/{link}"))
        ));
    }
    let shares = fs::read_to_string(format!(
        "/sys/fs/cgroup/cpu{}/cpu.shares",
        cgroup_of(pid, "cpu").unwrap_or_default()
    ));
    lines.push(format!("CPU shares: {:?}", shares.ok()));
    lines
}

/// The path of a process in a hierarchy of cgroup v1.
fn cgroup_of(pid: i32, controller: &str) -> Option<String> {
    let all = proc_file(pid, "cgroup");
    let mut lines = all
        .lines()
        .map(|line| line.splitn(3, ':').collect::<Vec<_>>());
    let found = lines.find(|line| line[1].split(',').any(|one| one == controller))?;
    Some(found[2].to_owned())
}

fn assert_alike(host: &Host, manifest: &Value) {
    let [(a, a_uid), (b, b_uid)] = of_each_kind(host, manifest);
    let (theirs, ours) = (
        likeness(a, &a_uid, host.runtime()),
        likeness(b, &b_uid, host.runtime()),
    );
    assert_eq!(ours, theirs, "native, and by {}", host.runtime());
    // Stricter: no device at all, and none but one of its own to be seen.
    if let Some(path) = cgroup_of(b, "devices") {
        let allowed = fs::read_to_string(format!("/sys/fs/cgroup/devices{path}/devices.list"));
        assert_eq!(allowed.expect("a list").trim(), "");
    }
    let dev: Vec<_> = fs::read_dir(format!("/proc/{b}/root/dev"))
        .expect("alive")
        .collect();
    assert_eq!(dev.len(), 1, "{dev:?}");
    let host_null = fs::metadata("/dev/null").expect("there").dev();
    for place in ["root/dev/null", "fd/0", "fd/1", "fd/2", "root/proc/keys"] {
        let path = format!("/proc/{b}/{place}");
        let found = fs::metadata(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        assert_ne!(found.dev(), host_null, "{place} is the host's");
        assert_eq!(found.permissions().mode() & 0o7777, 0o666, "{place}");
    }
    host.podshim(["delete", "--all", "--grace-period", "0"])
        .expect(0);
}

fn two() -> Value {
    json!([sh("a", "sleep 1000"), sh("b", "sleep 1000")])
}

#[test]
fn a_native_pause_is_what_a_runtime_would_have_made() {
    on_each_runtime(|host| {
        assert_alike(host, &pod(json!({"containers": two()})));
        assert_alike(
            host,
            &pod(json!({
                "shareProcessNamespace": true,
                "securityContext": {
                    "runAsUser": 7, "runAsGroup": 8, "supplementalGroups": [9, 10], "fsGroup": 11,
                    "sysctls": [{"name": "net.ipv4.ip_local_port_range", "value": "2000 3000"}],
                },
                "containers": two(),
            })),
        );
    });
}

#[test]
fn a_native_sandbox_leaves_the_host_s_namespaces_to_the_pod_that_asks() {
    on_each_runtime(|host| {
        for spec in [
            json!({"hostNetwork": true}),
            json!({"hostPID": true}),
            json!({"hostIPC": true}),
            json!({"hostNetwork": true, "hostPID": true, "hostIPC": true}),
        ] {
            assert_alike(host, &pod(with(json!({"containers": two()}), spec)));
        }
        // With a privileged container, pause mounts /sys, too.
        let mut containers = two();
        containers[0]["securityContext"] = json!({"privileged": true});
        assert_alike(host, &pod(json!({"containers": containers})));
    });
}

#[test]
fn containers_of_a_native_sandbox_share_what_they_should() {
    on_each_runtime(|host| {
        host.set_sandbox(Some("native"));
        host.set_network(Some("bridge"));
        let pod = host.start(&pod(json!({
            "hostname": "h", "shareProcessNamespace": true,
            "securityContext": {"sysctls": [
                {"name": "net.ipv4.ip_local_port_range", "value": "2000 3000"},
                {"name": "kernel.shm_rmid_forced", "value": "1"},
            ]},
            "containers": [
                sh("a", "echo page >/tmp/index.html; httpd -p 8080 -h /tmp; echo x >/dev/shm/x; exec sleep 1000"),
                sh("b", "sleep 1000"),
                sh("c", "sleep 1000"),
            ],
        })));
        let json = pod.until_running();
        let ip = json["status"]["podIP"]
            .as_str()
            .expect("an address")
            .to_owned();
        assert_eq!(pod.exec("b", "hostname").text(), "h\n");
        let sysctls = "cat /proc/sys/net/ipv4/ip_local_port_range /proc/sys/kernel/shm_rmid_forced \
                       /proc/sys/net/ipv4/ip_unprivileged_port_start";
        assert_eq!(pod.exec("b", sysctls).text(), "2000\t3000\n1\n0\n");
        let first = pod
            .exec("c", "tr '\\0' ' ' </proc/1/cmdline; cat /proc/1/comm")
            .text();
        assert_eq!(first, "/pause pause\n");
        for address in ["127.0.0.1", ip.as_str()] {
            let fetch = format!("wget -q -O - http://{address}:8080/");
            let page = until(10, "a answers", || {
                let ran = pod.exec("b", &fetch);
                if ran.code == Some(0) {
                    Ok(ran.stdout)
                } else {
                    Err(ran.stderr)
                }
            });
            assert_eq!(page, "page\n", "{address}");
        }
        assert_eq!(pod.exec("c", "cat /dev/shm/x").text(), "x\n");
        // The host's own values are as they were.
        let own = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").expect("readable");
        assert_ne!(own.trim(), "2000\t3000");
        let runtime = host.path("state/pods").join(&pod.uid).join("runtime");
        let known: Vec<_> = fs::read_dir(runtime).expect("there").collect();
        assert_eq!(
            known.len(),
            3,
            "the runtime knows the containers only: {known:?}"
        );
        pod.podshim("delete", &[]).expect(0);
    });
}

#[test]
fn a_pod_keeps_its_kind_of_sandbox_when_pause_dies_and_when_the_machine_does() {
    on_each_runtime(|host| {
        host.set_sandbox(Some("native"));
        let pod = host.start(&pod(json!({
            "restartPolicy": "Always",
            "containers": [sh("c", "trap 'exit 0' TERM; while :; do sleep 0.1; done")],
        })));
        pod.until_running();
        // Whoever comes later does not say so again.
        host.set_sandbox(None);
        assert_native(host, &pod);
        kill(Pid::from_raw(pod.pause()), Signal::SIGKILL).expect("pause lives");
        pod.until_restarted("c", 1);
        assert_native(host, &pod);
        pod.crash_with_machine();
        host.podshim(["up"]).expect(0);
        pod.until("it runs again", |json| {
            state(json, "c").0 == "running" && status(json, "c")["restartCount"] != 1
        });
        assert_native(host, &pod);
    });
}

/// No runtime knows pause.
#[track_caller]
fn assert_native(host: &Host, pod: &Pod) {
    let runtime = host.path("state/pods").join(&pod.uid).join("runtime");
    let known = fs::read_dir(runtime).expect("there");
    let known: Vec<_> = known
        .map(|entry| entry.expect("an entry").file_name())
        .collect();
    let is_pause = |id: &OsString| id.to_string_lossy().starts_with("pause");
    assert!(!known.iter().any(is_pause), "{known:?}");
    assert!(pod.pause() > 1);
}

#[test]
fn what_cannot_be_native_is_said_before_anything_is_done() {
    on_each_runtime(|host| {
        let manifest = host.manifest(&[pod(json!({"containers": [sh("c", "true")]}))]);
        let file = manifest.to_str().expect("a path");
        let ran = host
            .podshim(["run", "-d", "--sandbox", "other", "-f", file])
            .expect(2);
        assert!(ran.stderr.contains("native"), "{}", ran.stderr);
        let rendered = |kind: &str| {
            let shown = host
                .podshim(["render", "--sandbox", kind, "-f", file])
                .json();
            shown["pods"][0]["bundles"]["pause"].clone()
        };
        let (native, runtime) = (rendered("native"), rendered("runtime"));
        let rules = |config: &Value| config["linux"]["seccomp"]["syscalls"].clone();
        assert_eq!(
            rules(&native).as_array().map(Vec::len),
            Some(1),
            "{native:#}"
        );
        assert_ne!(rules(&native), rules(&runtime));
        // What a pod cannot ask for today, a bundle can: the life that makes sandboxes refuses it, and nothing was made.
        let bundle = host.path("bundle");
        for (pointer, value) in [
            ("/hooks", json!({})),
            (
                "/linux/namespaces",
                json!([{"type": "user"}, {"type": "mount"}]),
            ),
            ("/linux/cgroupsPath", json!("a.slice:b:c")),
        ] {
            let mut config = native.clone();
            let (parent, member) = pointer.rsplit_once('/').expect("a pointer");
            config.pointer_mut(parent).expect("there")[member] = value;
            fs::create_dir_all(&bundle).expect("a directory of ours");
            fs::write(bundle.join("config.json"), config.to_string()).expect("a file of ours");
            let [pid, log] = ["pid", "log"].map(|name| bundle.join(name));
            let paths = [&bundle, &pid, &log].map(|path| path.to_str().expect("a path"));
            let ran = host
                .podshim([&["__sandbox"], &paths[..], &["pause-0"]].concat())
                .expect(1);
            assert!(ran.stderr.contains("--sandbox runtime"), "{}", ran.stderr);
            let logged = fs::read_to_string(&log).expect("a log");
            assert!(logged.contains("\"level\":\"error\""), "{logged}");
            assert!(!pid.exists(), "{pointer}");
            fs::remove_dir_all(&bundle).expect("ours");
        }
    });
}
