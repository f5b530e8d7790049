//! Rules that need a whole pod: tables of cases over one fixture.

use crate::base::{InstanceId, Quantity};
use crate::bundle::*;
use crate::manifest::*;
use std::collections::BTreeMap;
use std::path::Path;

fn pod() -> Pod {
    serde_json::from_str(include_str!("../../tests/fixtures/bundle/pod.json"))
        .expect("fixture reads")
}

fn host() -> HostFacts {
    serde_json::from_str(include_str!("../../tests/fixtures/bundle/host.json"))
        .expect("fixture reads")
}

/// Everything one container is described from; tests change what they are about.
struct Scene {
    pod: Pod,
    host: HostFacts,
    image: ImageConfig,
    users: UserFiles,
    objects: Vec<ConfigObject>,
    apparmor: Option<&'static str>,
}

fn scene() -> Scene {
    Scene {
        pod: pod(),
        host: host(),
        image: ImageConfig {
            cmd: vec!["/bin/sh".to_owned()],
            ..ImageConfig::default()
        },
        users: UserFiles::default(),
        objects: Vec::new(),
        apparmor: None,
    }
}

impl Scene {
    fn own(&mut self) -> &mut Container {
        &mut self.pod.containers[0]
    }

    fn with<T>(&self, act: impl FnOnce(&ContainerInput) -> T) -> T {
        act(&ContainerInput {
            target_proc: None,
            pod: &self.pod,
            container: &self.pod.containers[0],
            instance: &InstanceId("c-0".to_owned()),
            attempt: 0,
            objects: &self.objects,
            image: &self.image,
            users: &self.users,
            sandbox: &Sandbox {
                pause_proc: "/proc/7".to_owned(),
                pod_ips: Vec::new(),
            },
            host: &self.host,
            paths: &PodPaths::default(),
            volume_parts: &VolumeParts::default(),
            termination_log: Path::new("/log"),
            image_volumes: &BTreeMap::new(),
            seccomp_localhost: None,
            seccomp_default: DEFAULT_SECCOMP,
            apparmor_default: self.apparmor,
            runtime_rro: false,
        })
    }

    fn spec(&self) -> serde_json::Value {
        let spec = self.with(container_spec).expect("the scene is valid");
        serde_json::from_slice(&to_json(&spec)).expect("JSON reads back")
    }

    fn error(&self) -> BundleError {
        self.with(container_spec)
            .expect_err("the scene is not valid")
    }
}

fn amounts(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, amount)| ((*name).to_owned(), amount.parse().expect("a quantity")))
        .collect()
}

// Users

#[test]
fn run_as_non_root_is_refused_with_the_texts_of_the_kubelet() {
    let of = "(pod: \"p_default(0f6a1c2e-5b7d-4e8f-9a01-23456789abcd)\", container: c)";
    let mut scene = scene();
    scene.users.passwd = Some("www:x:33:33::/:/bin/sh\n".to_owned());
    scene.pod.security.run_as_non_root = Some(true);
    for (image_user, run_as, want) in [
        (
            "",
            None,
            "container has runAsNonRoot and image will run as root",
        ),
        (
            "0:5",
            None,
            "container has runAsNonRoot and image will run as root",
        ),
        (
            "www",
            None,
            "container has runAsNonRoot and image has non-numeric user (www), cannot verify user is non-root",
        ),
        (
            "1000",
            Some(0),
            "container's runAsUser breaks non-root policy",
        ),
    ] {
        scene.image.user = image_user.to_owned();
        scene.own().security.run_as_user = run_as;
        let error = scene.error();
        assert_eq!(error.to_string(), format!("{want} {of}"));
        assert_eq!(error.reason(), Reason::CreateContainerConfigError);
    }
    scene.own().security.run_as_user = None;
    scene.image.user = "1000".to_owned();
    assert_eq!(scene.spec()["process"]["user"]["uid"], 1000);
    scene.image.user = "www".to_owned();
    scene.own().security.run_as_non_root = Some(false);
    assert_eq!(scene.spec()["process"]["user"]["uid"], 33);
}

