//! Images: an archive in which the list of images, the configuration or a layer is spoilt, with digests that fit; or anything.

use podshim::image::{self, user_files};
use podshim::manifest::PullPolicy;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tar::{Builder, EntryType, Header};

/// A digest as text.
fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Of a member of an archive.
pub fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(1_700_000_000);
    header
}

/// What a docker archive of one layer consists of.
#[derive(Clone)]
pub struct Parts {
    pub list: Vec<u8>,
    pub config: Vec<u8>,
    pub layer: Vec<u8>,
}

/// Those that fit together around this layer: any bytes are a layer.
pub fn parts(layer: Vec<u8>) -> Parts {
    let config = json!({
        "architecture": oci_architecture(), "os": "linux",
        "config": {"User": "a:b", "Env": ["A=b"], "Entrypoint": ["/a"], "Cmd": ["b"], "WorkingDir": "/w",
                   "Volumes": {"/v": {}}, "StopSignal": "SIGTERM", "ExposedPorts": {"80/tcp": {}}, "Labels": {"a": "b"}},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", hex(&layer))]},
    });
    let list =
        json!([{"Config": "config.json", "RepoTags": ["localhost/a:b"], "Layers": ["layer.tar"]}]);
    Parts {
        list: list.to_string().into_bytes(),
        config: config.to_string().into_bytes(),
        layer,
    }
}

fn oci_architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// The archive of these parts.
pub fn archive(parts: &Parts) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let members = [
        ("manifest.json", &parts.list),
        ("config.json", &parts.config),
        ("layer.tar", &parts.layer),
    ];
    for (path, data) in members {
        let mut header = header(EntryType::Regular, 0o644, data.len());
        tar.append_data(&mut header, path, &data[..])
            .expect("a member");
    }
    tar.into_inner().expect("an archive")
}

/// What lies beside the store: names, sizes, modes and owners.
fn beside(directory: &Path) -> Vec<(String, u64, u32, u32)> {
    let entries = fs::read_dir(directory).expect("a directory of ours");
    let mut all: Vec<_> = entries
        .map(|entry| {
            let entry = entry.expect("an entry");
            let meta = entry.metadata().expect("metadata");
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, meta.size(), meta.mode(), meta.uid())
        })
        .filter(|(name, ..)| name != "data" && name != "archive")
        .collect();
    all.sort();
    all
}

/// Loads an archive into a store of its own; whether that was done. Whatever it holds, nothing changes beside the store.
pub fn whole_archive(directory: &Path, archive: &[u8]) -> bool {
    let (data, file) = (directory.join("data"), directory.join("archive"));
    fs::write(&file, archive).expect("ours");
    let before = beside(directory);
    let loaded = image::load(&data, &format!("docker-archive:{}", file.display()), None);
    if let Ok(names) = &loaded {
        for name in names {
            let ready =
                image::ready(&data, name, PullPolicy::Never).expect("what was loaded is ready");
            assert!(!ready.layers.is_empty(), "{name}");
            for layer in &ready.layers {
                let _ = user_files(layer);
            }
        }
    }
    assert_eq!(beside(directory), before, "{loaded:?}");
    if data.exists() {
        fs::remove_dir_all(&data).expect("ours");
    }
    loaded.is_ok()
}

/// A directory with files that no image may touch.
pub fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["passwd", "gone", "file"] {
        fs::write(directory.path().join(name), "mine").expect("ours");
    }
    directory
}

/// A layer in an archive that is good apart from it; whether it was loaded.
pub fn layer(directory: &Path, bytes: &[u8]) -> bool {
    whole_archive(directory, &archive(&parts(bytes.to_vec())))
}

/// The list of images, and the configuration, of an archive that is good apart from them.
pub fn configuration(directory: &Path, good: &Parts, bytes: &[u8]) {
    let list = Parts {
        list: bytes.to_vec(),
        ..good.clone()
    };
    let config = Parts {
        config: bytes.to_vec(),
        ..good.clone()
    };
    whole_archive(directory, &archive(&list));
    whole_archive(directory, &archive(&config));
}
