//! How containerd is configured for these tests: in the form of its version, with everything below one directory.

use crate::cri::PAUSE;
use crate::support::runtimes;
use crate::versions::Version;
use serde_json::json;
use std::fmt::Display;
use std::fs;
use std::path::Path;

/// The plugins that this machine need not have.
const UNUSED_PLUGINS: [&str; 7] = [
    "io.containerd.snapshotter.v1.devmapper",
    "io.containerd.snapshotter.v1.blockfile",
    "io.containerd.snapshotter.v1.btrfs",
    "io.containerd.snapshotter.v1.erofs",
    "io.containerd.snapshotter.v1.zfs",
    "io.containerd.snapshotter.v1.aufs",
    "io.containerd.nri.v1.nri",
];
/// The CRI plugin, which most tests can do without: what it is called until 1.7, and its parts since 2.0.
const CRI: &str = "io.containerd.grpc.v1.cri";
const CRI_RUNTIME: &str = "io.containerd.cri.v1.runtime";
const CRI_IMAGES: &str = "io.containerd.cri.v1.images";

/// The file for a containerd of this version.
pub fn config(on: Version, dir: &Path, has_cri: bool) -> String {
    let form = if on.number() < (2, 0) { 2 } else { 3 };
    let mut disabled = UNUSED_PLUGINS.to_vec();
    if !has_cri {
        disabled.extend([CRI, CRI_RUNTIME, CRI_IMAGES]);
    }
    let own = format!(
        "version = {form}\nroot = \"{0}/root\"\nstate = \"{0}/state\"\ndisabled_plugins = {disabled:?}\n\
         [grpc]\naddress = \"{0}/c.sock\"\n[debug]\nlevel = \"trace\"\n\
         [plugins.\"io.containerd.internal.v1.opt\"]\npath = \"{0}/opt\"\n",
        dir.display(),
    );
    match has_cri {
        true => own + &cri(form, dir),
        false => own,
    }
}

/// The plugin's part: a network of its own, and each way to name the shim as a handler.
fn cri(form: u32, dir: &Path) -> String {
    let (cni, dir) = (dir.join("cni"), dir.display());
    fs::create_dir_all(&cni).expect("a directory of ours");
    let network = json!({
        "cniVersion": "0.4.0", "name": "pods", "plugins": [{
            "type": "ptp",
            "ipam": {"type": "host-local", "subnet": "10.217.93.0/24", "dataDir": format!("{dir}/addresses")},
        }],
    });
    fs::write(cni.join("10-pods.conflist"), network.to_string()).expect("a file of ours");
    for name in ["file", "path"] {
        let options = format!("BinaryName = \"runc\"\nRoot = \"{dir}/root-of-{name}\"\n");
        fs::write(cni.join(name), options).expect("a file of ours");
    }
    let mut names = runtimes();
    names.push("crun".to_owned());
    let with_runtimes: String = names.iter().map(|name| pair(name, &cni)).collect();
    let images = match form {
        2 => format!(
            "[plugins.\"{CRI}\"]\nsandbox_image = \"{PAUSE}\"\nstream_server_port = \"0\"\n"
        ),
        _ => format!(
            "[plugins.\"{CRI_IMAGES}\".pinned_images]\nsandbox = \"{PAUSE}\"\n[plugins.\"{CRI_RUNTIME}\"]\n"
        ),
    };
    let handlers = format!(
        r#"disable_apparmor = true
restrict_oom_score_adj = true
[plugins."{CRI}".cni]
bin_dir = "/usr/lib/cni"
conf_dir = "{dir}/cni"
[plugins."{CRI}".containerd]
default_runtime_name = "podshim"
[plugins."{CRI}".containerd.runtimes.podshim]
runtime_type = "io.containerd.podshim.v1"
[plugins."{CRI}".containerd.runtimes.path]
runtime_type = "{dir}/bin/containerd-shim-podshim-v1"
[plugins."{CRI}".containerd.runtimes.path.options]
ConfigPath = "{dir}/cni/path"
"#
    ) + &with_runtimes
        + &documented("file", &dir)
        + &documented("typed", &dir)
        + &format!("Root = \"{dir}/root-of-typed\"\n");
    images
        + &match form {
            2 => handlers,
            _ => handlers.replace(CRI, CRI_RUNTIME),
        }
}

/// The handlers `podshim-NAME` and `stock-NAME`, this shim and containerd's own with this runtime.
fn pair(name: &str, dir: &Path) -> String {
    let (binary, options) = (
        format!("BinaryName = \"{name}\"\n"),
        dir.join(format!("options-{name}")),
    );
    fs::write(&options, &binary).expect("a file of ours");
    let of = |shim: &str, kind: &str, options: &str| {
        let table = format!("[plugins.\"{CRI}\".containerd.runtimes.{shim}-{name}");
        format!("{table}]\nruntime_type = \"{kind}\"\n{table}.options]\n{options}\n")
    };
    let file = format!("ConfigPath = \"{}\"", options.display());
    of("podshim", "io.containerd.podshim.v1", &file)
        + &of("stock", "io.containerd.runc.v2", &binary)
}

/// A handler as README.md has it, in the order there, with a name of its own and the paths of this test.
fn documented(name: &str, dir: &dyn Display) -> String {
    let readme = include_str!("../../README.md");
    let mut blocks = readme.split("```toml\n").skip(1);
    let block = match name {
        "file" => blocks.next(),
        _ => blocks.nth(1),
    };
    let text = block.and_then(|rest| rest.split("```").next());
    text.expect("a handler in README.md")
        .replace("runtimes.podshim", &format!("runtimes.{name}"))
        .replace("/etc/podshim/containerd.toml", &format!("{dir}/cni/file"))
        .replace("/usr/local/bin/", &format!("{dir}/bin/"))
}
