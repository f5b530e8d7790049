//! Pods whose images come from a registry.

use crate::scene::Scene;
use crate::server::{PASSWORD, Registry};
use crate::support::{Host, images, on_each_runtime, pod, run, until};
use serde_json::json;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Starts a pod with one container of this image; documents beside it come along.
fn start(
    host: &Host,
    scene: &Scene,
    image: &str,
    spec: serde_json::Value,
    beside: &[serde_json::Value],
) {
    let mut all = json!({"containers": [{"name": "c", "image": image, "imagePullPolicy": "Always", "command": ["sleep", "1000"]}]});
    all.as_object_mut()
        .expect("an object")
        .extend(spec.as_object().expect("an object").clone());
    let documents: Vec<_> = beside.iter().cloned().chain([pod(all)]).collect();
    let manifest = host.manifest(&documents);
    let mut command = host.command(["run", "-d", "-f", manifest.to_str().expect("a path")]);
    run(command.envs(scene.environment())).expect(0);
}

/// The files below a directory.
fn files(directory: &Path, found: &mut Vec<std::path::PathBuf>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => files(&entry.path(), found),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            // Sockets and links hold nothing; what went away meanwhile neither.
            _ => {}
        }
    }
}

/// The password is in plans, which only root may read, and nowhere else. Plans have it as numbers, so both forms are looked for.
fn assert_only_the_plan_has_the_password(host: &Host) {
    let numbers: Vec<_> = PASSWORD.bytes().map(|byte| byte.to_string()).collect();
    let (numbers, encoded) = (numbers.join(","), "dXNlcjpzM2NyM3QtdzByZA==");
    let mut all = Vec::new();
    for directory in ["state", "logs", "data/pods"] {
        files(&host.path(directory), &mut all);
    }
    let mut plans = 0;
    for path in all {
        let Ok(bytes) = fs::read(&path) else { continue };
        let text = String::from_utf8_lossy(&bytes);
        if ![PASSWORD, &numbers, encoded]
            .iter()
            .any(|form| text.contains(form))
        {
            continue;
        }
        let name = path.file_name().and_then(|name| name.to_str());
        assert_eq!(name, Some("plan.json"), "{} has it", path.display());
        let mode = fs::metadata(&path).expect("a plan").mode();
        assert_eq!(mode & 0o077, 0, "{} is 0{mode:o}", path.display());
        plans += 1;
    }
    assert!(plans > 0, "the search finds it where it is");
}

#[test]
fn a_pod_pulls_with_its_secret_and_keeps_its_image() {
    let registry = Registry::with_password();
    let source = format!("oci:{}", images().join("busybox").display());
    registry.push(
        &source,
        "team/app:1",
        &["--dest-creds", &format!("user:{PASSWORD}")],
    );
    let image = format!("{}/team/app:1", registry.host);
    on_each_runtime(|host| {
        let scene = Scene::new(&[&registry.host]);
        let auth = json!({"auths": {&registry.host: {"username": "user", "password": PASSWORD}}});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "door"}, "stringData": {".dockerconfigjson": auth.to_string()}});
        start(
            host,
            &scene,
            &image,
            json!({"imagePullSecrets": [{"name": "absent"}]}),
            std::slice::from_ref(&secret),
        );
        let closed = host.pod("p");
        let message = closed.until_waiting("c", "ErrImagePull");
        assert!(message.contains("cannot log in to"), "{message}");
        host.podshim(["delete", "p", "--force"]).expect(0);
        start(
            host,
            &scene,
            &image,
            json!({"imagePullSecrets": [{"name": "absent"}, {"name": "door"}]}),
            &[secret],
        );
        let open = host.pod("p");
        open.until_running();
        let events = host.podshim(["events", "p"]).text();
        for reason in ["Pulling", "Pulled"] {
            assert!(events.contains(reason), "{events}");
        }
        let used = host.podshim(["image", "rm", &image]).expect(5);
        assert!(used.stderr.contains("a pod uses it"), "{}", used.stderr);
        host.podshim(["image", "prune", "--all"]).expect(0);
        assert!(host.podshim(["image", "ls"]).text().contains(&image));
        assert_only_the_plan_has_the_password(host);
        host.podshim(["delete", "p", "--force"]).expect(0);
        host.podshim(["image", "rm", &image]).expect(0);
    });
}

#[test]
fn a_pod_waits_for_its_registry_and_starts_when_it_is_there() {
    on_each_runtime(|host| {
        let registry = Registry::start();
        let scene = Scene::new(&[&registry.host]);
        let image = format!("{}/team/later:1", registry.host);
        start(host, &scene, &image, json!({}), &[]);
        let pod = host.pod("p");
        until(30, "it waits", || {
            let message = pod.until_waiting("c", "ErrImagePull");
            match message.contains("NAME_UNKNOWN") || message.contains("MANIFEST_UNKNOWN") {
                true => Ok(()),
                false => Err(message),
            }
        });
        pod.until_waiting("c", "ImagePullBackOff");
        let source = format!("oci:{}", images().join("busybox").display());
        registry.push(&source, "team/later:1", &[]);
        pod.until_running();
    });
}