#[test]
fn groups_come_from_pod_and_image_as_the_policy_says() {
    let mut scene = scene();
    scene.users = UserFiles {
        passwd: Some("broken\nroot:x:0:0::/:/bin/sh\nu:x:1000:100::/:/bin/sh\n".to_owned()),
        group: Some("g:x:7000:a,u\nu:x:7001:u\nbad:x:y:u\n".to_owned()),
    };
    scene.pod.security.supplemental_groups = vec![5000];
    scene.pod.security.fs_group = Some(6000);
    let user = |scene: &Scene| scene.spec()["process"]["user"].clone();
    let want = |uid: u32, gid: u32, groups: &[u32]| serde_json::json!({"uid": uid, "gid": gid, "additionalGids": groups});
    for (image_user, run_as) in [("u", None), ("u:9", None), ("1000", None), ("", Some(1000))] {
        scene.image.user = image_user.to_owned();
        scene.own().security.run_as_user = run_as;
        assert_eq!(
            user(&scene),
            want(1000, 100, &[100, 5000, 6000, 7000]),
            "{image_user}"
        );
    }
    scene.pod.security.supplemental_groups_strict = true;
    assert_eq!(user(&scene), want(1000, 100, &[100, 5000, 6000]));
    scene.pod.security.run_as_group = Some(8);
    scene.own().security.run_as_user = Some(77);
    assert_eq!(user(&scene), want(77, 8, &[8, 5000, 6000]));
    scene.own().security.run_as_user = None;
    scene.image.user = "nobody".to_owned();
    let error = scene.error();
    assert_eq!(error.reason(), Reason::CreateContainerError);
    assert_eq!(
        error.to_string(),
        "cannot find user `nobody` in the image's passwd file"
    );
}

// Environment

fn key(kind: ObjectKind, optional: bool) -> EnvVar {
    EnvVar {
        name: "V".to_owned(),
        value: EnvValue::Key {
            object: ObjectRef {
                kind,
                name: "o".to_owned(),
                optional,
            },
            key: "k".to_owned(),
        },
    }
}

fn object(kind: ObjectKind, data: &[(&str, &[u8])]) -> ConfigObject {
    ConfigObject {
        kind,
        name: "o".to_owned(),
        namespace: "default".to_owned(),
        data: data
            .iter()
            .map(|(k, v)| ((*k).to_owned(), v.to_vec()))
            .collect(),
        binary: BTreeMap::new(),
    }
}

#[test]
fn a_missing_object_or_key_is_an_error_unless_it_is_optional() {
    let mut scene = scene();
    scene.own().env = vec![key(ObjectKind::ConfigMap, false)];
    let error = scene.error();
    assert_eq!(error.to_string(), "configmap \"o\" not found");
    assert_eq!(error.reason(), Reason::CreateContainerConfigError);

    scene.own().env = vec![key(ObjectKind::Secret, false)];
    scene.objects = vec![object(ObjectKind::Secret, &[("other", b"x")])];
    assert_eq!(
        scene.error().to_string(),
        "couldn't find key k in Secret default/o"
    );

    scene.own().env = vec![
        key(ObjectKind::ConfigMap, true),
        key(ObjectKind::Secret, true),
    ];
    let env = scene.spec()["process"]["env"].to_string();
    assert!(!env.contains("V="), "{env}");
}

#[test]
fn an_absent_optional_key_leaves_the_value_of_env_from() {
    let mut scene = scene();
    scene.objects = vec![object(ObjectKind::ConfigMap, &[("V", b"from")])];
    let source = ObjectRef {
        kind: ObjectKind::ConfigMap,
        name: "o".to_owned(),
        optional: false,
    };
    scene.own().env_from = vec![EnvFrom {
        prefix: String::new(),
        source,
    }];
    scene.own().env = vec![key(ObjectKind::ConfigMap, true)];
    assert_eq!(scene.spec()["process"]["env"][2], "V=from");
}

