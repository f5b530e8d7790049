//! Mounts below volumes: which of them others see, and which can be written.

use crate::support::{on_each_runtime, pod, sh, until, with};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};

/// A tmpfs of the test's own on the host.
struct Mounted(PathBuf);

impl Mounted {
    fn at(path: PathBuf) -> Mounted {
        fs::create_dir_all(&path).expect("a directory of ours");
        let (kind, none) = (Some("tmpfs"), None::<&str>);
        mount(kind, &path, kind, MsFlags::empty(), none).expect("a tmpfs");
        Mounted(path)
    }

    fn shared(path: PathBuf) -> Mounted {
        let mounted = Mounted::at(path);
        let none = None::<&str>;
        mount(none, &mounted.0, none, MsFlags::MS_SHARED, none).expect("shared");
        mounted
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = umount2(&self.0, MntFlags::MNT_DETACH);
    }
}

fn host_path(path: &Path) -> Value {
    json!([{"name": "h", "hostPath": {"path": path}}])
}

fn mounting(container: Value, mount: Value) -> Value {
    let mount = with(json!({"name": "h", "mountPath": "/h"}), mount);
    with(container, json!({"volumeMounts": [mount]}))
}

/// Mount points below a directory, in the host's mount namespace.
fn mounts_below(directory: &Path) -> Vec<String> {
    let table = fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
    let points = table.lines().filter_map(|line| line.split(' ').nth(4));
    let below = points.filter(|point| Path::new(point).starts_with(directory));
    below.map(str::to_owned).collect()
}

#[test]
fn a_mount_of_a_privileged_container_appears_on_the_host_and_goes_away() {
    on_each_runtime(|host| {
        let shared = Mounted::shared(host.path("shared"));
        let own = Mounted::at(shared.0.join("own"));
        fs::write(own.0.join("x"), "").expect("a file of ours");
        let script = "mkdir /h/m && mount -t tmpfs inner /h/m && touch /h/m/x && echo mounted
            trap 'umount /h/m; exit 0' TERM; while :; do sleep 0.1; done";
        let privileged = with(
            sh("mounts", script),
            json!({"securityContext": {"privileged": true}}),
        );
        let pod = host.start(&pod(json!({
            "terminationGracePeriodSeconds": 10,
            "volumes": host_path(&shared.0),
            "containers": [
                mounting(privileged, json!({"mountPropagation": "Bidirectional"})),
                mounting(sh("sees", "sleep 1000"), json!({"mountPropagation": "HostToContainer"})),
                mounting(sh("none", "sleep 1000"), json!({})),
            ],
        })));
        pod.until_running();
        let inner = shared.0.join("m");
        until(10, "the mount is on the host", || {
            match inner.join("x").exists() {
                true => Ok(()),
                false => Err(mounts_below(&shared.0).join("\n")),
            }
        });
        assert_eq!(
            pod.exec("sees", "ls /h/m /h/own").text(),
            "/h/m:\nx\n\n/h/own:\nx\n"
        );
        // The other way round.
        let later = Mounted::at(shared.0.join("later"));
        fs::write(later.0.join("y"), "").expect("a file of ours");
        for container in ["mounts", "sees"] {
            assert_eq!(pod.exec(container, "ls /h/later").text(), "y\n");
        }
        // youki makes every bind mount a slave of the host, whatever it is told.
        if !host.runtime().ends_with("youki") {
            assert_eq!(pod.exec("none", "ls /h/later").text(), "");
        }
        pod.podshim("stop", &[]).expect(0);
        assert!(!inner.join("x").exists(), "{:?}", mounts_below(&shared.0));
        pod.podshim("delete", &[]).expect(0);
        let left = mounts_below(&shared.0);
        let want = [&shared.0, &own.0, &later.0].map(|p| p.display().to_string());
        assert_eq!(left, want, "what the host has mounted stays");
        assert!(own.0.join("x").exists());
    });
}

