//! Scenarios of the conformance list (C15, C24 - C28) and of the rules behind them.

use crate::clock::{Clock, Life};
use crate::pods::{apps, container, pod};
use RestartPolicy::{Always, Never, OnFailure};
use podshim::base::InstanceId;
use podshim::manifest::{EnvValue, EnvVar, FieldRef, PullPolicy, RestartPolicy, Role};
use podshim::pod::{
    ContainerState, FailureReason, Phase, exit_code, ready_column, restarts, status_column,
    status_json,
};
use std::collections::VecDeque;

pub const FOREVER: Life = Life {
    length: crate::clock::FOREVER,
    exit: podshim::base::Exit::Code(0),
    on_signal: None,
};

#[test]
fn c15_a_dead_pause_brings_a_new_sandbox_and_the_init_containers_again() {
    let mut pod = pod(vec![container("i", Role::Init), container("a", Role::App)]);
    pod.restart_policy = Always;
    let mut clock = Clock::start(
        &pod,
        &[("i", &[Life::ends(1, 0)]), ("a", &[Life::obeys(0)])],
    );
    clock.pass(5).shoot("pause-0").pass(5);
    let log = clock.order(&["start", "exit a"]);
    let expected = [
        "start pause-0",
        "start i-0",
        "start a-0",
        "exit a-0 143",
        "start pause-1",
        "start i-1",
        "start a-1",
    ];
    assert_eq!(log, expected);
    let view = clock.view();
    assert_eq!(view.containers[1].restart_count, 1);
    assert_eq!(view.sandbox.expect("lives").attempt, 1);
    assert_eq!(view.phase, Phase::Running);
}

#[test]
fn what_fails_in_a_dead_sandbox_counts_for_nothing() {
    let mut pod = pod(apps(&["a"]));
    pod.restart_policy = Always;
    let again = || Some(InstanceId("a-1".into()));
    for (stuck, hung) in [(again(), None), (None, again())] {
        let mut clock = Clock::new(&pod, &[("a", &[Life::ends(1, 1), Life::obeys(0)])]);
        (clock.stuck, clock.hung) = (stuck, hung);
        clock.begin().pass(5).shoot("pause-0").pass(1).fail_held();
        assert_eq!(clock.times("start pause-1"), [6000]);
        assert_eq!(clock.times("start a-2"), [6000], "without a wait");
        assert_eq!(clock.view().containers[0].restart_count, 1);
        let told = clock.order(&["event BackOff", "event Failed"]);
        assert!(told.is_empty(), "{told:?}");
        // The next end is its second: it waits as after the first failure.
        clock.pass(60).shoot("a-2").pass(11);
        assert_eq!(clock.times("start a-3"), [76_000]);
    }
}

#[test]
fn what_keeps_a_sandbox_from_being_up_is_shown_until_it_is() {
    let mut clock = Clock::new(&pod(apps(&["a"])), &[("a", &[Life::obeys(0)])]);
    let refused = VecDeque::from([FailureReason::StartError, FailureReason::RuntimeHung]);
    clock.failing.insert("pause".into(), refused);
    clock.begin();
    let trouble = |clock: &Clock| {
        let view = clock.view();
        let words = view.trouble().map(|(why, text)| format!("{why}: {text}"));
        words.unwrap_or_default()
    };
    let expected = "FailedCreatePodSandBox: Failed to create pod sandbox: no";
    assert_eq!(trouble(&clock), expected);
    assert_eq!(clock.state("a"), "ContainerCreating");
    clock.pass(10);
    assert_eq!(trouble(&clock), expected, "the second try failed too");
    clock.pass(10);
    assert_eq!(
        (trouble(&clock).as_str(), clock.state("a").as_str()),
        ("", "Running")
    );
    clock.stop(None, false).pass(5);
    assert!(clock.view().settled && clock.view().trouble().is_none());
}

#[test]
fn what_is_tried_for_ever_is_told_ever_more_seldom() {
    let mut clock = Clock::new(&pod(apps(&["a"])), &[("a", &[Life::obeys(0)])]);
    let refused = VecDeque::from([FailureReason::StartError; 100]);
    clock.failing.insert("pause".into(), refused);
    clock.begin().pass(2000);
    let warned = clock.order(&["event FailedCreatePodSandBox"]);
    let counts: Vec<_> = warned
        .iter()
        .map(|text| text.split("seen ").nth(1))
        .collect();
    let powers = [2, 4, 8, 16, 32, 64].map(|n| format!("{n} times)"));
    let powers = powers.iter().map(|text| Some(text.as_str()));
    let expected: Vec<_> = std::iter::once(None).chain(powers).collect();
    assert_eq!(counts, expected, "{warned:?}");
    assert_eq!(clock.state("a"), "Running");
}