#[test]
fn objects_of_another_namespace_are_not_seen() {
    let mut scene = scene();
    scene.objects = vec![object(ObjectKind::ConfigMap, &[("k", b"x")])];
    scene.objects[0].namespace = "other".to_owned();
    scene.own().env = vec![key(ObjectKind::ConfigMap, false)];
    assert_eq!(scene.error().to_string(), "configmap \"o\" not found");
}

#[test]
fn values_that_no_environment_holds_are_refused_without_being_told() {
    let mut scene = scene();
    scene.own().env = vec![key(ObjectKind::Secret, false)];
    for value in [b"a\0b".as_slice(), b"\xff"] {
        scene.objects = vec![object(ObjectKind::Secret, &[("k", value)])];
        assert_eq!(
            scene.error().to_string(),
            "cannot set environment variable `V`: its value has a NUL byte or is not UTF-8"
        );
    }
}

// Resources

#[test]
fn oom_scores_follow_class_and_request() {
    let score = |requests: &[(&str, &str)], limits: &[(&str, &str)]| {
        let mut scene = scene();
        scene.own().resources = Resources {
            requests: amounts(requests),
            limits: amounts(limits),
        };
        scene.spec()["process"]["oomScoreAdj"].as_i64()
    };
    let guaranteed = [("cpu", "1"), ("memory", "1Gi")];
    assert_eq!(score(&guaranteed, &guaranteed), Some(-997));
    assert_eq!(score(&[], &[]), Some(1000));
    // The machine of the fixture has 10^9 bytes.
    assert_eq!(score(&[("memory", "100M")], &[]), Some(900));
    assert_eq!(score(&[("cpu", "1")], &[]), Some(999));
    assert_eq!(score(&[("memory", "999500k")], &[]), Some(3));
    assert_eq!(score(&[("memory", "5G")], &[]), Some(3));
}

#[test]
fn oom_scores_stay_where_this_process_may_set_them_and_it_is_said() {
    let mut scene = scene();
    scene.host.oom_score_adj_floor = 0;
    let both = amounts(&[("cpu", "1"), ("memory", "1Gi")]);
    scene.own().resources = Resources {
        requests: both.clone(),
        limits: both,
    };
    assert_eq!(scene.spec()["process"]["oomScoreAdj"], 0);
    let warnings = scene.with(container_warnings);
    assert_eq!(
        warnings,
        ["container `c`: oom_score_adj -997 is below 0, the lowest that can be set"]
    );
}

#[test]
fn limits_become_quota_and_memory_and_stand_in_for_requests() {
    let mut scene = scene();
    let limits = amounts(&[("cpu", "500m"), ("memory", "64Mi")]);
    scene.own().resources = Resources {
        requests: limits.clone(),
        limits,
    };
    let resources = &scene.spec()["linux"]["resources"];
    assert_eq!(
        resources["cpu"],
        serde_json::json!({"shares": 512, "quota": 50000, "period": 100000})
    );
    assert_eq!(
        resources["memory"],
        serde_json::json!({"limit": 67108864, "swap": 67108864})
    );
    assert!(resources.get("unified").is_none(), "cgroup v1");

    scene.host.swap_limit = false;
    scene.host.cgroup_v2 = true;
    let resources = &scene.spec()["linux"]["resources"];
    assert_eq!(resources["memory"], serde_json::json!({"limit": 67108864}));
    assert_eq!(
        resources["unified"],
        serde_json::json!({"memory.oom.group": "1"})
    );
}

#[test]
fn every_huge_page_size_of_the_host_is_limited() {
    let mut scene = scene();
    scene.host.huge_page_sizes = vec!["1GB".to_owned(), "2MB".to_owned()];
    scene.own().resources.limits = amounts(&[("hugepages-2Mi", "4Mi"), ("memory", "1Gi")]);
    assert_eq!(
        scene.spec()["linux"]["resources"]["hugepageLimits"],
        serde_json::json!([{"pageSize": "1GB", "limit": 0}, {"pageSize": "2MB", "limit": 4194304}])
    );
    scene.host.huge_page_sizes.clear();
    assert!(
        scene.spec()["linux"]["resources"]
            .get("hugepageLimits")
            .is_none()
    );
    assert_eq!(scene.with(container_warnings).len(), 1);
}

