//! Pods that take more of the disk than they may.

use crate::clock::{Clock, Life};
use crate::pods::{apps, empty_dir, pod};
use crate::scenarios::FOREVER;
use podshim::manifest::{Container, Pod, RestartPolicy};
use podshim::pod::{DiskUse, Input, Known, Phase, explain};

const MI: u64 = 1 << 20;

fn with_limit(mut containers: Vec<Container>, limit: &str) -> Pod {
    let limit = limit.parse().expect("a quantity");
    let storage = "ephemeral-storage".to_owned();
    containers[0].resources.limits.insert(storage, limit);
    pod(containers)
}

fn events(clock: &Clock) -> Vec<String> {
    let view = clock.view();
    vec![format!("{} {}", view.reason, view.message)]
}

#[test]
fn a_volume_over_its_limit_ends_the_pod_within_its_own_grace() {
    let mut pod = pod(apps(&["a", "b"]));
    pod.restart_policy = RestartPolicy::Always;
    pod.volumes = vec![empty_dir("free", None), empty_dir("d", Some(MI))];
    // One obeys, the other ignores its signal: it gets the two seconds that everybody gets.
    let mut clock = Clock::start(&pod, &[("a", &[Life::obeys(500)]), ("b", &[FOREVER])]);
    clock.disk = vec![
        (0, "free".into(), 100 * MI),
        (0, "d".into(), MI),
        (25_000, "d".into(), MI + 1),
    ];
    clock.pass(29);
    assert_eq!(clock.times("measure"), [10_000, 20_000]);
    assert_eq!(clock.view().phase, Phase::Running);
    clock.pass(1);
    let view = clock.view();
    assert_eq!(
        (view.phase, view.reason.as_str()),
        (Phase::Failed, "Evicted")
    );
    let message = "Usage of EmptyDir volume \"d\" exceeds the limit \"1048576\".";
    assert_eq!(view.message, message);
    clock.pass(60);
    assert_eq!(clock.times("term"), [30_000, 30_000]);
    assert_eq!(clock.times("kill"), [32_000]);
    assert!(clock.view().settled);
    assert_eq!(clock.times("measure"), [10_000, 20_000, 30_000]);
    // It has failed for good, whatever its restart policy.
    assert_eq!(clock.times("start a"), [0]);

    let known = Known {
        pod: &pod,
        settings: &podshim::pod::Settings::default(),
        state: clock.machine.state(),
        now: podshim::base::Now::default(),
        events: &[],
        restarts: &[],
    };
    let why = &explain(known)[0];
    assert_eq!(why.state, "Failed Evicted");
    let because = format!("{:?}", why.because);
    assert!(because.contains("exceeds the limit"), "{because}");
    assert!(
        because.contains("Evicted: Failed, whatever the exit codes"),
        "{because}"
    );
}

#[test]
fn a_pod_without_limits_is_never_measured() {
    let mut pod = pod(apps(&["a"]));
    pod.volumes = vec![empty_dir("d", None)];
    let mut clock = Clock::start(&pod, &[("a", &[Life::obeys(0)])]);
    clock.pass(1000);
    assert_eq!(clock.times("measure"), [] as [u64; 0]);
    assert_eq!(clock.machine.next_deadline(), None);
}

#[test]
fn a_container_over_its_limit_ends_the_pod() {
    let mut pod = with_limit(apps(&["a", "b"]), "1Mi");
    pod.volumes = vec![empty_dir("d", None)];
    let mut clock = Clock::start(&pod, &[("a", &[Life::obeys(0)]), ("b", &[Life::obeys(0)])]);
    // All count for the pod's own limit, which is the sum of those of its containers.
    clock.disk = vec![(0, "d".into(), MI / 2), (0, "b".into(), MI / 2)];
    clock.pass(15);
    assert_eq!(clock.view().phase, Phase::Running);
    clock.disk.push((0, "a".into(), 1));
    clock.pass(10);
    let all =
        "Evicted Pod ephemeral local storage usage exceeds the total limit of containers 1Mi.";
    assert_eq!(events(&clock), [all]);

    let mut both = with_limit(apps(&["a", "b"]), "1Mi");
    let more = "10Mi".parse().expect("a quantity");
    both.containers[1]
        .resources
        .limits
        .insert("ephemeral-storage".into(), more);
    let mut clock = Clock::start(&both, &[("a", &[Life::obeys(0)]), ("b", &[Life::obeys(0)])]);
    clock.disk = vec![(0, "a".into(), 2 * MI)];
    clock.pass(15);
    let own = "Evicted Container a exceeded its local ephemeral storage limit \"1Mi\".";
    assert_eq!(events(&clock), [own]);
}

#[test]
fn a_pod_that_is_stopped_is_not_evicted_and_one_that_is_evicted_can_be_stopped() {
    let mut pod = pod(apps(&["a"]));
    pod.volumes = vec![empty_dir("d", Some(MI))];
    let mut clock = Clock::start(&pod, &[("a", &[FOREVER])]);
    clock.disk = vec![(0, "d".into(), 2 * MI)];
    clock.pass(5).stop(None, false).pass(10);
    assert_eq!(clock.view().reason, "");
    assert_eq!(clock.times("measure"), [] as [u64; 0]);

    let mut clock = Clock::start(&pod, &[("a", &[FOREVER])]);
    clock.disk = vec![(0, "d".into(), 2 * MI)];
    clock.pass(10).stop(None, true).pass(1);
    assert_eq!(clock.view().reason, "Evicted");
    assert_eq!(clock.times("kill"), [10_000]);
}

#[test]
fn a_measurement_that_ends_after_a_stop_takes_no_grace_away() {
    let mut pod = pod(apps(&["a"]));
    pod.volumes = vec![empty_dir("d", Some(MI))];
    let mut clock = Clock::start(&pod, &[("a", &[FOREVER])]);
    clock.pass(5).stop(Some(30), false).pass(1);
    clock.hear(Input::Measured {
        used: DiskUse {
            volumes: [("d".to_owned(), 2 * MI)].into(),
            ..DiskUse::default()
        },
        problem: None,
    });
    clock.pass(40);
    assert_eq!(clock.view().reason, "");
    assert_eq!(clock.times("kill"), [35_000]);
}

#[test]
fn a_new_supervisor_measures_again() {
    let mut pod = pod(apps(&["a"]));
    pod.volumes = vec![empty_dir("d", Some(MI))];
    let mut clock = Clock::start(&pod, &[("a", &[Life::obeys(0)])]);
    clock.pass(15).crash();
    clock.disk = vec![(0, "d".into(), 2 * MI)];
    clock.pass(10);
    assert_eq!(clock.view().reason, "Evicted");
}
