//! Pods whose images come from a registry.

use crate::scene::Scene;
use crate::server::Registry;
use crate::support::{Host, images, on_each_runtime, pod, run, until};
use serde_json::json;
use std::fs;

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

#[test]
fn a_pod_pulls_with_its_secret_and_keeps_its_image() {
    let registry = Registry::with_password();
    let source = format!("oci:{}", images().join("busybox").display());
    registry.push(&source, "team/app:1", &["--dest-creds", "user:secret"]);
    let image = format!("{}/team/app:1", registry.host);
    on_each_runtime(|host| {
        let scene = Scene::new(&[&registry.host]);
        let auth = json!({"auths": {&registry.host: {"username": "user", "password": "secret"}}});
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
        assert_password_is_kept(host);
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