#[test]
fn the_pods_cgroup_follows_its_class() {
    let uid = "0f6a1c2e-5b7d-4e8f-9a01-23456789abcd";
    let layout = CgroupLayout::default();
    let mut pod = pod();
    let best_effort = pod_cgroup(&pod, &layout);
    assert_eq!(best_effort.path, format!("/podshim/besteffort/pod{uid}"));
    assert_eq!(
        best_effort.qos_parent.as_deref(),
        Some("/podshim/besteffort")
    );
    assert_eq!((best_effort.cpu_shares, best_effort.cpu_weight), (2, 1));
    assert_eq!(
        (best_effort.cpu_quota_us, best_effort.memory_limit_bytes),
        (None, None)
    );

    let limits = amounts(&[("cpu", "500m"), ("memory", "64Mi")]);
    pod.containers[0].resources = Resources {
        requests: limits.clone(),
        limits,
    };
    let guaranteed = pod_cgroup(&pod, &layout);
    assert_eq!(guaranteed.path, format!("/podshim/pod{uid}"));
    assert_eq!(guaranteed.qos_parent, None);
    assert_eq!((guaranteed.cpu_shares, guaranteed.cpu_weight), (512, 59));
    assert_eq!(guaranteed.cpu_quota_us, Some(50_000));
    assert_eq!(guaranteed.memory_limit_bytes, Some(67_108_864));

    let mut second = pod.containers[0].clone();
    second.name = "d".to_owned();
    second.resources = Resources {
        requests: amounts(&[("cpu", "500m")]),
        limits: BTreeMap::new(),
    };
    pod.containers.push(second);
    let burstable = pod_cgroup(&pod, &layout);
    assert_eq!(burstable.path, format!("/podshim/burstable/pod{uid}"));
    assert_eq!(burstable.cpu_shares, 1024);
    assert_eq!(
        (burstable.cpu_quota_us, burstable.memory_limit_bytes),
        (None, None)
    );
}

#[test]
fn systemd_gets_slices_and_a_scope_that_no_other_pod_has() {
    let mut scene = scene();
    scene.host.cgroups.systemd = true;
    let slice = "podshim-besteffort-pod0f6a1c2e_5b7d_4e8f_9a01_23456789abcd.slice";
    assert_eq!(
        pod_cgroup(&scene.pod, &scene.host.cgroups).path,
        format!("/podshim.slice/podshim-besteffort.slice/{slice}")
    );
    assert_eq!(
        scene.spec()["linux"]["cgroupsPath"],
        format!("{slice}:podshim:0f6a1c2e-5b7d-4e8f-9a01-23456789abcd-c-0")
    );
}

// Names and files

#[test]
fn host_names_are_cut_overridden_and_qualified() {
    let host = host();
    let name = |change: &dyn Fn(&mut Pod)| {
        let mut pod = pod();
        change(&mut pod);
        kernel_hostname(&pod, &host).map_err(|e| e.to_string())
    };
    let long = format!("{}-.{}", "a".repeat(61), "b".repeat(40));
    assert_eq!(name(&|_| {}), Ok("p".to_owned()));
    assert_eq!(name(&|p| p.name = long.clone()), Ok("a".repeat(61)));
    assert_eq!(name(&|p| p.hostname = Some("h".into())), Ok("h".to_owned()));
    assert_eq!(
        name(&|p| p.hostname_override = Some("x".repeat(70))),
        Ok("x".repeat(63))
    );
    assert_eq!(name(&|p| p.host_network = true), Ok("machine".to_owned()));
    let qualified = |subdomain: &str| {
        let subdomain = Some(subdomain.to_owned());
        name(&move |p| {
            p.subdomain = subdomain.clone();
            p.set_hostname_as_fqdn = true;
        })
    };
    assert_eq!(
        qualified("s"),
        Ok("p.s.default.svc.cluster.local".to_owned())
    );
    assert!(qualified(&"s".repeat(40)).is_err_and(|e| e.ends_with("longer than 64 characters")));
}

