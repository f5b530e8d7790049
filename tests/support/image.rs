//! Images for the tests: those of `scripts/images`, and variants of them with another configuration.

use super::{Host, run};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// What every test has: busybox, with the users of `scripts/images`.
pub const IMAGE: &str = "localhost/busybox:test";

/// nginx, loaded by the tests that want it.
pub const NGINX: &str = "localhost/nginx:test";

/// The directory with the OCI layouts `busybox`, `nginx` and `pause`, made once per test program.
pub fn images() -> &'static Path {
    static IMAGES: OnceLock<PathBuf> = OnceLock::new();
    IMAGES.get_or_init(|| {
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("images");
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/images");
        run(Command::new(script).arg(&directory)).expect(0);
        directory
    })
}

impl Host {
    /// Loads `localhost/NAME:test`, busybox whose `config` object was changed by `edit`.
    pub fn variant(&self, name: &str, edit: impl FnOnce(&mut Value)) -> String {
        let layout = self.path(&format!("image-{name}"));
        copy_layout(&images().join("busybox"), &layout);
        let mut index = read(&layout.join("index.json"));
        let mut manifest = read(&blob(&layout, &index["manifests"][0]["digest"]));
        let mut config = read(&blob(&layout, &manifest["config"]["digest"]));
        edit(&mut config["config"]);
        write(&layout, &config, &mut manifest["config"]);
        write(&layout, &manifest, &mut index["manifests"][0]);
        fs::write(layout.join("index.json"), index.to_string()).expect("a file of ours");
        let image = format!("localhost/{name}:test");
        self.load(&layout, &image);
        image
    }

    /// Loads a layout under a name.
    pub fn load(&self, layout: &Path, name: &str) {
        self.podshim(["image", "load", &format!("oci:{}", layout.display()), name])
            .expect(0);
    }
}

fn copy_layout(from: &Path, to: &Path) {
    run(Command::new("cp").arg("-r").args([from, to])).expect(0);
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("a blob of the layout")).expect("JSON")
}

fn blob(layout: &Path, digest: &Value) -> PathBuf {
    let hex = digest.as_str().and_then(|d| d.strip_prefix("sha256:"));
    layout
        .join("blobs/sha256")
        .join(hex.expect("a sha256 digest"))
}

/// Writes a blob and lets a descriptor point at it.
fn write(layout: &Path, content: &Value, descriptor: &mut Value) {
    let bytes = content.to_string().into_bytes();
    let hex: String = Sha256::digest(&bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    fs::write(layout.join("blobs/sha256").join(&hex), &bytes).expect("a file of ours");
    descriptor["digest"] = Value::from(format!("sha256:{hex}"));
    descriptor["size"] = Value::from(bytes.len());
}
