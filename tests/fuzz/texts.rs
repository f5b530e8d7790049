//! What people and programs write: manifests, image names, requests to a supervisor, host ranges.

use super::run::{files, try_out};
use podshim::api::Call;
use podshim::base::Now;
use podshim::image::Reference;
use podshim::manifest::{LoadOptions, Source, Strictness, env_file_value, load};
use podshim::network::Subnet;
use podshim::pod::{Machine, Request, Settings};

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn manifests() {
    let mut corpus = files("bundles/examples", &[".yaml"]);
    corpus.extend(files("tests/fixtures/manifest", &[".json"]));
    corpus.extend(files("tests/fixtures/yaml/cases", &[".yaml"]));
    try_out("manifest", &corpus, |bytes| {
        let source = Source {
            name: "f".to_owned(),
            text: String::from_utf8_lossy(bytes).into_owned(),
        };
        for strictness in [Strictness::Strict, Strictness::Ignore] {
            let options = LoadOptions {
                strictness,
                random: &mut || [7; 16],
            };
            match load(std::slice::from_ref(&source), options) {
                // What can be run has a machine.
                Ok(loaded) => loaded.pods.iter().for_each(|pod| {
                    let machine = Machine::new(pod, Settings::default(), Now::default());
                    assert!(!machine.view().settled, "{:?}", pod.name);
                }),
                Err(findings) => findings.iter().for_each(|finding| {
                    assert!(!finding.located().to_string().is_empty());
                }),
            }
        }
    });
}

#[test]
fn references() {
    let corpus = texts(&[
        "busybox",
        "localhost:5000/a/b:tag",
        "registry.example/a@sha256:0000000000000000000000000000000000000000000000000000000000000000",
        "oci:/a/b:tag",
        "oci-archive:/a.tar",
        "docker-archive:/a.tar:a:b",
        "rootfs:/a",
    ]);
    try_out("reference", &corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        if let Ok(reference) = text.parse::<Reference>() {
            let normal = reference.to_string();
            let again = normal.parse::<Reference>();
            let again =
                again.unwrap_or_else(|e| panic!("{text:?} is {normal:?}, which is none: {e}"));
            assert_eq!(again.to_string(), normal, "of {text:?}");
        }
    });
}

#[test]
fn requests() {
    let stop = Request::Stop {
        grace_seconds: Some(3),
        force: true,
    };
    let mut corpus: Vec<Vec<u8>> = [Call::Request(stop), Call::Watch { more: true }, Call::Info]
        .iter()
        .map(Call::to_bytes)
        .collect();
    corpus.push(br#"{"method":"io.podshim.Pod.Replace","parameters":{"program":"/a"}}"#.to_vec());
    try_out("request", &corpus, |bytes| match Call::parse(bytes) {
        // What was understood is said in the same way.
        Ok(call) => {
            let said = call.to_bytes();
            let again = Call::parse(said.strip_suffix(b"\0").expect("its end"));
            assert_eq!(again.expect("its own words").to_bytes(), said);
        }
        Err(reply) => assert!(reply.error.is_some()),
    });
}

#[test]
fn environment_files_and_ranges() {
    let corpus = texts(&["A=b\n# c\nD='e f'\n", "10.9.0.0/24", "fd09::/64"]);
    try_out("small", &corpus, |bytes| {
        let text = String::from_utf8_lossy(bytes);
        let _ = env_file_value(&text, "A");
        if let Ok(subnet) = text.parse::<Subnet>() {
            assert_eq!(subnet.to_string().parse(), Ok(subnet));
        }
    });
}
