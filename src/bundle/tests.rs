//! Rules that need a whole pod: tables of cases over one fixture.

mod environment;
mod mounts;
mod names;
mod resources;
mod rights;

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
