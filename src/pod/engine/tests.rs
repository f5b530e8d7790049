//! Every state of a slot against everything that can happen to it: what is not in the table changes nothing.

use super::*;
use crate::base::{Signal, Wall};

const NOW: Now = Now {
    mono: Mono(5),
    wall: Wall(5),
};

/// Where a slot can be: its presence and the operation in flight.
fn states() -> Vec<(Presence, Option<Verb>)> {
    use Presence::{Absent, Created, Gone, Running, Unknown};
    let idle = [Created, Running, Gone, Unknown].map(|presence| (presence, None));
    let busy = [
        (Absent, Some(Verb::Create)),
        (Created, Some(Verb::Start)),
        (Gone, Some(Verb::Delete)),
        (Unknown, Some(Verb::Delete)),
    ];
    [&idle[..], &busy[..]].concat()
}

fn slot(presence: Presence, verb: Option<Verb>) -> Slot {
    let mut slot = Slot::default();
    slot.create("a", OpId(1));
    let instance = slot.instance.as_mut().expect("just created");
    instance.presence = presence;
    instance.flight = verb.map(|verb| (OpId(1), verb));
    instance.started = matches!(presence, Presence::Running | Presence::Gone).then_some(NOW);
    slot
}

fn id() -> InstanceId {
    InstanceId("a-0".into())
}

fn ending() -> Ending {
    Ending {
        exit: Exit::Signal(Signal::KILL),
        oom_killed: true,
        message: "bye".into(),
        at: NOW,
    }
}

fn failure() -> Failure {
    Failure {
        reason: FailureReason::StartError,
        message: "no".into(),
    }
}

#[test]
fn a_completion_of_another_operation_changes_nothing_in_any_state() {
    for (presence, verb) in states() {
        let before = slot(presence, verb);
        for outcome in [
            Outcome::Ok,
            Outcome::Created { pid: 1 },
            Outcome::Failed(failure()),
        ] {
            let mut after = before.clone();
            assert_eq!(after.done(OpId(2), &outcome, NOW), None, "{presence:?}");
            assert_eq!(after, before);
        }
    }
}

#[test]
fn an_exit_of_another_instance_changes_nothing_in_any_state() {
    for (presence, verb) in states() {
        let before = slot(presence, verb);
        let mut after = before.clone();
        assert_eq!(after.exited(&InstanceId("a-1".into()), ending()), None);
        assert_eq!(after, before);
    }
}

#[test]
fn every_outcome_of_every_operation_leads_where_the_picture_says() {
    let ok = Outcome::Ok;
    let created = Outcome::Created { pid: 7 };
    let image = Outcome::ImageReady {
        image_id: String::new(),
        stop_signal: None,
    };
    let network = Outcome::NetworkReady {
        pod_ips: Vec::new(),
    };
    for (presence, verb) in states() {
        let Some(verb) = verb else { continue };
        for outcome in [&ok, &created, &image, &network, &Outcome::Failed(failure())] {
            let mut slot = slot(presence, Some(verb));
            let changes = slot.done(OpId(1), outcome, NOW).expect("it is in flight");
            let flies = slot.instance.as_ref().is_some_and(|i| i.flight.is_some());
            assert!(!flies, "{verb:?} {outcome:?} is over");
            let expected = match (verb, outcome) {
                (Verb::Create, Outcome::Created { .. }) => Some(Presence::Created),
                (Verb::Start, Outcome::Ok) => Some(Presence::Running),
                (Verb::Delete, Outcome::Ok) => None,
                (Verb::Create | Verb::Start, _) => Some(Presence::Unknown),
                (Verb::Delete, _) => Some(presence),
            };
            assert_eq!(slot.presence(), expected, "{verb:?} {outcome:?}");
            assert_eq!(changes.len(), 1);
        }
    }
}

#[test]
fn an_exit_counts_once_and_only_of_what_may_have_a_process() {
    for (presence, verb) in states() {
        let mut slot = slot(presence, verb);
        let changes = slot.exited(&id(), ending()).expect("it is its own");
        let counts = verb.is_none() && matches!(presence, Presence::Created | Presence::Running);
        let expected = if counts {
            vec![Change::Ended(ending())]
        } else {
            Vec::new()
        };
        assert_eq!(changes, expected, "{presence:?} {verb:?}");
        assert_eq!(slot.exited(&id(), ending()), Some(Vec::new()), "doubled");
    }
}

#[test]
fn an_exit_that_overtakes_its_start_is_kept_until_the_start_answers() {
    let mut slot = slot(Presence::Created, Some(Verb::Start));
    slot.exited(&id(), ending());
    let changes = slot.done(OpId(1), &Outcome::Ok, NOW);
    let expected = vec![Change::Started, Change::Ended(ending())];
    assert_eq!(changes, Some(expected));
    assert_eq!(slot.presence(), Some(Presence::Gone));
}

#[test]
fn an_exit_that_overtakes_a_failed_start_is_not_counted() {
    let mut slot = slot(Presence::Created, Some(Verb::Start));
    slot.exited(&id(), ending());
    let changes = slot.done(OpId(1), &Outcome::Failed(failure()), NOW);
    assert_eq!(changes, Some(vec![Change::StartFailed(failure())]));
    assert_eq!(slot.exited(&id(), ending()), Some(Vec::new()));
}

#[test]
fn every_state_takes_every_observation() {
    let gone = Observed::Gone {
        exit: Exit::Code(4),
        oom_killed: false,
    };
    let (created, running) = (Observed::Created { pid: 9 }, Observed::Running { pid: 9 });
    for (presence, verb) in states() {
        for seen in [Observed::Absent, Observed::Unknown, created, running, gone] {
            let mut slot = slot(presence, verb);
            let changes = slot.recovered(seen, NOW);
            let after = slot
                .instance
                .as_ref()
                .expect("only a deletion empties a slot");
            assert_eq!(after.flight, None, "operations in flight are lost");
            let expected = match (presence, seen) {
                (Presence::Unknown | Presence::Gone, _) => presence,
                (Presence::Absent | Presence::Created, Observed::Created { .. }) => {
                    Presence::Created
                }
                (Presence::Created | Presence::Running, Observed::Running { .. }) => {
                    Presence::Running
                }
                (Presence::Created | Presence::Running, Observed::Gone { .. }) => Presence::Gone,
                (Presence::Absent | Presence::Created | Presence::Running, _) => Presence::Unknown,
            };
            assert_eq!(after.presence, expected, "{presence:?} {verb:?} {seen:?}");
            let ends = changes
                .iter()
                .filter(|c| matches!(c, Change::Ended(_)))
                .count();
            let ran = presence == Presence::Running || verb == Some(Verb::Start);
            let over = matches!(expected, Presence::Gone | Presence::Unknown);
            let was_over = matches!(presence, Presence::Gone | Presence::Unknown);
            if !was_over && presence != Presence::Absent {
                let counts = over && (ran || expected == Presence::Gone);
                assert_eq!(ends, usize::from(counts), "{presence:?} {verb:?} {seen:?}");
            } else {
                assert_eq!(ends, 0, "{presence:?} {seen:?}");
            }
        }
    }
}

#[test]
fn an_id_is_never_used_twice() {
    let mut slot = Slot::default();
    let mut seen = Vec::new();
    for n in 0..3 {
        seen.push(slot.create("web", OpId(n)).0);
        slot.instance = None;
    }
    assert_eq!(seen, ["web-0", "web-1", "web-2"]);
}
