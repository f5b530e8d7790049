//! Scenarios of probes, hooks and restart rules (C25, C27, C29 - C31, C34).

use crate::clock::{Clock, Life};
use crate::pods::{apps, container, pod, probe};
use crate::scenarios::FOREVER;
use podshim::manifest::ProbeKind::{Liveness, Readiness, Startup};
use podshim::manifest::RestartPolicy::{Always, Never};
use podshim::manifest::{Handler, HookKind, ProbeKind, RestartAction, RestartRule, Role};
use podshim::pod::{ContainerState, Phase, status_column};

/// From which second on a probe says what.
fn says(clock: &mut Clock, name: &str, kind: ProbeKind, answers: &[(u64, bool)]) {
    let answers = answers.iter().map(|(at, good)| (at * 1000, *good));
    clock.health.insert((name.into(), kind), answers.collect());
}

#[test]
fn c25_a_sidecar_that_has_not_started_up_holds_the_rest_back() {
    let mut pod = pod(vec![
        container("s", Role::Sidecar),
        container("i", Role::Init),
        container("a", Role::App),
    ]);
    pod.containers[0].lifecycle.startup = Some(probe(30));
    let lives: &[(&str, &[Life])] = &[
        ("s", &[Life::obeys(0)]),
        ("i", &[Life::ends(1, 0)]),
        ("a", &[Life::ends(5, 0)]),
    ];
    let mut clock = Clock::new(&pod, lives);
    says(&mut clock, "s", Startup, &[(0, false), (3, true)]);
    clock.begin().pass(2);
    assert_eq!(clock.times("create i"), [0; 0]);
    assert_eq!(
        (clock.view().phase, status_column(&clock.view()).as_str()),
        (Phase::Pending, "Init:0/2")
    );
    clock.pass(20);
    assert_eq!(
        (clock.times("create i"), clock.times("create a")),
        (vec![3000], vec![4000])
    );
    assert_eq!(clock.times("term s"), [9000]);
    assert_eq!(clock.view().phase, Phase::Succeeded);
}

#[test]
fn a_sidecar_that_does_not_start_up_is_replaced_in_a_pod_that_never_restarts() {
    let mut pod = pod(vec![
        container("s", Role::Sidecar),
        container("a", Role::App),
    ]);
    pod.containers[0].lifecycle.startup = Some(probe(3));
    let mut clock = Clock::new(&pod, &[("s", &[Life::obeys(0)])]);
    says(&mut clock, "s", Startup, &[(0, false), (5, true)]);
    clock.begin().pass(20);
    assert_eq!(clock.times("start s"), [0, 2000, 14_000]);
    assert_eq!(clock.times("create a"), [14_000]);
}

#[test]
fn c29_a_container_that_fails_its_liveness_probe_is_stopped_and_replaced() {
    let mut pod = pod(apps(&["a"]));
    pod.restart_policy = Always;
    pod.termination_grace_period_seconds = 4;
    pod.containers[0].lifecycle.liveness = Some(probe(3));
    pod.containers[0].lifecycle.pre_stop = Some(Handler::Sleep(1));
    let mut clock = Clock::new(&pod, &[("a", &[FOREVER])]);
    says(&mut clock, "a", Liveness, &[(5, false), (12, true)]);
    clock.begin().pass(6);
    assert!(clock.view().containers[0].ready, "not readiness");
    clock.pass(20);
    assert_eq!(clock.times("hook PreStop a-0"), [7000], "the third failure");
    assert_eq!(clock.times("term a-0"), [8000]);
    assert_eq!(
        clock.times("kill a-0"),
        [11_000],
        "the grace counts the hook"
    );
    let view = clock.view();
    let last = view.containers[0].last_state.as_ref().expect("it ended");
    assert_eq!((last.exit_code, view.containers[0].restart_count), (137, 1));
    assert_eq!(clock.times("probe Liveness a-0").last(), Some(&7000));
}

