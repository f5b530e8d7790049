//! What is pulled, when, and how often.

use crate::scene::{Layout, Scene, noise, tar};
use crate::server::{Answer, Fake, Registry, layout};
use crate::support::images;
use std::fs;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

#[test]
fn what_other_programs_push_is_pulled_in_every_form() {
    let registry = Registry::start();
    let scene = Scene::new(&[&registry.host]);
    let source = format!("oci:{}", images().join("busybox").display());
    let want = scene.path("want");
    let unpack = [
        "unpack",
        "--image",
        &format!("{}:latest", images().join("busybox").display()),
    ];
    crate::support::run(Command::new("umoci").args(unpack).arg(&want)).expect(0);
    for (name, more) in [
        ("oci", &["--format", "oci"][..]),
        ("docker", &["--format", "v2s2"]),
        (
            "zstd",
            &["--format", "oci", "--dest-compress-format", "zstd"],
        ),
    ] {
        let reference = format!("{}/team/{name}:1", registry.host);
        registry.push(&source, &format!("team/{name}:1"), more);
        let ran = scene.podshim(&["image", "pull", &reference]);
        let record = scene.record(&reference);
        assert_eq!(ran.word(), record["id"].as_str().expect("an id"), "{name}");
        let digest = Command::new("skopeo")
            .args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"])
            .arg(format!("docker://{reference}"))
            .output()
            .expect("skopeo");
        assert_eq!(
            String::from_utf8_lossy(&digest.stdout).trim(),
            record["digest"].as_str().expect("a digest")
        );
        let layer = scene.layers(&reference).remove(0);
        let diff = Command::new("diff")
            .args(["-r", "--no-dereference"])
            .args([&layer, &want.join("rootfs")])
            .output()
            .expect("diff");
        assert!(
            diff.status.success(),
            "{name}: {}",
            String::from_utf8_lossy(&diff.stdout)
        );
    }
}

/// A layout with an image of three layers, tagged `1`.
fn three_layers(scene: &Scene) -> Layout {
    let mut layout = Layout::new(&scene.path("layout"));
    let layers: Vec<Vec<u8>> = ["a", "b", "c"]
        .iter()
        .map(|name| tar(name, &noise(300_000)))
        .collect();
    layout.image("1", &layers, |_| {});
    layout
}

#[test]
fn the_policy_decides_whether_the_registry_is_asked() {
    let place = Scene::new(&[]);
    let mut images = three_layers(&place);
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let name = format!("{}/a/b:1", fake.host);
    let documents = |lines: &[String]| lines.iter().filter(|line| !line.ends_with("/v2/")).count();
    let pull = |policy: &str| {
        scene
            .podshim(&["image", "pull", "--policy", policy, &name])
            .expect(0);
        let mut lines = fake.lines();
        lines.retain(|line| !line.ends_with("/v2/"));
        lines
    };
    let first = pull("IfNotPresent");
    assert_eq!(
        first.len(),
        5,
        "manifest, configuration, three layers: {first:?}"
    );
    assert_eq!(pull("IfNotPresent"), Vec::<String>::new());
    assert_eq!(pull("Always"), ["HEAD /v2/a/b/manifests/1"]);
    let second = [tar("a", &noise(300_000)), tar("d", b"new")];
    images.image("1", &second, |_| {});
    assert_eq!(pull("IfNotPresent"), Vec::<String>::new());
    let changed = pull("Always");
    // The first layer is there; the second is new.
    assert_eq!(documents(&changed), 4, "{changed:?}");
    assert!(scene.layers(&name)[1].join("d").exists());
    fake.lines();
    // A registry that is gone: what may be asked fails, what need not be does not.
    drop(fake);
    scene
        .podshim(&["image", "pull", "--policy", "IfNotPresent", &name])
        .expect(0);
    let gone = scene.podshim(&["image", "pull", "--patience", "5", &name]);
    assert!(gone.stderr.contains("cannot reach"), "{}", gone.stderr);
    gone.expect(1);
}

#[test]
fn a_digest_beats_a_tag_and_must_be_what_it_says() {
    let place = Scene::new(&[]);
    let mut images = Layout::new(&place.path("layout"));
    let old = images.image("1", &[tar("old", b"")], |_| {});
    images.image("1", &[tar("new", b"")], |_| {});
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let digest = old["digest"].as_str().expect("a digest");
    let name = format!("{}/app:1@{digest}", fake.host);
    scene.podshim(&["image", "pull", &name]).expect(0);
    assert!(scene.layers(&name)[0].join("old").exists());
    let other = format!("{}/app:1@sha256:{}", fake.host, "0".repeat(64));
    let ran = scene.podshim(&["image", "pull", &other]);
    assert!(
        ran.stderr.contains("we have no such thing"),
        "{}",
        ran.stderr
    );
    ran.expect(1);
}

