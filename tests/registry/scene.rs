//! A place of its own for each test: directories, configuration, images.

use crate::support::{Background, Ran, background, program, run};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// Directories and an environment without anything of the machine's.
pub struct Scene {
    directory: TempDir,
}

impl Scene {
    /// Registries at these hosts may speak HTTP.
    pub fn new(insecure: &[&str]) -> Scene {
        let directory = tempfile::tempdir().expect("a directory");
        let scene = Scene { directory };
        let text: String = insecure
            .iter()
            .map(|host| format!("[[registry]]\nlocation = \"{host}\"\ninsecure = true\n"))
            .collect();
        fs::write(scene.path("registries.conf"), text).expect("a file");
        scene
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// What makes podshim look at our files only.
    pub fn environment(&self) -> Vec<(&'static str, PathBuf)> {
        vec![
            ("HOME", self.path("home")),
            ("XDG_CONFIG_HOME", self.path("home/config")),
            ("XDG_RUNTIME_DIR", self.path("run")),
            ("REGISTRY_AUTH_FILE", self.path("auth.json")),
            ("CONTAINERS_REGISTRIES_CONF", self.path("registries.conf")),
            (
                "CONTAINERS_REGISTRIES_CONF_DIR",
                self.path("registries.conf.d"),
            ),
            ("CONTAINERS_CERTS_DIR", self.path("certs.d")),
            ("NO_PROXY", "*".into()),
        ]
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .env("PODSHIM_ROOT", self.path("data"))
            .env("PODSHIM_STATE", self.path("state"))
            .env("PODSHIM_LOGS", self.path("logs"))
            .envs(self.environment())
            .args(args);
        command
    }

    pub fn podshim(&self, args: &[&str]) -> Ran {
        run(&mut self.command(args))
    }

    pub fn background(&self, args: &[&str]) -> Background {
        background(&mut self.command(args), b"")
    }

    /// The record of an image.
    pub fn record(&self, name: &str) -> Value {
        self.podshim(&["image", "inspect", name]).json()
    }

    /// The directories of an image's layers, lowest first.
    pub fn layers(&self, name: &str) -> Vec<PathBuf> {
        let record = self.record(name);
        let layers = record["layers"].as_array().expect("layers").iter();
        let hex = layers.map(|layer| layer.as_str().expect("text").trim_start_matches("sha256:"));
        hex.map(|hex| self.path("data/layers").join(hex)).collect()
    }

    /// Fails unless nothing of an image is in the store under a name that counts.
    pub fn assert_empty(&self) {
        assert_eq!(
            self.podshim(&["image", "ls", "-o", "json"]).json(),
            serde_json::json!([])
        );
        for directory in ["layers", "content/blobs/sha256"] {
            for entry in fs::read_dir(self.path("data").join(directory))
                .into_iter()
                .flatten()
            {
                let name = entry.expect("an entry").file_name();
                let name = name.to_string_lossy();
                assert!(name.contains('.'), "{directory}/{name} is half an image");
            }
        }
    }
}

pub fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    let hex: String = digest.iter().map(|b| format!("{b:02x}")).collect();
    format!("sha256:{hex}")
}

/// A layout that is written by hand.
pub struct Layout {
    pub directory: PathBuf,
    manifests: Vec<Value>,
}

impl Layout {
    pub fn new(directory: &Path) -> Layout {
        fs::create_dir_all(directory.join("blobs/sha256")).expect("a directory");
        fs::write(
            directory.join("oci-layout"),
            r#"{"imageLayoutVersion":"1.0.0"}"#,
        )
        .expect("a file");
        Layout {
            directory: directory.to_owned(),
            manifests: Vec::new(),
        }
    }

    /// Writes a blob; gives its descriptor.
    pub fn blob(&self, kind: &str, bytes: &[u8]) -> Value {
        let digest = sha256(bytes);
        let hex = digest.trim_start_matches("sha256:");
        fs::write(self.directory.join("blobs/sha256").join(hex), bytes).expect("a blob");
        serde_json::json!({"mediaType": kind, "digest": digest, "size": bytes.len()})
    }

    /// Writes a manifest of these layers, each one file of its own, and tags it; `edit` may spoil it.
    pub fn image(&mut self, tag: &str, layers: &[Vec<u8>], edit: impl FnOnce(&mut Value)) -> Value {
        let diffs: Vec<String> = layers.iter().map(|layer| sha256(layer)).collect();
        let config = serde_json::json!({
            "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/true"]},
            "rootfs": {"type": "layers", "diff_ids": diffs},
        });
        let config = self.blob(
            "application/vnd.oci.image.config.v1+json",
            config.to_string().as_bytes(),
        );
        let layers: Vec<Value> = layers
            .iter()
            .map(|layer| self.blob("application/vnd.oci.image.layer.v1.tar", layer))
            .collect();
        let kind = "application/vnd.oci.image.manifest.v1+json";
        let mut manifest = serde_json::json!({"schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers});
        edit(&mut manifest);
        let descriptor = self.blob(kind, manifest.to_string().as_bytes());
        self.tag(tag, descriptor.clone());
        descriptor
    }

    /// Gives a descriptor a tag.
    pub fn tag(&mut self, tag: &str, mut descriptor: Value) {
        descriptor["annotations"] = serde_json::json!({"org.opencontainers.image.ref.name": tag});
        self.manifests
            .retain(|m| m["annotations"] != descriptor["annotations"]);
        self.manifests.push(descriptor);
        let index = serde_json::json!({"schemaVersion": 2, "manifests": self.manifests});
        fs::write(self.directory.join("index.json"), index.to_string()).expect("a file");
    }
}

/// A tar with one file.
pub fn tar(name: &str, content: &[u8]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o644);
    builder
        .append_data(&mut header, name, content)
        .expect("memory");
    builder.into_inner().expect("memory")
}

/// Bytes that no compression makes smaller.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    std::iter::repeat_with(next).take(length).collect()
}
