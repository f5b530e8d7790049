//! Limits, quality of service, and what happens when memory ends.

use crate::support::{Pod, cgroups_of, on_each_runtime, pod, proc_file, sh, status_field, with};
use serde_json::json;
use std::fs;

/// A control file of an instance (or, with an empty id, of the pod), from whichever hierarchy has it: the v1 name, or the v2 one.
fn control(pod: &Pod, instance: &str, names: &[&str]) -> String {
    let candidates = cgroups_of(&pod.uid).into_iter().flat_map(|directory| {
        let directory = directory.join(instance);
        names
            .iter()
            .map(move |name| directory.join(name))
            .collect::<Vec<_>>()
    });
    let mut found = candidates.filter_map(|path| fs::read_to_string(path).ok());
    found
        .next()
        .unwrap_or_else(|| panic!("no {names:?} of {instance}"))
        .trim()
        .to_owned()
}

/// What the kernel lets us set: without CAP_SYS_RESOURCE nothing goes below our own value.
fn clamped(adj: i64) -> i64 {
    let bounding = u64::from_str_radix(&status_field(own_pid(), "CapEff"), 16).expect("a mask");
    let own: i64 = proc_file(own_pid(), "oom_score_adj")
        .trim()
        .parse()
        .expect("a number");
    if bounding & (1 << 24) != 0 {
        adj
    } else {
        adj.max(own)
    }
}

fn own_pid() -> i32 {
    i32::try_from(std::process::id()).expect("a process id")
}

fn oom_score_adj(pid: i32) -> i64 {
    proc_file(pid, "oom_score_adj")
        .trim()
        .parse()
        .expect("a number")
}

#[test]
fn c09_limits_alone_make_a_pod_guaranteed() {
    on_each_runtime(|host| {
        let limits = json!({"resources": {"limits": {"cpu": "500m", "memory": "64Mi"}}});
        let pod = host.start(&pod(
            json!({"containers": [with(sh("c", "sleep 1000"), limits)]}),
        ));
        let json = pod.until_running();
        assert_eq!(json["status"]["qosClass"], "Guaranteed");
        assert_eq!(
            json["spec"]["containers"][0]["resources"]["requests"],
            json!({"cpu": "500m", "memory": "64Mi"})
        );
        assert_eq!(oom_score_adj(pod.pid("c")), clamped(-997));
        let instance = pod.instance("c");
        let shares = control(&pod, &instance, &["cpu.shares", "cpu.weight"]);
        assert!(["512", "20", "59"].contains(&shares.as_str()), "{shares}");
        let quota = control(&pod, &instance, &["cpu.cfs_quota_us", "cpu.max"]);
        assert!(
            ["50000", "50000 100000"].contains(&quota.as_str()),
            "{quota}"
        );
        assert_eq!(
            control(&pod, &instance, &["memory.limit_in_bytes", "memory.max"]),
            "67108864"
        );
        let pod_limit = control(&pod, "", &["memory.limit_in_bytes", "memory.max"]);
        assert_eq!(pod_limit, "67108864", "the pod's own cgroup is limited too");
    });
}

#[test]
fn c10_quality_of_service_decides_who_dies_first() {
    on_each_runtime(|host| {
        let meminfo = fs::read_to_string("/proc/meminfo").expect("meminfo");
        let total = meminfo
            .lines()
            .find_map(|line| line.strip_prefix("MemTotal:"))
            .expect("MemTotal");
        let kib: u64 = total
            .trim()
            .trim_end_matches(" kB")
            .parse()
            .expect("a number");
        let requests = json!({"resources": {"requests": {"memory": format!("{}Ki", kib / 10)}}});
        let burstable = host.start(&pod(json!({"containers": [
            with(sh("c", "sleep 1000"), requests), sh("d", "sleep 1000"),
        ]})));
        assert_eq!(burstable.until_running()["status"]["qosClass"], "Burstable");
        let adj = oom_score_adj(burstable.pid("c"));
        assert!((899..=901).contains(&adj), "{adj}");
        assert_eq!(oom_score_adj(burstable.pid("d")), 999);
        assert_eq!(oom_score_adj(burstable.pause()), clamped(-998));
        let limit = control(&burstable, "", &["memory.limit_in_bytes", "memory.max"]);
        assert!(
            limit == "max" || limit.parse::<u64>().expect("a number") > 1 << 60,
            "{limit}"
        );

        let manifest = with(
            pod(json!({"containers": [sh("c", "sleep 1000")]})),
            json!({"metadata": {"name": "q"}}),
        );
        let best_effort = host.start(&manifest);
        assert_eq!(
            best_effort.until_running()["status"]["qosClass"],
            "BestEffort"
        );
        assert_eq!(oom_score_adj(best_effort.pid("c")), 1000);
        assert_eq!(oom_score_adj(best_effort.pause()), clamped(-998));
        let shares = control(
            &best_effort,
            &best_effort.instance("c"),
            &["cpu.shares", "cpu.weight"],
        );
        assert!(["2", "1"].contains(&shares.as_str()), "{shares}");
    });
}

#[test]
fn c36_a_container_that_runs_out_of_memory_says_so() {
    on_each_runtime(|host| {
        // Where the kernel kills only the child (cgroup v1), the shell passes its code on.
        let script = "dd if=/dev/zero of=/dev/null bs=64M count=1; exit $?";
        let limits = json!({"resources": {"limits": {"memory": "32Mi"}}});
        let pod = host.start(&pod(json!({"containers": [with(sh("c", script), limits)]})));
        let terminated = pod.until_terminated("c");
        assert_eq!(
            (&terminated["reason"], &terminated["exitCode"]),
            (&json!("OOMKilled"), &json!(137))
        );
        assert_eq!(pod.until_phase("Failed")["status"]["phase"], "Failed");
    });
}