#[test]
fn the_platform_of_this_machine_is_chosen_from_an_index() {
    let place = Scene::new(&[]);
    let mut images = Layout::new(&place.path("layout"));
    let mut wrong = images.image("x", &[tar("wrong", b"")], |_| {});
    wrong["platform"] = serde_json::json!({"os": "linux", "architecture": "mips"});
    let mut right = images.image("y", &[tar("right", b"")], |_| {});
    let machine = match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    };
    right["platform"] = serde_json::json!({"os": "linux", "architecture": machine});
    for (tag, manifests) in [("many", vec![&wrong, &right]), ("none", vec![&wrong])] {
        let kind = "application/vnd.oci.image.index.v1+json";
        let index =
            serde_json::json!({"schemaVersion": 2, "mediaType": kind, "manifests": manifests});
        let index = images.blob(kind, index.to_string().as_bytes());
        images.tag(tag, index);
    }
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let many = format!("{}/app:many", fake.host);
    scene.podshim(&["image", "pull", &many]).expect(0);
    assert!(scene.layers(&many)[0].join("right").exists());
    let none = scene.podshim(&["image", "pull", &format!("{}/app:none", fake.host)]);
    assert!(
        none.stderr.contains(&format!("linux/{machine}")),
        "{}",
        none.stderr
    );
    none.expect(1);
}

#[test]
fn processes_that_want_the_same_image_receive_each_layer_once() {
    let place = Scene::new(&[]);
    let images = three_layers(&place);
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let names = ["one", "two", "three"].map(|name| format!("{}/{name}:1", fake.host));
    let runs = names
        .each_ref()
        .map(|name| scene.background(&["image", "pull", "-q", name]));
    for run in runs {
        run.wait().expect(0);
    }
    let mut blobs = fake.lines();
    blobs.retain(|line| line.contains("/blobs/"));
    let mut digests: Vec<&str> = blobs
        .iter()
        .filter_map(|line| line.rsplit('/').next())
        .collect();
    digests.sort_unstable();
    let layers = digests.len();
    digests.dedup();
    // The configuration, which is small, may come to each.
    assert!(layers <= 3 + 3 && digests.len() == 4, "{blobs:?}");
    assert!(names.iter().all(|name| scene.layers(name).len() == 3));
}

#[test]
fn a_download_that_breaks_goes_on_where_it_was() {
    for honours_ranges in [true, false] {
        let place = Scene::new(&[]);
        let mut images = Layout::new(&place.path("layout"));
        images.image("1", &[tar("a", &noise(2_000_000))], |_| {});
        let directory = images.directory.clone();
        let asked = AtomicUsize::new(0);
        let fake = Fake::start(move |request| {
            let mut request = request.clone();
            if !honours_ranges {
                request.headers.remove("range");
            }
            let mut answer = layout(&directory, &request);
            if answer.body.len() > 1_000_000 && asked.fetch_add(1, Ordering::Relaxed) == 0 {
                answer.cut = Some(700_000);
            }
            answer
        });
        let scene = Scene::new(&[&fake.host]);
        let name = format!("{}/a:1", fake.host);
        scene.podshim(&["image", "pull", &name]).expect(0);
        let ranges: Vec<usize> = fake.requests().iter().filter_map(|r| r.from()).collect();
        assert_eq!(ranges.len(), 1, "{ranges:?}");
        assert!((1..=700_000).contains(&ranges[0]), "{ranges:?}");
        assert_eq!(
            fs::read(scene.layers(&name)[0].join("a")).expect("a file"),
            noise(2_000_000)
        );
    }
}

#[test]
fn a_registry_that_is_busy_is_asked_again() {
    let place = Scene::new(&[]);
    let images = three_layers(&place);
    let directory = images.directory.clone();
    let asked = AtomicUsize::new(0);
    let fake = Fake::start(move |request| {
        let count = asked.fetch_add(1, Ordering::Relaxed);
        match count % 2 == 1 && request.path != "/v2/" {
            true => Answer::new([429, 503, 500][count % 3], "later"),
            false => layout(&directory, request),
        }
    });
    let scene = Scene::new(&[&fake.host]);
    scene
        .podshim(&["image", "pull", &format!("{}/a:1", fake.host)])
        .expect(0);
}