#[test]
fn a_probe_that_condemns_may_bring_a_grace_of_its_own() {
    let mut pod = pod(apps(&["a"]));
    let liveness = &mut pod.containers[0].lifecycle.liveness;
    *liveness = Some(probe(1));
    liveness.as_mut().expect("set").grace_seconds = Some(50);
    let mut clock = Clock::new(&pod, &[("a", &[FOREVER])]);
    says(&mut clock, "a", Liveness, &[(5, false)]);
    clock.begin().pass(10);
    assert_eq!(clock.times("term a"), [5000]);
    clock.pass(60);
    assert_eq!(clock.times("kill a"), [55_000]);
    assert_eq!(
        (clock.view().phase, clock.times("start a").len()),
        (Phase::Failed, 1)
    );
}

#[test]
fn c30_liveness_waits_for_startup_and_startup_gives_up() {
    let mut pod = pod(apps(&["a"]));
    pod.restart_policy = Always;
    pod.containers[0].lifecycle.startup = Some(probe(30));
    pod.containers[0].lifecycle.liveness = Some(probe(1));
    let mut clock = Clock::new(&pod, &[("a", &[Life::obeys(0)])]);
    says(&mut clock, "a", Startup, &[(0, false)]);
    says(&mut clock, "a", Liveness, &[(0, false)]);
    clock.begin().pass(35);
    assert_eq!(clock.times("probe Liveness"), [0; 0]);
    assert_eq!(clock.times("term a-0"), [29_000], "the thirtieth failure");
    assert_eq!(clock.times("start a-1"), [29_000]);
}

#[test]
fn c30_readiness_follows_its_probe_and_restarts_nothing() {
    let mut pod = pod(apps(&["a", "b"]));
    pod.containers[0].lifecycle.readiness = Some(probe(2));
    let mut clock = Clock::new(&pod, &[("a", &[FOREVER]), ("b", &[FOREVER])]);
    says(
        &mut clock,
        "a",
        Readiness,
        &[(0, false), (3, true), (6, false)],
    );
    let ready = |clock: &Clock| {
        let view = clock.view();
        let of = |kind: &str| view.conditions.iter().find(|c| c.kind == kind).cloned();
        let (pod, all) = (
            of("Ready").expect("shown"),
            of("ContainersReady").expect("shown"),
        );
        assert_eq!((pod.is_true, &pod.message), (all.is_true, &all.message));
        (view.containers[0].ready, pod.is_true, pod.message)
    };
    clock.begin().pass(2);
    let text = "containers with unready status: [a]".to_owned();
    assert_eq!(ready(&clock), (false, false, text.clone()));
    clock.pass(1);
    assert_eq!(ready(&clock), (true, true, String::new()));
    clock.pass(3);
    assert!(ready(&clock).0, "one failure is not enough");
    clock.pass(1);
    assert_eq!(ready(&clock), (false, false, text));
    assert_eq!(clock.view().containers[0].restart_count, 0);
}

#[test]
fn a_pod_that_is_stopped_is_not_ready_at_once() {
    let mut clock = Clock::start(&pod(apps(&["a"])), &[("a", &[FOREVER])]);
    clock.pass(1).stop(None, false);
    let view = clock.view();
    let ready = view.conditions.iter().find(|c| c.kind == "Ready");
    assert!(ready.is_some_and(|ready| !ready.is_true && ready.reason == "PodTerminating"));
}

#[test]
fn readiness_is_asked_for_as_soon_as_startup_has_succeeded() {
    let mut pod = pod(apps(&["a"]));
    pod.containers[0].lifecycle.startup = Some(probe(9));
    let mut readiness = probe(1);
    readiness.period_seconds = 60;
    pod.containers[0].lifecycle.readiness = Some(readiness);
    let mut clock = Clock::new(&pod, &[("a", &[FOREVER])]);
    says(&mut clock, "a", Startup, &[(0, false), (2, true)]);
    clock.begin().pass(70);
    assert_eq!(clock.times("probe Readiness"), [2000, 62_000]);
    assert_eq!(clock.times("probe Startup"), [0, 1000, 2000]);
}

