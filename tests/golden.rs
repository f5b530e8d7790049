//! Bundles, byte for byte. `BLESS=1 cargo test --test golden` writes the files anew; read the difference before you commit it.

#[path = "support/golden.rs"]
mod golden;

use golden::assert_golden;
use podshim::base::Quantity;
use podshim::bundle::{
    HostFacts, Neighbour, PodPaths, RenderImage, RenderInput, SandboxKind, hosts_file, render,
};
use podshim::manifest::{
    ConfigObject, EnvFrom, EnvValue, EnvVar, FieldRef, HostAlias, Medium, ObjectKind, ObjectRef,
    Pod, Profile, Propagation, RecursiveReadOnly, ResourceRef, Role, Volume, VolumeMount,
    VolumeSource,
};
use std::collections::BTreeMap;
use std::path::Path;

/// A pod with one container, and what it runs on; tests change what they are about.
struct Scene {
    pod: Pod,
    host: HostFacts,
    image: RenderImage,
    objects: Vec<ConfigObject>,
    paths: PodPaths,
}

fn scene() -> Scene {
    let pod: Pod =
        serde_json::from_str(include_str!("fixtures/bundle/pod.json")).expect("fixture reads");
    let host =
        serde_json::from_str(include_str!("fixtures/bundle/host.json")).expect("fixture reads");
    let mut image = RenderImage::default();
    image.config.cmd = vec!["/bin/sh".into()];
    let base = Path::new("/run/podshim/pods").join(&pod.uid.0);
    let paths = PodPaths {
        hosts: base.join("hosts"),
        hostname: base.join("hostname"),
        resolv_conf: base.join("resolv.conf"),
        pause: base.join("pause"),
        shm: base.join("shm"),
        volumes: BTreeMap::new(),
    };
    Scene {
        pod,
        host,
        image,
        objects: Vec::new(),
        paths,
    }
}

impl Scene {
    /// The bundles by name: `pause` and `c`.
    fn render(&self) -> BTreeMap<String, String> {
        let images = BTreeMap::from([("c".to_owned(), self.image.clone())]);
        let bundles = render(&RenderInput {
            pod: &self.pod,
            objects: &self.objects,
            images: &images,
            host: &self.host,
            paths: &self.paths,
            seccomp_localhost: &BTreeMap::new(),
            apparmor_default: None,
            sandbox: SandboxKind::Runtime,
            runtime_rro: false,
            show_secrets: false,
        })
        .expect("the scene is a valid pod");
        let text = |bytes| String::from_utf8(bytes).expect("JSON is UTF-8");
        bundles
            .into_iter()
            .map(|b| (b.name, text(b.config_json)))
            .collect()
    }

    fn mount(&mut self, volume: &str, source: VolumeSource, path: &str) -> &mut VolumeMount {
        self.pod.volumes.push(Volume {
            name: volume.to_owned(),
            source,
        });
        let place = format!("/volumes/{volume}");
        self.paths.volumes.insert(volume.to_owned(), place.into());
        let mounts = &mut self.pod.containers[0].mounts;
        mounts.push(VolumeMount {
            volume: volume.to_owned(),
            path: path.to_owned(),
            sub_path: None,
            read_only: false,
            propagation: Propagation::None,
            recursive_read_only: RecursiveReadOnly::Disabled,
            options: Vec::new(),
        });
        mounts.last_mut().expect("just pushed")
    }
}

fn quantities(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, amount)| ((*name).to_owned(), amount.parse().expect("a quantity")))
        .collect()
}

#[test]
fn pause_owns_network_uts_ipc_and_pid() {
    let mut scene = scene();
    scene.pod.security.fs_group = Some(2000);
    assert_golden("pause.json", &scene.render()["pause"]);
}

#[test]
fn pause_leaves_out_what_is_the_hosts() {
    let mut scene = scene();
    scene.pod.host_network = true;
    assert_golden("pause-host-network.json", &scene.render()["pause"]);
    scene.pod.host_network = false;
    scene.pod.host_ipc = true;
    assert_golden("pause-host-ipc.json", &scene.render()["pause"]);
    scene.pod.host_ipc = false;
    scene.pod.host_pid = true;
    assert_golden("pause-host-pid.json", &scene.render()["pause"]);
}

#[test]
fn a_minimal_container() {
    assert_golden("minimal.json", &scene().render()["c"]);
}