#[test]
fn a_registry_that_says_when_is_asked_then() {
    let place = Scene::new(&[]);
    let images = three_layers(&place);
    let busy = |status: u16, when: &'static str| {
        let directory = images.directory.clone();
        let asked = AtomicUsize::new(0);
        let fake = Fake::start(move |request| {
            let is_document = request.path.contains("/manifests/");
            match is_document && asked.fetch_add(1, Ordering::Relaxed) == 0 {
                true => Answer::new(status, "busy").header("Retry-After", when),
                false => layout(&directory, request),
            }
        });
        let scene = Scene::new(&[&fake.host]);
        let began = podshim::sys::now().mono;
        let ran = scene.podshim(&["image", "pull", &format!("{}/a:1", fake.host)]);
        let took = podshim::sys::now().mono.since(began);
        (ran, took.as_millis())
    };
    // Longer than what we would wait by ourselves.
    for status in [429, 503] {
        let (ran, took) = busy(status, "3");
        ran.expect(0);
        assert!(took >= 3000, "{status}: {took} ms");
    }
    // Only what is busy says when; a moment that is over is now.
    let (ran, took) = busy(500, "60");
    ran.expect(0);
    assert!(took < 50_000, "{took} ms");
    let (ran, _) = busy(503, "Sun, 06 Nov 1994 08:49:37 GMT");
    ran.expect(0);
    // Nobody waits an hour for one request.
    let (ran, took) = busy(429, "3600");
    let ran = ran.expect(1);
    assert!(took < 50_000, "{took} ms");
    let told = "answered 429: busy, and wants to be asked again in 3600 s";
    assert!(ran.stderr.contains(told), "{}", ran.stderr);
}

#[test]
fn progress_is_lines_without_a_terminal_and_nothing_when_quiet() {
    let place = Scene::new(&[]);
    let images = three_layers(&place);
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let name = format!("{}/a:1", fake.host);
    let ran = scene.podshim(&["image", "pull", &name]).expect(0);
    assert!(ran.stderr.contains("3 layers, 9"), "{}", ran.stderr);
    assert!(ran.stderr.contains("layer 3 of 3"), "{}", ran.stderr);
    assert!(!ran.stderr.contains('\r'), "{}", ran.stderr);
    let quiet = scene.podshim(&["image", "pull", "-q", &name]).expect(0);
    assert_eq!(quiet.stderr, "");
}

#[test]
fn progress_is_one_line_on_a_terminal() {
    let place = Scene::new(&[]);
    let images = three_layers(&place);
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let name = format!("{}/a:1", fake.host);
    let pull = scene.command(&["image", "pull", &name]);
    let line = format!("{} image pull {name}", pull.get_program().display());
    let mut script = Command::new("script");
    let known = pull.get_envs();
    script.envs(known.filter_map(|(key, value)| Some((key, value?))));
    let shown = crate::support::run(script.args(["-qec", &line, "/dev/null"])).expect(0);
    let shown = shown.text();
    assert!(shown.contains(&format!("\r{name} [")), "{shown:?}");
    assert!(shown.contains("of 3 layers\x1b[K"), "{shown:?}");
    assert!(shown.contains("\r\x1b[Ksha256:"), "{shown:?}");
    assert!(!shown.contains("is here"), "{shown:?}");
}

#[test]
fn what_buildah_builds_is_pulled() {
    let registry = Registry::start();
    let scene = Scene::new(&[&registry.host]);
    fs::write(scene.path("hello"), "from buildah").expect("a file");
    let image = format!("{}/built/app:1", registry.host);
    fs::write(scene.path("none"), "{}").expect("a file");
    let buildah = |args: &[&str]| {
        let mut command = Command::new("buildah");
        command.args(["--storage-driver", "vfs", "--root"]);
        command.arg(scene.path("buildah")).arg("--runroot");
        command.arg(scene.path("buildah-run")).args(args);
        command.env("REGISTRY_AUTH_FILE", scene.path("none"));
        crate::support::run(&mut command).expect(0)
    };
    let hello = scene.path("hello").display().to_string();
    buildah(&["from", "--name", "work", "scratch"]);
    buildah(&["copy", "work", &hello, "/hello"]);
    buildah(&["config", "--cmd", "/hello", "--user", "7", "work"]);
    buildah(&[
        "commit",
        "--tls-verify=false",
        "work",
        &format!("docker://{image}"),
    ]);
    scene.podshim(&["image", "pull", &image]).expect(0);
    let hello = scene.layers(&image)[0].join("hello");
    assert_eq!(fs::read_to_string(hello).expect("a file"), "from buildah");
    assert_eq!(scene.record(&image)["config"]["user"], "7");
}

#[test]
fn an_image_that_is_here_is_handled_without_the_registry_or_a_process() {
    let place = Scene::new(&[]);
    let images = three_layers(&place);
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let name = format!("{}/a:1", fake.host);
    scene.podshim(&["image", "pull", &name]).expect(0);
    fake.lines();
    let policy = podshim::manifest::PullPolicy::IfNotPresent;
    let image = podshim::image::ready(&scene.path("data"), &name, policy).expect("is here");
    assert_eq!(image.layers.len(), 3);
    assert_eq!(fake.lines(), Vec::<String>::new());
    let always = podshim::manifest::PullPolicy::Always;
    assert!(podshim::image::ready(&scene.path("data"), &name, always).is_none());
}
