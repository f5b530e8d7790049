//! Images: an archive in which the list of images, the configuration or a layer is spoilt, with digests that fit; or anything.

use super::run::try_out;
use podshim::image::{self, user_files};
use podshim::manifest::PullPolicy;
use serde_json::json;
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use tar::{Builder, EntryType, Header};

fn hex(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn header(kind: EntryType, mode: u32, size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size as u64);
    header.set_mtime(1_700_000_000);
    header
}

/// A layer with one of each: directory, file, links, whiteouts, a long name, a PAX record.
fn layer() -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let mut add = |path: &str, kind: EntryType, mode: u32, data: &[u8]| {
        let mut header = header(kind, mode, data.len());
        tar.append_data(&mut header, path, data).expect("a member");
    };
    add("etc/", EntryType::Directory, 0o755, b"");
    add(
        "etc/passwd",
        EntryType::Regular,
        0o644,
        b"root:x:0:0::/:/bin/sh\na:x:7:8::/a:\n",
    );
    add(
        "etc/group",
        EntryType::Regular,
        0o4644,
        b"root:x:0:\nb:x:8:a,root\n",
    );
    add(
        &format!("{}/file", "long".repeat(40)),
        EntryType::Regular,
        0o600,
        &[b'x'; 700],
    );
    add("etc/.wh.gone", EntryType::Regular, 0, b"");
    add("var/.wh..wh..opq", EntryType::Regular, 0, b"");
    for (path, target, kind) in [
        ("etc/link", "../etc/passwd", EntryType::Symlink),
        ("out", "/../..", EntryType::Symlink),
        ("hard", "etc/passwd", EntryType::Link),
    ] {
        let mut header = header(kind, 0o777, 0);
        tar.append_link(&mut header, path, target).expect("a link");
    }
    let record = b"30 mtime=1700000000.123456789\n";
    let mut pax = header(EntryType::XHeader, 0o644, record.len());
    tar.append_data(&mut pax, "pax", &record[..])
        .expect("a record");
    let mut last = header(EntryType::Fifo, 0o644, 0);
    tar.append_data(&mut last, "pipe", &b""[..])
        .expect("a member");
    tar.into_inner().expect("a layer")
}

/// What a docker archive of one layer consists of.
#[derive(Clone)]
struct Parts {
    list: Vec<u8>,
    config: Vec<u8>,
    layer: Vec<u8>,
}

fn parts(layer: Vec<u8>) -> Parts {
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

fn archive(parts: &Parts) -> Vec<u8> {
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

/// Loads an archive into a store of its own; whatever it holds, nothing changes beside the store.
fn load(directory: &Path, archive: &[u8]) -> bool {
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

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a directory");
    for name in ["passwd", "gone", "file"] {
        fs::write(directory.path().join(name), "mine").expect("ours");
    }
    directory
}

#[test]
fn layers() {
    let directory = directory();
    let good = layer();
    assert!(
        load(directory.path(), &archive(&parts(good.clone()))),
        "the corpus is good"
    );
    try_out("layer", &[good], |bytes| {
        // The archive's members are padded, not their contents: any bytes are a layer.
        load(directory.path(), &archive(&parts(bytes.to_vec())));
    });
}

#[test]
fn configurations() {
    let directory = directory();
    let good = parts(layer());
    let corpus = [good.list.clone(), good.config.clone()];
    try_out("configuration", &corpus, |bytes| {
        for parts in [
            Parts {
                list: bytes.to_vec(),
                ..good.clone()
            },
            Parts {
                config: bytes.to_vec(),
                ..good.clone()
            },
        ] {
            load(directory.path(), &archive(&parts));
        }
    });
}

#[test]
fn archives() {
    let directory = directory();
    let good = archive(&parts(layer()));
    try_out("archive", &[good], |bytes| {
        load(directory.path(), bytes);
    });
}