#[test]
fn a_pod_that_never_restarts_ends_with_its_pause() {
    let mut clock = Clock::start(&pod(apps(&["a"])), &[("a", &[Life::obeys(500)])]);
    clock.pass(5).shoot("pause-0").pass(5);
    assert_eq!(clock.times("start pause"), [0]);
    assert_eq!(
        (clock.view().phase, clock.view().settled),
        (Phase::Failed, true)
    );
}

#[test]
fn a_pod_that_never_restarts_gets_another_sandbox_while_none_has_come_up() {
    let mut clock = Clock::new(&pod(apps(&["a"])), &[("a", &[Life::obeys(0)])]);
    let hung = VecDeque::from([FailureReason::RuntimeHung; 2]);
    clock.failing.insert("start pause".into(), hung);
    clock.begin();
    assert_eq!(clock.times("create a-0"), [0], "beside the start of pause");
    clock.pass(30);
    assert_eq!(clock.times("start pause").len(), 3);
    assert_eq!(clock.state("a"), "Running");
    assert_eq!(clock.view().containers[0].restart_count, 0);
}

#[test]
fn a_pod_is_not_over_while_a_container_may_still_begin_to_run() {
    let mut pod = pod(apps(&["a"]));
    pod.restart_policy = Always;
    let mut clock = Clock::new(&pod, &[("a", &[Life::ends(1, 1)])]);
    clock.stuck = Some(InstanceId("a-1".into()));
    clock.begin().pass(5).stop(None, false);
    assert_eq!(clock.times("start a-1").len(), 1);
    assert_eq!(clock.view().phase, Phase::Running);
}

#[test]
fn a_container_that_was_created_before_the_network_was_up_counts_once_it_runs() {
    let mut clock = Clock::new(&pod(apps(&["a"])), &[("a", &[Life::obeys(0)])]);
    let refused = VecDeque::from([FailureReason::Other]);
    clock.failing.insert("network".into(), refused);
    clock.begin();
    assert_eq!(clock.times("create a-0"), [0]);
    clock.pass(30).shoot("pause-0").pass(5);
    assert_eq!(clock.times("start pause").len(), 1);
    assert_eq!(clock.times("event SandboxChanged").len(), 1);
    assert_eq!(clock.view().phase, Phase::Failed);
}

#[test]
fn a_pod_that_never_restarts_ends_with_its_pause_also_before_its_apps_ran() {
    let pod = pod(vec![container("i", Role::Init), container("a", Role::App)]);
    let mut clock = Clock::start(&pod, &[("i", &[Life::ends(1, 0)])]);
    let failing = VecDeque::from([FailureReason::CreateContainerConfigError; 9]);
    clock.failing.insert("a".into(), failing);
    clock.pass(5).shoot("pause-0").pass(5);
    assert_eq!(clock.times("start pause"), [0]);
    assert_eq!(clock.state("a"), "ContainerStatusUnknown 137");
    assert_eq!(
        (clock.view().phase, clock.view().settled),
        (Phase::Failed, true)
    );
}

#[test]
fn after_a_dead_pause_what_succeeded_stays_so_on_failure() {
    let mut pod = pod(apps(&["a", "b"]));
    pod.restart_policy = OnFailure;
    let lives: &[(&str, &[Life])] = &[("a", &[Life::ends(1, 0)]), ("b", &[Life::obeys(0)])];
    let mut clock = Clock::start(&pod, lives);
    clock.pass(5).shoot("pause-0").pass(5);
    assert_eq!(clock.times("start a").len(), 1);
    assert_eq!(clock.times("start b").len(), 2);
}

#[test]
fn after_a_dead_pause_apps_wait_for_the_sidecars_though_one_of_them_is_done() {
    let mut pod = pod(vec![
        container("s", Role::Sidecar),
        container("a", Role::App),
        container("b", Role::App),
    ]);
    pod.restart_policy = OnFailure;
    let lives: &[(&str, &[Life])] = &[
        ("s", &[Life::obeys(0)]),
        ("a", &[Life::ends(1, 0)]),
        ("b", &[Life::obeys(0)]),
    ];
    let mut clock = Clock::start(&pod, lives);
    clock.pass(5).shoot("pause-0").pass(15);
    let order = clock.order(&["create s-1", "start s-1", "create b-1", "create a-1"]);
    assert_eq!(order, ["create s-1", "start s-1", "create b-1"]);
}