#[test]
fn containers_share_the_mounts_of_an_empty_dir_and_the_host_has_none_of_it() {
    on_each_runtime(|host| {
        let script = "mkdir /h/m && mount -t tmpfs inner /h/m && touch /h/m/x; sleep 1000";
        let privileged = with(
            sh("mounts", script),
            json!({"securityContext": {"privileged": true}}),
        );
        let pod = host.start(&pod(json!({
            "volumes": [{"name": "h", "emptyDir": {}}],
            "containers": [
                mounting(privileged, json!({"mountPropagation": "Bidirectional"})),
                mounting(sh("sees", "sleep 1000"), json!({"mountPropagation": "HostToContainer"})),
            ],
        })));
        pod.until_running();
        until(10, "the mount is in the other container", || {
            match pod.exec("sees", "ls /h/m").stdout {
                seen if seen == "x\n" => Ok(()),
                seen => Err(seen),
            }
        });
        pod.podshim("delete", &["--grace-period", "0"]).expect(0);
        host.assert_nothing_left();
    });
}

#[test]
fn a_path_that_is_not_on_a_shared_mount_cannot_propagate() {
    on_each_runtime(|host| {
        let private = Mounted::at(host.path("private"));
        let none = None::<&str>;
        mount(none, &private.0, none, MsFlags::MS_PRIVATE, none).expect("private");
        let manifest = |name: &str, propagation: &str| {
            let c = with(
                sh("c", "true"),
                json!({"securityContext": {"privileged": true}}),
            );
            let spec = json!({"volumes": host_path(&private.0), "containers": [mounting(c, json!({"mountPropagation": propagation}))]});
            with(pod(spec), json!({"metadata": {"name": name}}))
        };
        let one = host.start(&manifest("one", "HostToContainer"));
        let message = one.until_waiting("c", "CreateContainerError");
        assert!(
            message.contains("is not on a shared or slave mount"),
            "{message}"
        );
        let two = host.start(&manifest("two", "Bidirectional"));
        two.until("a failure was recorded", |_| {
            let mut events = two.events().into_iter();
            events.any(|event| {
                event
                    .to_string()
                    .contains("is not on a shared mount of the host")
            })
        });
        for pod in [one, two] {
            pod.podshim("delete", &["--grace-period", "0"]).expect(0);
        }
    });
}

#[test]
fn read_only_is_the_top_mount_and_recursive_read_only_all_below() {
    on_each_runtime(|host| {
        // What youki would ignore is refused, and what is only wished for falls back.
        let knows_rro = !host.runtime().ends_with("youki");
        let directory = host.path("dir");
        let inner = Mounted::at(directory.join("inner"));
        let script = "for f in /h/x /h/inner/x; do (: >$f) 2>/dev/null && echo $f; done; true";
        let container = |name: &str, mount: Value| {
            mounting(sh(name, script), with(json!({"readOnly": true}), mount))
        };
        let manifest = |containers: Value| {
            pod(json!({"volumes": host_path(&directory), "containers": containers}))
        };
        let all = container("all", json!({"recursiveReadOnly": "Enabled"}));
        let mut containers = vec![
            container("plain", json!({})),
            container("wish", json!({"recursiveReadOnly": "IfPossible"})),
        ];
        if knows_rro {
            containers.push(all);
        } else {
            let file = host.manifest(&[manifest(json!([all]))]);
            let run = host.podshim(["run".as_ref(), "-f".as_ref(), file.as_os_str()]);
            run.expect(7);
        }
        let pod = host.start(&manifest(json!(containers)));
        assert_eq!(pod.output("plain"), "/h/inner/x\n");
        if knows_rro {
            assert_eq!(pod.output("all"), "");
            assert_eq!(pod.output("wish"), "");
        } else {
            assert_eq!(pod.output("wish"), "/h/inner/x\n");
        }
        pod.podshim("delete", &[]).expect(0);
        drop(inner);
    });
}
