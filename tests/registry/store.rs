//! What stays and what goes: removal, crashes, full disks; and what is saved again.

use crate::scene::{Layout, Scene, noise, tar};
use crate::server::Fake;
use crate::support::{images, run};
use std::fs;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::Duration;

#[test]
fn what_is_saved_other_programs_read_and_so_do_we() {
    let scene = Scene::new(&[]);
    let source = format!("oci:{}", images().join("busybox").display());
    scene
        .podshim(&["image", "load", &source, "localhost/busybox:1"])
        .expect(0);
    let id = scene.record("localhost/busybox:1")["id"].clone();
    let original = |what: &str| {
        let shown = Command::new("skopeo")
            .args(["inspect", "--format", "{{.Digest}}", what])
            .output()
            .expect("skopeo");
        assert!(shown.status.success(), "{shown:?}");
        String::from_utf8_lossy(&shown.stdout).into_owned()
    };
    let layout = scene.path("saved");
    let archive = scene.path("saved.tar");
    let docker = scene.path("docker.tar");
    let (layout, archive, docker) = (layout.display(), archive.display(), docker.display());
    for target in [
        format!("oci:{layout}:one"),
        format!("oci-archive:{archive}:one"),
        format!("docker-archive:{docker}:localhost/one:1"),
    ] {
        scene
            .podshim(&["image", "save", &target, "localhost/busybox:1"])
            .expect(0);
        let again = Scene::new(&[]);
        again
            .podshim(&["image", "load", &target, "localhost/again:1"])
            .expect(0);
        assert_eq!(again.record("localhost/again:1")["id"], id, "{target}");
    }
    assert_eq!(
        original(&format!("oci:{layout}:one")),
        original(&source),
        "byte for byte"
    );
    assert_eq!(
        original(&format!("oci-archive:{archive}:one")),
        original(&source)
    );
    original(&format!("docker-archive:{docker}:localhost/one:1"));
    // The content store is a layout itself.
    let content = scene.path("data/content");
    assert_eq!(
        original(&format!("oci:{}:localhost/busybox:1", content.display())),
        original(&source)
    );
    let bundle = scene.path("bundle");
    run(Command::new("umoci")
        .args(["unpack", "--image", &format!("{layout}:one")])
        .arg(&bundle))
    .expect(0);
    assert!(bundle.join("rootfs/bin/busybox").exists());
    // What is there is not written over, and what is not there is not saved.
    scene
        .podshim(&[
            "image",
            "save",
            &format!("oci:{layout}:two"),
            "localhost/busybox:1",
        ])
        .expect(1);
    scene
        .podshim(&[
            "image",
            "save",
            &format!("oci:{layout}-2"),
            "localhost/absent:1",
        ])
        .expect(3);
}

#[test]
fn an_image_of_a_docker_archive_gets_a_manifest_and_can_be_saved() {
    let scene = Scene::new(&[]);
    let archive = scene.path("in.tar");
    let source = format!("oci:{}", images().join("busybox").display());
    let target = format!("docker-archive:{}:localhost/busybox:1", archive.display());
    run(Command::new("skopeo").args(["copy", &source, &target])).expect(0);
    scene
        .podshim(&["image", "load", &archive.display().to_string()])
        .expect(0);
    let layout = scene.path("out").display().to_string();
    scene
        .podshim(&[
            "image",
            "save",
            &format!("oci:{layout}:x"),
            "localhost/busybox:1",
        ])
        .expect(0);
    run(Command::new("skopeo").args(["inspect", &format!("oci:{layout}:x")])).expect(0);
}

#[test]
fn prune_leaves_nothing_of_what_is_gone_and_all_of_what_stays() {
    let place = Scene::new(&[]);
    let mut images = Layout::new(&place.path("layout"));
    images.image("1", &[tar("base", b""), tar("one", b"")], |_| {});
    images.image("2", &[tar("base", b""), tar("two", b"")], |_| {});
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let names = ["1", "2"].map(|tag| format!("{}/app:{tag}", fake.host));
    for name in &names {
        scene.podshim(&["image", "pull", name]).expect(0);
    }
    let count = |directory: &str| {
        fs::read_dir(scene.path(directory))
            .expect("a directory")
            .flatten()
            .filter(|e| !e.file_name().to_string_lossy().contains('.'))
            .count()
    };
    assert_eq!(
        (count("data/layers"), count("data/content/blobs/sha256")),
        (3, 3 + 4)
    );
    scene.podshim(&["image", "rm", &names[0]]).expect(0);
    assert_eq!(
        (count("data/layers"), count("data/content/blobs/sha256")),
        (2, 2 + 2)
    );
    fs::write(scene.path("data/partial/garbage"), "x").expect("a file");
    assert_eq!(scene.podshim(&["image", "prune"]).text(), "");
    assert_eq!((count("data/layers"), count("data/partial")), (2, 0));
    assert_eq!(
        scene.podshim(&["image", "prune", "--all"]).text(),
        format!("{} removed\n", names[1])
    );
    assert_eq!(
        (count("data/layers"), count("data/content/blobs/sha256")),
        (0, 0)
    );
    scene.podshim(&["image", "rm", &names[1]]).expect(3);
}

