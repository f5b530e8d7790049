//! `registries.conf`: mirrors, aliases, what is blocked and what is insecure.

use crate::scene::{Layout, Scene, tar};
use crate::server::Fake;
use std::fs;

/// A registry with `app:1`.
fn with_app(place: &Scene, file: &str) -> Fake {
    let mut images = Layout::new(&place.path(file));
    images.image("1", &[tar(file, b"")], |_| {});
    Fake::of(&images.directory)
}

#[test]
fn a_registry_without_tls_must_be_called_insecure() {
    let place = Scene::new(&[]);
    let fake = with_app(&place, "a");
    let scene = Scene::new(&[]);
    let ran = scene
        .podshim(&["image", "pull", &format!("{}/app:1", fake.host)])
        .expect(1);
    assert!(
        ran.stderr.contains("cannot reach `https://"),
        "{}",
        ran.stderr
    );
    assert!(ran.stderr.contains("insecure = true"), "{}", ran.stderr);
    assert!(
        fake.requests()
            .iter()
            .all(|request| request.method.starts_with('\u{16}')),
        "nothing in clear text"
    );
}

#[test]
fn mirrors_come_first_and_the_registry_last() {
    let place = Scene::new(&[]);
    let (mirror, origin) = (with_app(&place, "mirror"), with_app(&place, "origin"));
    let scene = Scene::new(&[]);
    let configure = |mirror: &str| {
        let text = format!(
            "[[registry]]\nprefix = 'example.org/team'\nlocation = '{}/team'\ninsecure = true\n[[registry.mirror]]\nlocation = '{mirror}/copy'\ninsecure = true\n",
            origin.host
        );
        fs::write(scene.path("registries.conf"), text).expect("a file");
    };
    configure(&mirror.host);
    scene
        .podshim(&["image", "pull", "example.org/team/app:1"])
        .expect(0);
    assert!(
        scene.layers("example.org/team/app:1")[0]
            .join("mirror")
            .exists()
    );
    assert!(
        mirror
            .lines()
            .iter()
            .any(|line| line == "GET /v2/copy/app/manifests/1")
    );
    assert!(origin.lines().is_empty());
    // A mirror that is gone, and one whose image cannot be unpacked.
    let mut broken = Layout::new(&place.path("broken"));
    broken.image("1", &[b"no tar".repeat(200)], |_| {});
    let bad = Fake::of(&broken.directory);
    configure(&bad.host);
    scene
        .podshim(&["image", "pull", "example.org/team/app:1"])
        .expect(0);
    assert!(
        bad.lines().iter().any(|line| line.contains("/blobs/")),
        "the mirror was asked"
    );
    assert!(
        scene.layers("example.org/team/app:1")[0]
            .join("origin")
            .exists()
    );
    scene
        .podshim(&["image", "rm", "example.org/team/app:1"])
        .expect(0);
    configure("127.0.0.1:1");
    scene
        .podshim(&["image", "pull", "example.org/team/app:1"])
        .expect(0);
    assert!(
        scene.layers("example.org/team/app:1")[0]
            .join("origin")
            .exists()
    );
}

#[test]
fn short_names_are_looked_up_as_configured() {
    let place = Scene::new(&[]);
    let fake = with_app(&place, "a");
    let scene = Scene::new(&[]);
    let insecure = format!(
        "[[registry]]\nlocation = '{}'\ninsecure = true\n",
        fake.host
    );
    fs::write(
        scene.path("registries.conf"),
        format!(
            "unqualified-search-registries = ['{}']\n{insecure}",
            fake.host
        ),
    )
    .expect("a file");
    scene.podshim(&["image", "pull", "app:1"]).expect(0);
    assert!(fake.lines().contains(&"GET /v2/app/manifests/1".to_owned()));
    fs::create_dir(scene.path("registries.conf.d")).expect("a directory");
    fs::write(
        scene.path("registries.conf.d/a.conf"),
        format!("[aliases]\n'app' = '{}/deep/app'\n", fake.host),
    )
    .expect("a file");
    scene.podshim(&["image", "pull", "app:1"]).expect(0);
    assert!(
        fake.lines()
            .contains(&"HEAD /v2/deep/app/manifests/1".to_owned())
    );
    let names = scene.podshim(&["image", "ls", "-o", "json"]).json();
    assert_eq!(names[0]["reference"], "app:1");
}

#[test]
fn what_is_blocked_is_not_asked_and_a_broken_file_is_named() {
    let scene = Scene::new(&[]);
    fs::write(
        scene.path("registries.conf"),
        "[[registry]]\nprefix = '*.example.org'\nblocked = true\n",
    )
    .expect("a file");
    let blocked = scene
        .podshim(&["image", "pull", "a.example.org/app:1"])
        .expect(1);
    assert!(
        blocked.stderr.contains("registries.conf blocks it"),
        "{}",
        blocked.stderr
    );
    // A short name may still be somewhere else.
    let place = Scene::new(&[]);
    let fake = with_app(&place, "a");
    let text = format!(
        "unqualified-search-registries = ['a.example.org', '{0}']\n[[registry]]\nprefix = '*.example.org'\nblocked = true\n[[registry]]\nlocation = '{0}'\ninsecure = true\n",
        fake.host
    );
    fs::write(scene.path("registries.conf"), text).expect("a file");
    scene.podshim(&["image", "pull", "app:1"]).expect(0);
    fs::write(scene.path("registries.conf"), "registry = 1\n").expect("a file");
    let broken = scene
        .podshim(&["image", "pull", "a.example.org/app:1"])
        .expect(1);
    assert!(
        broken.stderr.contains("registries.conf"),
        "{}",
        broken.stderr
    );
}