#[test]
fn hosts_files_are_the_kubelets_byte_for_byte() {
    let mut pod = pod();
    let fixed = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n\
        fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n";
    assert_eq!(
        hosts_file(&pod, &host(), &[], &[]),
        format!("{fixed}127.0.0.1\tp\n")
    );
    pod.hostname = Some("h".to_owned());
    pod.subdomain = Some("s".to_owned());
    pod.host_aliases = vec![HostAlias {
        ip: "203.0.113.1".to_owned(),
        hostnames: vec!["one".to_owned(), "two".to_owned()],
    }];
    let aliases = "\n# Entries added by HostAliases.\n203.0.113.1\tone\ttwo\n";
    let ips = ["10.0.0.2".to_owned(), "fd00::2".to_owned()];
    let full = "h.s.default.svc.cluster.local\th";
    assert_eq!(
        hosts_file(&pod, &host(), &ips, &[]),
        format!("{fixed}10.0.0.2\t{full}\nfd00::2\t{full}\n{aliases}")
    );
    assert_eq!(hostname_file(&pod, &host()).expect("short enough"), "h\n");
    pod.host_network = true;
    assert_eq!(
        hosts_file(&pod, &host(), &ips, &[]),
        format!(
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1\tlocalhost\n192.0.2.7\tmachine\n{aliases}"
        )
    );
}

#[test]
fn resolver_files_take_the_hosts_and_add_the_pods() {
    let mut pod = pod();
    assert_eq!(
        resolv_conf(&pod, &host()).text,
        "search example.com corp.example\nnameserver 192.0.2.53\nnameserver 192.0.2.54\noptions ndots:3 rotate\n"
    );
    pod.dns_config = DnsConfig {
        nameservers: vec!["9.9.9.9".to_owned(), "192.0.2.53".to_owned()],
        searches: vec!["a.b".to_owned()],
        options: vec![
            ("ndots".to_owned(), Some("2".to_owned())),
            ("edns0".to_owned(), None),
        ],
    };
    assert_eq!(
        resolv_conf(&pod, &host()).text,
        "search example.com corp.example a.b\nnameserver 192.0.2.53\nnameserver 192.0.2.54\nnameserver 9.9.9.9\n\
         options ndots:2 rotate edns0\n"
    );
    pod.dns_policy = DnsPolicy::None;
    pod.dns_config.nameservers.truncate(1);
    let made = resolv_conf(&pod, &host());
    assert_eq!(
        made.text,
        "search a.b\nnameserver 9.9.9.9\noptions ndots:2 edns0\n"
    );
    assert_eq!(made.warnings, [""; 0]);
}

#[test]
fn what_resolvers_do_not_take_is_cut_and_said() {
    let mut pod = pod();
    pod.dns_policy = DnsPolicy::None;
    pod.dns_config.nameservers = (1..=4).map(|n| format!("192.0.2.{n}")).collect();
    pod.dns_config.searches = vec!["x".repeat(254)];
    pod.dns_config
        .searches
        .extend((0..40).map(|n| format!("{n:0>100}")));
    let made = resolv_conf(&pod, &host());
    let search = made.text.lines().next().expect("a search line");
    assert_eq!(
        search.split(' ').count() - 1,
        20,
        "20 × 101 - 1 is the most that fits in 2048"
    );
    assert_eq!(made.text.matches("nameserver").count(), 3);
    assert_eq!(made.warnings.len(), 4, "{:?}", made.warnings);
}

