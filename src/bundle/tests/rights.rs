//! Users and profiles.

use super::*;

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
