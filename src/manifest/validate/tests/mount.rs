//! Volumes as devices, and how they are mounted.

use super::{lines, over};
use serde_json::{Value, json};

#[test]
fn devices_and_mount_options_are_checked() {
    let pod = |container: Value, host_users: bool| {
        let container = over(json!({"name": "c", "image": "i"}), &container);
        lines(&json!({
            "hostUsers": host_users,
            "containers": [container],
            "volumes": [
                {"name": "block", "hostPath": {"path": "/dev/x", "type": "BlockDevice"}},
                {"name": "plain", "hostPath": {"path": "/dev/x"}},
                {"name": "image", "image": {"reference": "i"}},
            ],
        }))
    };
    let at = "spec.containers[0].volumeDevices";
    let device = |name: &str, path: &str| json!({"name": name, "devicePath": path});
    let good = json!({"volumeDevices": [device("block", "/dev/xvda")]});
    assert_eq!(pod(good.clone(), true), [] as [String; 0]);
    let users = "Forbidden: may not be set when `hostUsers` is false";
    assert!(pod(good, false).contains(&format!("{at}[0]: {users}")));
    let bad = json!({"volumeDevices": [
        device("plain", "/dev/a"), device("block", "/dev/../b"), device("block", "/dev/a"), device("none", "/dev/c"),
    ]});
    assert_eq!(
        pod(bad, true),
        [
            format!(
                "{at}[0].name: Forbidden: not supported: only a hostPath of type BlockDevice is a device"
            ),
            format!("{at}[1].devicePath: Invalid value: \"/dev/../b\": must not contain '..'"),
            format!("{at}[2].name: Invalid value: \"block\": must be unique"),
            format!("{at}[2].devicePath: Invalid value: \"/dev/a\": must be unique"),
            format!("{at}[3].name: Not found: \"none\""),
        ]
    );
    let mount = |name: &str, options: Value| {
        let mount = json!({"name": name, "mountPath": "/m", "bindMountOptions": options});
        pod(json!({"volumeMounts": [mount]}), true)
    };
    let at = "spec.containers[0].volumeMounts[0].bindMountOptions";
    let all = json!(["noexec", "nodev", "nosuid"]);
    assert_eq!(mount("plain", all), [] as [String; 0]);
    assert_eq!(
        mount("plain", json!(["suid", "nodev", "nodev"])),
        [
            format!(
                "{at}[0]: Unsupported value: \"suid\": supported values: \"nodev\", \"noexec\", \"nosuid\""
            ),
            format!("{at}[2]: Duplicate value: \"nodev\""),
        ]
    );
    let image = format!("{at}: Forbidden: may not be set for image volumes");
    assert_eq!(mount("image", json!(["nodev"])), [image]);
}
