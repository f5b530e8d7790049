//! Volumes as block devices, and how volumes are mounted.

use crate::support::{Host, on_each_runtime, pod, sh, with};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::process::Command;

/// A loop device of the test's own.
struct Loop {
    node: PathBuf,
    file: PathBuf,
}

impl Loop {
    fn new(host: &Host, text: &str) -> Loop {
        let file = host.path("disk");
        let mut bytes = text.as_bytes().to_vec();
        bytes.resize(1 << 20, b'.');
        fs::write(&file, bytes).expect("a file of ours");
        let mut losetup = Command::new("losetup");
        let output = losetup.args(["--find", "--show"]).arg(&file).output();
        let output = output.expect("losetup must be installed");
        let node = String::from_utf8_lossy(&output.stdout).trim().to_owned();
        assert!(node.starts_with("/dev/loop"), "{output:?}");
        Loop {
            node: node.into(),
            file,
        }
    }

    fn numbers(&self) -> String {
        let device = fs::metadata(&self.node).expect("a device").rdev();
        format!(
            "{} {}",
            nix::sys::stat::major(device),
            nix::sys::stat::minor(device)
        )
    }
}

impl Drop for Loop {
    fn drop(&mut self) {
        let _ = Command::new("losetup").arg("-d").arg(&self.node).status();
    }
}

fn volume(path: &std::path::Path) -> Value {
    json!([{"name": "v", "hostPath": {"path": path, "type": "BlockDevice"}}])
}

#[test]
fn a_block_device_of_the_host_is_one_in_the_container_and_no_other() {
    on_each_runtime(|host| {
        let disk = Loop::new(host, "of the disk");
        let device = json!({"volumeDevices": [{"name": "v", "devicePath": "/dev/xvda"}]});
        let script = "[ -b /dev/xvda ] && head -c 11 /dev/xvda && echo
            printf 'by the pod!' | dd of=/dev/xvda conv=notrunc,fsync 2>/dev/null && echo written";
        // The same numbers, without being given the device.
        let theft = format!(
            "mknod /dev/mine b {} && head -c 1 /dev/mine 2>&1 | grep -o 'Operation not permitted'",
            disk.numbers()
        );
        let pod = host.start(&pod(json!({
            "volumes": volume(&disk.node),
            "initContainers": [with(sh("owner", script), device)],
            "containers": [sh("thief", &theft)],
        })));
        assert_eq!(pod.output("owner"), "of the disk\nwritten\n");
        assert_eq!(pod.output("thief"), "Operation not permitted\n");
        let bytes = fs::read(&disk.file).expect("a file of ours");
        assert_eq!(&bytes[..11], b"by the pod!");
        pod.podshim("delete", &[]).expect(0);
        host.assert_nothing_left();
    });
}

#[test]
fn what_is_no_block_device_is_refused() {
    on_each_runtime(|host| {
        let file = host.path("file");
        fs::write(&file, "").expect("a file of ours");
        let device = json!({"volumeDevices": [{"name": "v", "devicePath": "/dev/xvda"}]});
        let container = with(sh("c", "true"), device);
        let late = host.start(&pod(json!({
            "volumes": volume(&file), "containers": [container],
        })));
        late.until("it is told", |_| {
            late.events().iter().any(|event| {
                let text = event["message"].as_str().unwrap_or_default();
                text.contains("is not a block device")
            })
        });
        late.until_waiting("c", "ContainerCreating");
    });
}

#[test]
fn an_empty_dir_has_the_mode_that_is_asked_for() {
    on_each_runtime(|host| {
        let script = "stat -c %a /disk /memory /group";
        let pod = host.start(&pod(json!({
            "volumes": [
                {"name": "disk", "emptyDir": {"mode": 0o1750}},
                {"name": "memory", "emptyDir": {"mode": 0o700, "medium": "Memory"}},
                {"name": "group", "emptyDir": {}},
            ],
            "containers": [with(sh("c", script), json!({"volumeMounts": [
                {"name": "disk", "mountPath": "/disk"}, {"name": "memory", "mountPath": "/memory"},
                {"name": "group", "mountPath": "/group"},
            ]}))],
        })));
        assert_eq!(pod.output("c"), "1750\n700\n777\n");
    });
}

#[test]
fn mounts_take_the_options_that_are_asked_for() {
    on_each_runtime(|host| {
        let script = "for m in /plain /bound /part; do
                cp /bin/busybox $m/echo; $m/echo runs 2>&1 | grep -o 'runs\\|Permission denied'
                grep -o \" $m [^ ]* [^ ]*\" /proc/mounts | grep -o 'nosuid\\|nodev\\|noexec' | sort
            done";
        let all = json!(["noexec", "nosuid", "nodev"]);
        let pod = host.start(&pod(json!({
            "volumes": [{"name": "d", "emptyDir": {}}, {"name": "e", "emptyDir": {}}],
            "containers": [with(sh("c", script), json!({"volumeMounts": [
                {"name": "d", "mountPath": "/plain"},
                {"name": "e", "mountPath": "/bound", "bindMountOptions": all},
                {"name": "d", "mountPath": "/part", "subPath": "x/y", "bindMountOptions": ["noexec"]},
            ]}))],
        })));
        let bound = "Permission denied\nnodev\nnoexec\nnosuid\n";
        let part = "Permission denied\nnoexec\n";
        assert_eq!(pod.output("c"), format!("runs\n{bound}{part}"));
    });
}