#[test]
fn c24_init_containers_run_in_order_and_failures_are_repeated() {
    let (i, j) = (container("i", Role::Init), container("j", Role::Init));
    let mut pod = pod(vec![i, j, container("a", Role::App)]);
    pod.restart_policy = Always;
    let lives: &[(&str, &[Life])] = &[
        ("i", &[Life::ends(1, 0)]),
        ("j", &[Life::ends(1, 1), Life::ends(1, 0)]),
        ("a", &[FOREVER]),
    ];
    let mut clock = Clock::start(&pod, lives);
    assert_eq!(status_column(&clock.view()), "Init:0/2");
    assert_eq!(clock.state("a"), "PodInitializing");
    clock.pass(1);
    assert_eq!(status_column(&clock.view()), "Init:1/2");
    clock.pass(1);
    assert_eq!(clock.view().containers[1].restart_count, 1, "at once");
    assert_eq!(restarts(&clock.view()), 1);
    clock.pass(1);
    assert_eq!(status_column(&clock.view()), "Running");
    assert_eq!(ready_column(&clock.view()), "1/1");
    let expected = ["start i-0", "start j-0", "start j-1", "start a-0"];
    assert_eq!(clock.order(&["start i", "start j", "start a"]), expected);
}

#[test]
fn c24_a_failed_init_container_ends_a_pod_that_never_restarts() {
    let pod = pod(vec![container("i", Role::Init), container("a", Role::App)]);
    let mut clock = Clock::start(&pod, &[("i", &[Life::ends(1, 3)])]);
    clock.pass(2);
    assert_eq!(clock.times("create a"), [0; 0]);
    assert_eq!(clock.state("i"), "Error 3");
    assert_eq!(clock.state("a"), "PodInitializing");
    let view = clock.view();
    assert_eq!((view.phase, view.settled), (Phase::Failed, true));
    assert_eq!(status_column(&view), "Init:Error");
    assert_eq!(exit_code(&view), 3);
}

#[test]
fn c25_sidecars_start_first_and_their_exit_codes_do_not_matter() {
    let pod = pod(vec![
        container("s", Role::Sidecar),
        container("a", Role::App),
    ]);
    let sidecar = Life::obeys(1000);
    let mut clock = Clock::start(&pod, &[("s", &[sidecar]), ("a", &[Life::ends(5, 0)])]);
    assert_eq!(
        clock.order(&["start s", "create a"]),
        ["start s-0", "create a-0"]
    );
    clock.pass(5);
    assert_eq!(clock.times("term s-0"), [5000]);
    assert_eq!(
        clock.view().phase,
        Phase::Running,
        "while the sidecar shuts down"
    );
    clock.pass(1);
    assert_eq!(clock.view().phase, Phase::Succeeded);
    assert_eq!(clock.state("s"), "Error 143");
    let end = clock.order(&["network down", "delete", "clean up"]);
    let expected = [
        "delete a-0",
        "delete s-0",
        "network down",
        "delete pause-0",
        "clean up",
    ];
    assert_eq!(end, expected);
}

#[test]
fn c26_sidecars_stop_after_the_apps_in_reverse_order() {
    let (s1, s2) = (
        container("s1", Role::Sidecar),
        container("s2", Role::Sidecar),
    );
    let pod = pod(vec![s1, s2, container("a", Role::App)]);
    let lives: &[(&str, &[Life])] = &[
        ("s1", &[Life::obeys(1000)]),
        ("s2", &[Life::obeys(1000)]),
        ("a", &[Life::obeys(2000)]),
    ];
    let mut clock = Clock::start(&pod, lives);
    clock.pass(10).stop(None, false).pass(40);
    assert_eq!(clock.times("term a"), [10_000]);
    assert_eq!(clock.times("term s2"), [12_000]);
    assert_eq!(clock.times("term s1"), [13_000]);
    assert_eq!(clock.times("kill"), [0; 0]);
}