#[test]
fn sysctls_are_safe_chosen_or_forbidden() {
    let ask = |name: &str, kernel, extra: &[&str], change: &dyn Fn(&mut Pod)| {
        let mut pod = pod();
        pod.security.sysctls = vec![(name.to_owned(), "1".to_owned())];
        change(&mut pod);
        let extra: Vec<String> = extra.iter().map(|e| (*e).to_owned()).collect();
        forbidden_sysctl(&pod, kernel, &extra)
    };
    let new = (6, 18);
    let plain: &dyn Fn(&mut Pod) = &|_| {};
    assert_eq!(
        ask("net.ipv4.ip_unprivileged_port_start", new, &[], plain),
        None
    );
    assert_eq!(
        ask("kernel.msgmax", new, &[], plain).as_deref(),
        Some("Pod was rejected: forbidden sysctl: \"kernel.msgmax\" not allowlisted")
    );
    assert_eq!(ask("kernel.msgmax", new, &["kernel.msg*"], plain), None);
    assert_eq!(
        ask("net.core.somaxconn", new, &["net.core.somaxconn"], plain),
        None
    );
    assert!(
        ask("kernel.panic", new, &["kernel.*"], plain).is_some(),
        "belongs to the whole machine"
    );
    assert!(ask("net.ipv4.tcp_rmem", (4, 14), &[], plain).is_some());
    assert_eq!(ask("net.ipv4.tcp_rmem", (4, 15), &[], plain), None);
    let host_net: &dyn Fn(&mut Pod) = &|p| p.host_network = true;
    assert!(ask("net.ipv4.tcp_syncookies", new, &[], host_net).is_some());
    let host_ipc: &dyn Fn(&mut Pod) = &|p| p.host_ipc = true;
    assert!(ask("kernel.shm_rmid_forced", new, &[], host_ipc).is_some());
}

// Image

#[test]
fn image_volumes_are_those_without_a_pod_mount() {
    let mut pod = pod();
    let image = ImageConfig {
        volumes: ["/data/", "/logs", "/logs", "/", "/x/../y"]
            .map(str::to_owned)
            .to_vec(),
        ..ImageConfig::default()
    };
    pod.containers[0].mounts = vec![VolumeMount {
        volume: "v".to_owned(),
        path: "/data".to_owned(),
        sub_path: None,
        read_only: false,
        propagation: Propagation::None,
        recursive_read_only: RecursiveReadOnly::Disabled,
        options: Vec::new(),
    }];
    assert_eq!(image_volumes(&pod.containers[0], &image), ["/logs", "/y"]);
}

#[test]
fn the_stop_signal_is_the_containers_then_the_images_then_term() {
    let signal = |text: &str| text.parse().expect("a signal");
    let mut container = pod().containers.remove(0);
    let mut image = ImageConfig::default();
    assert_eq!(effective_stop_signal(&container, &image), signal("TERM"));
    image.stop_signal = "nonsense".to_owned();
    assert_eq!(effective_stop_signal(&container, &image), signal("TERM"));
    image.stop_signal = "SIGQUIT".to_owned();
    assert_eq!(effective_stop_signal(&container, &image), signal("QUIT"));
    container.stop_signal = Some(signal("INT"));
    assert_eq!(effective_stop_signal(&container, &image), signal("INT"));
}

// Confinement

#[test]
fn a_profile_that_cannot_be_given_is_an_error() {
    let mut scene = scene();
    scene.own().security.seccomp = Some(Profile::Localhost("a.json".to_owned()));
    assert_eq!(
        scene.error().to_string(),
        "cannot apply seccomp profile `a.json`: there is no such file"
    );
    scene.own().security.seccomp = Some(Profile::RuntimeDefault);
    scene.host.seccomp = false;
    assert_eq!(
        scene.error().to_string(),
        "cannot apply seccomp profile `RuntimeDefault`: the kernel has no seccomp filters"
    );
    scene.own().security.seccomp = None;
    scene.own().security.apparmor = Some(Profile::RuntimeDefault);
    assert_eq!(
        scene.error().to_string(),
        "cannot apply AppArmor profile `RuntimeDefault`: the host does not have AppArmor"
    );
    assert_eq!(scene.error().reason(), Reason::CreateContainerError);
}

