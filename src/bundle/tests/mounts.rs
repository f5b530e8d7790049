//! What is mounted, and what gives way.

use super::*;

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