#[test]
fn c26_a_sidecar_waits_no_longer_than_the_grace_and_then_gets_two_seconds() {
    let pod = pod(vec![
        container("s", Role::Sidecar),
        container("a", Role::App),
    ]);
    let mut clock = Clock::start(&pod, &[("s", &[FOREVER]), ("a", &[FOREVER])]);
    clock.pass(10).stop(Some(5), false).pass(10);
    assert_eq!(clock.times("kill a"), [15_000]);
    assert_eq!(clock.times("term s"), [15_000]);
    assert_eq!(clock.times("kill s"), [17_000]);
}

#[test]
fn c27_policies_and_exit_codes_decide_restarts_and_phases() {
    let table = [
        (Always, None, 0, 2, Phase::Running),
        (Always, None, 1, 2, Phase::Running),
        (OnFailure, None, 0, 1, Phase::Succeeded),
        (OnFailure, None, 1, 2, Phase::Running),
        (Never, None, 0, 1, Phase::Succeeded),
        (Never, None, 1, 1, Phase::Failed),
        (Always, Some(Never), 0, 1, Phase::Succeeded),
        (Always, Some(Never), 1, 1, Phase::Failed),
        (Always, Some(OnFailure), 0, 1, Phase::Succeeded),
        (Never, Some(Always), 0, 2, Phase::Running),
        (Never, Some(OnFailure), 1, 2, Phase::Running),
        (OnFailure, Some(Never), 1, 1, Phase::Failed),
    ];
    for (policy, own, code, starts, phase) in table {
        let mut pod = pod(apps(&["a"]));
        pod.restart_policy = policy;
        pod.containers[0].restart_policy = own;
        let mut clock = Clock::start(&pod, &[("a", &[Life::ends(1, code)])]);
        clock.pass(3);
        let case = (policy, own, code);
        assert_eq!(clock.times("start a").len(), starts, "{case:?}");
        assert_eq!(clock.view().phase, phase, "{case:?}");
        if starts == 2 {
            assert_eq!(clock.state("a"), "CrashLoopBackOff", "{case:?}");
        }
    }
}

#[test]
fn c28_the_back_off_doubles_from_ten_seconds_to_five_minutes_and_starts_anew() {
    let mut pod = pod(apps(&["a"]));
    pod.restart_policy = Always;
    let mut lives = vec![Life::ends(1, 1); 9];
    lives.push(Life::ends(601, 1));
    lives.push(Life::ends(1, 1));
    let mut clock = Clock::start(&pod, &[("a", &lives)]);
    clock.pass(22);
    let view = clock.view();
    let ContainerState::Waiting { reason, message } = &view.containers[0].state else {
        panic!("it waits: {view:?}");
    };
    assert_eq!(reason, "CrashLoopBackOff");
    let text = "back-off 20s restarting failed container=a pod=p_default(uid)";
    assert_eq!(message, text);
    assert_eq!(
        (view.phase, view.containers[0].restart_count),
        (Phase::Running, 2)
    );
    let last = view.containers[0].last_state.as_ref().expect("it ended");
    assert_eq!((last.exit_code, last.reason.as_str()), (1, "Error"));
    clock.pass(3000);
    let (starts, exits) = (clock.times("start a"), clock.times("exit a"));
    let waits = starts[1..]
        .iter()
        .zip(&exits)
        .map(|(start, exit)| start - exit);
    let expected = [0, 10, 20, 40, 80, 160, 300, 300, 300, 0, 10, 20];
    assert_eq!(
        waits.take(12).collect::<Vec<_>>(),
        expected.map(|s| s * 1000)
    );
}

#[test]
fn c28_status_has_the_shape_of_core_v1() {
    let mut pod = pod(apps(&["web"]));
    pod.restart_policy = Always;
    let mut clock = Clock::start(&pod, &[("web", &[Life::ends(1, 1)])]);
    clock.pass(3);
    let status = status_json(&pod, &clock.view(), &["192.0.2.1".into()], "BestEffort");
    let web = &status["containerStatuses"][0];
    let ended = |n: u64| {
        serde_json::json!({"exitCode": 1, "reason": "Error", "startedAt": format!("2023-11-14T22:13:2{n}Z"),
            "finishedAt": format!("2023-11-14T22:13:2{}Z", n + 1), "containerID": format!("podshim://web-{n}")})
    };
    let expected = serde_json::json!({
        "name": "web", "ready": false, "started": false, "restartCount": 1, "image": "img:1", "imageID": "sha256:1",
        "containerID": "podshim://web-1",
        "state": {"waiting": {"reason": "CrashLoopBackOff",
            "message": "back-off 10s restarting failed container=web pod=p_default(uid)"}},
        "lastState": {"terminated": ended(1)},
    });
    assert_eq!(web, &expected);
    assert_eq!(status["phase"], "Running");
    assert_eq!(status["podIPs"], serde_json::json!([{"ip": "10.0.0.2"}]));
    assert_eq!(status["hostIP"], "192.0.2.1");
    assert!(status.get("reason").is_none() && status.get("initContainerStatuses").is_none());
    let ready = &status["conditions"][2];
    let expected = serde_json::json!({"type": "Ready", "status": "False", "reason": "ContainersNotReady",
        "message": "containers with unready status: [web]", "lastProbeTime": null,
        "lastTransitionTime": "2023-11-14T22:13:22Z"});
    assert_eq!(ready, &expected);
    assert_eq!(status_column(&clock.view()), "CrashLoopBackOff");
}