#[test]
fn apparmor_goes_field_annotation_pod_default() {
    let mut scene = scene();
    scene.host.apparmor = true;
    scene.apparmor = Some("podshim-default");
    let profile = |scene: &Scene| {
        scene.spec()["process"]["apparmorProfile"]
            .as_str()
            .map(str::to_owned)
    };
    let some = |name: &str| Some(name.to_owned());
    assert_eq!(profile(&scene), some("podshim-default"));
    scene.pod.security.apparmor = Some(Profile::Localhost("pod".to_owned()));
    assert_eq!(profile(&scene), some("pod"));
    let key = "container.apparmor.security.beta.kubernetes.io/c".to_owned();
    scene
        .pod
        .annotations
        .insert(key, "localhost/old".to_owned());
    assert_eq!(profile(&scene), some("old"));
    scene.own().security.apparmor = Some(Profile::Unconfined);
    assert_eq!(profile(&scene), None);
    scene.own().security.apparmor = Some(Profile::RuntimeDefault);
    scene.own().security.privileged = true;
    assert_eq!(profile(&scene), None);
}

#[test]
fn selinux_options_of_the_container_replace_the_pods() {
    let mut scene = scene();
    let options = |kind: &str, level: &str| {
        Some(SeLinux {
            kind: kind.to_owned(),
            level: level.to_owned(),
            ..SeLinux::default()
        })
    };
    scene.pod.security.selinux = options("pod_t", "s0:c1");
    scene.own().security.selinux = options("", "s0:c2");
    assert!(
        scene.spec()["process"].get("selinuxLabel").is_none(),
        "not enforced here"
    );
    scene.host.selinux = true;
    let spec = scene.spec();
    assert_eq!(
        spec["process"]["selinuxLabel"],
        "system_u:system_r:container_t:s0:c2"
    );
    assert_eq!(
        spec["linux"]["mountLabel"],
        "system_u:object_r:container_file_t:s0:c2"
    );
}

#[test]
fn something_is_mounted_on_each_mount_point_of_every_container() {
    let spec = scene().spec();
    let mounts = spec["mounts"].as_array().expect("mounts");
    let is_used = |name: &str, below: bool| {
        mounts.iter().any(|mount| {
            let rest = mount["destination"]
                .as_str()
                .and_then(|path| path[1..].strip_prefix(name));
            rest.is_some_and(|rest| rest.is_empty() || (below && rest.starts_with('/')))
        })
    };
    let MountPoints { directories, files } = MOUNT_POINTS;
    assert!(
        directories.iter().all(|name| is_used(name, true)),
        "{mounts:#?}"
    );
    assert!(files.iter().all(|name| is_used(name, false)), "{mounts:#?}");
}

#[test]
fn a_mount_over_dev_takes_its_defaults_away_and_image_volumes_never_replace_ours() {
    let mut scene = scene();
    scene.own().mounts = vec![VolumeMount {
        volume: "v".to_owned(),
        path: "/dev/".to_owned(),
        sub_path: None,
        read_only: false,
        propagation: Propagation::Bidirectional,
        recursive_read_only: RecursiveReadOnly::Disabled,
        options: Vec::new(),
    }];
    assert_eq!(
        scene.error().to_string(),
        "cannot mount volume `v`: it is not set up"
    );
    let paths = PodPaths {
        volumes: BTreeMap::from([("v".to_owned(), "/src".into())]),
        ..PodPaths::default()
    };
    let hostile = BTreeMap::from([
        ("/proc".to_owned(), "/x".into()),
        ("/etc/hosts".to_owned(), "/x".into()),
    ]);
    let spec = scene.with(|input| {
        container_spec(&ContainerInput {
            paths: &paths,
            image_volumes: &hostile,
            ..*input
        })
        .expect("valid")
    });
    let mounts: Vec<(String, bool)> = spec
        .mounts()
        .iter()
        .flatten()
        .map(|m| {
            (
                m.destination().display().to_string(),
                m.source().as_deref() == Some(Path::new("/x")),
            )
        })
        .collect();
    assert!(
        mounts.iter().all(|(_, is_hostile)| !is_hostile),
        "{mounts:?}"
    );
    let below_dev: Vec<&str> = mounts
        .iter()
        .map(|(d, _)| d.as_str())
        .filter(|d| d.starts_with("/dev"))
        .collect();
    assert_eq!(below_dev, ["/dev", "/dev/shm", "/dev/termination-log"]);
    let propagation = spec
        .linux()
        .as_ref()
        .and_then(|l| l.rootfs_propagation().as_deref());
    assert_eq!(propagation, Some("rshared"));
}

