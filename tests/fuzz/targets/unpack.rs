//! Any bytes as the layers of an image: they are unpacked or refused, and nothing outside the store is made, changed or removed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use podshim::image;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::fs;
use std::path::Path;

/// Size of a block of a tar stream.
const BLOCK: usize = 512;

fuzz_target!(|data: &[u8]| {
    let Some((at, rest)) = data.split_first() else {
        return;
    };
    // The second layer shadows, hides and links to what the first has.
    let middle = (rest.len() * usize::from(*at) / 256) / BLOCK * BLOCK;
    let layers = [&rest[..middle], &rest[middle..]].map(mended);
    let dir = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let outside = dir.path().join("outside");
    fs::write(&outside, "untouched").expect("a file of ours");
    let layout = dir.path().join("layout");
    fs::create_dir_all(layout.join("blobs/sha256")).expect("ours");
    let diff_ids: Vec<String> = layers.iter().map(|layer| digest(layer)).collect();
    let config = json!({
        "architecture": "amd64", "os": "linux",
        "rootfs": {"type": "layers", "diff_ids": diff_ids},
    });
    let descriptors: Vec<Value> = layers
        .iter()
        .map(|layer| blob(&layout, "application/vnd.oci.image.layer.v1.tar", layer))
        .collect();
    let config = config.to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": blob(&layout, "application/vnd.oci.image.config.v1+json", config.as_bytes()),
        "layers": descriptors,
    });
    let manifest = manifest.to_string();
    let index = json!({
        "schemaVersion": 2,
        "manifests": [blob(&layout, "application/vnd.oci.image.manifest.v1+json", manifest.as_bytes())],
    });
    fs::write(layout.join("index.json"), index.to_string()).expect("ours");
    fs::write(layout.join("oci-layout"), "{\"imageLayoutVersion\":\"1.0.0\"}").expect("ours");
    let store = dir.path().join("store");
    let source = format!("oci:{}", layout.display());
    if std::env::var_os("PODSHIM_FUZZ_SHOW").is_some() {
        eprintln!("{:?}", image::load(&store, &source, Some("localhost/fuzz:1")));
    } else {
        let _ = image::load(&store, &source, Some("localhost/fuzz:1"));
    }
    assert_eq!(fs::read(&outside).expect("it is there"), b"untouched");
    let entries = fs::read_dir(dir.path()).expect("ours").count();
    assert!(entries <= 3, "nothing else is beside it");
});

fn blob(layout: &Path, kind: &str, bytes: &[u8]) -> Value {
    let digest = digest(bytes);
    let name = digest.trim_start_matches("sha256:");
    fs::write(layout.join("blobs/sha256").join(name), bytes).expect("ours");
    json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
}

fn digest(bytes: &[u8]) -> String {
    let hash = Sha256::digest(bytes);
    let hex: Vec<String> = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{}", hex.concat())
}

/// The same with right checksums, which mutation would hardly find.
fn mended(tar: &[u8]) -> Vec<u8> {
    let mut tar = tar.to_vec();
    for block in tar.chunks_exact_mut(BLOCK) {
        if &block[257..262] == b"ustar" {
            block[148..156].fill(b' ');
            let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
    tar
}