#[test]
fn a_verdict_needs_its_number_of_answers_in_a_row_and_the_first_waits_its_delay() {
    let mut pod = pod(apps(&["a"]));
    let mut readiness = probe(3);
    readiness.success_threshold = 2;
    readiness.initial_delay_seconds = 4;
    pod.containers[0].lifecycle.readiness = Some(readiness);
    let mut clock = Clock::new(&pod, &[("a", &[FOREVER])]);
    let answers = [(0, true), (7, false), (9, true), (10, false), (12, true)];
    says(&mut clock, "a", Readiness, &answers);
    clock.begin().pass(4);
    assert_eq!(clock.times("probe Readiness"), [4000]);
    assert!(
        !clock.view().containers[0].ready,
        "one success is not enough"
    );
    clock.pass(1);
    assert!(clock.view().containers[0].ready);
    // Two failures, a success, two failures: never three in a row.
    clock.pass(10);
    assert!(clock.view().containers[0].ready);
}

#[test]
fn c31_the_stop_signal_comes_after_the_hook_or_with_the_end_of_the_grace() {
    for (hook, term, kill) in [(3, 13_000, 15_000), (60, 15_000, 17_000)] {
        let mut pod = pod(apps(&["a"]));
        pod.containers[0].lifecycle.pre_stop = Some(Handler::Sleep(hook));
        let mut clock = Clock::start(&pod, &[("a", &[FOREVER])]);
        clock.pass(10).stop(Some(5), false).pass(20);
        assert_eq!(clock.times("hook PreStop"), [10_000]);
        assert_eq!(clock.times("term a"), [term]);
        assert_eq!(clock.times("kill a"), [kill]);
    }
}

#[test]
fn what_was_lost_with_its_supervisor_runs_again() {
    let mut pod = pod(apps(&["a"]));
    pod.containers[0].lifecycle.post_start = Some(Handler::Sleep(3));
    pod.containers[0].lifecycle.pre_stop = Some(Handler::Sleep(3));
    pod.containers[0].lifecycle.readiness = Some(probe(1));
    let mut clock = Clock::start(&pod, &[("a", &[Life::obeys(0)])]);
    clock.pass(1).crash();
    clock.mute = true;
    clock.pass(5);
    assert_eq!(clock.times("hook PostStart a-0"), [0, 1000]);
    assert_eq!(clock.state("a"), "Running");
    assert!(
        !clock.view().containers[0].ready,
        "its probe has not answered"
    );
    clock.mute = false;
    clock.crash().pass(4);
    assert!(clock.view().containers[0].ready);
    clock.stop(Some(20), false).pass(1).crash().pass(9);
    assert_eq!(clock.times("hook PreStop a-0"), [10_000, 11_000]);
    assert_eq!(clock.times("term a"), [14_000]);
}

#[test]
fn a_pause_that_dies_while_all_containers_start_again_is_replaced() {
    let mut pod = pod(apps(&["a", "b"]));
    pod.restart_policy = Always;
    pod.containers[0].restart_policy = Some(Always);
    pod.containers[0].restart_rules = vec![rule(RestartAction::RestartAllContainers, false, &[42])];
    let lives: &[(&str, &[Life])] = &[
        ("a", &[Life::ends(5, 42), Life::obeys(0)]),
        ("b", &[FOREVER, Life::obeys(0)]),
    ];
    let mut clock = Clock::start(&pod, lives);
    clock.pass(6).shoot("pause-0").pass(20);
    assert_eq!(clock.times("start pause-1"), [7000]);
    assert_eq!(
        (clock.state("a").as_str(), clock.state("b").as_str()),
        ("Running", "Running")
    );
}

#[test]
fn no_grace_no_hook() {
    let mut pod = pod(apps(&["a"]));
    pod.containers[0].lifecycle.pre_stop = Some(Handler::Sleep(1));
    let mut clock = Clock::start(&pod, &[("a", &[FOREVER])]);
    clock.pass(10).stop(Some(0), false).pass(5);
    assert_eq!(clock.times("hook PreStop"), [0; 0]);
    assert_eq!(
        (clock.times("term a"), clock.times("kill a")),
        (vec![10_000], vec![12_000])
    );
}

