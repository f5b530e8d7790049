//! What people and programs write: manifests, image names, requests to a supervisor, host ranges.

use super::readers;
use super::run::{files, try_out};
use podshim::api::Call;
use podshim::pod::Request;

fn texts(all: &[&str]) -> Vec<Vec<u8>> {
    all.iter().map(|text| text.as_bytes().to_vec()).collect()
}

#[test]
fn manifests() {
    let mut corpus = files("bundles/examples", &[".yaml"]);
    corpus.extend(files("tests/fixtures/manifest", &[".json"]));
    corpus.extend(files("tests/fixtures/yaml/cases", &[".yaml"]));
    try_out("manifest", &corpus, readers::manifest);
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
    try_out("reference", &corpus, readers::reference);
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
    try_out("request", &corpus, readers::request);
}

#[test]
fn environment_files_and_ranges() {
    let corpus = texts(&["A=b\n# c\nD='e f'\n", "10.9.0.0/24", "fd09::/64"]);
    try_out("small", &corpus, readers::small);
}
