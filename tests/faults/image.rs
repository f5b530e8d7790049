//! Images that are not there, cannot be read or have no name.

use super::faulty::events;
use crate::support::{Host, Pod, on_each_runtime, pod};
use serde_json::json;
use std::fs;

/// A pod whose image cannot be brought waits for this reason with this message, and `run -d` says so.
fn waits<'h>(host: &'h Host, image: &str, policy: &str, reason: &str, says: &str) -> Pod<'h> {
    let container = json!({"name": "c", "image": image, "imagePullPolicy": policy});
    let file = host.manifest(&[pod(json!({"containers": [container]}))]);
    let args = [
        "run".as_ref(),
        "-d".as_ref(),
        "-f".as_ref(),
        file.as_os_str(),
    ];
    let ran = host.podshim(args).expect(0);
    assert!(ran.stderr.contains(reason), "{}", ran.stderr);
    assert!(ran.stderr.contains(says), "{}", ran.stderr);
    let pod = host.pod("p");
    let message = pod.until_waiting("c", reason);
    assert!(message.contains(says), "{message}");
    assert!(events(&pod, "Failed")[0].contains(says));
    pod
}

#[test]
fn an_image_that_is_absent_and_may_not_be_pulled_is_named() {
    on_each_runtime(|host| {
        waits(
            host,
            "localhost/absent:1",
            "Never",
            "ErrImageNeverPull",
            "localhost/absent:1",
        );
    });
}

#[test]
fn an_image_name_that_cannot_be_read_is_named() {
    on_each_runtime(|host| {
        let pod = waits(
            host,
            "Not/A:Name:",
            "IfNotPresent",
            "InvalidImageName",
            "Not/A:Name:",
        );
        pod.podshim("stop", &[]).expect(0);
    });
}

#[test]
fn a_layout_that_is_not_there_is_named() {
    on_each_runtime(|host| {
        let layout = format!("oci:{}", host.path("absent").display());
        waits(host, &layout, "IfNotPresent", "ErrImagePull", "absent");
    });
}

#[test]
fn a_layout_that_cannot_be_read_is_named() {
    on_each_runtime(|host| {
        let layout = host.path("broken");
        fs::create_dir(&layout).expect("a directory of ours");
        fs::write(
            layout.join("oci-layout"),
            r#"{"imageLayoutVersion": "1.0.0"}"#,
        )
        .expect("a file");
        fs::write(layout.join("index.json"), "\0garbage").expect("a file of ours");
        let image = format!("oci:{}", layout.display());
        waits(host, &image, "IfNotPresent", "ErrImagePull", "index.json");
    });
}

#[test]
fn an_image_that_comes_later_is_found() {
    on_each_runtime(|host| {
        let pod = waits(
            host,
            "localhost/later:test",
            "Never",
            "ErrImageNeverPull",
            "later",
        );
        host.variant("later", |config| config["Cmd"] = json!(["sleep", "1000"]));
        pod.until_running();
    });
}
