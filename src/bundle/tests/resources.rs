//! Shares, limits and cgroups.

use super::*;

fn amounts(pairs: &[(&str, &str)]) -> BTreeMap<String, Quantity> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, amount)| ((*name).to_owned(), amount.parse().expect("a quantity")))
        .collect()
}

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
