//! Scenarios of stops, graces and deadlines (C32, C33).

use crate::clock::{Clock, Life};
use crate::pods::{apps, container, pod, probe};
use crate::scenarios::FOREVER;
use podshim::manifest::{Handler, ProbeKind, RestartPolicy::Always, Role};
use podshim::pod::{FailureReason, Phase, exit_code, status_column};

#[test]
fn c32_a_process_that_ignores_the_stop_signal_gets_the_full_grace() {
    let mut clock = Clock::start(&pod(apps(&["a"])), &[("a", &[FOREVER])]);
    clock.pass(10).stop(Some(3), false);
    assert_eq!(status_column(&clock.view()), "Terminating");
    clock.pass(10);
    assert_eq!(clock.times("term a"), [10_000]);
    assert_eq!(clock.times("kill a"), [13_000]);
    assert_eq!(clock.state("a"), "Error 137");
    assert_eq!(
        (clock.view().phase, exit_code(&clock.view())),
        (Phase::Failed, 137)
    );
    let mut clock = Clock::start(&pod(apps(&["a"])), &[("a", &[Life::obeys(0)])]);
    clock.pass(10).stop(Some(3), false).pass(0);
    assert_eq!(clock.state("a"), "Error 143");
}

#[test]
fn a_grace_of_zero_still_gives_two_seconds_and_force_gives_none() {
    for (grace, force, kill) in [(0, false, 12_000), (1, false, 12_000), (30, true, 10_000)] {
        let mut clock = Clock::start(&pod(apps(&["a"])), &[("a", &[FOREVER])]);
        clock.pass(10).stop(Some(grace), force).pass(60);
        assert_eq!(clock.times("kill a"), [kill], "grace {grace} force {force}");
        assert_eq!(clock.times("term a").is_empty(), force);
    }
}

#[test]
fn a_second_stop_can_only_shorten_the_grace() {
    for (second, force, kill) in [
        (5, false, 20_000),
        (0, false, 17_000),
        (100, false, 40_000),
        (100, true, 15_000),
    ] {
        let mut clock = Clock::start(&pod(apps(&["a"])), &[("a", &[FOREVER])]);
        clock
            .pass(10)
            .stop(None, false)
            .pass(5)
            .stop(Some(second), force)
            .pass(60);
        assert_eq!(clock.times("kill a"), [kill], "second stop with {second}");
        assert_eq!(clock.times("term a"), [10_000], "one signal");
    }
}

#[test]
fn a_stop_that_its_supervisor_did_not_live_to_finish_begins_again_with_the_whole_grace() {
    let mut pod = pod(apps(&["a"]));
    pod.containers[0].lifecycle.pre_stop = Some(Handler::Sleep(4));
    for (grace, dead_for, kill) in [(20, 1, 32_000), (20, 300, 331_000), (2, 30, 45_000)] {
        let mut clock = Clock::start(&pod, &[("a", &[FOREVER])]);
        clock.pass(10).stop(Some(grace), false).pass(1);
        clock.now += dead_for * 1000;
        let revived = clock.crash().now;
        clock.pass(60);
        assert_eq!(clock.times("hook PreStop"), [10_000, revived]);
        let term = revived + grace.min(4) * 1000;
        assert_eq!(clock.times("term a").last(), Some(&term), "{grace}");
        assert_eq!(clock.times("kill a"), [kill], "{grace}");
    }
}

#[test]
fn a_container_that_is_condemned_gets_its_whole_grace_from_the_next_supervisor() {
    let mut pod = pod(apps(&["a"]));
    pod.restart_policy = Always;
    pod.termination_grace_period_seconds = 20;
    pod.containers[0].lifecycle.liveness = Some(probe(1));
    let mut clock = Clock::start(&pod, &[("a", &[FOREVER])]);
    let asked = ("a".to_owned(), ProbeKind::Liveness);
    clock.health.insert(asked, vec![(5_000, false)]);
    clock.pass(8);
    let term = clock.times("term a-0");
    assert_eq!(term.len(), 1, "condemned");
    clock.now += 100_000;
    clock.crash().pass(15);
    assert_eq!(clock.times("term a-0"), [term[0], 108_000]);
    clock.pass(10);
    assert_eq!(clock.times("kill a-0"), [128_000]);
}

#[test]
fn a_container_that_had_ended_before_its_sandbox_was_lost_keeps_that_end() {
    let mut pod = pod(apps(&["a"]));
    pod.restart_policy = Always;
    let mut clock = Clock::start(&pod, &[("a", &[Life::ends(5, 3)])]);
    // The second time it waits.
    clock.pass(12);
    let never = vec![FailureReason::Other; 9].into();
    clock.failing.insert("pause".to_owned(), never);
    clock.shoot("pause-0").pass(1).stop(None, false).pass(60);
    assert_eq!(clock.times("start a"), [0, 5000]);
    assert_eq!(clock.state("a"), "Error 3");
}

#[test]
fn c33_the_deadline_fails_the_pod_at_once_and_kills_with_grace() {
    let mut pod = pod(vec![container("i", Role::Init), container("a", Role::App)]);
    pod.restart_policy = Always;
    pod.active_deadline_seconds = Some(3);
    pod.termination_grace_period_seconds = 4;
    let mut clock = Clock::start(&pod, &[("i", &[Life::ends(2, 0)]), ("a", &[FOREVER])]);
    clock.pass(3);
    let view = clock.view();
    assert_eq!(
        (view.phase, view.reason.as_str()),
        (Phase::Failed, "DeadlineExceeded")
    );
    assert_eq!(
        view.message,
        "Pod was active on the node longer than the specified deadline"
    );
    assert!(!view.settled);
    clock.pass(10);
    assert_eq!(clock.times("kill a"), [7000]);
    assert!(clock.view().settled);
}

#[test]
fn a_longer_second_stop_gives_a_waiting_sidecar_no_longer_grace() {
    let pod = pod(vec![
        container("s", Role::Sidecar),
        container("a", Role::App),
    ]);
    let mut clock = Clock::start(&pod, &[("s", &[FOREVER]), ("a", &[FOREVER])]);
    clock.pass(10).stop(Some(5), false);
    clock.pass(1).stop(Some(100), false).pass(20);
    assert_eq!(clock.times("term s"), [15_000]);
}

#[test]
fn a_clock_on_the_wall_that_jumps_changes_no_timer() {
    // An hour, a decade and back, at moments that are not those of the pod.
    fn jumping(mono: u64) -> u64 {
        const HOUR: u64 = 3_600_000;
        match (mono / 7_777) % 4 {
            0 => 1_700_000_000_000 + mono,
            1 => 1_700_000_000_000 + mono - HOUR,
            2 => 1_700_000_000_000 + mono + 10 * 365 * 24 * HOUR,
            _ => mono,
        }
    }
    let mut pod = pod(apps(&["crashes", "stays"]));
    pod.restart_policy = Always;
    pod.active_deadline_seconds = Some(5000);
    let lives = [
        (
            "crashes",
            &[Life::ends(3, 1), Life::ends(700, 1), Life::ends(1, 1)][..],
        ),
        ("stays", &[FOREVER][..]),
    ];
    let live = |wall: fn(u64) -> u64| {
        let mut clock = Clock::new(&pod, &lives);
        clock.wall = wall;
        clock.begin();
        clock.pass(400).crash().pass(1500).crash().pass(4000);
        assert!(clock.view().settled);
        clock.log
    };
    let (steady, jumped) = (live(|mono| 1_700_000_000_000 + mono), live(jumping));
    assert!(steady.len() > 30, "{steady:?}");
    assert_eq!(steady, jumped);
}
