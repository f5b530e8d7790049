//! Certificates: those of registries, and those that they know us by.

use crate::scene::Scene;
use crate::server::Registry;
use crate::support::images;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

/// An authority of our own, and the certificate of a registry on loopback.
struct Authority {
    place: Scene,
}

impl Authority {
    fn new() -> Authority {
        let place = Scene::new(&[]);
        fs::write(place.path("ext"), "subjectAltName=IP:127.0.0.1\n").expect("a file");
        let authority = Authority { place };
        let (key, crt) = (authority.text("ca.key"), authority.text("ca.crt"));
        openssl(&format!(
            "req -x509 {NEW_KEY} {key} -out {crt} -subj /CN=authority -days 2"
        ));
        authority.sign("registry", "crt");
        authority
    }

    fn path(&self, name: &str) -> PathBuf {
        self.place.path(name)
    }

    fn text(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Makes `NAME.key` and `NAME.EXTENSION`.
    fn sign(&self, name: &str, extension: &str) {
        let (key, request) = (format!("{name}.key"), format!("{name}.csr"));
        openssl(&format!(
            "req {NEW_KEY} {} -out {} -subj /CN={name}",
            self.text(&key),
            self.text(&request)
        ));
        openssl(&format!(
            "x509 -req -in {} -CA {} -CAkey {} -CAcreateserial -days 2 -extfile {} -out {}",
            self.text(&request),
            self.text("ca.crt"),
            self.text("ca.key"),
            self.text("ext"),
            self.text(&format!("{name}.{extension}"))
        ));
    }

    /// A scene that has these files for a registry.
    fn give(&self, registry: &Registry, files: &[&str]) -> Scene {
        let scene = Scene::new(&[]);
        let own = scene.path("certs.d").join(&registry.host);
        fs::create_dir_all(&own).expect("a directory");
        for file in files {
            fs::copy(self.path(file), own.join(file)).expect("a file");
        }
        scene
    }
}

const NEW_KEY: &str = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout";

fn openssl(line: &str) {
    let mut command = Command::new("openssl");
    crate::support::run(command.args(line.split(' '))).expect(0);
}

fn busybox() -> String {
    format!("oci:{}", images().join("busybox").display())
}

#[test]
fn a_certificate_is_believed_if_its_authority_is_known_or_it_does_not_matter() {
    let authority = Authority::new();
    let (crt, key) = (
        authority.path("registry.crt"),
        authority.path("registry.key"),
    );
    let registry = Registry::with_tls(&crt, &key);
    registry.push(&busybox(), "app:1", &[]);
    let name = format!("{}/app:1", registry.host);

    let unknown = Scene::new(&[]).podshim(&["image", "pull", &name]).expect(1);
    let hint = format!("certs.d/{}/ca.crt", registry.host);
    assert!(unknown.stderr.contains(&hint), "{}", unknown.stderr);
    let scene = authority.give(&registry, &["ca.crt"]);
    scene.podshim(&["image", "pull", &name]).expect(0);

    let careless = Scene::new(&[&registry.host]);
    careless.podshim(&["image", "pull", &name]).expect(0);
}

#[test]
fn a_registry_that_wants_a_certificate_of_ours_gets_the_one_we_have_for_it() {
    let authority = Authority::new();
    authority.sign("client", "cert");
    let (crt, key) = (
        authority.path("registry.crt"),
        authority.path("registry.key"),
    );
    let registry = Registry::with_client_authority(&crt, &key, &authority.path("ca.crt"));
    let certificates = authority.give(&registry, &["client.cert", "client.key"]);
    let own = certificates.path("certs.d").join(&registry.host);
    let own = own.display().to_string();
    registry.push(&busybox(), "app:1", &["--dest-cert-dir", &own]);
    let name = format!("{}/app:1", registry.host);
    let pull = |files: &[&str]| {
        let scene = authority.give(&registry, files);
        scene.podshim(&["image", "pull", &name])
    };

    pull(&["ca.crt"]).expect(1);
    let pulled = pull(&["ca.crt", "client.cert", "client.key"]).expect(0);
    assert!(!pulled.stderr.contains("chmod"), "{}", pulled.stderr);

    let lacks = |files: &[&str], what: &str| {
        let ran = pull(files).expect(1);
        assert!(ran.stderr.contains(what), "{}", ran.stderr);
    };
    lacks(&["ca.crt", "client.cert"], "client.cert`: its key `");
    lacks(&["ca.crt", "client.key"], "client.key`: there is no `");
    fs::write(authority.path("other.cert"), "nothing").expect("a file");
    fs::write(authority.path("other.key"), "nothing").expect("a file");
    let broken = ["ca.crt", "other.cert", "other.key"];
    lacks(&broken, "other.cert`: there is no certificate in it");
    fs::copy(authority.path("client.cert"), authority.path("other.cert")).expect("a file");
    lacks(&broken, "other.key`: there is no key in it");

    let open = fs::Permissions::from_mode(0o644);
    fs::set_permissions(authority.path("client.key"), open).expect("a file");
    let told = pull(&["ca.crt", "client.cert", "client.key"]).expect(0);
    assert!(told.stderr.contains("hint: chmod 0600"), "{}", told.stderr);
}
