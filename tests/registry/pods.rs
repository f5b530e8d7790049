//! Pods whose images come from a registry.

use crate::scene::Scene;
use crate::server::{Fake, PASSWORD, Registry};
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
        let source = format!("oci:{}", images().join("busybox").display());
        registry.push(&source, "team/later:1", &[]);
        pod.until_running();
    });
}

#[test]
fn a_pod_that_waits_longer_tells_what_for() {
    on_each_runtime(|host| {
        let registry = Registry::start();
        let scene = Scene::new(&[&registry.host]);
        let image = format!("{}/team/never:1", registry.host);
        start(host, &scene, &image, json!({}), &[]);
        let message = host.pod("p").until_waiting("c", "ImagePullBackOff");
        assert!(message.contains("_UNKNOWN: "), "{message}");
        assert!(message.contains(&image), "{message}");
    });
}

#[test]
fn the_policy_of_a_container_decides_whether_its_registry_is_asked() {
    on_each_runtime(|host| {
        let fake = Fake::of(&images().join("busybox"));
        let scene = Scene::new(&[&fake.host]);
        let asked = || {
            let mut lines = fake.lines();
            lines.retain(|line| !line.ends_with("/v2/") && !line.starts_with('\u{16}'));
            lines.dedup();
            lines
        };
        let latest = format!("{}/app:latest", fake.host);
        let begin = |image: &str, policy: Option<&str>| {
            let mut container = json!({"name": "c", "image": image, "command": ["sleep", "1000"]});
            if let Some(policy) = policy {
                container["imagePullPolicy"] = policy.into();
            }
            start(host, &scene, image, json!({"containers": [container]}), &[]);
            host.pod("p")
        };
        let end = || host.podshim(["delete", "p", "--force"]).expect(0);

        begin(&latest, Some("Never")).until_waiting("c", "ErrImageNeverPull");
        assert_eq!(asked(), [""; 0]);
        end();
        begin(&latest, Some("IfNotPresent")).until_running();
        let first = asked();
        assert_eq!(first.len(), 2, "the layer is here already: {first:?}");
        end();
        for (image, policy, head) in [
            (&latest, Some("IfNotPresent"), None),
            (&latest, Some("Never"), None),
            (
                &latest,
                Some("Always"),
                Some("HEAD /v2/app/manifests/latest"),
            ),
            (&latest, None, Some("HEAD /v2/app/manifests/latest")),
        ] {
            begin(image, policy).until_running();
            assert_eq!(asked(), Vec::from_iter(head), "{policy:?}");
            end();
        }
        // `Always` does without the registry no more than a kubelet does.
        let gone = latest.clone();
        drop(fake);
        let pod = begin(&gone, Some("Always"));
        let message = pod.until_waiting("c", "ErrImagePull");
        assert!(message.contains("cannot reach"), "{message}");
        end();
        begin(&gone, Some("IfNotPresent")).until_running();
    });
}