#[test]
fn recursive_read_only_is_demanded_or_wished_for() {
    let mut scene = scene();
    scene.own().mounts = vec![VolumeMount {
        volume: "v".to_owned(),
        path: "/v".to_owned(),
        sub_path: None,
        read_only: true,
        propagation: Propagation::None,
        recursive_read_only: RecursiveReadOnly::Enabled,
        options: Vec::new(),
    }];
    let paths = PodPaths {
        volumes: BTreeMap::from([("v".to_owned(), "/src".into())]),
        ..PodPaths::default()
    };
    let build = |runtime_rro| {
        scene.with(|input| {
            container_spec(&ContainerInput {
                paths: &paths,
                runtime_rro,
                ..*input
            })
        })
    };
    let error = build(false).expect_err("the runtime cannot");
    assert_eq!(error.reason(), Reason::CreateContainerConfigError);
    let spec = build(true).expect("the runtime can");
    let mounts = spec.mounts().iter().flatten();
    let options: Vec<_> = mounts
        .filter(|m| m.destination() == Path::new("/v"))
        .flat_map(|m| m.options().clone().unwrap_or_default())
        .collect();
    assert_eq!(options, ["rbind", "rprivate", "rro"]);
}

#[test]
fn pause_takes_the_pods_sysctls_and_a_prepared_network() {
    let mut pod = pod();
    let set = ("net.ipv4.ip_unprivileged_port_start", "1000");
    pod.security.sysctls = vec![(set.0.to_owned(), set.1.to_owned())];
    let spec = pause_spec(&PauseInput {
        pod: &pod,
        instance: &InstanceId("pause-0".to_owned()),
        attempt: 0,
        host: &host(),
        netns: Some(Path::new("/run/netns/x")),
        seccomp_default: SandboxKind::Runtime.seccomp(),
        apparmor_default: None,
    })
    .expect("valid");
    let value: serde_json::Value = serde_json::from_slice(&to_json(&spec)).expect("reads back");
    assert_eq!(
        value["linux"]["sysctl"],
        serde_json::json!({set.0: set.1, "net.ipv4.ping_group_range": "0 2147483647"})
    );
    assert_eq!(
        value["linux"]["namespaces"][0],
        serde_json::json!({"type": "network", "path": "/run/netns/x"})
    );
}

// Hostile text

proptest::proptest! {
    #[test]
    fn users_of_any_text_are_read_or_refused(user in ".*", passwd in "([a-z0-9:,]|\\PC|\n)*", group in "([a-z0-9:,]|\n)*") {
        let mut scene = scene();
        scene.image.user = user;
        scene.users = UserFiles { passwd: Some(passwd), group: Some(group) };
        let _ = scene.with(container_spec);
    }

    #[test]
    fn resolver_files_of_any_text_stay_within_their_limits(text in "((nameserver|search|options|#) ?[a-z.: ]{0,300}\n|.)*") {
        let mut host = host();
        host.resolv_conf = text;
        let made = resolv_conf(&pod(), &host).text;
        proptest::prop_assert!(made.lines().filter(|l| l.starts_with("nameserver ")).count() <= 3);
        proptest::prop_assert!(made.lines().next().is_none_or(|l| !l.starts_with("search ") || l.len() <= 7 + 2048));
    }

    #[test]
    fn host_names_of_any_text_fit_the_kernel(name in "\\PC{0,90}", over in proptest::option::of("\\PC{0,90}")) {
        let mut pod = pod();
        pod.name = name;
        pod.hostname_override = over;
        let made = kernel_hostname(&pod, &host()).expect("no domain, so never too long");
        proptest::prop_assert!(made.len() <= 63);
    }
}
