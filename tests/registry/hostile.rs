//! Registries that lie, stall, or want to lead us elsewhere. None of them gets anything into the store.

use crate::scene::{Layout, Scene, noise, sha256, tar};
use crate::server::{Answer, Fake, Request, layout};
use serde_json::json;
use std::sync::{Arc, Mutex};

/// Pulls from a registry whose answers to some requests are others; gives what podshim said.
fn pull_spoilt(
    layers: &[Vec<u8>],
    edit: impl FnOnce(&mut serde_json::Value),
    spoil: impl Fn(&Request, Answer) -> Answer + Send + Sync + 'static,
) -> String {
    let place = Scene::new(&[]);
    let mut images = Layout::new(&place.path("layout"));
    images.image("1", layers, edit);
    let directory = images.directory.clone();
    let fake = Fake::start(move |request| spoil(request, layout(&directory, request)));
    let scene = Scene::new(&[&fake.host]);
    let name = format!("{}/app:1", fake.host);
    let ran = scene
        .podshim(&[
            "image",
            "pull",
            "--patience",
            "1",
            "--retry-wait",
            "0.01",
            &name,
        ])
        .expect(1);
    scene.assert_empty();
    ran.stderr
}

fn assert_says(said: &str, words: &str) {
    assert!(said.contains(words), "`{words}` is not in:\n{said}");
}

#[test]
fn a_layer_that_is_another_is_refused() {
    let good = tar("a", b"good");
    let evil = tar("a", b"evil");
    let said = pull_spoilt(
        &[good],
        |_| {},
        move |request, answer| match request.path.contains("/blobs/")
            && answer.body.len() == evil.len()
        {
            true => Answer::new(200, evil.clone()),
            false => answer,
        },
    );
    assert_says(&said, "cannot verify");
}

#[test]
fn a_layer_that_is_longer_or_shorter_than_its_size_is_refused() {
    let layer = tar("a", b"content");
    let length = layer.len();
    for (change, words) in [(1_i64, "more bytes"), (-1, "only")] {
        let said = pull_spoilt(
            std::slice::from_ref(&layer),
            |_| {},
            move |request, mut answer| {
                if request.path.contains("/blobs/") && answer.body.len() == length {
                    answer
                        .body
                        .resize(length.wrapping_add_signed(change as isize), 0);
                }
                // What is missing is missing at every attempt.
                if request.from().is_some() {
                    return Answer::new(416, "");
                }
                answer
            },
        );
        assert_says(&said, words);
    }
}

#[test]
fn a_size_in_the_manifest_that_is_not_the_layers_is_refused() {
    for (size, words) in [(1_u64, "more bytes"), (u64::MAX, "are free")] {
        let said = pull_spoilt(
            &[tar("a", b"x")],
            |manifest| {
                manifest["layers"][0]["size"] = size.into();
            },
            |_, answer| answer,
        );
        assert_says(&said, words);
    }
}

#[test]
fn a_configuration_that_is_another_is_refused() {
    let said = pull_spoilt(
        &[tar("a", b"x")],
        |_| {},
        |request, mut answer| {
            if request.path.contains("/blobs/") && answer.body.starts_with(b"{") {
                answer.body[2] ^= 1;
            }
            answer
        },
    );
    assert_says(&said, "cannot verify");
}

#[test]
fn a_manifest_whose_digest_is_not_the_headers_is_refused() {
    let said = pull_spoilt(
        &[tar("a", b"x")],
        |_| {},
        |request, mut answer| {
            if request.path.contains("/manifests/") {
                answer
                    .headers
                    .retain(|(name, _)| name != "Docker-Content-Digest");
                return answer.header("Docker-Content-Digest", sha256(b"another"));
            }
            answer
        },
    );
    assert_says(&said, "not that of the document");
}

#[test]
fn enormous_documents_are_not_read() {
    for endless in ["/manifests/", "/blobs/"] {
        let said = pull_spoilt(
            &[tar("a", b"x")],
            |_| {},
            move |request, answer| match request.path.contains(endless) {
                true => Answer::new(200, vec![b' '; 5 << 20]),
                false => answer,
            },
        );
        assert_says(&said, "at most 4 MiB");
    }
}

#[test]
fn an_index_that_leads_nowhere_is_refused() {
    let kind = "application/vnd.oci.image.index.v1+json";
    let mut index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": []}).to_string();
    let mut nested = vec![index.clone()];
    for _ in 0..8 {
        let below =
            json!({"mediaType": kind, "digest": sha256(index.as_bytes()), "size": index.len()});
        index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [below]}).to_string();
        nested.push(index.clone());
    }
    let said = pull_spoilt(
        &[tar("a", b"x")],
        |_| {},
        move |request, answer| {
            let wanted = request.path.rsplit('/').next().unwrap_or_default();
            let known = nested.iter().find(|text| sha256(text.as_bytes()) == wanted);
            match request.path.contains("/manifests/") {
                true => Answer::new(200, known.unwrap_or(&index).as_bytes())
                    .header("Content-Type", kind),
                false => answer,
            }
        },
    );
    assert_says(&said, "nested more than four deep");
}

