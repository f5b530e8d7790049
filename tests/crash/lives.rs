//! Supervisors are killed at random moments of a pod's whole life: init container, crashes and restarts, stop with grace. A share
//! of them dies together with its keeper.
//!
//! `PODSHIM_CRASHES` and `PODSHIM_SEED` say how many and which; `scripts/soak` asks for 2,000.

use super::processes::{COUNT, Life, assert_counted, contents, counter, kill_both, kill_now};
use crate::support::{
    Host, Pod, Random, number, on_each_runtime, pod, seed, sh, state, status, until, with,
};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// Kills in a row: each waits longer for the next supervisor, and the pod has to get on.
const KILLS_WHILE_IT_STARTS: u64 = 4;
const KILLS_WHILE_IT_STOPS: u64 = 2;
/// Deaths of keeper and supervisor in one life: while it starts, runs, and stops.
const DOUBLE_DEATHS: u64 = 3;
/// Of so many kills, one is of both.
const SHARE_OF_DOUBLE_DEATHS: u64 = 5;
/// Longest pause before a kill, in microseconds: most of what a supervisor does happens in its first tenths of a second.
const LONGEST_PAUSE: u64 = 300_000;

fn pause(random: &mut Random) {
    sleep(Duration::from_micros(random.below(LONGEST_PAUSE)));
}

/// How a life ends: most are stopped, so that there is something to look at.
fn end(random: &mut Random) -> &'static str {
    random.of::<&str>(&["stop", "stop", "stop", "delete"])
}

fn script() -> Value {
    let on_disk = json!({"volumeMounts": [{"name": "d", "mountPath": "/d"}]});
    let crash = format!(
        "echo x >>/d/runs; n=$(wc -l </d/runs); echo run $n; if [ $n -lt 3 ]; then exit 3; fi\n{COUNT}"
    );
    pod(json!({
        "restartPolicy": "Always",
        "terminationGracePeriodSeconds": 20,
        "volumes": [{"name": "d", "emptyDir": {}}],
        "initContainers": [with(sh("init", "echo init >>/d/inits; echo prepared"), on_disk.clone())],
        "containers": [counter("steady"), with(sh("crasher", &crash), on_disk)],
    }))
}

/// One life after the other on one host, each with a seed of its own, until `kills` have been made; after each, nothing is left.
/// `live` gives how many it made.
fn lives(kills: u64, live: impl Fn(&Host, &mut Random) -> u64) {
    let first = seed();
    eprintln!("PODSHIM_SEED={first}");
    on_each_runtime(|host| {
        let (mut seed, mut made) = (Random(first), 0);
        for life in 0.. {
            if made >= kills {
                eprintln!("{made} kills in {life} lives: nothing lost, nothing left");
                break;
            }
            let seed = match life {
                0 => first,
                _ => seed.next(),
            };
            eprintln!("life {life}: PODSHIM_SEED={seed}, {made} kills so far");
            let mut random = Random(seed);
            host.set_network(Some(random.of::<&str>(&["none", "none", "none", "bridge"])));
            host.set_sandbox(Some(random.of::<&str>(&["runtime", "native"])));
            made += live(host, &mut random);
            host.podshim(["delete", "--all", "--grace-period", "0"])
                .expect(0);
            host.assert_nothing_left();
        }
    });
}

fn kills() -> u64 {
    number("PODSHIM_CRASHES").unwrap_or(40)
}

/// Kills whichever supervisor the pod has, so many times, each at a random moment; how many it met.
fn kill_some(pod: &Pod, random: &mut Random, times: u64) -> u64 {
    let mut met = 0;
    for _ in 0..times {
        pause(random);
        // None, for once, while the keeper waits or the pod is over.
        if let Some(pid) = Life::Supervisor.of(pod) {
            kill_now(pid);
            met += 1;
        }
    }
    met
}

#[test]
fn kills_at_any_moment_of_a_pod_s_life_change_nothing_of_it() {
    lives(kills(), |host, random| {
        let pod = host.start(&script());
        let mut made = kill_some(&pod, random, KILLS_WHILE_IT_STARTS);
        pod.until_restarted("crasher", 2);
        pod.until_running();
        let verb = end(random);
        let end = host.background([verb, "p"]);
        made += kill_some(&pod, random, KILLS_WHILE_IT_STOPS);
        end.wait().expect(0);
        if verb == "delete" {
            return made;
        }
        assert_life(&pod);
        let replayed = host.podshim(["debug", "replay", "p"]).expect(0).text();
        assert!(replayed.contains("identical: "), "{replayed}");
        made
    });
}

fn assert_life(pod: &Pod) {
    let json = pod.json();
    assert_eq!(json["status"]["phase"], "Succeeded", "{json:#}");
    for (container, restarts) in [("init", 0), ("steady", 0), ("crasher", 2)] {
        assert_eq!(
            status(&json, container)["restartCount"],
            restarts,
            "{container}: {json:#}"
        );
        let (kind, detail) = state(&json, container);
        assert_eq!(
            (kind, &detail["exitCode"]),
            ("terminated", &json!(0)),
            "{container}"
        );
    }
    let before = &status(&json, "crasher")["lastState"]["terminated"]["exitCode"];
    assert_eq!(*before, 3, "{json:#}");
    assert_eq!(contents(&pod.log("init", 0)), "prepared\n");
    assert_eq!(contents(&pod.log("crasher", 1)), "run 2\n");
    let last = pod.log("crasher", 2);
    let (first, counted) = last.split_once('\n').expect("two lines");
    assert!(first.ends_with("run 3"), "{last}");
    assert_counted(counted);
    assert_counted(&pod.log("steady", 0));
}