#[test]
fn a_container_that_ends_by_itself_has_no_pre_stop() {
    let mut pod = pod(apps(&["a"]));
    pod.containers[0].lifecycle.pre_stop = Some(Handler::Sleep(1));
    let mut clock = Clock::start(&pod, &[("a", &[Life::ends(1, 0)])]);
    clock.pass(5);
    assert_eq!(clock.times("hook"), [0; 0]);
}

#[test]
fn c34_a_failed_post_start_hook_stops_the_container() {
    let mut pod = pod(apps(&["a"]));
    pod.containers[0].lifecycle.post_start = Some(Handler::Exec(vec!["false".into()]));
    let mut clock = Clock::new(&pod, &[("a", &[Life::obeys(0)])]);
    clock.bad_hooks.push(("a".into(), HookKind::PostStart));
    clock.begin().pass(1);
    assert_eq!(clock.times("term a"), [0]);
    assert_eq!(
        (clock.view().phase, clock.state("a").as_str()),
        (Phase::Failed, "Error 143")
    );

    pod.restart_policy = Always;
    let mut clock = Clock::new(&pod, &[("a", &[FOREVER])]);
    clock.bad_hooks.push(("a".into(), HookKind::PostStart));
    clock.begin().pass(5);
    assert_eq!(clock.state("a"), "PostStartHookError");
    clock.pass(30);
    assert_eq!(clock.times("start a"), [0, 30_000]);
}

#[test]
fn a_failed_post_start_hook_leaves_a_stop_the_grace_that_it_has() {
    let mut pod = pod(apps(&["a"]));
    pod.containers[0].lifecycle.post_start = Some(Handler::Sleep(3));
    pod.containers[0].lifecycle.pre_stop = Some(Handler::Sleep(50));
    let mut clock = Clock::new(&pod, &[("a", &[FOREVER])]);
    clock.bad_hooks.push(("a".into(), HookKind::PostStart));
    clock.begin().pass(1).stop(Some(100), false).pass(110);
    assert_eq!(clock.times("hook PreStop"), [1000]);
    assert_eq!(clock.times("event FailedPostStartHook"), [3000]);
    assert_eq!(clock.times("term a"), [51_000]);
    assert_eq!(clock.times("kill a"), [101_000]);
}

#[test]
fn c34_the_next_container_starts_after_the_hook_and_nothing_is_told_of_the_first_before() {
    let mut pod = pod(apps(&["a", "b"]));
    pod.containers[0].lifecycle.post_start = Some(Handler::Sleep(3));
    let mut clock = Clock::start(&pod, &[("a", &[FOREVER]), ("b", &[FOREVER])]);
    clock.pass(2);
    assert_eq!(clock.state("a"), "ContainerCreating");
    assert_eq!(
        (clock.times("create b").len(), clock.times("start b").len()),
        (1, 0)
    );
    assert_eq!(clock.view().phase, Phase::Pending);
    clock.pass(2);
    assert_eq!(clock.times("start b"), [3000]);
    assert_eq!(
        (clock.state("a").as_str(), clock.view().phase),
        ("Running", Phase::Running)
    );
}

fn rule(action: RestartAction, is_not_in: bool, codes: &[i32]) -> RestartRule {
    RestartRule {
        action,
        is_not_in,
        codes: codes.to_vec(),
    }
}

#[test]
fn c27_rules_decide_before_policies() {
    for (not_in, codes, code, starts) in [
        (false, &[42][..], 42, 2),
        (false, &[42], 41, 1),
        (true, &[42], 41, 2),
        (true, &[42], 42, 1),
        (false, &[], 1, 1),
        (true, &[], 0, 2),
    ] {
        let mut pod = pod(apps(&["a"]));
        pod.containers[0].restart_policy = Some(Never);
        pod.containers[0].restart_rules = vec![rule(RestartAction::Restart, not_in, codes)];
        let mut clock = Clock::start(&pod, &[("a", &[Life::ends(1, code)])]);
        clock.pass(3);
        assert_eq!(
            clock.times("start a").len(),
            starts,
            "{not_in} {codes:?} {code}"
        );
    }
}