#[test]
fn a_web_server_with_the_default_profile() {
    let mut scene = scene();
    scene.host.cgroup_v2 = true;
    scene.pod.security.seccomp = Some(Profile::RuntimeDefault);
    let image = &mut scene.image.config;
    image.entrypoint = vec!["/docker-entrypoint.sh".into()];
    image.cmd = vec!["nginx".into(), "-g".into(), "daemon off;".into()];
    image.env = vec!["PATH=/usr/bin".into(), "NGINX_VERSION=1".into()];
    image.volumes = vec!["/var/cache/nginx".into(), "/data/".into()];
    scene.mount(
        "data",
        VolumeSource::EmptyDir {
            medium: Medium::Disk,
            size_limit: None,
            mode: None,
        },
        "/data",
    );
    let container = &mut scene.pod.containers[0];
    container.resources.limits = quantities(&[("cpu", "500m"), ("memory", "64Mi")]);
    container.resources.requests = container.resources.limits.clone();
    container.security.allow_privilege_escalation = Some(false);
    assert_golden("web.json", &scene.render()["c"]);
}

#[test]
fn a_privileged_container() {
    let mut scene = scene();
    scene.host.cgroup_v2 = true;
    let security = &mut scene.pod.containers[0].security;
    security.privileged = true;
    security.capabilities_drop = vec!["ALL".into()];
    security.seccomp = Some(Profile::RuntimeDefault);
    assert_golden("privileged.json", &scene.render()["c"]);
}

#[test]
fn capabilities_and_the_profile_that_follows_them() {
    let mut scene = scene();
    let security = &mut scene.pod.containers[0].security;
    security.capabilities_drop = vec!["ALL".into()];
    security.capabilities_add = vec!["NET_BIND_SERVICE".into(), "CAP_SYS_ADMIN".into()];
    security.seccomp = Some(Profile::RuntimeDefault);
    assert_golden("capabilities.json", &scene.render()["c"]);
}

#[test]
fn a_read_only_root_with_volumes_of_every_access() {
    let mut scene = scene();
    let host_path = || VolumeSource::HostPath {
        path: "/srv".to_owned(),
        kind: podshim::manifest::HostPathType::Unset,
    };
    let empty = VolumeSource::EmptyDir {
        medium: Medium::Memory,
        size_limit: None,
        mode: None,
    };
    scene.mount("w", empty, "/w/x");
    scene.mount("h", host_path(), "/w").propagation = Propagation::HostToContainer;
    scene.mount("ro", host_path(), "/ro").read_only = true;
    let files = podshim::manifest::FilesVolume {
        default_mode: 0o644,
        memory: false,
        sources: Vec::new(),
    };
    scene.mount("files", VolumeSource::Files(files), "/etc/hosts");
    let rro = scene.mount("rro", host_path(), "/rro/");
    rro.recursive_read_only = RecursiveReadOnly::IfPossible;
    scene.pod.containers[0].security.read_only_root = true;
    assert_golden("readonly.json", &scene.render()["c"]);
}

#[test]
fn users_and_groups_of_pod_and_image() {
    let mut scene = scene();
    scene.image.users.passwd = Some("root:x:0:0::/:/bin/sh\nu:x:1000:100::/:/bin/sh\n".into());
    scene.image.users.group = Some("root:x:0:\nusers:x:100:\ng:x:7000:a,u\nu:x:7001:u\n".into());
    scene.pod.security.supplemental_groups = vec![5000];
    scene.pod.security.fs_group = Some(6000);
    scene.pod.containers[0].security.run_as_user = Some(1000);
    assert_golden("users.json", &scene.render()["c"]);
}