#[test]
fn keeper_and_supervisor_may_die_together_at_any_moment() {
    lives(kills() / SHARE_OF_DOUBLE_DEATHS, |host, random| {
        let manifest = host.manifest(&[script()]);
        // Who starts the pod, or stops it, may be told that its keeper died; the pod goes on when somebody asks for it.
        let mut run = host.background(["run", "-d", "-f", manifest.to_str().expect("a path")]);
        let Some(pod) = host.until_known("p", &mut run) else {
            panic!("it failed before anybody died: {}", run.stderr());
        };
        pause(random);
        kill_both(&pod);
        drop(run.wait());
        if host.podshim(["wait", "p", "--for", "phase=Running"]).code == Some(3) {
            // It had not begun.
            return 1;
        }
        pod.until("crasher has run three times", |json| {
            state(json, "crasher").0 == "running"
                && pod.exec("crasher", "test $(wc -l </d/runs) -ge 3").code == Some(0)
        });
        let before = pod.until_running();
        let is = ["steady", "crasher"].map(|c| (pod.pid(c), restarts(&before, c)));
        pause(random);
        kill_both(&pod);
        pod.podshim("wait", &["--for", "phase=Running"]).expect(0);
        let after = pod.until_running();
        let now = ["steady", "crasher"].map(|c| (pod.pid(c), restarts(&after, c)));
        assert_eq!(is, now, "nothing happened to what ran");
        let verb = end(random);
        let end = host.background([verb, "p"]);
        pause(random);
        kill_both(&pod);
        drop(end.wait());
        if verb == "delete" {
            host.podshim(["delete", "p", "--ignore-not-found"])
                .expect(0);
            return DOUBLE_DEATHS;
        }
        pod.podshim("stop", &[]).expect(0);
        assert_ends_are_true(&pod);
        DOUBLE_DEATHS
    });
}

fn restarts(json: &Value, container: &str) -> u64 {
    let count = status(json, container)["restartCount"].as_u64();
    count.unwrap_or_else(|| panic!("{container}: {json:#}"))
}

/// Nobody was there for what ended while both were dead: that is said to be unknown, and everything else is as it was.
#[track_caller]
fn assert_ends_are_true(pod: &Pod) {
    let json = pod.json();
    for (container, code) in [("steady", 0), ("crasher", 0), ("init", 0)] {
        let (kind, end) = state(&json, container);
        let is_unknown = end["exitCode"] == 137 && end["reason"] == "ContainerStatusUnknown";
        assert_eq!(kind, "terminated", "{container}: {json:#}");
        assert!(is_unknown || end["exitCode"] == code, "{container}: {end}");
    }
    let log = pod.log(
        "steady",
        u32::try_from(restarts(&json, "steady")).expect("few"),
    );
    for (index, line) in contents(&log).lines().enumerate() {
        let counted = format!("line {}", index + 1);
        // The last words may have been in the pipe when nobody held it any more.
        let is_end = line == format!("end {index}");
        assert!(is_end || counted.starts_with(line), "{line:?} in\n{log}");
    }
}

/// Lines that are written at once, and the size at which a log is rotated: many times in one flood.
const FLOOD_LINES: u64 = 5_000;
const FLOOD_LOG: &str = "1Mi";
/// Deaths of the writer of the logs while it has no moment's rest; each waits longer for the next.
const KILLS_IN_A_FLOOD: u64 = 4;

#[test]
fn a_flood_of_output_is_whole_though_its_writers_die_in_the_middle() {
    on_each_runtime(|host| {
        let mut random = Random(seed());
        eprintln!("PODSHIM_SEED={}", random.0);
        let flood = format!(
            "i=0; until [ -e /enough ]; do n=$((i + {FLOOD_LINES})); seq $((i + 1)) $n; i=$n; done; echo $i lines"
        );
        let manifest = host.manifest(&[pod(json!({"containers": [sh("c", &flood)]}))]);
        let file = manifest.to_str().expect("a path");
        let sizes = ["--log-size", FLOOD_LOG, "--log-files", "1000"];
        let run = host.podshim([&["run", "-d", "-f", file], &sizes[..]].concat());
        run.expect(0);
        let pod = host.pod("p");
        let mut met = 0;
        while met < KILLS_IN_A_FLOOD {
            met += kill_some(&pod, &mut random, 1);
        }
        until(60, "a log is rotated", || {
            let files = rotated(&pod.log_file("c", 0));
            (!files.is_empty())
                .then_some(())
                .ok_or(format!("{files:?}"))
        });
        pod.exec("c", "touch /enough").expect(0);
        let ended = pod.until_phase("Succeeded");
        let log = pod.log_file("c", 0);
        let mut lines = 0;
        let mut last = None;
        for file in rotated(&log).into_iter().chain([log]) {
            let text = std::fs::read_to_string(&file).expect("a log");
            for line in contents(&text).lines() {
                let file = file.display();
                assert_eq!(last, None, "the last line is the last: {file}");
                if line.ends_with(" lines") {
                    last = Some(line.to_owned());
                    continue;
                }
                lines += 1;
                assert_eq!(line, lines.to_string(), "{file}, after {met} kills");
            }
        }
        assert_eq!(last, Some(format!("{lines} lines")), "after {met} kills");
        assert_eq!(state(&ended, "c").1["exitCode"], 0);
    });
}

/// The files that a log was before, oldest first: the time of a rotation follows the name of the file that is written.
fn rotated(log: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(log.parent().expect("a directory")).expect("logs");
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let prefix = format!("{}.", log.display());
    let mut files: Vec<_> = paths
        .filter(|path| path.to_string_lossy().starts_with(&prefix))
        .collect();
    files.sort();
    files
}