#[test]
fn a_layer_that_becomes_too_large_is_refused() {
    // 136 MiB of zeros in 136 KiB: more than any layer may become without a look at its compressed size.
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(136 << 20);
    header.set_mode(0o644);
    let zeros = std::io::Read::take(std::io::repeat(0), 136 << 20);
    builder
        .append_data(&mut header, "zeros", zeros)
        .expect("memory");
    let plain = builder.into_inner().expect("memory");
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    std::io::Write::write_all(&mut encoder, &plain).expect("memory");
    let bomb = encoder.finish().expect("memory");
    let (digest, size) = (sha256(&bomb), bomb.len());
    let said = pull_spoilt(
        &[plain],
        move |manifest| {
            manifest["layers"][0] = json!({
                "mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": digest, "size": size,
            });
        },
        move |request, answer| match request.path.ends_with(&sha256(&bomb)) {
            true => Answer::new(200, bomb.clone()),
            false => answer,
        },
    );
    assert_says(&said, "too large for its compressed size");
}

#[test]
fn members_that_lead_out_are_refused() {
    let said = |layer: Vec<u8>| pull_spoilt(&[layer], |_| {}, |_, answer| answer);
    // `append_data` would not write such a name.
    let mut outside = tar("xx/outside", b"x");
    outside[..2].copy_from_slice(b"..");
    let sum: u32 = outside[..148]
        .iter()
        .chain(&outside[156..512])
        .map(|b| u32::from(*b))
        .sum::<u32>()
        + 256;
    outside[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    assert_says(&said(outside), "its path has `..`");
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(tar::EntryType::Link);
    header.set_size(0);
    builder
        .append_link(&mut header, "a", "../../etc/passwd")
        .expect("memory");
    let link = builder.into_inner().expect("memory");
    assert_says(&said(link), "no path below the root");
}

#[test]
fn what_a_refused_image_shares_with_a_good_one_stays() {
    let place = Scene::new(&[]);
    let mut images = Layout::new(&place.path("layout"));
    let shared = tar("a", b"x");
    images.image("good", std::slice::from_ref(&shared), |_| {});
    images.image("bad", &[shared, b"no tar".repeat(200)], |_| {});
    let fake = Fake::of(&images.directory);
    let scene = Scene::new(&[&fake.host]);
    let [good, bad] = ["good", "bad"].map(|tag| format!("{}/app:{tag}", fake.host));
    scene.podshim(&["image", "pull", &good]).expect(0);
    scene.podshim(&["image", "pull", &bad]).expect(1);
    let blobs = std::fs::read_dir(scene.path("data/content/blobs/sha256"));
    assert_eq!(
        blobs.expect("a directory").count(),
        3,
        "manifest, configuration, layer"
    );
    let saved = format!("oci:{}", scene.path("saved").display());
    scene.podshim(&["image", "save", &saved, &good]).expect(0);
}

#[test]
fn a_registry_that_says_nothing_for_ever_is_given_up() {
    for (path, sent) in [("/manifests/", 10), ("/blobs/", 1000)] {
        let said = pull_spoilt(
            &[tar("a", &noise(200_000))],
            |_| {},
            move |request, mut answer| {
                if request.path.contains(path) {
                    answer.cut = Some(sent);
                    answer.stall = true;
                }
                answer
            },
        );
        assert_says(&said, "nothing came for");
    }
}

#[test]
fn redirects_lead_nowhere_but_to_http_and_https() {
    for target in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "unix:///run/x",
        "http://user:word@127.0.0.1/",
    ] {
        let said = pull_spoilt(
            &[tar("a", b"x")],
            |_| {},
            move |request, answer| match request.path.contains("/blobs/") {
                true => Answer::new(307, "").header("Location", target),
                false => answer,
            },
        );
        assert_says(&said, "cannot follow");
        assert!(!said.contains("root:"), "{said}");
    }
    let said = pull_spoilt(
        &[tar("a", b"x")],
        |_| {},
        |request, answer| match request.path.contains("/blobs/") {
            true => Answer::new(302, "").header("Location", request.path.clone()),
            false => answer,
        },
    );
    assert_says(&said, "more than five redirects");
}

#[test]
fn a_redirect_to_another_host_takes_no_credentials_along() {
    let place = Scene::new(&[]);
    let mut images = Layout::new(&place.path("layout"));
    images.image("1", &[tar("a", b"x")], |_| {});
    let storage = Fake::of(&images.directory);
    let (directory, elsewhere) = (images.directory.clone(), storage.host.clone());
    let seen = Arc::new(Mutex::new(0));
    let count = seen.clone();
    let fake = Fake::start(move |request| {
        if request.headers.get("authorization").map(String::as_str)
            != Some("Basic dXNlcjpzZWNyZXQ=")
        {
            return Answer::new(401, "").header("WWW-Authenticate", "Basic realm=\"x\"");
        }
        *count.lock().expect("no panic") += 1;
        match request.path.contains("/blobs/") {
            true => Answer::new(307, "").header(
                "Location",
                format!("http://{elsewhere}{}?signature=geheim", request.path),
            ),
            false => layout(&directory, request),
        }
    });
    let scene = Scene::new(&[&fake.host]);
    let auth = json!({"auths": {&fake.host: {"auth": "dXNlcjpzZWNyZXQ="}}});
    std::fs::write(scene.path("auth.json"), auth.to_string()).expect("a file");
    scene
        .podshim(&["image", "pull", &format!("{}/app:1", fake.host)])
        .expect(0);
    assert!(*seen.lock().expect("no panic") > 0);
    let asked = storage.requests();
    assert!(!asked.is_empty());
    assert!(
        asked
            .iter()
            .all(|request| !request.headers.contains_key("authorization")),
        "{asked:?}"
    );
}