#[test]
fn a_configuration_error_is_retried_and_is_no_restart() {
    let pod = pod(vec![container("i", Role::Init), container("a", Role::App)]);
    let failing = VecDeque::from([FailureReason::CreateContainerConfigError; 2]);
    let mut clock = Clock::start(&pod, &[("i", &[Life::ends(1, 0)]), ("a", &[FOREVER])]);
    clock.failing.insert("a".into(), failing);
    clock.pass(5);
    assert_eq!(clock.state("a"), "CreateContainerConfigError");
    assert_eq!(clock.view().phase, Phase::Pending, "even with Never");
    clock.pass(20);
    assert_eq!(clock.times("create a"), [1000, 11_000, 21_000]);
    assert_eq!(
        (
            clock.state("a").as_str(),
            clock.view().containers[1].restart_count
        ),
        ("Running", 0)
    );
}

#[test]
fn what_needs_the_address_is_created_after_the_network_and_the_rest_before() {
    let mut pod = pod(apps(&["a", "b"]));
    pod.containers[1].env = vec![EnvVar {
        name: "IP".into(),
        value: EnvValue::Field(FieldRef::PodIp),
    }];
    let mut clock = Clock::new(&pod, &[]);
    let failing = VecDeque::from([FailureReason::Other]);
    clock.failing.insert("network".into(), failing);
    clock.begin().pass(20);
    assert_eq!(clock.times("network"), [0, 0, 10_000], "up, down, up");
    assert_eq!(
        (clock.times("create a"), clock.times("create b")),
        (vec![0], vec![10_000])
    );
    assert_eq!(clock.times("start a"), [10_000]);
}

#[test]
fn an_image_that_is_always_pulled_is_asked_for_before_each_instance() {
    for (policy, asked) in [(PullPolicy::Always, 2), (PullPolicy::IfNotPresent, 1)] {
        let mut pod = pod(apps(&["a"]));
        pod.restart_policy = Always;
        pod.containers[0].pull_policy = policy;
        let mut clock = Clock::start(&pod, &[("a", &[Life::ends(1, 0), FOREVER])]);
        clock.pass(5);
        assert_eq!(clock.times("image a").len(), asked, "{policy:?}");
    }
}

#[test]
fn a_refused_start_counts_as_an_end_with_code_128() {
    for (policy, state) in [(Never, "StartError 128"), (Always, "CrashLoopBackOff")] {
        let mut pod = pod(vec![container("i", Role::Init), container("a", Role::App)]);
        pod.restart_policy = policy;
        let mut clock = Clock::start(&pod, &[("i", &[Life::ends(1, 0)])]);
        let failing = VecDeque::from([FailureReason::StartError; 9]);
        clock.failing.insert("a".into(), failing);
        clock.pass(5);
        assert_eq!(clock.state("a"), state);
    }
}

#[test]
fn a_pod_stopped_before_it_began_ends_failed_and_clean() {
    let pod = pod(apps(&["a", "b"]));
    let mut machine = podshim::pod::Machine::new(&pod, Default::default(), Default::default());
    let request = podshim::pod::Request::Stop {
        grace_seconds: None,
        force: false,
    };
    let id = podshim::pod::RequestId(1);
    let input = podshim::pod::Input::Request { id, request };
    let actions = machine.step(Default::default(), input);
    let last = actions.last().expect("actions");
    assert!(
        matches!(last, podshim::pod::Action::CleanUp { .. }),
        "{actions:?}"
    );
    let view = machine.view();
    assert_eq!((view.phase, exit_code(&view)), (Phase::Failed, 137));
}