#[test]
fn environment_of_every_source() {
    let mut scene = scene();
    let map = |name: &str, kind, pairs: &[(&str, &str)]| ConfigObject {
        kind,
        name: name.to_owned(),
        namespace: "default".to_owned(),
        data: pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.as_bytes().to_vec()))
            .collect(),
        binary: BTreeMap::new(),
    };
    scene.objects = vec![
        map("one", ObjectKind::ConfigMap, &[("K", "a"), ("K2", "map")]),
        map("two", ObjectKind::ConfigMap, &[("K", "b")]),
        map("three", ObjectKind::ConfigMap, &[("X", "1")]),
        map("secret", ObjectKind::Secret, &[("password", "hunter2")]),
    ];
    scene.image.config.env = vec!["K2=image".into(), "LANG=C".into()];
    let from = |prefix: &str, name: &str| EnvFrom {
        prefix: prefix.to_owned(),
        source: ObjectRef {
            kind: ObjectKind::ConfigMap,
            name: name.to_owned(),
            optional: false,
        },
    };
    let set = |name: &str, value: EnvValue| EnvVar {
        name: name.to_owned(),
        value,
    };
    let literal = |text: &str| EnvValue::Literal(text.to_owned());
    let amount = |limit, resource: &str, divisor: &str| {
        EnvValue::Resource(ResourceRef {
            container: None,
            limit,
            resource: resource.to_owned(),
            divisor: divisor.parse().expect("a quantity"),
        })
    };
    let container = &mut scene.pod.containers[0];
    container.env_from = vec![from("", "one"), from("", "two"), from("P_", "three")];
    container.env = vec![
        set("A", literal("1")),
        set("B", literal("$(A)x")),
        set("C", literal("$(D)")),
        set("D", literal("2")),
        set("K2", literal("env")),
        set("NAME", EnvValue::Field(FieldRef::Name)),
        set("UID", EnvValue::Field(FieldRef::Uid)),
        set("LABEL", EnvValue::Field(FieldRef::Label("a".into()))),
        set("NODE", EnvValue::Field(FieldRef::NodeName)),
        set("HOST_IP", EnvValue::Field(FieldRef::HostIp)),
        set("CPU", amount(false, "cpu", "1m")),
        set("MEMORY", amount(true, "memory", "1Mi")),
        set(
            "PASSWORD",
            EnvValue::Key {
                object: ObjectRef {
                    kind: ObjectKind::Secret,
                    name: "secret".into(),
                    optional: false,
                },
                key: "password".into(),
            },
        ),
    ];
    container.resources.limits = quantities(&[("memory", "64Mi")]);
    container.resources.requests = quantities(&[("memory", "64Mi"), ("cpu", "250m")]);
    container.args = vec![
        "$(A) $$(A) $$$(A) $(NOPE) ${A} $(B".into(),
        "$(PASSWORD)".into(),
    ];
    container.tty = true;
    let text = &scene.render()["c"];
    assert!(!text.contains("hunter2"), "a secret is shown");
    assert_golden("env.json", text);
}

#[test]
fn a_sidecar_that_shares_the_pods_processes() {
    let mut scene = scene();
    scene.pod.share_process_namespace = true;
    scene.pod.resources = Some(podshim::manifest::Resources {
        requests: quantities(&[("memory", "300M")]),
        limits: quantities(&[("cpu", "1"), ("memory", "400M")]),
    });
    let mut sidecar = scene.pod.containers[0].clone();
    sidecar.role = Role::Sidecar;
    sidecar.resources.requests = quantities(&[("memory", "100M")]);
    sidecar.security.allow_privilege_escalation = Some(true);
    let mut app = sidecar.clone();
    app.name = "app".to_owned();
    app.role = Role::App;
    app.command = vec!["app".into()];
    app.resources.requests = quantities(&[("memory", "50M")]);
    scene.pod.containers = vec![sidecar, app];
    assert_golden("sidecar.json", &scene.render()["c"]);
}

#[test]
fn the_same_pod_gives_the_same_bytes_each_time() {
    let mut scene = scene();
    scene.host.cgroup_v2 = true;
    let first = scene.render();
    for _ in 0..20 {
        assert_eq!(scene.render(), first);
    }
}

/// What the pod has itself stands first and wins; the others follow, sorted by name, those of the world outside left out.
#[test]
fn a_hosts_file_with_the_names_of_other_pods() {
    let Scene { mut pod, host, .. } = scene();
    pod.subdomain = Some("s".into());
    pod.host_aliases = vec![HostAlias {
        ip: "203.0.113.1".into(),
        hostnames: vec!["alias".into()],
    }];
    let other = |name: &str, fqdn: Option<&str>, ips: &[&str]| Neighbour {
        name: name.into(),
        fqdn: fqdn.map(str::to_owned),
        ips: ips
            .iter()
            .map(|ip| ip.parse().expect("an address"))
            .collect(),
    };
    let others = [
        other(
            "web",
            Some("www.s.default.svc.cluster.local"),
            &["10.64.0.4", "fd00::4"],
        ),
        other("db", None, &["10.64.0.3", "fd00::3"]),
        // Its own, told by itself, and one that would take its place.
        other("p", Some("p.s.default.svc.cluster.local"), &["10.64.0.2"]),
        other("alias", None, &["10.64.0.9"]),
        other("localhost", None, &["10.64.0.9"]),
        other("www.example.com", Some("www.example.com"), &["10.64.0.9"]),
        other("loop", None, &["127.0.0.1"]),
    ];
    let ips = ["10.64.0.2".to_owned(), "fd00::2".to_owned()];
    assert_golden("hosts-names.txt", &hosts_file(&pod, &host, &ips, &others));
}