#[test]
fn nothing_is_removed_while_a_pod_cannot_be_read() {
    let place = Scene::new(&[]);
    let mut images = Layout::new(&place.path("layout"));
    images.image("1", &[tar("a", b"")], |_| {});
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let name = format!("{}/app:1", fake.host);
    scene.podshim(&["image", "pull", &name]).expect(0);
    let pod = scene.path("state/pods/00000000-0000-4000-8000-000000000000");
    fs::create_dir_all(&pod).expect("a directory");
    fs::write(pod.join("plan.json"), "garbage").expect("a file");
    scene.podshim(&["image", "rm", &name]).expect(5);
    let pruned = scene.podshim(&["image", "prune", "--all"]).expect(0);
    assert!(
        pruned.stderr.contains("every image counts as used"),
        "{}",
        pruned.stderr
    );
    assert_eq!(scene.layers(&name).len(), 1);
    fs::remove_dir_all(&pod).expect("ours");
    scene.podshim(&["image", "rm", &name]).expect(0);
}

/// Kills `args` after longer and longer times until it ends by itself, and looks after each.
fn kill_at_every_moment(scene: &Scene, args: &[&str], look: impl Fn()) {
    for step in 0..200 {
        let mut command = scene.command(args);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("starts");
        sleep(Duration::from_millis(step * 7));
        let _ = child.kill();
        let status = child.wait().expect("our child");
        look();
        if let Some(code) = status.code() {
            // One that was killed may have removed what the next does not find.
            let was_removed = args[1] == "rm" && step > 0 && code == 3;
            assert!(code == 0 || was_removed, "{args:?}: {status}");
            return;
        }
    }
    panic!("{args:?} never ends");
}

#[test]
fn pulls_and_prunes_killed_at_any_moment_leave_a_usable_store() {
    let place = Scene::new(&[]);
    let mut images = Layout::new(&place.path("layout"));
    let layers: Vec<Vec<u8>> = ["a", "b", "c"]
        .iter()
        .map(|name| tar(name, &noise(400_000)))
        .collect();
    images.image("1", &layers, |_| {});
    images.image("2", &layers[..2], |_| {});
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let [one, two] = ["1", "2"].map(|tag| format!("{}/app:{tag}", fake.host));
    scene.podshim(&["image", "pull", &two]).expect(0);
    let whole = |name: &str, count: usize| {
        let layers = scene.layers(name);
        assert_eq!(layers.len(), count);
        for (layer, file) in layers.iter().zip(["a", "b", "c"]) {
            assert_eq!(fs::read(layer.join(file)).expect("a file"), noise(400_000));
        }
    };
    kill_at_every_moment(&scene, &["image", "pull", &one], || {
        whole(&two, 2);
        if scene.podshim(&["image", "inspect", &one]).code == Some(0) {
            whole(&one, 3);
        }
    });
    whole(&one, 3);
    kill_at_every_moment(&scene, &["image", "rm", &two], || whole(&one, 3));
    kill_at_every_moment(&scene, &["image", "prune", "--all"], || {
        if scene.podshim(&["image", "inspect", &one]).code == Some(0) {
            whole(&one, 3);
        }
    });
    scene.assert_empty();
    scene.podshim(&["image", "pull", &one]).expect(0);
    whole(&one, 3);
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing_half_done() {
    let place = Scene::new(&[]);
    let mut images = Layout::new(&place.path("layout"));
    // 30 MB as they come; unpacked once more, they do not fit into 50.
    images.image("big", &[tar("a", &noise(30_000_000))], |_| {});
    images.image("huge", &[tar("a", &noise(60_000_000))], |_| {});
    images.image("small", &[tar("a", b"x")], |_| {});
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let data = scene.path("data");
    fs::create_dir(&data).expect("a directory");
    run(Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=50m", "none"])
        .arg(&data))
    .expect(0);
    let pull = |tag: &str| scene.podshim(&["image", "pull", &format!("{}/app:{tag}", fake.host)]);
    let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        for (tag, words) in [("huge", "are free"), ("big", "No space left")] {
            let ran = pull(tag).expect(1);
            assert!(ran.stderr.contains(words), "{}", ran.stderr);
            assert!(ran.stderr.contains("hint: make room"), "{}", ran.stderr);
            assert_eq!(
                scene.podshim(&["image", "ls", "-o", "json"]).json(),
                serde_json::json!([])
            );
            scene.podshim(&["image", "prune"]).expect(0);
        }
        pull("small").expect(0);
    }));
    run(Command::new("umount").arg(&data)).expect(0);
    outcome.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
}
