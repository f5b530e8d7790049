//! Who we are to a registry: auth files, helpers, Secrets, tokens.

use crate::scene::{Layout, Scene, tar};
use crate::server::{Answer, Fake, PASSWORD, Registry, layout};
use crate::support::images;
use serde_json::json;
use std::fs;
use std::os::unix::fs::PermissionsExt;

/// A registry with a password and an image, and a place that may speak HTTP to it.
fn closed() -> (Registry, Scene, String) {
    let registry = Registry::with_password();
    let scene = Scene::new(&[&registry.host]);
    let source = format!("oci:{}", images().join("busybox").display());
    registry.push(
        &source,
        "team/app:1",
        &["--dest-creds", &format!("user:{PASSWORD}")],
    );
    let name = format!("{}/team/app:1", registry.host);
    (registry, scene, name)
}

#[test]
fn an_auth_file_opens_a_registry_and_a_wrong_password_is_not_shown() {
    let (registry, scene, name) = closed();
    let nobody = scene.podshim(&["image", "pull", &name]).expect(1);
    assert!(
        nobody.stderr.contains("cannot log in to"),
        "{}",
        nobody.stderr
    );
    assert!(
        nobody.stderr.contains("hint: log in to"),
        "{}",
        nobody.stderr
    );
    let auth = |key: &str, entry: serde_json::Value| {
        fs::write(
            scene.path("auth.json"),
            json!({"auths": {key: entry}}).to_string(),
        )
        .expect("a file");
    };
    auth(
        &registry.host,
        json!({"username": "user", "password": "geheim"}),
    );
    let wrong = scene.podshim(&["image", "pull", &name]).expect(1);
    assert!(!wrong.stderr.contains("geheim"), "{}", wrong.stderr);
    auth(
        &format!("{}/other", registry.host),
        json!({"auth": "dXNlcjpzM2NyM3QtdzByZA=="}),
    );
    scene.podshim(&["image", "pull", &name]).expect(1);
    auth(
        &format!("{}/team", registry.host),
        json!({"auth": "dXNlcjpzM2NyM3QtdzByZA=="}),
    );
    scene.podshim(&["image", "pull", &name]).expect(0);
}

#[test]
fn a_credential_helper_is_asked_without_a_shell() {
    let (registry, scene, name) = closed();
    let helper = scene.path("docker-credential-test");
    let text = format!(
        "#!/bin/sh\nread -r server\n[ \"$1 $server\" = \"get {}\" ] || exit 1\necho '{{\"Username\": \"user\", \"Secret\": \"{PASSWORD}\"}}'\n",
        registry.host
    );
    fs::write(&helper, text).expect("a file");
    fs::set_permissions(&helper, PermissionsExt::from_mode(0o755)).expect("ours");
    let pull = |name_of_helper: &str| {
        let auth = json!({"credHelpers": {&registry.host: name_of_helper}});
        fs::write(scene.path("auth.json"), auth.to_string()).expect("a file");
        let path = format!("{}:/usr/bin:/bin", scene.path("").display());
        crate::support::run(
            scene
                .command(&["image", "pull", "--patience", "5", &name])
                .env("PATH", path),
        )
    };
    for strange in ["../x", "x;touch /tmp/x", "absent"] {
        let ran = pull(strange).expect(1);
        assert!(
            ran.stderr.contains("cannot run `docker-credential-"),
            "{}",
            ran.stderr
        );
    }
    // One that never answers, and one that never ends.
    let right = fs::read_to_string(&helper).expect("the helper");
    for script in ["exec sleep 1000", "exec >&-\nexec sleep 1000"] {
        fs::write(&helper, format!("#!/bin/sh\n{script}\n")).expect("a file");
        let ran = pull("test").expect(1);
        let words = "cannot run `docker-credential-test`: it took longer than 5 seconds";
        assert!(ran.stderr.contains(words), "{}", ran.stderr);
    }
    fs::write(&helper, right).expect("a file");
    pull("test").expect(0);
}

#[test]
fn a_token_is_fetched_with_the_credential_and_fetched_again_when_it_expires() {
    let place = Scene::new(&[]);
    let mut image = Layout::new(&place.path("layout"));
    image.image("1", &[tar("a", b"x")], |_| {});
    let directory = image.directory.clone();
    let fake = Fake::start(move |request| {
        let login = request
            .headers
            .get("authorization")
            .map_or("", String::as_str);
        if request.path.starts_with("/token?") {
            // The scope, and who may have it.
            let scope = request
                .path
                .contains("scope=repository%3Ateam%2Fapp%3Apull");
            return match scope && login == "Basic dXNlcjpzZWNyZXQ=" {
                true => Answer::new(200, r#"{"token": "first"}"#),
                false => Answer::new(401, "{}"),
            };
        }
        if request.path == "/refresh" {
            let right = request.body.contains("grant_type=refresh_token")
                && request.body.contains("refresh_token=lasting");
            return Answer::new(
                if right { 200 } else { 401 },
                r#"{"access_token": "first"}"#,
            );
        }
        let wanted = match request.path.contains("other") {
            true => "refresh",
            false => "token",
        };
        match login {
            "Bearer first" => layout(&directory, request),
            _ => Answer::new(401, "").header(
                "WWW-Authenticate",
                format!("Bearer realm=\"/{wanted}\",service=\"s\""),
            ),
        }
    });
    let scene = Scene::new(&[&fake.host]);
    let name = format!("{}/team/app:1", fake.host);
    scene.podshim(&["image", "pull", &name]).expect(1);
    let auth = json!({"auths": {
        &fake.host: {"auth": "dXNlcjpzZWNyZXQ="}, format!("{}/other", fake.host): {"identitytoken": "lasting"},
    }});
    fs::write(scene.path("auth.json"), auth.to_string()).expect("a file");
    scene.podshim(&["image", "pull", &name]).expect(0);
    scene
        .podshim(&["image", "pull", &format!("{}/other/app:1", fake.host)])
        .expect(0);
    let tokens = fake
        .lines()
        .iter()
        .filter(|line| line.contains("/token?"))
        .count();
    assert!(tokens <= 3, "a token is kept: {tokens}");
}

#[test]
fn a_broken_auth_file_is_named_and_not_quoted() {
    let scene = Scene::new(&[]);
    fs::write(
        scene.path("auth.json"),
        r#"{"auths": {"x": {"auth": "Z2VoZWlt" "#,
    )
    .expect("a file");
    let ran = scene
        .podshim(&["image", "pull", "127.0.0.1:1/app:1"])
        .expect(1);
    assert!(ran.stderr.contains("auth.json"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("Z2VoZWlt"), "{}", ran.stderr);
}
