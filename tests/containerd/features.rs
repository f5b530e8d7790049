//! What containerd 2.x allows only if the shim says that its runtime can do it: user namespaces and mounts that are read-only all
//! the way down. Its own shim is the measure.

use crate::cri::Cri;
use crate::daemon::{Daemon, with_cri};
use crate::support::run;
use crate::versions::Version;
use serde_json::{Value, json};
use std::fs;
use std::process::Command;

/// The containerd and the runc of these tests.
const LATEST: Version = Version::Fetched("forky");
/// Where ids of the pods begin on the machine.
const FIRST_ID: u32 = 1_000_000;
const IDS: u32 = 65536;

fn mapping() -> Value {
    json!([{"host_id": FIRST_ID, "container_id": 0, "length": IDS}])
}

/// Handlers and what they can do.
fn features(cri: &mut Cri, name: &str) -> Value {
    let mut status = cri.call("Status", json!({}));
    let handlers = status["runtime_handlers"].as_array_mut().expect("handlers");
    let found = handlers.iter_mut().find(|h| h["name"] == name);
    found.unwrap_or_else(|| panic!("no handler {name}"))["features"].take()
}

#[test]
fn the_shim_can_do_what_the_stock_shim_can() {
    with_cri(LATEST, |_, cri| {
        let stock = features(cri, "stock-runc");
        assert_eq!(
            stock,
            json!({"recursive_read_only_mounts": 1, "user_namespaces": 1})
        );
        assert_eq!(features(cri, "typed"), stock);
        // containerd 2.1 asks no shim of another type.
        assert_eq!(features(cri, "podshim"), json!({}));
    });
}

/// What a pod with a user namespace sees of itself and of a volume of the machine, which has to be mounted with its ids.
fn in_user_namespace(c: &Daemon, cri: &mut Cri, handler: &str) -> Vec<String> {
    let volume = c.path(&format!("volume-{handler}"));
    fs::create_dir(&volume).expect("a directory of ours");
    fs::write(volume.join("of-root"), "").expect("a file of ours");
    let pod = cri.pod(handler, handler, c, |namespaces| {
        namespaces["userns_options"] = json!({"mode": 0, "uids": mapping(), "gids": mapping()});
    });
    let a = cri.container(&pod, "a", "exec sleep 1000", |config| {
        config["mounts"] = json!([{
            "container_path": "/volume", "host_path": volume, "uidMappings": mapping(), "gidMappings": mapping(),
        }]);
    });
    let mut seen = Vec::new();
    for script in [
        "cat /proc/self/uid_map /proc/self/gid_map",
        "id -u; stat -c %u:%g / /volume/of-root",
        "echo new >/volume/new && stat -c %u:%g /volume/new",
        "mount -t tmpfs none /mnt; echo $?",
        "cat /proc/1/uid_map",
    ] {
        let (code, output) = cri.exec(&a, script);
        seen.push(format!("{code}: {script}\n{output}"));
    }
    let owner = run(Command::new("stat")
        .args(["-c", "%u:%g"])
        .arg(volume.join("new")));
    seen.push(format!("on the machine: {}", owner.text()));
    cri.remove(&pod);
    seen
}

#[test]
fn a_pod_has_a_user_namespace_as_on_the_stock_shim() {
    with_cri(LATEST, |c, cri| {
        let stock = in_user_namespace(c, cri, "stock-runc");
        assert!(stock[0].contains(&FIRST_ID.to_string()), "{stock:#?}");
        assert_eq!(stock[5], "on the machine: 0:0\n");
        // With options, only by its path: containerd 2.1 cannot change the options of another type.
        for handler in ["podshim", "typed"] {
            assert_eq!(in_user_namespace(c, cri, handler), stock, "{handler}");
        }
    });
}

#[test]
fn a_mount_is_read_only_all_the_way_down() {
    with_cri(LATEST, |c, cri| {
        let outer = c.path("outer");
        let inner = outer.join("inner");
        fs::create_dir_all(&inner).expect("a directory of ours");
        run(Command::new("mount")
            .args(["-t", "tmpfs", "none"])
            .arg(&inner))
        .expect(0);
        let pods = ["stock-runc", "typed"].map(|handler| {
            let pod = cri.pod(handler, handler, c, |_| {});
            let mount = |name: &str, all: u32| {
                json!({"container_path": name, "host_path": outer, "readonly": 1, "recursive_read_only": all})
            };
            let a = cri.container(&pod, "a", "exec sleep 1000", |config| {
                config["mounts"] = json!([mount("/one", 0), mount("/all", 1)]);
            });
            let writes = |cri: &mut Cri, path: &str| cri.exec(&a, &format!("echo x >{path}/f")).0;
            let codes = ["/one", "/one/inner", "/all", "/all/inner"].map(|path| writes(cri, path));
            cri.remove(&pod);
            (handler, codes)
        });
        run(Command::new("umount").arg(&inner)).expect(0);
        for (handler, codes) in pods {
            assert_eq!(codes, [1, 0, 1, 1], "{handler}");
        }
    });
}
