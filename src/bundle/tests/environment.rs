//! What a process finds in its environment.

use super::*;

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