#[test]
fn one_container_may_start_all_of_them_again_in_the_same_sandbox() {
    let mut pod = pod(vec![
        container("i", Role::Init),
        container("s", Role::Sidecar),
        container("a", Role::App),
        container("b", Role::App),
    ]);
    pod.containers[2].restart_policy = Some(Never);
    pod.containers[2].restart_rules = vec![rule(RestartAction::RestartAllContainers, false, &[42])];
    pod.containers[3].lifecycle.pre_stop = Some(Handler::Sleep(9));
    let lives: &[(&str, &[Life])] = &[
        ("i", &[Life::ends(1, 0)]),
        ("s", &[FOREVER]),
        ("a", &[Life::ends(4, 42), FOREVER]),
        ("b", &[FOREVER]),
    ];
    let mut clock = Clock::start(&pod, lives);
    clock.pass(6);
    let of = |clock: &Clock, kind: &str| {
        let view = clock.view();
        view.conditions
            .iter()
            .find(|c| c.kind == kind)
            .map(|c| c.is_true)
    };
    assert_eq!(of(&clock, "AllContainersRestarting"), Some(true));
    clock.pass(10);
    assert_eq!(
        clock.order(&["hook", "network down", "start pause"]),
        ["start pause-0"]
    );
    assert_eq!(clock.times("term b"), [5000], "at once, without its hook");
    assert_eq!(
        (clock.times("kill b"), clock.times("kill s")),
        (vec![7000], vec![7000])
    );
    assert_eq!(clock.times("start i"), [0, 7000]);
    assert_eq!(clock.times("start a"), [1000, 8000]);
    let view = clock.view();
    assert_eq!(of(&clock, "AllContainersRestarting"), Some(false));
    assert_eq!(of(&clock, "Initialized"), Some(true));
    for container in &view.containers {
        assert_eq!(container.restart_count, 1, "{}", container.name);
        let last = container.last_state.as_ref().expect("it ended");
        let expected = match container.name.as_str() {
            "i" => (0, "Completed"),
            "a" => (42, "Error"),
            _ => (137, "RestartingAllContainers"),
        };
        assert_eq!(
            (last.exit_code, last.reason.as_str()),
            expected,
            "{}",
            container.name
        );
    }
    assert_eq!(view.phase, Phase::Running);
}

#[test]
fn the_back_off_of_the_one_that_wants_it_holds_all_of_them() {
    let mut pod = pod(apps(&["a", "b"]));
    pod.containers[0].restart_policy = Some(Never);
    pod.containers[0].restart_rules = vec![rule(RestartAction::RestartAllContainers, true, &[])];
    let mut clock = Clock::start(
        &pod,
        &[("a", &[Life::ends(1, 1)]), ("b", &[Life::obeys(0)])],
    );
    clock.pass(5);
    assert_eq!(
        (clock.state("a").as_str(), clock.state("b").as_str()),
        ("CrashLoopBackOff", "ContainerCreating")
    );
    clock.pass(20);
    assert_eq!(clock.times("start a"), [0, 1000, 12_000]);
    assert_eq!(clock.times("start b"), [0, 1000, 12_000]);
}

#[test]
fn a_container_for_debugging_runs_once_and_decides_nothing() {
    let pod = pod(apps(&["a"]));
    let mut clock = Clock::start(
        &pod,
        &[("a", &[Life::ends(9, 0)]), ("d", &[Life::ends(2, 7)])],
    );
    let mut debug = container("d", Role::Ephemeral);
    clock.pass(1).debug(debug.clone());
    clock.pass(4);
    assert_eq!(
        (clock.state("d").as_str(), clock.times("start d").len()),
        ("Error 7", 1)
    );
    assert!(matches!(
        clock.view().containers[0].state,
        ContainerState::Running { .. }
    ));
    clock.debug(debug.clone());
    assert_eq!(clock.times("refused NameTaken").len(), 1);
    debug.name = "e".into();
    clock.debug(debug.clone()).pass(10);
    assert_eq!(
        clock.view().phase,
        Phase::Succeeded,
        "it does not wait for e"
    );
    debug.name = "f".into();
    clock.debug(debug);
    assert_eq!(clock.times("refused PodEnded").len(), 1);
}
